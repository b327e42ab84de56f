"""Rank the tasks of a project by how much one more label of each would tell (ActiveLab)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from backend.errors import NothingToComputeError
from backend.jobs.follow import scored_labels, sums_from_arrays
from backend.jobs.labels import engine_labels
from backend.jobs.predictions import StoredPredictions
from backend.label_studio.questions import NO_LABEL, Question
from backend.progress import Progress, silent
from backend.store.arrays import Arrays
from backend.store.project import ProjectInfo, ProjectStore, Summary
from backend.store.tables import BLOCKS_AT_ONCE, select
from crowdlab_engine import MultiannotatorLabels
from crowdlab_engine.active_learning import BlockScorer
from crowdlab_engine.block import Block
from crowdlab_engine.statistics import Statistics, statistics

_COLUMNS: dict[str, Any] = {
    "task": np.int64,
    "score": np.float64,
    "question": np.int64,
    "label": np.int64,
    "quality": np.float64,
    "agreement": np.float64,
    "num_annotations": np.int64,
    "num_annotators": np.int64,
    "last_annotation": np.int64,
    "last_action": np.int64,
}


@dataclass(frozen=True)
class Ranking:
    """What is known of each task, labelled or not, for choosing those to label next."""

    info: ProjectInfo
    tasks: Arrays
    """One row per task, by ascending id: `task`; `score`, its ActiveLab score, 0 to 1, the lower
    the more one label would tell; `question`, the position of the question that the score is
    of, the lowest of all; `label`, `quality`, `agreement` and `num_annotations` of that
    question's consensus, -1, NaN, NaN and 0 without labels; `num_annotators`, people whose
    annotation is neither skipped nor ground truth; `last_annotation`, the largest id of its
    annotations; `last_action`, microseconds since 1970 of the last change of one; 0 without."""
    excluded: frozenset[int]
    """Annotators whose labels do not count as given, for some question."""


def rank_tasks(
    store: ProjectStore, *, exclude_below: float | None = None, progress: Progress = silent
) -> Ranking:
    """Score all tasks from what the store holds, some blocks at a time.

    Of several questions the lowest score counts; of a task with labels, only questions that
    somebody answered, as a question may not concern every task.

    Parameters
    ----------
    exclude_below
        Labels of annotators whose quality is below this do not count as given. Too little data
        excludes nobody.

    Raises
    ------
    NothingToComputeError
        Nothing was computed for the project yet.
    """
    info, summary = store.read_info(), store.read_summary()
    if info is None or summary is None or len(summary.questions) != len(info.questions):
        raise NothingToComputeError(
            f"Nothing was computed for project {store.project_id} yet.",
            f"Run `crowdlab connect {store.project_id}`; the project needs tasks with labels.",
        )
    questions: list[_Scorer] = []
    for number, question in enumerate(info.questions):
        if question.type.is_class:
            scored = _ScoredQuestion.of(store, info, summary, number, exclude_below)
            if scored is not None:
                questions.append(scored)
        elif summary.questions[number].annotators:
            questions.append(_StructuredQuestion(number))
    parts = [_rank_part(part, questions) for part in _parts_of(store, info, progress)]
    rows = {
        name: np.concatenate([np.empty(0, dtype=kind), *(part[name] for part in parts)])
        for name, kind in _COLUMNS.items()
    }
    excluded = frozenset(person for one in questions for person in one.excluded)
    return Ranking(info, rows, excluded)


class _Scorer(Protocol):
    """A question that tasks can be scored by."""

    @property
    def number(self) -> int:
        """Position of the question."""

    @property
    def excluded(self) -> frozenset[int]:
        """Annotators whose labels do not count as given."""

    def scores(self, part: _Part) -> NDArray[np.float64]:
        """Score the tasks of some blocks, shape (B,)."""


@dataclass(frozen=True)
class _StructuredQuestion:
    """A question whose answers are no class, so that annotators have no weights."""

    number: int
    excluded: frozenset[int] = frozenset()

    def scores(self, part: _Part) -> NDArray[np.float64]:
        """Quality as it would be after one more answer that says nothing, shape (B,)."""
        quality = np.nan_to_num(part.consensus["quality"][:, self.number].astype(np.float64))
        number = part.consensus["num_annotations"][:, self.number]
        scores: NDArray[np.float64] = (quality * number + 0.5) / (number + 1)
        return scores


@dataclass(frozen=True, eq=False)
class _ScoredQuestion:
    """A question with all that scoring its tasks needs."""

    number: int
    question: Question
    annotators: NDArray[np.int64]
    """Ids of the M annotators of the weights, ascending."""
    scorer: BlockScorer
    predictions: StoredPredictions | None
    excluded: frozenset[int]

    @classmethod
    def of(
        cls,
        store: ProjectStore,
        info: ProjectInfo,
        summary: Summary,
        number: int,
        exclude_below: float | None,
    ) -> _ScoredQuestion | None:
        """Prepare a question; None if nobody has answered it."""
        question = info.questions[number]
        people = summary.questions[number].annotators
        if not people:
            return None
        num_classes = len(question.classes)
        stored = StoredPredictions.read(store, number, num_classes)
        predictions = None if stored.is_empty else stored
        arrays = store.read_statistics(number)
        if arrays is None:  # found by another method than CROWDLAB
            annotators = np.asarray(sorted(row["annotator"] for row in people), dtype=np.int64)
            sums = _summed(store, info, number, annotators, predictions)
        else:
            annotators = arrays["annotators"]
            sums = sums_from_arrays(arrays).statistics
        if sums is None or not sums.num_labels:
            return None
        scorer = BlockScorer.of(sums)
        excluded = frozenset(
            int(row["annotator"])
            for row in people
            if exclude_below is not None and row["enough_data"] and row["quality"] < exclude_below
        )
        has_models = len(scorer.weights.model) > 0
        return cls(
            number, question, annotators, scorer, predictions if has_models else None, excluded
        )

    def scores(self, part: _Part) -> NDArray[np.float64]:
        """Score the tasks of some blocks, shape (B,)."""
        labels = _known_labels(part, self.number, self.question, self.annotators)
        probs = None
        if self.predictions is not None:
            probs = self.predictions.of(part.tasks, part.blocks)
        is_heard = ~np.isin(self.annotators, sorted(self.excluded)) if self.excluded else None
        label = part.consensus["label"][:, self.number]
        quality = part.consensus["quality"][:, self.number]
        return self.scorer.scores(labels, label, quality, probs, is_heard=is_heard)


def _known_labels(
    part: _Part, number: int, question: Question, annotators: NDArray[np.int64]
) -> MultiannotatorLabels:
    """Labels by annotators whose weight is known; events bring others meanwhile."""
    counted = scored_labels(part.label_quality, number)
    counted = select(counted, np.isin(counted["annotator"], annotators))
    return engine_labels(part.tasks, counted, number, question, annotators)


def _summed(
    store: ProjectStore,
    info: ProjectInfo,
    number: int,
    annotators: NDArray[np.int64],
    predictions: StoredPredictions | None,
) -> Statistics | None:
    """Sum up the stored labels and consensus of a question; None without tasks."""
    question = info.questions[number]
    total: Statistics | None = None
    for part in _parts_of(store, info):
        labels = _known_labels(part, number, question, annotators)
        probs = None if predictions is None else predictions.of(part.tasks, part.blocks)
        label = part.consensus["label"][:, number].astype(np.int64)
        sums = statistics(Block.of(labels, probs, may_abstain=True), label)
        total = sums if total is None else total + sums
    return total


@dataclass(frozen=True, eq=False)
class _Part:
    """What the store holds of the tasks of some blocks."""

    blocks: Sequence[int]
    tasks: NDArray[np.int64]
    """Ids of the B tasks, ascending."""
    consensus: Arrays
    """`label`, `quality`, `agreement` and `num_annotations` of the B tasks, each (B, Q)."""
    label_quality: Arrays
    """Rows of the table of label qualities."""
    annotations: Arrays
    """Rows of the table of annotations."""

    def history(self) -> Arrays:
        """Who has been at the tasks, and when, whatever came of it; a column each, (B,)."""
        rows = self.annotations
        place = np.searchsorted(self.tasks, rows["task"])
        last_annotation = np.zeros(len(self.tasks), dtype=np.int64)
        last_action = np.zeros(len(self.tasks), dtype=np.int64)
        np.maximum.at(last_annotation, place, rows["annotation"])
        np.maximum.at(last_action, place, rows["updated_at"])
        counts = (rows["is_cancelled"] == 0) & (rows["is_ground_truth"] == 0)
        num_annotators = people_per_task(place[counts], rows["annotator"][counts], len(self.tasks))
        return {
            "task": self.tasks,
            "num_annotators": num_annotators,
            "last_annotation": last_annotation,
            "last_action": last_action,
        }


def people_per_task(
    place: NDArray[Any], annotator: NDArray[Any], num_tasks: int
) -> NDArray[np.int64]:
    """Number of different annotators of each task, shape (N,).

    Parameters
    ----------
    place
        Position of the task of each annotation, 0 to N - 1, (L,).
    annotator
        Id of its annotator, (L,).
    """
    num_ids = int(annotator.max(initial=0)) + 1
    cells = np.unique(place.astype(np.int64) * num_ids + annotator)
    return np.bincount(cells // num_ids, minlength=num_tasks)


def _parts_of(
    store: ProjectStore, info: ProjectInfo, progress: Progress = silent
) -> Iterator[_Part]:
    num_questions = len(info.questions)
    numbers = store.tasks.block_numbers()
    for start in range(0, len(numbers), BLOCKS_AT_ONCE):
        progress("Scoring tasks", start, len(numbers))
        blocks = numbers[start : start + BLOCKS_AT_ONCE]
        tasks = store.tasks.read_blocks(blocks)["task"]
        rows = [
            table(num_questions).read_blocks(blocks)
            for table in (store.consensus, store.label_quality, store.annotations)
        ]
        # Events change the tables meanwhile.
        found, qualities, annotations = (select(one, np.isin(one["task"], tasks)) for one in rows)
        yield _Part(blocks, tasks, _spread(found, tasks, num_questions), qualities, annotations)


def _spread(found: Arrays, tasks: NDArray[np.int64], num_questions: int) -> Arrays:
    """Consensus in the order of the tasks, with rows for those that have none."""
    place = np.searchsorted(tasks, found["task"])
    empty = {"label": NO_LABEL, "quality": np.nan, "agreement": np.nan, "num_annotations": 0}
    spread: Arrays = {}
    for name, value in empty.items():
        spread[name] = np.full((len(tasks), num_questions), value, dtype=found[name].dtype)
        spread[name][place] = found[name]
    return spread


def _rank_part(part: _Part, questions: Sequence[_Scorer]) -> Arrays:
    """Score the tasks of some blocks by each question, and keep the lowest score of each."""
    has_label = part.consensus["label"] != NO_LABEL
    counts = has_label | ~has_label.any(axis=1)[:, None]
    scores = np.full(has_label.shape, np.inf)
    for one in questions:
        concerned = counts[:, one.number]
        scores[concerned, one.number] = one.scores(part)[concerned]
    lowest = scores.argmin(axis=1)
    rows = np.arange(len(part.tasks))
    ranked = {name: values[rows, lowest] for name, values in part.consensus.items()}
    return {**part.history(), **ranked, "question": lowest, "score": scores[rows, lowest]}
