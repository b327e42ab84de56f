"""How many contents of a project could be read, and why the others could not."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from backend.features.outcome import reason_of

_NOUNS = {"image": "images", "audio": "sounds", "text": "texts"}


@dataclass(frozen=True)
class Failure:
    """Contents that could not be read for the same reason."""

    outcome: int
    """Why: an `Outcome` or an HTTP status."""
    count: int
    task: int
    """One of the tasks."""


@dataclass(frozen=True)
class SourceReport:
    """What became of the contents under one key of the tasks' data."""

    kind: str
    key: str
    num_tasks: int
    num_read: int
    num_empty: int
    """Tasks without a content."""
    failures: tuple[Failure, ...] = ()
    """The most frequent first."""

    @property
    def num_failed(self) -> int:
        """Number of contents that could not be read."""
        return sum(one.count for one in self.failures)

    @property
    def num_waiting(self) -> int:
        """Number of contents that nobody has tried to read yet."""
        return self.num_tasks - self.num_read - self.num_empty - self.num_failed

    def sentences(self) -> list[str]:
        """What people should know; nothing if all contents were read."""
        noun = _NOUNS[self.kind]
        found = []
        if self.failures:
            reasons = "; ".join(
                f"{one.count:,} {reason_of(one.outcome)}, such as that of task {one.task}"
                for one in self.failures
            )
            found.append(
                f"{self.num_failed:,} of {self.num_tasks:,} {noun} ({self.key}) could not be "
                f"read: {reasons}."
            )
        if self.num_waiting:
            found.append(
                f"{self.num_waiting:,} of {self.num_tasks:,} {noun} ({self.key}) are still to "
                "be read."
            )
        return found


@dataclass(frozen=True)
class MediaReport:
    """What is known of the contents that are fetched."""

    recipe: str
    """What was read and how; descriptors of another recipe are of no use."""
    data_version: int
    """`ProjectInfo.data_version` up to which contents were looked for."""
    retried_at: float
    """`ProjectInfo.fully_synced_at` since which contents that failed were tried again."""
    sources: tuple[SourceReport, ...]
    problems: tuple[str, ...] = ()
    """Models that cannot be used, as sentences."""

    @property
    def is_complete(self) -> bool:
        """Whether every content was read, or tried."""
        return not any(source.num_waiting for source in self.sources)

    def sentences(self) -> list[str]:
        """What people should know; nothing if all is well."""
        of_sources = [sentence for source in self.sources for sentence in source.sentences()]
        return [*self.problems, *of_sources]

    def to_json(self) -> str:
        """Plain form, for storage."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, stored: bytes) -> MediaReport:
        """Inverse of `to_json`."""
        plain: dict[str, Any] = json.loads(stored)
        sources = tuple(
            SourceReport(
                **{**one, "failures": tuple(Failure(**failure) for failure in one["failures"])}
            )
            for one in plain.pop("sources")
        )
        problems = tuple(plain.pop("problems", ()))
        return cls(**plain, sources=sources, problems=problems)
