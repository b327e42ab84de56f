"""Labels of several annotators, in sparse long form.

Every label is one row (task, annotator, class), all three as integer codes into
vocabularies, sorted by task and then annotator. Memory grows with the number of labels,
not with tasks times annotators, and whatever is computed runs over whole columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from crowdlab_engine._typing import AnyArray, FloatArray, IntArray


@dataclass(frozen=True, eq=False, repr=False)
class MultiannotatorLabels:
    """Labels of N tasks by M annotators, each label one of K classes.

    Build it with `from_codes`, `from_long` or `from_wide`, which check their input; the
    bare constructor does not. Tasks and annotators without labels are allowed. The arrays
    are read-only copies.

    Attributes
    ----------
    num_annotations : ndarray of int64, shape (N,)
        Number of labels of each task.
    annotator, label : ndarray of int64, shape (L,)
        Codes of the L labels, sorted by task, then annotator.
    sorting : ndarray of int64, shape (L,), or None
        Where each label stood in what the caller passed: `task` equals the caller's
        `task[sorting]`. None if they came sorted. See `in_callers_order`.
    task_ids : ndarray, shape (N,)
        Identifier of each task.
    annotator_ids : ndarray, shape (M,)
        Identifier of each annotator.
    classes : ndarray, shape (K,)
        Each class, as the caller calls it.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"task": [7, 7, 9], "annotator": ["ann", "bob", "ann"],
    ...                       "label": ["cat", "dog", "cat"]})
    >>> labels = MultiannotatorLabels.from_long(frame)
    >>> labels
    MultiannotatorLabels(num_tasks=2, num_annotators=2, num_classes=2, num_labels=3)
    >>> labels.label
    array([0, 1, 0])
    """

    num_annotations: IntArray
    annotator: IntArray
    label: IntArray
    sorting: IntArray | None
    task_ids: AnyArray
    annotator_ids: AnyArray
    classes: AnyArray

    @classmethod
    def from_codes(
        cls,
        task: ArrayLike,
        annotator: ArrayLike,
        label: ArrayLike,
        *,
        num_tasks: int | None = None,
        num_annotators: int | None = None,
        num_classes: int | None = None,
        task_ids: ArrayLike | None = None,
        annotator_ids: ArrayLike | None = None,
        classes: ArrayLike | None = None,
    ) -> MultiannotatorLabels:
        """Build from integer codes, in any order.

        Parameters
        ----------
        task, annotator, label : array_like of int, shape (L,)
            Codes from 0; each (task, annotator) at most once.
        num_tasks, num_annotators, num_classes : int, optional
            Sizes N, M and K. Default: the length of the vocabulary if there is one, else
            the largest code plus one.
        task_ids, annotator_ids, classes : array_like, optional
            Vocabularies of N, M and K distinct values. Default: the codes themselves.

        Raises
        ------
        ValueError
            Lengths differ; a code is missing, not an integer or out of range; a
            (task, annotator) occurs twice; a vocabulary repeats a value or does not have
            the size given.
        """
        task_codes = _as_codes("task", task)
        annotator_codes = _as_codes("annotator", annotator)
        label_codes = _as_codes("label", label)
        lengths = (len(task_codes), len(annotator_codes), len(label_codes))
        if len(set(lengths)) > 1:
            raise ValueError(
                "task, annotator and label have {}, {} and {} entries: each label needs one "
                "entry in all three".format(*lengths)
            )
        tasks = _vocabulary("task", task_codes, task_ids, "task_ids", num_tasks, "num_tasks")
        annotators = _vocabulary(
            "annotator",
            annotator_codes,
            annotator_ids,
            "annotator_ids",
            num_annotators,
            "num_annotators",
        )
        class_values = _vocabulary(
            "label", label_codes, classes, "classes", num_classes, "num_classes"
        )
        order = _sorting_order(task_codes, annotator_codes, tasks, annotators)
        codes = (annotator_codes, label_codes)
        fixed = [array.copy() if order is None else array.take(order) for array in codes]
        return cls(
            num_annotations=_read_only(np.bincount(task_codes, minlength=len(tasks))),
            annotator=_read_only(fixed[0]),
            label=_read_only(fixed[1]),
            sorting=None if order is None else _read_only(order),
            task_ids=_read_only(tasks),
            annotator_ids=_read_only(annotators),
            classes=_read_only(class_values),
        )

    @classmethod
    def from_long(
        cls,
        frame: pd.DataFrame,
        task: str = "task",
        annotator: str = "annotator",
        label: str = "label",
        classes: ArrayLike | None = None,
    ) -> MultiannotatorLabels:
        """Build from a table with one row per label.

        Parameters
        ----------
        frame : DataFrame
            One row per label, in any order; other columns are ignored.
        task, annotator, label : str
            Names of the columns. Identifiers may be of any sortable type; vocabularies
            are sorted.
        classes : array_like, optional
            All classes, in the order of their codes. Default: the labels that occur,
            sorted.

        Raises
        ------
        KeyError
            A column is missing.
        ValueError
            A value is missing, a label is not among `classes`, or a (task, annotator)
            occurs twice.
        """
        for column in (task, annotator, label):
            if column not in frame.columns:
                raise KeyError(
                    f"no column {column!r} among {list(frame.columns)}: name the columns with "
                    "task=, annotator= and label="
                )
            missing = np.flatnonzero(frame[column].isna().to_numpy())
            if missing.size:
                raise ValueError(
                    f"column {column!r} has no value in row {missing[0]} (NaN): drop the rows "
                    "without a value"
                )
        task_codes, task_ids = _factorize(frame[task])
        annotator_codes, annotator_ids = _factorize(frame[annotator])
        label_codes, class_values = _label_codes(frame[label], classes)
        return cls.from_codes(
            task_codes,
            annotator_codes,
            label_codes,
            task_ids=task_ids,
            annotator_ids=annotator_ids,
            classes=class_values,
        )

    @classmethod
    def from_wide(
        cls, frame: pd.DataFrame, classes: ArrayLike | None = None
    ) -> MultiannotatorLabels:
        """Build from a table with tasks as rows and annotators as columns.

        Parameters
        ----------
        frame : DataFrame, shape (N, M)
            Labels of any type; missing values (NaN, None, NA) mean "not labelled". Index
            and columns become `task_ids` and `annotator_ids`, in their order. Whole
            numbers stored as floats, as pandas does when some are missing, are integers.
        classes : array_like, optional
            All classes, in the order of their codes. Default: the labels that occur,
            sorted.

        Raises
        ------
        TypeError
            `frame` is not a DataFrame.
        ValueError
            A label is not among `classes`, or a task or annotator occurs twice.
        """
        if not isinstance(frame, pd.DataFrame):
            raise TypeError(
                f"from_wide needs a DataFrame, got {type(frame).__name__}: wrap the array as "
                "pd.DataFrame(array)"
            )
        task, annotator = np.nonzero(frame.notna().to_numpy())
        values = frame.to_numpy()[task, annotator]
        if values.dtype.kind == "f" and np.array_equal(values, np.trunc(values)):
            values = values.astype(np.int64)
        label, class_values = _label_codes(pd.Series(values), classes)
        return cls.from_codes(
            task,
            annotator,
            label,
            task_ids=frame.index.to_numpy(),
            annotator_ids=frame.columns.to_numpy(),
            classes=class_values,
        )

    @property
    def num_tasks(self) -> int:
        """Number of tasks N, those without labels included."""
        return len(self.task_ids)

    @property
    def num_annotators(self) -> int:
        """Number of annotators M, those without labels included."""
        return len(self.annotator_ids)

    @property
    def num_classes(self) -> int:
        """Number of classes K."""
        return len(self.classes)

    @property
    def num_labels(self) -> int:
        """Number of labels L."""
        return len(self.label)

    @cached_property
    def task(self) -> IntArray:
        """Code of each label's task, ascending, shape (L,)."""
        return _read_only(np.repeat(np.arange(self.num_tasks), self.num_annotations))

    @cached_property
    def _starts(self) -> IntArray:
        """Position of the first label of each task, shape (N,)."""
        return np.cumsum(self.num_annotations) - self.num_annotations

    def tasks_at(self, positions: IntArray) -> IntArray:
        """Return the tasks of the labels at some positions."""
        return np.searchsorted(self._starts + self.num_annotations, positions, side="right")

    def sum_by_task(self, values: FloatArray) -> FloatArray:
        """Add up values, one for each label, by task, shape (N,); 0 without labels."""
        sums = np.zeros(self.num_tasks)
        labelled = np.flatnonzero(self.num_annotations)
        if labelled.size:
            sums[labelled] = np.add.reduceat(values, self._starts[labelled])
        return sums

    def in_callers_order(self, values: AnyArray) -> AnyArray:
        """Return values, one for each label, in the order in which the caller gave the labels."""
        if self.sorting is None:
            return values
        reordered = np.empty_like(values)
        reordered[self.sorting] = values
        return reordered

    def columns(self, values: AnyArray, tasks: IntArray, out: AnyArray) -> AnyArray:
        """Arrange what belongs to labels with one column per task.

        Parameters
        ----------
        values : ndarray, shape (L,)
            One value for each label.
        tasks : ndarray of int64, shape (m,)
            Tasks with the same number of labels n, ascending.
        out : ndarray, shape (n, m)
            Where to put it; its type may be another one.

        Returns
        -------
        ndarray, shape (n, m)
            `out`.
        """
        run = self._run(tasks)
        if run is not None:
            out[...] = values[run].reshape(len(tasks), -1).T
        else:
            out[...] = values.take(self._grid(tasks))
        return out

    def set_columns(self, values: AnyArray, tasks: IntArray, columns: AnyArray) -> None:
        """Put columns, arranged like those of `columns`, where they belong in `values`."""
        run = self._run(tasks)
        if run is not None:
            values[run].reshape(len(tasks), -1)[...] = columns.T
        else:
            values[self._grid(tasks)] = columns

    def _run(self, tasks: IntArray) -> slice | None:
        """Where the labels of successive tasks stand; None if the tasks are not successive."""
        first, last = tasks[0], tasks[-1]
        if last - first + 1 != len(tasks):
            return None
        return slice(self._starts[first], self._starts[last] + self.num_annotations[last])

    def _grid(self, tasks: IntArray) -> IntArray:
        """Positions of the labels of tasks with the same number of them, shape (n, m)."""
        num_labels = self.num_annotations[tasks[0]]
        grid: IntArray = self._starts[tasks] + np.arange(num_labels)[:, None]
        return grid

    def slots(self) -> Iterator[tuple[IntArray, IntArray]]:
        """Walk over the first label of every task, then the second of every task, and so on.

        Within a task the labels come in ascending order of annotators. This is how sums
        over the labels of a task are added up in a fixed order, all tasks at once.

        Yields
        ------
        tasks : ndarray of int64
            Tasks that have this many labels, ascending.
        positions : ndarray of int64
            Position of that label in `task`, `annotator` and `label`.
        """
        tasks = np.flatnonzero(self.num_annotations)
        slot = 0
        while tasks.size:
            yield tasks, self._starts[tasks] + slot
            slot += 1
            tasks = tasks[self.num_annotations[tasks] > slot]

    def take(self, tasks: ArrayLike) -> MultiannotatorLabels:
        """Return a block of tasks, with the annotators and classes of the whole.

        Parameters
        ----------
        tasks : array_like of int, shape (B,)
            Codes of the tasks; they become tasks 0 … B-1 of the block.
        """
        chosen = np.asarray(tasks, dtype=np.int64)
        sizes = self.num_annotations[chosen]
        ends = np.cumsum(sizes)
        num_labels = int(sizes.sum())
        positions = np.arange(num_labels) + np.repeat(self._starts[chosen] - ends + sizes, sizes)
        return MultiannotatorLabels(
            num_annotations=_read_only(sizes),
            annotator=_read_only(self.annotator[positions]),
            label=_read_only(self.label[positions]),
            sorting=None,
            task_ids=_read_only(self.task_ids[chosen]),
            annotator_ids=self.annotator_ids,
            classes=self.classes,
        )

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(num_tasks={self.num_tasks}, "
            f"num_annotators={self.num_annotators}, num_classes={self.num_classes}, "
            f"num_labels={self.num_labels})"
        )


