"""Tables whose rows belong to tasks, kept in Redis as typed blocks of many tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from redis import Redis
from redis.client import Pipeline

from backend.store.arrays import Arrays, pack, unpack

BLOCK_TASKS = 1024
"""Task ids per block: small enough to rewrite for one changed task, large enough that
loading a project costs about what its bytes cost."""

Column = tuple[str, int | None]
"""Dtype, and the width of a two-dimensional column or None."""


class TaskTable:
    """Rows of named columns, each row belonging to a task.

    A task can have any number of rows. The table is one Redis hash; each field is a
    block of `BLOCK_TASKS` successive task ids. Rows come back ordered by task; those of
    one task keep the order in which they were written.

    Parameters
    ----------
    redis
        Connection that returns bytes.
    key
        Key of the hash.
    columns
        Columns besides `task` (int64).
    """

    def __init__(self, redis: Redis, key: str, columns: Mapping[str, Column]) -> None:
        self._redis = redis
        self._key = key
        self._columns: dict[str, Column] = {"task": ("i8", None), **columns}

    def read(self, tasks: ArrayLike | None = None) -> Arrays:
        """All rows, or those of the given task ids."""
        if tasks is None:
            stored: Any = self._redis.hgetall(self._key)
            blocks = [stored[field] for field in sorted(stored, key=int)]
            return self._concatenated([unpack(block) for block in blocks])
        wanted = np.unique(np.asarray(tasks, dtype=np.int64))
        numbers = np.unique(wanted // BLOCK_TASKS)
        rows = self._concatenated([self._block(int(number)) for number in numbers])
        return select(rows, np.isin(rows["task"], wanted))

    def stage_replacement(self, pipe: Pipeline, tasks: ArrayLike, rows: Arrays) -> None:
        """Replace all rows of the given tasks by `rows` when `pipe` is executed.

        The touched blocks are read now; the caller holds the project's lock.
        """
        replaced = np.unique(np.asarray(tasks, dtype=np.int64))
        checked = self._checked(rows)
        for number in np.unique(replaced // BLOCK_TASKS):
            old = self._block(int(number))
            kept = select(old, ~np.isin(old["task"], replaced))
            new = select(checked, checked["task"] // BLOCK_TASKS == number)
            self._stage_block(pipe, int(number), self._concatenated([kept, new]))

    def stage_all(self, pipe: Pipeline, rows: Arrays) -> None:
        """Replace the whole table by `rows` when `pipe` is executed."""
        pipe.delete(self._key)
        checked = self._checked(rows)
        numbers = checked["task"] // BLOCK_TASKS
        order = np.argsort(numbers, kind="stable")
        starts = np.flatnonzero(np.diff(numbers[order], prepend=-1))
        for some in np.split(order, starts[1:]):
            if len(some):
                self._stage_block(pipe, int(numbers[some[0]]), select(checked, some))

    def _block(self, number: int) -> Arrays:
        stored: Any = self._redis.hget(self._key, str(number))
        return unpack(stored) if stored else self._concatenated([])

    def _stage_block(self, pipe: Pipeline, number: int, rows: Arrays) -> None:
        if not len(rows["task"]):
            pipe.hdel(self._key, str(number))
            return
        ordered = select(rows, np.argsort(rows["task"], kind="stable"))
        pipe.hset(self._key, str(number), pack(ordered))

    def _checked(self, rows: Arrays) -> Arrays:
        length = len(rows["task"])
        checked: Arrays = {}
        for name, (dtype, width) in self._columns.items():
            values = np.asarray(rows[name], dtype=dtype)
            shape = (length,) if width is None else (length, width)
            if values.shape != shape:
                raise ValueError(f"column {name!r} has shape {values.shape}, expected {shape}")
            checked[name] = values
        return checked

    def _concatenated(self, blocks: list[Arrays]) -> Arrays:
        rows: Arrays = {}
        for name, (dtype, width) in self._columns.items():
            empty: NDArray[np.generic] = np.empty(0 if width is None else (0, width), dtype=dtype)
            rows[name] = np.concatenate([empty, *(block[name] for block in blocks)])
        return rows


def select(rows: Arrays, which: NDArray[Any] | slice) -> Arrays:
    """Rows picked by a mask, by positions or by a slice."""
    return {name: values[which] for name, values in rows.items()}
