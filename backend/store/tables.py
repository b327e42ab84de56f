"""Tables whose rows belong to tasks, kept in Redis as typed blocks of many tasks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import ArrayLike, NDArray

from backend.store.arrays import Arrays, pack, unpack
from backend.store.changes import Changes
from backend.store.cluster import DataRedis

BLOCK_TASKS = 1024
"""Task ids per block: small enough to rewrite for one changed task, large enough that
loading a project costs about what its bytes cost."""

BLOCKS_AT_ONCE = 64
"""Blocks that are asked of Redis in one request, so that neither side needs much memory."""

_OFFSET: np.dtype[Any] = np.dtype("u2")
_DRAFT_SECONDS = 3600

Column = tuple[str, int | None]
"""Dtype, and the width of a two-dimensional column or None."""


class TaskTable:
    """Rows of named columns, each row belonging to a task.

    A task can have any number of rows. The table is one Redis hash; each field is a
    block of `BLOCK_TASKS` successive task ids. Rows come back ordered by task; those of
    one task keep the order in which they were written. A two-dimensional column may be of
    another width than when a block was written: what the block lacks is 0.

    Parameters
    ----------
    redis
        Connection that returns bytes.
    key
        Key of the hash.
    columns
        Columns besides `task` (int64).
    """

    def __init__(self, redis: DataRedis, key: str, columns: Mapping[str, Column]) -> None:
        self._redis = redis
        self._key = key
        self._columns: dict[str, Column] = {"task": ("i8", None), **columns}

    def block_numbers(self) -> list[int]:
        """Numbers of the blocks that hold rows, ascending.

        Block b holds the tasks from b times `BLOCK_TASKS` on.
        """
        stored: Any = self._redis.hkeys(self._key)
        return sorted(int(number) for number in stored)

    def read_blocks(self, numbers: Sequence[int]) -> Arrays:
        """Rows of some blocks, given by ascending number."""
        blocks = []
        for start in range(0, len(numbers), BLOCKS_AT_ONCE):
            some = numbers[start : start + BLOCKS_AT_ONCE]
            stored: Any = self._redis.hmget(self._key, [str(number) for number in some])
            blocks += [
                self._with_task_ids(unpack(packed), number)
                for number, packed in zip(some, stored, strict=True)
                if packed
            ]
        return self._concatenated(blocks)

    def read(self, tasks: ArrayLike | None = None) -> Arrays:
        """All rows, or those of the given task ids."""
        if tasks is None:
            return self.read_blocks(self.block_numbers())
        wanted = np.unique(np.asarray(tasks, dtype=np.int64))
        rows = self.read_blocks(np.unique(wanted // BLOCK_TASKS).tolist())
        place = np.searchsorted(wanted, rows["task"])
        is_wanted = np.zeros(len(place), dtype=bool)
        inside = place < len(wanted)
        is_wanted[inside] = wanted[place[inside]] == rows["task"][inside]
        return select(rows, is_wanted)

    def parts(self) -> Iterator[Arrays]:
        """All rows, some blocks at a time."""
        numbers = self.block_numbers()
        for start in range(0, len(numbers), BLOCKS_AT_ONCE):
            yield self.read_blocks(numbers[start : start + BLOCKS_AT_ONCE])

    def stage_replacement(self, changes: Changes, tasks: ArrayLike, rows: Arrays) -> None:
        """Replace all rows of the given tasks by `rows` when the changes are executed.

        The touched blocks are read now; the caller holds the lock under which they change.
        """
        replaced = np.unique(np.asarray(tasks, dtype=np.int64))
        checked = self._checked(rows)
        numbers = np.unique(replaced // BLOCK_TASKS)
        kept = self.read_blocks(numbers.tolist())
        kept = select(kept, ~np.isin(kept["task"], replaced))
        merged = {name: np.concatenate([kept[name], checked[name]]) for name in self._columns}
        blocks = dict(self._blocks_of(merged))
        for number in numbers.tolist():
            if number in blocks:
                changes.set_field(self._key, str(number), blocks[number])
            else:
                changes.delete_fields(self._key, str(number))

    def stage_all(self, changes: Changes, rows: Arrays) -> None:
        """Replace the whole table by `rows` when the changes are executed."""
        self.stage_parts(changes, [rows])

    def stage_parts(self, changes: Changes, parts: Iterable[Arrays]) -> None:
        """Replace the whole table by rows that come in parts, as `draft` writes them."""
        self.stage_draft(changes, self.draft(parts))

    def draft(self, parts: Iterable[Arrays]) -> str:
        """Write rows beside the table, to take its place later.

        Parameters
        ----------
        parts
            All rows, in parts; no block belongs to two of them.

        Returns
        -------
        str
            Key of what was written, which expires unless it is put in place; empty if there
            are no rows.
        """
        draft = f"{self._key}:draft:{uuid4().hex}"
        is_written = False
        for part in parts:
            blocks = list(self._blocks_of(self._checked(part)))
            for start in range(0, len(blocks), BLOCKS_AT_ONCE):
                some = dict(blocks[start : start + BLOCKS_AT_ONCE])
                fields: Any = {str(number): packed for number, packed in some.items()}
                self._redis.hset(draft, mapping=fields)
                if not is_written:
                    self._redis.expire(draft, _DRAFT_SECONDS)
                    is_written = True
        return draft if is_written else ""

    def stage_draft(self, changes: Changes, draft: str) -> None:
        """Put what `draft` wrote in the place of the table when the changes are executed."""
        if draft:
            changes.rename(draft, self._key)
        else:
            changes.delete(self._key)

    def put_aside(self, changes: Changes, key: str) -> None:
        """Keep a copy of the table under another key when the changes are executed."""
        changes.put_aside(self._key, key)

    def _blocks_of(self, rows: Arrays) -> Iterator[tuple[int, bytes]]:
        """Encode rows, a block each; numbers ascending."""
        task = rows["task"]
        if not len(task):
            return
        if (task[1:] < task[:-1]).any():
            rows = select(rows, np.argsort(task, kind="stable"))
            task = rows["task"]
        numbers = task // BLOCK_TASKS
        starts = np.flatnonzero(np.diff(numbers, prepend=-1))
        ends = np.append(starts[1:], len(task))
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            number = int(numbers[start])
            block = select(rows, slice(start, end))
            block["task"] = (block["task"] - number * BLOCK_TASKS).astype(_OFFSET)
            yield number, pack(block)

    def _with_task_ids(self, block: Arrays, number: int) -> Arrays:
        return {**block, "task": block["task"].astype(np.int64) + number * BLOCK_TASKS}

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
            rows[name] = np.concatenate([empty, *(_fitted(block[name], width) for block in blocks)])
        return rows


def _fitted(values: NDArray[Any], width: int | None) -> NDArray[Any]:
    """Column of another width, cut or filled with zeros."""
    if width is None or values.shape[1] == width:
        return values
    fitted = np.zeros((len(values), width), dtype=values.dtype)
    common = min(width, values.shape[1])
    fitted[:, :common] = values[:, :common]
    return fitted


def select(rows: Arrays, which: NDArray[Any] | slice) -> Arrays:
    """Rows picked by a mask, by positions or by a slice."""
    return {name: values[which] for name, values in rows.items()}
