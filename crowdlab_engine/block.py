"""A block of tasks, arranged so that what CROWDLAB asks of it costs little.

Tasks that have the same number of labels stand side by side: their labels form a rectangle,
one column per task, so that whatever concerns the labels of one task is done for thousands
of tasks by a few array operations. Rectangles are small enough to stay in the processor's
cache. The N times K posterior is never built: the likeliest class is one that somebody
chose, or the classifiers' favourite.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from crowdlab_engine._typing import AnyArray, BoolArray, FloatArray, IntArray
from crowdlab_engine.labels import MultiannotatorLabels
from crowdlab_engine.pred_probs import PredProbs

_PART_TASKS = 2**14
_PART_CELLS = 2**19
"""Most tasks of a part, and most tasks times classes: what the processor's cache holds."""
FEW_LABELS = 12
"""Up to this many labels a task, they are compared pair by pair."""

SmallInts: TypeAlias = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Part:
    """Tasks with the same number of labels: m tasks with n labels each.

    Attributes
    ----------
    tasks : ndarray of int64, shape (m,)
        Tasks, ascending.
    annotator : ndarray of int64, shape (n, m)
        Annotators of each task, ascending.
    label : ndarray of int16 or int32, shape (n, m)
        Their labels.
    equal : ndarray of integers, shape (n, m)
        How many labels of the task are the same as each, that one included.
    prob : ndarray of float64, shape (P, n, m)
        Probability of each label's class, predicted by each model.
    largest : ndarray of float64, shape (P, m)
        Largest probability that each model predicts.
    guess : ndarray of integers, shape (P, m)
        Class of it, the first of equals.
    """

    tasks: IntArray
    annotator: IntArray
    label: SmallInts
    equal: SmallInts
    prob: FloatArray
    largest: FloatArray
    guess: SmallInts

    @property
    def num_labels(self) -> int:
        """Number of labels of each task."""
        return len(self.label)

    @cached_property
    def place(self) -> IntArray | slice:
        """The tasks as an index; a slice, which costs less, where they are successive."""
        first, last = int(self.tasks[0]), int(self.tasks[-1])
        return slice(first, last + 1) if last - first + 1 == len(self.tasks) else self.tasks

    @property
    def annotators(self) -> IntArray:
        """Annotators of all labels, shape (n m,), for counting."""
        return self.annotator.reshape(-1)


@cache
def _keep_freed_memory() -> None:
    """Let the C library keep up to 64 MB of freed memory for the arrays that come next.

    glibc hands memory back to the system, and asks for it again page by page, unless it has
    seen larger pieces come and go. An untouched piece costs nothing.
    """
    np.empty(2**25 - 2**16, dtype=np.uint8)


