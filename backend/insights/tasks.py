"""A page of a project's tasks, sorted and filtered, from the stored tables.

Tables are read some blocks at a time, and of each only what may still come onto the page is
kept: a million tasks take no more memory than a hundred thousand.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from backend.answers.words import answer_words
from backend.errors import BadRequestError
from backend.insights.lookup import class_code, known_project, question_number
from backend.insights.weights import QuestionWeights
from backend.label_studio.questions import NO_LABEL
from backend.service import Service
from backend.store.arrays import Arrays
from backend.store.project import ProjectStore
from backend.store.tables import BLOCK_TASKS, BLOCKS_AT_ONCE, select

MOST_ROWS = 1000
"""Rows that a page may have."""
MOST_OFFSET = 1_000_000
"""Rows that may be passed over to reach a page."""


class TaskSort(StrEnum):
    """What tasks are sorted by."""

    QUALITY = "quality"
    """Consensus quality score."""
    ACTIVE_LEARNING = "active_learning"
    """ActiveLab score; see `QuestionWeights.active_learning_scores`."""
    AGREEMENT = "agreement"
    """Share of the labels that equal the consensus."""
    NUM_ANNOTATIONS = "num_annotations"
    TASK = "task"
    """Id of the task."""


@dataclass(frozen=True)
class TaskQuery:
    """Which tasks of a question to show.

    Raises
    ------
    BadRequestError
        A bound lies outside its range.
    """

    question: str | None = None
    """Name of the question; None for the first."""
    sort: TaskSort = TaskSort.QUALITY
    is_descending: bool = False
    """Largest first; by default the smallest, which deserve a look, come first."""
    consensus: str | None = None
    """Only tasks whose consensus is this class."""
    min_quality: float = 0.0
    """Only tasks of at least this consensus quality, 0 to 1."""
    max_quality: float = 1.0
    """Only tasks of at most this consensus quality, 0 to 1."""
    is_disputed: bool = False
    """Only tasks on which not all annotators agree with the consensus."""
    min_annotations: int = 1
    """Only tasks with at least this many labels."""
    text: str = ""
    """Only tasks in whose id these digits occur."""
    offset: int = 0
    """Rows to pass over, up to `MOST_OFFSET`."""
    limit: int = 50
    """Rows to show, 1 to `MOST_ROWS`."""

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= MOST_ROWS:
            raise BadRequestError(f"`limit` is {self.limit}: choose 1 to {MOST_ROWS:,}.")
        if not 0 <= self.offset <= MOST_OFFSET:
            raise BadRequestError(
                f"`offset` is {self.offset}: choose 0 to {MOST_OFFSET:,}.",
                "Narrow the tasks down by filters instead.",
            )
        for name in ("min_quality", "max_quality"):
            if not 0 <= getattr(self, name) <= 1:
                raise BadRequestError(f"`{name}` is {getattr(self, name)}: choose 0 to 1.")


@dataclass(frozen=True)
class TaskRow:
    """One task with its consensus on a question."""

    task: int
    consensus: str
    quality: float
    """Consensus quality score, 0 to 1, higher is better."""
    agreement: float
    """Share of the labels that agree with the consensus, 0 to 1."""
    num_annotations: int
    """Labels that count."""
    active_learning_score: float | None
    """ActiveLab score, 0 to 1: the lower, the more another label would tell; None by a method
    of consensus without weights."""


@dataclass(frozen=True)
class TaskPage:
    """Some tasks of a question, in the order that was asked for."""

    question: str
    num_tasks: int
    """Tasks with a consensus on the question."""
    num_matching: int
    """Those that the filters let through."""
    rows: tuple[TaskRow, ...]


def task_page(service: Service, project_id: int, query: TaskQuery) -> TaskPage:
    """One page of the tasks that have a consensus on a question.

    Equals are in the order of their ids.

    Raises
    ------
    UnknownProjectError, UnknownQuestionError
        There is no such project, question or class.
    """
    info = known_project(service, project_id)
    number = question_number(info, query.question)
    question = info.questions[number]
    wanted = None if query.consensus is None else class_code(question, query.consensus)
    store = service.store(project_id)
    weights = QuestionWeights.read(store, number)
    is_scored = query.sort is TaskSort.ACTIVE_LEARNING and weights is not None
    best = _Best(query)
    num_tasks = 0
    for rows in question_parts(store, number, len(info.questions), weights if is_scored else None):
        num_tasks += len(rows["task"])
        best.add(select(rows, _matches(rows, query, wanted)))
    rows = best.page()
    if weights is not None and not is_scored:
        rows = _scored(store, number, len(info.questions), weights, rows)
    words = answer_words(store, question, rows["task"].tolist(), rows["label"].tolist())
    return TaskPage(
        question=question.name,
        num_tasks=num_tasks,
        num_matching=best.num_seen,
        rows=tuple(
            TaskRow(
                task=task,
                consensus=told or "",
                quality=quality,
                agreement=agreement,
                num_annotations=num_annotations,
                active_learning_score=None if np.isnan(score) else score,
            )
            for told, task, _, quality, agreement, num_annotations, score in zip(
                words, *(rows[name].tolist() for name in _COLUMNS), strict=True
            )
        ),
    )


_COLUMNS = {
    "task": np.int64,
    "label": np.int32,
    "quality": np.float64,
    "agreement": np.float64,
    "num_annotations": np.int32,
    "active_learning_score": np.float64,
}


def question_parts(
    store: ProjectStore, number: int, num_questions: int, weights: QuestionWeights | None
) -> Iterator[Arrays]:
    """Consensus of all tasks on one question, some blocks of tasks at a time.

    Parameters
    ----------
    number
        Position of the question.
    weights
        Weights to find active learning scores with; None leaves these NaN.

    Yields
    ------
    dict
        `task`, ascending, `label`, `quality`, `agreement`, `num_annotations`,
        `active_learning_score`, each of shape (B,).
    """
    table = store.consensus(num_questions)
    numbers = table.block_numbers()
    for start in range(0, len(numbers), BLOCKS_AT_ONCE):
        some = numbers[start : start + BLOCKS_AT_ONCE]
        rows = _of_question(table.read_blocks(some), number)
        if weights is not None:
            labels = store.label_quality(num_questions).read_blocks(some)
            rows["active_learning_score"] = _scores(weights, rows, labels, number)
        yield rows


def _of_question(rows: Arrays, number: int) -> Arrays:
    """Columns of one question, without the tasks that have no consensus on it."""
    one: Arrays = {
        "task": rows["task"],
        **{
            name: rows[name][:, number]
            for name in ("label", "quality", "agreement", "num_annotations")
        },
    }
    one["active_learning_score"] = np.full(len(rows["task"]), np.nan)
    has_consensus = one["label"] != NO_LABEL
    return one if has_consensus.all() else select(one, has_consensus)


def _scores(
    weights: QuestionWeights, rows: Arrays, labels: Arrays, number: int
) -> NDArray[np.float64]:
    """Active learning scores of some tasks, given the labels of these and perhaps of others."""
    counts = labels["label"][:, number] != NO_LABEL
    return weights.active_learning_scores(
        rows["task"], rows["quality"], labels["task"][counts], labels["annotator"][counts]
    )


def _scored(
    store: ProjectStore, number: int, num_questions: int, weights: QuestionWeights, rows: Arrays
) -> Arrays:
    """Add the active learning scores of a page."""
    order = np.argsort(rows["task"])
    ascending = select(rows, order)
    labels = store.label_quality(num_questions).read(ascending["task"])
    scores = np.empty(len(order))
    scores[order] = _scores(weights, ascending, labels, number)
    return {**rows, "active_learning_score": scores}


def _matches(rows: Arrays, query: TaskQuery, wanted: int | None) -> NDArray[np.bool_]:
    """Which rows the filters let through."""
    quality = rows["quality"]
    fits: NDArray[np.bool_] = rows["num_annotations"] >= query.min_annotations
    if query.min_quality > 0:
        fits &= quality >= query.min_quality
    if query.max_quality < 1:
        fits &= quality <= query.max_quality
    if wanted is not None:
        fits &= rows["label"] == wanted
    if query.is_disputed:
        fits &= rows["agreement"] < 1
    if query.text:
        fits &= np.char.find(rows["task"].astype("S19"), query.text.encode()) >= 0
    return fits


class _Best:
    """The rows that come first, of all that are added."""

    def __init__(self, query: TaskQuery) -> None:
        self._query = query
        self._needed = query.offset + query.limit
        self._kept: list[Arrays] = [{name: np.empty(0, dtype) for name, dtype in _COLUMNS.items()}]
        self._num_kept = 0
        self._bound = np.inf
        self.num_seen = 0
        """Rows that were added."""

    def add(self, rows: Arrays) -> None:
        """Take rows into account; all of their ids are larger than those added before."""
        self.num_seen += len(rows["task"])
        # Rows come by ascending id, so that one that only equals the last one stays out.
        rows = select(rows, self._keys(rows) < self._bound) if np.isfinite(self._bound) else rows
        if not len(rows["task"]):
            return
        self._kept.append(rows)
        self._num_kept += len(rows["task"])
        if self._num_kept > 2 * self._needed + BLOCK_TASKS:
            self._cut()

    def page(self) -> Arrays:
        """Rows of the page, in order."""
        self._cut()
        return select(self._kept[0], slice(self._query.offset, self._needed))

    def _cut(self) -> None:
        """Keep no more rows than are needed."""
        kept = {name: np.concatenate([one[name] for one in self._kept]) for name in _COLUMNS}
        keys = self._keys(kept)
        order = np.lexsort((kept["task"], keys))[: self._needed]
        self._kept = [select(kept, order)]
        self._num_kept = len(order)
        if self._num_kept == self._needed:
            self._bound = float(keys[order[-1]])

    def _keys(self, rows: Arrays) -> NDArray[np.float64]:
        """What rows are sorted by, the smallest first."""
        name = self._query.sort.value
        column = "active_learning_score" if name == "active_learning" else name
        keys = rows[column].astype(np.float64)
        return -keys if self._query.is_descending else keys
