"""Which tasks a policy would ask one more label of, and why. Nothing here changes anything."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.answers.words import answer_words
from backend.errors import ReviewPolicyError
from backend.jobs.rank import Ranking, people_per_task, rank_tasks
from backend.label_studio.client import LabelStudioClient
from backend.label_studio.questions import NO_LABEL
from backend.progress import Progress, silent
from backend.service import Service
from backend.store.arrays import Arrays
from backend.store.project import JSON, ProjectStore
from backend.store.review import PENDING, RequestState, ReviewPolicy
from backend.store.tables import select
from crowdlab_engine import choose_tasks


@dataclass(frozen=True)
class PlannedTask:
    """A task that a policy chose, and why."""

    task: int
    score: float
    """ActiveLab score, 0 to 1; the lower, the more one more label would tell."""
    question: str
    """Question that the score is of."""
    consensus: str | None
    """Consensus of this question; None without labels. So are the next two."""
    quality: float | None
    """Consensus quality score, 0 to 1."""
    agreement: float | None
    """Share of the labels that equal the consensus."""
    votes: dict[str, int]
    """Number of labels per class, the most frequent first."""
    num_annotators: int
    """People who have labelled the task."""
    num_extra: int
    """Labels that earlier requests have brought."""
    overlap: int
    """Labels that Label Studio collects now."""
    new_overlap: int
    """Labels that it would collect then."""
    was_labeled: bool
    """Whether Label Studio takes the task for done now."""
    last_annotation: int
    """Largest id of its annotations; 0 without."""

    @property
    def waits(self) -> bool:
        """Whether the task is open for a label anyway, so that nothing need be asked."""
        return not self.was_labeled and self.new_overlap == self.overlap

    @property
    def reason(self) -> str:
        """Why it was chosen, in words."""
        if self.consensus is None:
            return f"nobody has labelled it; score {self.score:.3f}"
        said = ", ".join(f"{number} × {name}" for name, number in self.votes.items())
        return (
            f"{said}; consensus {self.consensus} with quality {self.quality:.3f}, "
            f"score {self.score:.3f}"
        )


@dataclass(frozen=True)
class ReviewPlan:
    """What a policy would ask for. Making it changes nothing."""

    project: int
    policy: ReviewPolicy
    tasks: tuple[PlannedTask, ...]
    """Chosen tasks, the most urgent first: see `crowdlab_engine.choose_tasks`."""
    num_tasks: int
    """Tasks that were ranked."""
    left_out: dict[str, int]
    """Reason to the number of tasks that it kept from being chosen."""
    excluded: tuple[int, ...]
    """Annotators whose labels do not count as given, by id."""

    @property
    def to_ask(self) -> tuple[PlannedTask, ...]:
        """Tasks of which one more label is to be asked; the others wait for one anyway."""
        return tuple(one for one in self.tasks if not one.waits)

    def to_plain(self) -> JSON:
        """Plain form, for JSON."""
        rows = [{**asdict(one), "waits": one.waits, "reason": one.reason} for one in self.tasks]
        return {**asdict(self), "tasks": rows}


def plan_review(
    service: Service, project_id: int, policy: ReviewPolicy, *, progress: Progress = silent
) -> ReviewPlan:
    """Choose tasks by a policy, and look up what Label Studio collects of them now.

    Nothing is changed, here or in Label Studio.

    Raises
    ------
    NothingToComputeError
        Nothing was computed for the project yet.
    ReviewPolicyError
        The policy names a task that is not known.
    LabelStudioError
        Label Studio does not tell.
    """
    store, client = service.store(project_id), service.label_studio
    ranking = rank_tasks(store, exclude_below=policy.exclude_below, progress=progress)
    candidates = _Candidates(store, client, ranking, policy)
    chosen = candidates.choose()
    progress("Looking up tasks", 0, None)
    states = client.task_states(project_id, chosen["task"].tolist())
    are_skips_counted = counts_skips(client.project(project_id))
    annotations = store.annotations(len(ranking.info.questions)).read(chosen["task"])
    taken = Counter(annotations["task"][_takes_a_place(annotations, are_skips_counted)].tolist())
    labels = store.label_quality(len(ranking.info.questions)).read(chosen["task"])
    votes = _votes(labels, chosen)
    words = _words_of(store, ranking, chosen, votes)
    tasks = []
    for place, task in enumerate(chosen["task"].tolist()):
        if task not in states:
            continue
        overlap, was_labeled = states[task]
        row = {name: values[place] for name, values in chosen.items()}
        tasks.append(
            _planned(
                ranking,
                row,
                votes[place],
                words[place],
                overlap,
                was_labeled,
                num_taken=taken[task],
            )
        )
    return ReviewPlan(
        project=project_id,
        policy=policy,
        tasks=tuple(tasks),
        num_tasks=len(ranking.tasks["task"]),
        left_out=candidates.left_out(),
        excluded=tuple(sorted(ranking.excluded)),
    )


def _planned(
    ranking: Ranking,
    row: Mapping[str, Any],
    votes: Counter[int],
    words: Mapping[int, str],
    overlap: int,
    was_labeled: bool,
    *,
    num_taken: int,
) -> PlannedTask:
    question = ranking.info.questions[int(row["question"])]
    has_label = row["label"] != NO_LABEL
    return PlannedTask(
        task=int(row["task"]),
        score=float(row["score"]),
        question=question.name,
        consensus=words[int(row["label"])] if has_label else None,
        quality=float(row["quality"]) if has_label else None,
        agreement=float(row["agreement"]) if has_label else None,
        votes={words[code]: number for code, number in votes.most_common()},
        num_annotators=int(row["num_annotators"]),
        num_extra=int(row["num_extra"]),
        overlap=overlap,
        new_overlap=max(overlap, num_taken + 1),
        was_labeled=was_labeled,
        last_annotation=int(row["last_annotation"]),
    )


def _words_of(
    store: ProjectStore, ranking: Ranking, chosen: Arrays, votes: Sequence[Counter[int]]
) -> list[dict[int, str]]:
    """Answers in words that are needed, by code, per chosen task."""
    found: list[dict[int, str]] = [{} for _ in votes]
    for number, question in enumerate(ranking.info.questions):
        asked = [
            (place, code)
            for place in np.flatnonzero(chosen["question"] == number).tolist()
            for code in {int(chosen["label"][place]), *votes[place]}
        ]
        tasks = [int(chosen["task"][place]) for place, _ in asked]
        told = answer_words(store, question, tasks, [code for _, code in asked])
        for (place, code), words in zip(asked, told, strict=True):
            if words is not None:
                found[place][code] = words
    return found


def _votes(labels: Arrays, chosen: Arrays) -> list[Counter[int]]:
    """Labels of the question that each chosen task is doubtful in, by class code.

    Parameters
    ----------
    labels
        Rows of the table of label qualities.
    """
    first = np.searchsorted(labels["task"], chosen["task"], side="left")
    last = np.searchsorted(labels["task"], chosen["task"], side="right")
    found = []
    for start, end, question in zip(first, last, chosen["question"], strict=True):
        codes = labels["label"][start:end, question]
        found.append(Counter(codes[codes != NO_LABEL].tolist()))
    return found


def counts_skips(project: JSON) -> bool:
    """Whether Label Studio counts somebody's skip as one of the labels that it collects."""
    return bool(project.get("skip_queue") != "REQUEUE_FOR_OTHERS")