class Block:
    """Labels and predictions of some tasks, arranged for computing.

    Parameters
    ----------
    labels : MultiannotatorLabels
        Labels of N tasks by M annotators.
    pred_probs : PredProbs
        Predictions of P models for these tasks; P may be 0.
    truth : ndarray of int64, shape (N,), optional
        Class code of each task that is known for certain, -1 for the others. Default: none.

    Raises
    ------
    ValueError
        A row of `pred_probs` is no probability distribution.
    """

    def __init__(
        self, labels: MultiannotatorLabels, pred_probs: PredProbs, truth: IntArray | None = None
    ) -> None:
        self.labels = labels
        self.pred_probs = pred_probs
        self.truth = None if truth is None or not (truth >= 0).any() else truth
        _keep_freed_memory()
        self.parts = tuple(_parts(labels, pred_probs.num_models))
        self._predict()

    def _predict(self) -> None:
        """Fill in what the parts hold of predictions, and check those of all tasks."""
        for model in range(self.pred_probs.num_models):
            for part in self.parts:
                rows = self.pred_probs.checked_rows(model, part.tasks)
                at_labels(rows, part.label, out=part.prob[model])
                largest_of(rows, part.largest[model], part.guess[model])
            unlabelled = np.flatnonzero(self.labels.num_annotations == 0)
            for start in range(0, len(unlabelled), _PART_TASKS):
                self.pred_probs.checked_rows(model, unlabelled[start : start + _PART_TASKS])

    @classmethod
    def of(
        cls,
        labels: MultiannotatorLabels,
        pred_probs: Any = None,
        truth: IntArray | None = None,
        *,
        row_sum_tolerance: float = 1e-3,
        may_abstain: bool = False,
    ) -> Block:
        """Arrange labels with predictions as a caller has them, see `PredProbs.of_tasks`."""
        probs = PredProbs.of_tasks(
            pred_probs, labels, row_sum_tolerance=row_sum_tolerance, may_abstain=may_abstain
        )
        return cls(labels, probs, truth)

    @cached_property
    def is_known(self) -> BoolArray:
        """Whether the truth of each task is known, shape (N,)."""
        if self.truth is None:
            return np.zeros(self.labels.num_tasks, dtype=np.bool_)
        return self.truth >= 0

    @cached_property
    def is_shared(self) -> BoolArray:
        """Whether each task tells how annotators agree, shape (N,).

        It does with two labels, or with one and a known truth.
        """
        num_annotations = self.labels.num_annotations
        return (num_annotations > 1) | (self.is_known & (num_annotations > 0))

    @cached_property
    def peers(self) -> tuple[IntArray, IntArray]:
        """Labels by others on the tasks of each annotator, and those of them that agree, (M,).

        On a task whose truth is known, the truth stands in for all the others: it counts as
        often as they would, at least once.
        """
        num_annotators = self.labels.num_annotators
        peers = np.zeros(num_annotators, dtype=np.int64)
        agreeing = np.zeros(num_annotators)
        for part in self.parts:
            annotators = part.annotators
            others, agree = part.num_labels - 1, part.equal - part.equal.dtype.type(1)
            if self.truth is None:
                peers += others * np.bincount(annotators, minlength=num_annotators)
            else:
                truth = self.truth[part.tasks]
                counts = np.where(truth >= 0, max(others, 1), others) + np.zeros_like(part.label)
                agree = np.where(truth >= 0, counts * (part.label == truth), agree)
                peers += weighted_counts(annotators, counts.reshape(-1), num_annotators).astype(
                    np.int64
                )
            agreeing += weighted_counts(annotators, agree.reshape(-1), num_annotators)
        # Sums of integers: exact, as float64 holds every one below 2**53.
        return peers, agreeing.astype(np.int64)

    def with_truth(self, labels: IntArray) -> IntArray:
        """Return labels of all tasks, shape (N,), with the truth where it is known."""
        return labels if self.truth is None else np.where(self.is_known, self.truth, labels)

    def scaled(self, temperatures: FloatArray) -> Block:
        """Return a block of the same labels, the predictions at temperatures, shape (P,).

        What was most probable is so at any temperature.
        """
        block = copy(self)
        block.pred_probs = self.pred_probs.scaled(temperatures)
        block.parts = tuple(_scaled(part, block.pred_probs) for part in self.parts)
        return block


def _scaled(part: Part, pred_probs: PredProbs) -> Part:
    prob, largest = np.empty_like(part.prob), np.empty_like(part.largest)
    for model, guess in enumerate(part.guess):
        rows = pred_probs.rows(model, part.tasks)
        at_labels(rows, part.label, out=prob[model])
        at_labels(rows, guess[None], out=largest[model][None])
    return replace(part, prob=prob, largest=largest)


class _Storage:
    """Memory for the arrays of all parts, which costs less in one piece than in many."""

    def __init__(self, labels: MultiannotatorLabels, num_models: int) -> None:
        code = np.int16 if labels.num_classes < 2**14 else np.int32
        count = np.uint8 if labels.num_annotations.max(initial=0) < 2**8 else np.int32
        self._annotator = np.empty(labels.num_labels, dtype=np.intp)
        self._label = np.empty(labels.num_labels, dtype=code)
        self._equal = np.empty(labels.num_labels, dtype=count)
        self._prob = np.empty((num_models, labels.num_labels))
        self._largest = np.empty((num_models, labels.num_tasks))
        self._guess = np.empty((num_models, labels.num_tasks), dtype=code)
        self._used_labels = 0
        self._used_tasks = 0

    def part(self, tasks: IntArray, num_labels: int) -> Part:
        """Return a part whose arrays are still to be filled."""
        shape = (num_labels, len(tasks))
        of_labels = slice(self._used_labels, self._used_labels + num_labels * len(tasks))
        of_tasks = slice(self._used_tasks, self._used_tasks + len(tasks))
        self._used_labels, self._used_tasks = of_labels.stop, of_tasks.stop
        return Part(
            tasks=tasks,
            annotator=self._annotator[of_labels].reshape(shape),
            label=self._label[of_labels].reshape(shape),
            equal=self._equal[of_labels].reshape(shape),
            prob=self._prob[:, of_labels].reshape(-1, *shape),
            largest=self._largest[:, of_tasks],
            guess=self._guess[:, of_tasks],
        )


