"""Predicted class probabilities: of one model or several, checked, and read by rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse

from crowdlab_engine._typing import AnyArray, BoolArray, FloatArray, IntArray
from crowdlab_engine.calibration import scale
from crowdlab_engine.labels import MultiannotatorLabels, shown

if TYPE_CHECKING:
    from typing_extensions import Self

ROUNDING = 1e-6
"""How far outside [0, 1] a probability may be, as float32 softmax leaves it."""

_ENTRIES_AT_ONCE = 2**20
"""Entries of the rows that are read at once."""


@dataclass(frozen=True, eq=False)
class PredProbs:
    """Class probabilities that P models predict for N tasks.

    Rows are checked and made float64 as they are read, so that probabilities in single
    precision, in a sparse matrix or in a memory map never stand in memory a second time.

    Attributes
    ----------
    models : tuple of array or SciPy sparse, each of shape (N, K)
        As the caller gave them.
    is_ensemble : bool
        Whether the caller gave a stack of models, be it of one.
    name : str
        What the caller calls them, for messages.
    row_sum_tolerance : float
        How far the sum of a row may be from 1.
    task_ids : ndarray, shape (N,), or None
        Identifier of each task, for messages.
    temperatures : tuple of float, or None
        By which the rows of each model are scaled; None leaves them as they are.
    may_abstain : bool
        Whether a row of NaN is allowed: the model says nothing of the task. Such a row is read
        as zeros.
    """

    models: tuple[Any, ...]
    is_ensemble: bool
    name: str
    row_sum_tolerance: float
    task_ids: AnyArray | None = None
    temperatures: tuple[float, ...] | None = None
    may_abstain: bool = False

    @classmethod
    def none(cls) -> Self:
        """Return the predictions of no model."""
        return cls((), is_ensemble=False, name="pred_probs", row_sum_tolerance=np.inf)

    @classmethod
    def of_tasks(
        cls,
        pred_probs: Any,
        labels: MultiannotatorLabels,
        *,
        row_sum_tolerance: float,
        may_abstain: bool = False,
    ) -> Self:
        """Take what a caller passes for the tasks of `labels`; None for no model.

        Parameters
        ----------
        pred_probs : array_like or SciPy sparse, shape (N, K), or array_like (P, N, K), or None
            Probability of each class for each task, predicted by one model, or by each of P.
        labels : MultiannotatorLabels
            The labels that the probabilities belong to.
        row_sum_tolerance : float
            How far the sum of a row may be from 1; `numpy.inf` accepts any sum.
        may_abstain : bool, default False
            Whether a row of NaN says that the model knows nothing of the task.

        Raises
        ------
        ValueError
            It holds no numbers, or its shape is another one. Rows are checked when read.
        """
        if pred_probs is None:
            return cls.none()
        models, is_ensemble = _models_of("pred_probs", pred_probs)
        expected = (labels.num_tasks, labels.num_classes)
        if not models or models[0].shape != expected:
            raise ValueError(
                f"pred_probs has shape {_shape_of(pred_probs)} but the labels have {expected[0]} "
                f"tasks and {expected[1]} classes: pass one row per task and one column per "
                "class, or the stacked arrays of several models"
            )
        return cls(
            models,
            is_ensemble,
            "pred_probs",
            row_sum_tolerance,
            labels.task_ids,
            may_abstain=may_abstain,
        )

    @classmethod
    def of_pool(cls, pred_probs: Any, *, num_classes: int | None, row_sum_tolerance: float) -> Self:
        """Take what a caller passes for tasks that nobody has labelled, and check it.

        Parameters
        ----------
        pred_probs
            See `of_tasks`; of any number of tasks.
        num_classes : int or None
            Number of classes K; None accepts any from 1.
        row_sum_tolerance : float
            See `of_tasks`.

        Raises
        ------
        ValueError
            The shape is another one, or a row is no probability distribution.
        """
        name = "pred_probs_unlabeled"
        models, is_ensemble = _models_of(name, pred_probs)
        if not models or models[0].shape[1] == 0:
            raise ValueError(
                f"{name} has shape {_shape_of(pred_probs)}: pass one row per task and one column "
                "per class, or the stacked arrays of several models"
            )
        if num_classes not in (None, models[0].shape[1]):
            raise ValueError(
                f"{name} has {models[0].shape[1]} classes but the labelled tasks have "
                f"{num_classes}: predict both with the same classes"
            )
        pool = cls(models, is_ensemble, name, row_sum_tolerance)
        pool.check()
        return pool

    @property
    def num_models(self) -> int:
        """Number of models P; 0 without predictions."""
        return len(self.models)

    @property
    def num_tasks(self) -> int:
        """Number of tasks N."""
        return int(self.models[0].shape[0])

    @property
    def num_classes(self) -> int:
        """Number of classes K."""
        return int(self.models[0].shape[1])

    @cached_property
    def silent(self) -> BoolArray | None:
        """Whether each model says nothing of each task, shape (P, N); None if all say something."""
        if not self.may_abstain:
            return None
        silent = np.zeros((self.num_models, self.num_tasks), dtype=np.bool_)
        for model, tasks in self._in_chunks():
            silent[model, tasks] = np.isnan(_read(self.models[model], tasks)).all(axis=1)
        return silent if silent.any() else None

    def heard_weight(self, model_weight: FloatArray, tasks: IntArray) -> FloatArray | float:
        """Sum the weights of the models that say something of each task, shape (B,).

        Parameters
        ----------
        model_weight : ndarray of float64, shape (P,)
            Weight of each model.
        tasks : ndarray of int64, shape (B,)
            Which tasks.

        Returns
        -------
        ndarray of float64, shape (B,), or float
            One number if no model is silent anywhere.
        """
        if self.silent is None:
            return float(model_weight.sum())
        heard: FloatArray = np.where(self.silent[:, tasks], 0.0, model_weight[:, None]).sum(axis=0)
        return heard

    def one_or_each(self, values: FloatArray, *, without: float) -> float | FloatArray:
        """Return a value for each model of an ensemble, or that of the only model."""
        return one_or_each(values, is_ensemble=self.is_ensemble, without=without)

    def scaled(self, temperatures: FloatArray) -> PredProbs:
        """Return the same predictions, each model's at a temperature of its own."""
        return replace(self, temperatures=tuple(temperatures.tolist()))

    def rows(self, model: int, tasks: IntArray) -> FloatArray:
        """Read a model's probabilities of some tasks, ascending, shape (B, K).

        They may share memory with the caller's: do not change them.
        """
        return self._finished(model, tasks, _read(self.models[model], tasks))

    def checked_rows(self, model: int, tasks: IntArray) -> FloatArray:
        """Read rows like `rows`, and check them.

        Raises
        ------
        ValueError
            A row of any task is no probability distribution; the first one is named.
        """
        rows = _read(self.models[model], tasks)
        if rows.size and not self._are_right(self._spoken(model, tasks, rows)):
            self.check()
        return self._finished(model, tasks, rows)

    def _finished(self, model: int, tasks: IntArray, rows: FloatArray) -> FloatArray:
        """Rows as they count: at their temperature, zeros where the model is silent."""
        if self.temperatures is not None:
            rows = scale(rows, self.temperatures[model])
        if self.silent is not None:
            rows = np.where(self.silent[model, tasks][:, None], 0.0, rows)
        return rows

    def _spoken(self, model: int, tasks: IntArray, rows: FloatArray) -> FloatArray:
        """Rows as they are checked: there is nothing to object to silence."""
        if self.silent is None:
            return rows
        return np.where(self.silent[model, tasks][:, None], 1.0 / self.num_classes, rows)

    def mean_rows(self, tasks: IntArray) -> FloatArray:
        """Read the plain mean of the models for some tasks, shape (B, K).

        A silent model counts with zeros, which leaves the order of a task's classes as it is.
        """
        if self.num_models == 1:
            return self.rows(0, tasks)
        rows = [self.rows(model, tasks) for model in range(self.num_models)]
        mean: FloatArray = np.mean(rows, axis=0)
        return mean

    def weighted_rows(self, model_weight: FloatArray, tasks: IntArray) -> FloatArray:
        """Read the weighted sum of the models for some tasks, shape (B, K), added in order."""
        total = np.zeros((len(tasks), self.num_classes))
        for model, weight in enumerate(model_weight.tolist()):
            total += weight * self.rows(model, tasks)
        return total

    def at(self, label: IntArray) -> FloatArray:
        """Read the probability of one class of each task by each model, shape (P, N)."""
        picked = np.empty((self.num_models, self.num_tasks))
        for model, tasks in self._in_chunks():
            picked[model, tasks] = self.rows(model, tasks)[np.arange(len(tasks)), label[tasks]]
        return picked

    def guesses(self) -> IntArray:
        """Find the most probable class of each task by each model, shape (P, N)."""
        found = np.empty((self.num_models, self.num_tasks), dtype=np.int64)
        for model, tasks in self._in_chunks():
            found[model, tasks] = self.rows(model, tasks).argmax(axis=1)
        return found

    def _in_chunks(self) -> Iterator[tuple[int, IntArray]]:
        """Walk over all rows: a model, and as many tasks as are read at once."""
        step = max(1, _ENTRIES_AT_ONCE // max(1, self.num_classes))
        for model in range(self.num_models):
            for start in range(0, self.num_tasks, step):
                yield model, np.arange(start, min(self.num_tasks, start + step))

    def check(self) -> None:
        """Check every row.

        Raises
        ------
        ValueError
            A value is not finite or not within [0, 1], or a row does not sum to 1; the
            message names the first such row.
        """
        for model, tasks in self._in_chunks():
            rows = self._spoken(model, tasks, _read(self.models[model], tasks))
            self._refuse(model, int(tasks[0]), rows)

    def _are_right(self, rows: FloatArray) -> bool:
        if not (rows.min() >= -ROUNDING and rows.max() <= 1 + ROUNDING):
            return False
        if self.row_sum_tolerance == np.inf:
            return True
        sums = rows @ np.ones(rows.shape[1])
        return bool(np.abs(sums - 1, out=sums).max() <= self.row_sum_tolerance)

    def _refuse(self, model: int, start: int, rows: FloatArray) -> None:
        # One check after the other: sums of infinite values are not worth a warning.
        fault = _fault(~np.isfinite(rows).all(axis=1), "are not finite", "predict every task")
        fault = fault or _fault(
            ((rows < -ROUNDING) | (rows > 1 + ROUNDING)).any(axis=1),
            "are not within [0, 1]",
            "pass probabilities, not scores or logits",
        )
        fault = fault or _fault(
            np.abs(rows.sum(axis=1) - 1) > self.row_sum_tolerance,
            "do not sum to 1",
            "divide every row by its sum",
        )
        if fault:
            place, what, remedy = fault
            row = start + place
            whose = f"{self.name} of model {model}," if self.is_ensemble else f"{self.name} of"
            task = "" if self.task_ids is None else f" (task {shown(self.task_ids, row)})"
            values = np.array2string(rows[place], precision=6, threshold=10)
            raise ValueError(f"{whose} row {row}{task} {what}: {values}; {remedy}")


def one_or_each(values: FloatArray, *, is_ensemble: bool, without: float) -> float | FloatArray:
    """Return a value for each model of an ensemble, that of the only model, or that without."""
    if not len(values):
        return without
    return values if is_ensemble else float(values[0])


def _models_of(name: str, pred_probs: Any) -> tuple[tuple[Any, ...], bool]:
    """Return the models in what a caller passes, and whether it was a stack of them."""
    if issparse(pred_probs):
        return (pred_probs.tocsr(),), False
    try:
        array = np.asarray(pred_probs)
        if array.dtype.kind != "f":
            array = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is not an array of numbers: {error}") from error
    if array.ndim == 2:
        return (array,), False
    return (tuple(array) if array.ndim == 3 else ()), True


def _shape_of(pred_probs: ArrayLike) -> tuple[int, ...]:
    return tuple(np.shape(pred_probs))


def _read(model: Any, tasks: IntArray) -> FloatArray:
    """Read rows as dense float64, without a copy where they lie together as such."""
    is_run = len(tasks) > 0 and tasks[-1] - tasks[0] + 1 == len(tasks)
    if is_run:
        rows = model[int(tasks[0]) : int(tasks[-1]) + 1]
    elif issparse(model):
        rows = model[tasks]
    else:
        rows = model.take(tasks, axis=0, mode="clip")  # none is out of range
    if issparse(rows):
        rows = rows.toarray()
    dense: FloatArray = np.asarray(rows, dtype=np.float64)
    return dense


def _fault(is_wrong: AnyArray | np.bool_, what: str, remedy: str) -> tuple[int, str, str] | None:
    """Return the first wrong row, with what is wrong and what to do."""
    rows = np.flatnonzero(is_wrong)
    return (int(rows[0]), what, remedy) if rows.size else None