def _takes_a_place(annotations: Arrays, are_skips_counted: bool) -> NDArray[np.bool_]:
    """Whether Label Studio counts each annotation as one of those that it collects."""
    is_label = annotations["is_ground_truth"] == 0
    takes: NDArray[np.bool_] = (
        is_label if are_skips_counted else is_label & (annotations["is_cancelled"] == 0)
    )
    return takes


class _Candidates:
    """Tasks that a policy may choose from.

    Parameters
    ----------
    store, client
        Of the project.
    ranking
        Scores of all tasks.
    policy
        What to choose by.
    """

    def __init__(
        self,
        store: ProjectStore,
        client: LabelStudioClient,
        ranking: Ranking,
        policy: ReviewPolicy,
    ) -> None:
        self._ranking = ranking
        self._policy = policy
        rows = ranking.tasks
        self._num_extra = np.zeros(len(rows["task"]), dtype=np.int64)
        last_asked = np.zeros(len(rows["task"]))
        is_pending = np.zeros(len(rows["task"]), dtype=bool)
        requests = store.requests.read()
        _, place, source = np.intersect1d(
            rows["task"], requests["task"], assume_unique=True, return_indices=True
        )
        self._num_extra[place] = requests["num_extra"][source]
        is_withdrawn = requests["state"][source] == RequestState.WITHDRAWN
        last_asked[place] = np.where(is_withdrawn, 0.0, requests["requested_at"][source])
        is_pending[place] = np.isin(requests["state"][source], PENDING)
        last_action = np.maximum(rows["last_action"] / 1e6, last_asked)
        # Where Label Studio runs, clocks differ by less than a request takes.
        is_recent = last_action > time.time() - 3600 * policy.min_hours
        self._barred = {
            "asked for already": is_pending,
            "got as many extra labels as allowed": self._num_extra >= policy.most_extra,
            "labelled or asked for too short ago": is_recent & (policy.min_hours > 0),
            "not labelled yet": (rows["num_annotators"] == 0) & policy.only_labeled,
            "labelled by everybody": ~_has_somebody_left(store, client, ranking),
        }
        self._is_named: NDArray[Any] = np.ones(len(rows["task"]), dtype=bool)
        if policy.tasks:
            self._is_named = np.isin(rows["task"], policy.tasks)
            unknown = sorted(set(policy.tasks) - set(rows["task"][self._is_named].tolist()))
            if unknown:
                raise ReviewPolicyError(
                    f"Project {store.project_id} has no task {unknown[0]}.",
                    "Name tasks by the number in their address in Label Studio; "
                    f"`crowdlab sync {store.project_id}` makes new ones known.",
                )

    @property
    def _is_wanted(self) -> NDArray[np.bool_]:
        """Whether a task would be chosen if nothing barred it and the budget had no end."""
        scores = self._ranking.tasks["score"]
        threshold = np.inf if self._policy.threshold is None else self._policy.threshold
        wanted: NDArray[np.bool_] = self._is_named & (scores < threshold)
        return wanted

    def choose(self) -> Arrays:
        """Rows of the chosen tasks, the most urgent first, with `num_extra`."""
        rows = {**self._ranking.tasks, "num_extra": self._num_extra}
        is_barred = np.logical_or.reduce(list(self._barred.values()))
        is_scored = np.isfinite(rows["score"])
        chosen = choose_tasks(
            np.where(is_scored, rows["score"], 1.0),
            rows["num_annotations"],
            budget=self._policy.budget,
            threshold=self._policy.threshold,
            most_extra=self._policy.most_extra,
            num_extra=self._num_extra,
            is_open=is_scored & self._is_named & ~is_barred,
        )
        return select(rows, chosen)

    def left_out(self) -> dict[str, int]:
        """Reason to the number of tasks that it bars; a task may have several."""
        counts = {
            reason: int((is_barred & self._is_wanted).sum())
            for reason, is_barred in self._barred.items()
        }
        return {reason: number for reason, number in counts.items() if number}


