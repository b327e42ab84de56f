"""The classifier's pred_probs of the tasks that a part of the work asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.store.arrays import Arrays
from backend.store.tables import TaskTable


@dataclass(frozen=True, eq=False)
class StoredPredictions:
    """pred_probs of the last training, in the store."""

    table: TaskTable
    num_classes: int

    @property
    def is_empty(self) -> bool:
        """Whether no classifier was trained."""
        return not self.table.block_numbers()

    def of(self, tasks: NDArray[np.int64], blocks: Sequence[int]) -> NDArray[np.float64]:
        """pred_probs of the tasks of some blocks, shape (B, K)."""
        return aligned(self.table.read_blocks(blocks), tasks, self.num_classes)


@dataclass(frozen=True, eq=False)
class NewPredictions:
    """pred_probs of a training that is not stored yet."""

    rows: Arrays
    """`task`, ascending, and `probs`."""
    num_classes: int

    @property
    def is_empty(self) -> bool:
        """Whether no classifier could be trained."""
        return not len(self.rows["task"])

    def of(self, tasks: NDArray[np.int64], blocks: Sequence[int]) -> NDArray[np.float64]:
        """pred_probs of the tasks of some blocks, shape (B, K)."""
        if not len(tasks):
            return aligned(self.rows, tasks, self.num_classes)
        first, last = np.searchsorted(self.rows["task"], [tasks[0], tasks[-1] + 1])
        some = {name: values[first:last] for name, values in self.rows.items()}
        return aligned(some, tasks, self.num_classes)


def aligned(rows: Arrays, tasks: NDArray[np.int64], num_classes: int) -> NDArray[np.float64]:
    """pred_probs in the order of the tasks, uniform for those added since the training."""
    if np.array_equal(rows["task"], tasks):
        probs: NDArray[np.float64] = rows["probs"]
        return probs
    _, position, source = np.intersect1d(
        tasks, rows["task"], assume_unique=True, return_indices=True
    )
    found = np.full((len(tasks), num_classes), 1.0 / num_classes)
    found[position] = rows["probs"][source]
    return found