def shown(values: AnyArray, position: int) -> str:
    """Return one value as an error message shows it: as Python's own, not NumPy's."""
    return repr(values[position : position + 1].tolist()[0])


def _as_codes(name: str, values: ArrayLike) -> IntArray:
    """Return codes as int64, or say which value is not a whole number."""
    codes = np.asarray(values)
    if codes.ndim != 1:
        raise ValueError(f"{name} has shape {codes.shape}: it must be one-dimensional")
    if codes.size == 0:
        return np.empty(0, dtype=np.int64)
    if codes.dtype.kind not in "iuf":
        raise ValueError(
            f"{name} holds {codes.dtype} values such as {shown(codes, 0)}, not integer codes: use "
            "from_long for identifiers of other types"
        )
    if codes.dtype.kind == "f":
        wrong = np.flatnonzero(~np.isfinite(codes) | (codes != np.trunc(codes)))
        if wrong.size:
            raise ValueError(
                f"{name} is {codes[wrong[0]]} at position {wrong[0]}, not an integer code: drop "
                "the rows without a value"
            )
    return codes.astype(np.int64, copy=False)


def _vocabulary(
    name: str,
    codes: IntArray,
    values: ArrayLike | None,
    values_name: str,
    size: int | None,
    size_name: str,
) -> AnyArray:
    """Return the vocabulary of some codes, and check that every code is in it."""
    if values is None:
        vocabulary: AnyArray = np.arange(_num_codes(codes) if size is None else size)
    else:
        # A copy, since the caller may later change an array that we promise is fixed.
        vocabulary = np.array(values)
        if vocabulary.ndim != 1:
            raise ValueError(
                f"{values_name} has shape {vocabulary.shape}: it must be one-dimensional"
            )
        if size is not None and len(vocabulary) != size:
            raise ValueError(
                f"{values_name} has {len(vocabulary)} values but {size_name} is {size}: pass one "
                "of them only"
            )
        repeated = np.flatnonzero(pd.Index(vocabulary).duplicated())
        if repeated.size:
            raise ValueError(
                f"{values_name} holds {shown(vocabulary, repeated[0])} twice: "
                "every value needs one code"
            )
    # As unsigned numbers, negative codes are the largest: one look finds both faults.
    if codes.size and codes.view(np.uint64).max() >= len(vocabulary):
        wrong = np.flatnonzero((codes < 0) | (codes >= len(vocabulary)))
        raise ValueError(
            f"{name} code {codes[wrong[0]]} at position {wrong[0]} is outside "
            f"0..{len(vocabulary) - 1}: correct it, or pass {size_name} or {values_name} to match"
        )
    return vocabulary