def _has_somebody_left(
    store: ProjectStore, client: LabelStudioClient, ranking: Ranking
) -> NDArray[np.bool_]:
    """Whether somebody could still label each task who has not been at it yet, (N,).

    Label Studio gives nobody a task again that they labelled or skipped. Its open edition lets
    every user label; the service's own account does not count, unless it has labelled here.
    """
    info, tasks = ranking.info, ranking.tasks["task"]
    people = {int(user["id"]) for user in client.users()}
    own = int(client.current_user()["id"])
    if own not in store.annotator_names():
        people.discard(own)
    people -= ranking.excluded
    able = np.asarray(sorted(people), dtype=np.int64)
    num_done = np.zeros(len(tasks), dtype=np.int64)
    for rows in store.annotations(len(info.questions)).parts():
        place = np.searchsorted(tasks, rows["task"])
        is_known = place < len(tasks)
        is_known[is_known] = tasks[place[is_known]] == rows["task"][is_known]
        counts = is_known & np.isin(rows["annotator"], able)
        if counts.any():
            first, last = int(place[counts].min()), int(place[counts].max()) + 1
            num_done[first:last] += people_per_task(
                place[counts] - first, rows["annotator"][counts], last - first
            )
    has_left: NDArray[np.bool_] = num_done < len(able)
    return has_left
