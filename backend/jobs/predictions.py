"""Classifiers' pred_probs of the tasks that a part of the work asks for.

There can be several classifiers: the service's own, and others that may say nothing of some
tasks. A row of NaN then says so.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.store.arrays import Arrays
from backend.store.prediction_sources import OWN
from backend.store.project import ProjectStore
from backend.store.tables import TaskTable


@dataclass(frozen=True, eq=False)
class Predictions(ABC):
    """pred_probs of the classifiers of one question."""

    models: tuple[str, ...]
    """Names of P classifiers."""
    num_classes: int

    @property
    def is_empty(self) -> bool:
        """Whether there is no classifier."""
        return not self.models

    @property
    def may_abstain(self) -> bool:
        """Whether a classifier may say nothing of some tasks."""
        return any(name != OWN for name in self.models)

    @abstractmethod
    def _rows_of(self, model: str, tasks: NDArray[np.int64], blocks: Sequence[int]) -> Arrays:
        """Rows of a classifier in some blocks."""

    def of(self, tasks: NDArray[np.int64], blocks: Sequence[int]) -> NDArray[np.float64]:
        """pred_probs of the tasks of some blocks: (B, K) of one classifier, else (P, B, K)."""
        found = self.each(tasks, blocks)
        one: NDArray[np.float64] = found[0] if len(found) == 1 else found
        return one

    def each(self, tasks: NDArray[np.int64], blocks: Sequence[int]) -> NDArray[np.float64]:
        """pred_probs of the tasks of some blocks, by each classifier, (P, B, K)."""
        return self._stacked(tasks, [self._rows_of(model, tasks, blocks) for model in self.models])

    def mean_of(
        self, tasks: NDArray[np.int64], blocks: Sequence[int], *, unknown: float | None = None
    ) -> NDArray[np.float64]:
        """Mean of those that say something of a task, (B, K).

        Parameters
        ----------
        unknown
            What stands where none does; uniform probabilities without it.
        """
        found = self.each(tasks, blocks)
        if not self.may_abstain:
            mean_of_all: NDArray[np.float64] = found.mean(axis=0)
            return mean_of_all
        is_said = ~np.isnan(found[:, :, :1])
        number = is_said.sum(axis=0)
        total = np.where(is_said, found, 0.0).sum(axis=0)
        fill = 1.0 / max(1, self.num_classes) if unknown is None else unknown
        uniform = np.full_like(total, fill)
        is_heard = np.broadcast_to(number > 0, total.shape)
        mean: NDArray[np.float64] = np.divide(total, number, out=uniform, where=is_heard)
        return mean

    def _stacked(self, tasks: NDArray[np.int64], rows: Sequence[Arrays]) -> NDArray[np.float64]:
        found = np.empty((len(self.models), len(tasks), self.num_classes))
        for place, model in enumerate(self.models):
            # The own classifier would have said something of a task added since its training.
            missing = 1.0 / self.num_classes if model == OWN else np.nan
            found[place] = aligned(rows[place], tasks, self.num_classes, missing)
        return found


@dataclass(frozen=True, eq=False)
class StoredPredictions(Predictions):
    """Those of the last recompute, in the store."""

    tables: Mapping[str, TaskTable]

    @classmethod
    def read(cls, store: ProjectStore, number: int, num_classes: int) -> StoredPredictions:
        """Those of a question, given by its position."""
        models = store.models(number)
        tables = {model: store.pred_probs(number, num_classes, model) for model in models}
        return cls(models, num_classes, tables)

    def _rows_of(self, model: str, tasks: NDArray[np.int64], blocks: Sequence[int]) -> Arrays:
        return self.tables[model].read_blocks(blocks)

    def at(self, tasks: NDArray[np.int64]) -> NDArray[np.float64]:
        """pred_probs of some tasks, ascending, by each classifier, (P, B, K)."""
        return self._stacked(tasks, [self.tables[model].read(tasks) for model in self.models])


@dataclass(frozen=True, eq=False)
class NewPredictions(Predictions):
    """Those of a training that is not stored yet."""

    rows: Mapping[str, Arrays]
    """Rows of each classifier: `task`, ascending, and `probs`."""

    @classmethod
    def of_rows(cls, rows: Mapping[str, Arrays], num_classes: int) -> NewPredictions:
        """Those of classifiers that say something."""
        some = {name: one for name, one in rows.items() if len(one["task"])}
        return cls(tuple(some), num_classes, some)

    def _rows_of(self, model: str, tasks: NDArray[np.int64], blocks: Sequence[int]) -> Arrays:
        rows = self.rows[model]
        if not len(tasks):
            return rows
        first, last = np.searchsorted(rows["task"], [tasks[0], tasks[-1] + 1])
        return {name: values[first:last] for name, values in rows.items()}


def aligned(
    rows: Arrays, tasks: NDArray[np.int64], num_classes: int, missing: float
) -> NDArray[np.float64]:
    """pred_probs in the order of the tasks; `missing` for those without a row."""
    if np.array_equal(rows["task"], tasks):
        probs: NDArray[np.float64] = rows["probs"]
        return probs
    _, position, source = np.intersect1d(
        tasks, rows["task"], assume_unique=True, return_indices=True
    )
    found = np.full((len(tasks), num_classes), missing)
    found[position] = rows["probs"][source]
    return found