def _parts(labels: MultiannotatorLabels, num_models: int) -> Iterator[Part]:
    """Arrange the labelled tasks; predictions are still to be filled in."""
    size = labels.num_annotations
    storage = _Storage(labels, num_models)
    step = int(np.clip(_PART_CELLS // max(1, labels.num_classes), 64, _PART_TASKS))
    for num_labels in (np.flatnonzero(np.bincount(size)[1:]) + 1).tolist():
        alike = np.flatnonzero(size == num_labels)
        for start in range(0, len(alike), step):
            part = storage.part(alike[start : start + step], num_labels)
            labels.columns(labels.annotator, part.tasks, out=part.annotator)
            labels.columns(labels.label, part.tasks, out=part.label)
            count_equal(part.label, out=part.equal)
            yield part


def at_labels(rows: FloatArray, label: SmallInts, out: FloatArray) -> FloatArray:
    """Pick the entries of rows, shape (m, K), at labels, shape (n, m)."""
    start = np.arange(0, rows.size, rows.shape[1])
    flat = np.ascontiguousarray(rows).reshape(-1)
    for position, labels in enumerate(label):
        # The mode spares a buffer; no position is out of range.
        flat.take(start + labels, out=out[position], mode="clip")
    return out


_FEW_CLASSES = 64


def largest_of(rows: FloatArray, largest: FloatArray, first: SmallInts) -> None:
    """Find the largest entry of each row, shape (m, K), and its first position."""
    if rows.shape[1] > _FEW_CLASSES:
        first[:] = rows.argmax(axis=1)
        largest[:] = rows[np.arange(len(rows)), first]
        return
    columns = np.ascontiguousarray(rows.T)
    columns.max(axis=0, out=largest)
    # Counted from the last position, so that the first of equals is the largest number.
    from_last = np.zeros(len(rows), dtype=np.uint8)
    for position, column in enumerate(columns):
        is_largest = (column == largest).view(np.uint8)
        is_largest *= np.uint8(len(columns) - position)
        np.maximum(from_last, is_largest, out=from_last)
    np.subtract(len(columns), from_last, out=first)


def count_equal(label: SmallInts, out: SmallInts) -> SmallInts:
    """Count, for each label, the labels of the same task that are the same, shape (n, m)."""
    num_labels = len(label)
    if num_labels > FEW_LABELS:
        cell = _cells(label)
        out[...] = np.bincount(cell.reshape(-1))[cell]
        return out
    out.fill(1)
    for one in range(num_labels):
        for other in range(one + 1, num_labels):
            equal = (label[one] == label[other]).view(np.uint8)
            out[one] += equal
            out[other] += equal
    return out


def sum_equal(label: SmallInts, values: FloatArray) -> FloatArray:
    """Add up, for each label, the values of the same task's labels that are the same."""
    num_labels = len(label)
    if num_labels > FEW_LABELS:
        cell = _cells(label)
        of_cells = weighted_counts(cell.reshape(-1), values.reshape(-1), int(cell.max()) + 1)
        return of_cells[cell]
    sums = values.copy()
    for one in range(num_labels):
        for other in range(one + 1, num_labels):
            equal = (label[one] == label[other]).astype(np.float64)
            sums[one] += values[other] * equal
            np.multiply(values[one], equal, out=equal)
            sums[other] += equal
    return sums


def _cells(label: SmallInts) -> IntArray:
    """Number the (task, class) pairs that occur, shape (n, m)."""
    num_tasks = label.shape[1]
    num_classes = int(label.max()) + 1
    cell = label.astype(np.int64) + np.arange(num_tasks) * num_classes
    if num_classes * num_tasks > 8 * label.size:
        cell = np.unique(cell.reshape(-1), return_inverse=True)[1].reshape(label.shape)
    return cell


def weighted_counts(codes: IntArray, weights: AnyArray, num_codes: int) -> FloatArray:
    """Add up weights by code, shape (num_codes,)."""
    sums: AnyArray = np.bincount(codes, weights=weights, minlength=num_codes)
    return sums.astype(np.float64, copy=False)


def pick(values: AnyArray, is_picked: BoolArray) -> AnyArray:
    """Return the largest value among those picked in each column, shape (m,); 0 without any.

    Values are finite and not negative. A product is many times faster than `numpy.where`
    on masks without a pattern.
    """
    largest: AnyArray = (values * is_picked).max(axis=0)
    return largest


def count_true(is_true: BoolArray) -> SmallInts:
    """Count in each column, shape (m,)."""
    wide = np.uint8 if len(is_true) < 256 else np.int64
    count: SmallInts = is_true.view(np.uint8).sum(axis=0, dtype=wide)
    return count