def _num_codes(codes: IntArray) -> int:
    return int(codes.max()) + 1 if codes.size else 0


_LABELS_AT_ONCE = 2**15


def _sorting_order(
    task: IntArray, annotator: IntArray, task_ids: AnyArray, annotator_ids: AnyArray
) -> IntArray | None:
    """Return how to sort labels by task, then annotator; None if they are.

    Raises
    ------
    ValueError
        A (task, annotator) occurs twice.
    """
    if _is_increasing(task, annotator, len(annotator_ids)):
        return None
    cell = task * len(annotator_ids) + annotator
    order: IntArray = np.argsort(cell)
    cell = cell[order]
    repeated = np.flatnonzero(cell[1:] == cell[:-1])
    if repeated.size:
        first = order[repeated[0]]
        raise ValueError(
            f"annotator {shown(annotator_ids, annotator[first])} labelled task "
            f"{shown(task_ids, task[first])} more than once: keep one label for each "
            "(task, annotator)"
        )
    return order


def _is_increasing(task: IntArray, annotator: IntArray, num_annotators: int) -> bool:
    """Whether no label stands before or beside one of its own task and annotator."""
    for start in range(0, len(task), _LABELS_AT_ONCE):
        some = slice(start, start + _LABELS_AT_ONCE + 1)
        cell = task[some] * num_annotators + annotator[some]
        if not (cell[1:] > cell[:-1]).all():
            return False
    return True


def _factorize(values: pd.Series[Any]) -> tuple[IntArray, AnyArray]:
    """Return codes and the sorted vocabulary of a column."""
    codes, vocabulary = pd.factorize(values, sort=True)
    return codes.astype(np.int64, copy=False), np.asarray(vocabulary)


def _label_codes(labels: pd.Series[Any], classes: ArrayLike | None) -> tuple[IntArray, AnyArray]:
    """Return codes of labels and their classes, which the caller may have fixed."""
    if classes is None:
        return _factorize(labels)
    vocabulary = np.asarray(classes)
    codes = pd.Index(vocabulary).get_indexer(pd.Index(labels))
    unknown = np.flatnonzero(codes < 0)
    if unknown.size:
        raise ValueError(
            f"label {shown(labels.to_numpy(), unknown[0])} is not among the classes "
            f"{vocabulary.tolist()}: add it to classes or drop the label"
        )
    return codes.astype(np.int64, copy=False), vocabulary


def _read_only(array: AnyArray) -> AnyArray:
    array.setflags(write=False)
    return array
