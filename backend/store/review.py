"""What is kept of the review of a project: requests for one more label, and the policy for them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import IntEnum

from backend.errors import ReviewPolicyError
from backend.store.tables import Column


class RequestState(IntEnum):
    """How far a request for one more label of a task is."""

    NOTED = 0
    """Decided on; Label Studio may know of it, or not yet."""
    OPEN = 1
    """The task is open for one more label in Label Studio."""
    ANSWERED = 2
    """Somebody has labelled the task since."""
    WITHDRAWING = 3
    """To be undone; that may be done in Label Studio, or not yet."""
    WITHDRAWN = 4
    """Undone before anybody had labelled the task."""


UNFINISHED = (RequestState.NOTED, RequestState.WITHDRAWING)
"""States in which a process that was cut short leaves requests."""
PENDING = (RequestState.OPEN, *UNFINISHED)
"""States of requests that wait for a label, or may do so."""

REQUEST_COLUMNS: dict[str, Column] = {
    "state": ("u1", None),  # a RequestState
    "requested_at": ("f8", None),  # seconds since 1970
    "was_labeled": ("u1", None),  # whether Label Studio took the task for done
    "old_overlap": ("i4", None),
    "new_overlap": ("i4", None),
    "num_annotators": ("i4", None),  # people who had labelled it then
    "last_annotation": ("i8", None),  # largest id of its annotations then; 0 without
    "num_extra": ("i4", None),  # labels that earlier requests, and this one, have brought
    "score": ("f8", None),  # ActiveLab score then
    "quality": ("f8", None),  # consensus quality score then; NaN without labels
}


@dataclass(frozen=True)
class ReviewPolicy:
    """Which tasks to ask one more label of.

    Raises
    ------
    ReviewPolicyError
        A value is out of its range.
    """

    budget: int | None = None
    """Most tasks to choose, at least 1; those that wait for a label anyway count as well."""
    threshold: float | None = None
    """Choose tasks whose ActiveLab score is below this, 0 to 1."""
    most_extra: int = 2
    """Most labels to ask of one task beyond what Label Studio collects by itself."""
    min_hours: float = 0.0
    """Leave tasks alone that somebody labelled, or that were asked for, less long ago."""
    exclude_below: float | None = None
    """Labels of annotators whose quality is below this, 0 to 1, do not count as given: the
    tasks rank as if these people had not spoken, and nothing is asked that only they could
    answer. Label Studio's open edition cannot keep a task from them."""
    tasks: tuple[int, ...] = ()
    """Choose among these tasks only; empty for all."""
    only_labeled: bool = False
    """Leave out tasks without labels, which otherwise rank with the others."""
    blind: bool = True
    """Show no predictions to those who label; otherwise show them."""

    def __post_init__(self) -> None:
        self._check("budget", self.budget, 1, None)
        self._check("threshold", self.threshold, 0, 1)
        self._check("most_extra", self.most_extra, 1, None)
        self._check("min_hours", self.min_hours, 0, None)
        self._check("exclude_below", self.exclude_below, 0, 1)

    @staticmethod
    def _check(name: str, value: float | None, least: float, most: float | None) -> None:
        if value is None or (value >= least and (most is None or value <= most)):
            return
        bounds = f"at least {least}" if most is None else f"from {least} to {most}"
        raise ReviewPolicyError(f"{name} is {value}: it must be {bounds}.", f"Correct {name}.")

    @property
    def is_bounded(self) -> bool:
        """Whether it names how much to ask for."""
        return self.budget is not None or self.threshold is not None or bool(self.tasks)


@dataclass(frozen=True)
class AutomaticReview:
    """A review that the service does by itself."""

    policy: ReviewPolicy
    """Its `budget` is that of one day (UTC)."""
    started_by: str = ""
    """Who switched it on."""
    day: str = ""
    """Day (UTC, ISO 8601) that `num_asked` counts."""
    num_asked: int = 0
    """Requests made on that day."""
    looked_at: float = 0.0
    """Seconds since 1970 of the last look at the scores."""
    computed_at: float = 0.0
    """`Summary.computed_at` of the scores that were looked at."""

    def asked_on(self, day: str) -> int:
        """How many requests count against the budget of a day.

        Where a clock has gone back, those of the later day do.
        """
        return self.num_asked if day <= self.day else 0

    def left_on(self, day: str) -> int:
        """How many requests may be made on a day."""
        return max(0, (self.policy.budget or 0) - self.asked_on(day))

    def to_json(self) -> str:
        """Plain form, for storage."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, stored: bytes | str) -> AutomaticReview:
        """Inverse of `to_json`."""
        plain = json.loads(stored)
        policy = plain["policy"]
        policy["tasks"] = tuple(policy["tasks"])
        plain["policy"] = ReviewPolicy(**policy)
        return cls(**plain)
