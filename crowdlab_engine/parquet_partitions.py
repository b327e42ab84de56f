"""Data sets in Parquet files, in partitions that can be read in any order and on any machine.

A partition is a range of tasks. Which row groups of the files hold some of them is known from
the files' own statistics, so that none is read in vain where labels are sorted by task.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow.parquet import ParquetFile

from crowdlab_engine._typing import AnyArray, FloatArray, IntArray
from crowdlab_engine.blockwise import TaskBlock
from crowdlab_engine.labels import MultiannotatorLabels

_TASK = "task"
_CODES = (_TASK, "annotator", "label")
_ROWS_AT_ONCE = 2**17


@dataclass(frozen=True)
class RowGroup:
    """Some successive rows of a Parquet file.

    Attributes
    ----------
    path : str
        Path of the file.
    number : int
        Number of the row group in it.
    first, last : int
        Lowest and highest task in it.
    """

    path: str
    number: int
    first: int
    last: int


@dataclass(frozen=True)
class ParquetPartition:
    """The tasks of a range, read from Parquet files when it is called.

    Attributes
    ----------
    start, stop : int
        Tasks from `start` up to but without `stop`.
    num_annotators, num_classes : int
        Sizes M and K.
    labels, pred_probs : tuple of RowGroup
        Where labels and predictions of these tasks are; no predictions if None.
    has_task_column : bool
        Whether files of predictions name the task of each row; else rows are in their order.
    """

    start: int
    stop: int
    num_annotators: int
    num_classes: int
    labels: tuple[RowGroup, ...]
    pred_probs: tuple[RowGroup, ...] | None
    has_task_column: bool

    def __call__(self) -> TaskBlock:
        """Read it.

        Raises
        ------
        ValueError
            A code is out of range, an annotator labelled a task twice, or predictions are
            missing or have another number of classes.
        """
        codes: list[AnyArray] = [np.empty((0, 3), dtype=np.int64)]
        for group in self.labels:
            tables = _batches(group, _CODES, np.int64)
            codes += [table[self._is_in(table[:, 0])] for table in tables]
        joined = np.concatenate(codes)
        labels = MultiannotatorLabels.from_codes(
            joined[:, 0] - self.start,
            joined[:, 1],
            joined[:, 2],
            num_tasks=self.stop - self.start,
            num_annotators=self.num_annotators,
            num_classes=self.num_classes,
            task_ids=np.arange(self.start, self.stop),
        )
        return TaskBlock(labels, None if self.pred_probs is None else self._read_probs())

    def _read_probs(self) -> FloatArray:
        num_tasks = self.stop - self.start
        probs = np.empty((num_tasks, self.num_classes))
        num_read = 0
        for group in self.pred_probs or ():
            at = group.first
            for table in _batches(group, None, np.float64):
                if self.has_task_column:
                    task, rows = table[:, 0].astype(np.int64), table[:, 1:]
                else:
                    task, rows = np.arange(at, at + len(table)), table
                    at += len(table)
                if rows.shape[1] != self.num_classes:
                    raise ValueError(
                        f"{group.path} has probabilities of {rows.shape[1]} classes: it needs a "
                        f"column for each of the {self.num_classes} classes"
                    )
                is_in = self._is_in(task)
                probs[task[is_in] - self.start] = rows[is_in]
                num_read += int(np.count_nonzero(is_in))
        if num_read != num_tasks:
            raise ValueError(
                f"pred_probs have {num_read} rows for the {num_tasks} tasks from {self.start} to "
                f"{self.stop - 1}: pass one row per task"
            )
        return probs

    def _is_in(self, task: IntArray) -> AnyArray:
        return (task >= self.start) & (task < self.stop)


def parquet_partitions(
    labels: str | Path,
    pred_probs: str | Path | None = None,
    *,
    num_tasks: int,
    num_annotators: int,
    num_classes: int,
    tasks_per_partition: int = 2**18,
) -> list[ParquetPartition]:
    """Divide a data set in Parquet files into partitions of successive tasks.

    Only the files' footers are read. Every machine that reads a partition must see the files
    under the same paths.

    Parameters
    ----------
    labels : path
        File, or folder of files, with a row per label and the integer columns `task`,
        `annotator` and `label`, codes from 0. Sorted by task it is read once; in any other
        order the results are the same, but each partition reads all row groups that hold
        some of its tasks.
    pred_probs : path, optional
        File, or folder of files, with a row per task and K columns of numbers: with the task in
        a column `task` before them, or in the order of the tasks and of the files' names.
    num_tasks, num_annotators, num_classes : int
        Sizes N, M and K.
    tasks_per_partition : int, default 262144
        Most tasks of a partition. One is in a worker's memory at a time, for each of its
        threads.

    Returns
    -------
    list of ParquetPartition

    Raises
    ------
    FileNotFoundError
        There is no such file, or no Parquet file in the folder.
    ValueError
        A column is missing, holds no integers or has rows without a value, tasks are out of
        range, or there are more or fewer predictions than tasks.
    """
    if tasks_per_partition < 1:
        raise ValueError(f"tasks_per_partition is {tasks_per_partition}: pass 1 or more")
    of_labels = [group for path in _files(labels) for group in _by_column(path, _CODES)]
    of_probs, has_task_column = None, False
    if pred_probs is not None:
        of_probs, has_task_column = _of_predictions(_files(pred_probs), num_tasks)
    for group in (*of_labels, *(of_probs or ())):
        if group.first < 0 or group.last >= num_tasks:
            task = group.last if group.last >= num_tasks else group.first
            raise ValueError(
                f"{group.path} holds task {task}, but tasks go from 0 to {num_tasks - 1}: correct "
                "the file or num_tasks"
            )
    return [
        ParquetPartition(
            start,
            stop := min(start + tasks_per_partition, num_tasks),
            num_annotators,
            num_classes,
            _within(of_labels, start, stop),
            None if of_probs is None else _within(of_probs, start, stop),
            has_task_column,
        )
        for start in range(0, num_tasks, tasks_per_partition)
    ]


def _within(groups: Sequence[RowGroup], start: int, stop: int) -> tuple[RowGroup, ...]:
    return tuple(group for group in groups if group.first < stop and group.last >= start)


def _files(path: str | Path) -> list[Path]:
    """Return the Parquet files at a path, by name; hidden ones are none, as everywhere."""
    path = Path(path)
    if path.is_file():
        return [path]
    found = sorted(one for one in path.rglob("*.parquet") if one.name[0] not in "._")
    if not found:
        raise FileNotFoundError(f"{path} is no Parquet file and no folder with *.parquet files")
    return found


def _by_column(path: Path, columns: Sequence[str]) -> list[RowGroup]:
    """Return the row groups of a file that names the task of each row."""
    with ParquetFile(path) as file:
        metadata, schema = file.metadata, file.schema_arrow
        for name in columns:
            if name not in schema.names:
                raise ValueError(
                    f"{path} has the columns {schema.names}: it needs {', '.join(columns)}"
                )
        place = schema.names.index(_TASK)
        groups = []
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            if not group.num_rows:
                continue
            found = group.column(place).statistics
            if found is None or not found.has_min_max or not isinstance(found.min, int):
                raise ValueError(
                    f"{path} does not tell the lowest and highest task of its row groups: write "
                    "the column task as integers, with statistics"
                )
            if found.null_count:
                raise ValueError(f"{path} has {found.null_count} rows without a task: drop them")
            groups.append(RowGroup(str(path), number, found.min, found.max))
        return groups


def _of_predictions(paths: Sequence[Path], num_tasks: int) -> tuple[list[RowGroup], bool]:
    """Return the row groups of predictions, and whether they name the task of each row."""
    with ParquetFile(paths[0]) as file:
        has_task_column = file.schema_arrow.names[:1] == [_TASK]
    if has_task_column:
        return [group for path in paths for group in _by_column(path, (_TASK,))], True
    groups = []
    at = 0
    for path in paths:
        with ParquetFile(path) as file:
            for number in range(file.metadata.num_row_groups):
                num_rows = file.metadata.row_group(number).num_rows
                if num_rows:
                    groups.append(RowGroup(str(path), number, at, at + num_rows - 1))
                at += num_rows
    if at != num_tasks:
        raise ValueError(f"pred_probs have {at} rows for {num_tasks} tasks: pass one row per task")
    return groups, False


def _batches(
    group: RowGroup, columns: Sequence[str] | None, dtype: type[np.generic]
) -> Iterator[AnyArray]:
    """Read a row group some rows at a time, as arrays with a column for each of the file's.

    What pandas writes of its index is left out.
    """
    with ParquetFile(group.path) as file:
        if columns is None:
            names = file.schema_arrow.names
            columns = [name for name in names if not name.startswith("__index_level_")]
        for batch in file.iter_batches(_ROWS_AT_ONCE, row_groups=[group.number], columns=columns):
            table = np.empty((batch.num_rows, len(columns)), dtype=dtype)
            for place, name in enumerate(columns):
                values = batch.column(name)
                if values.null_count:
                    raise ValueError(
                        f"{group.path} has {values.null_count} rows without a value of {name}: "
                        "drop them, or give them one"
                    )
                if dtype is np.int64 and not pa.types.is_integer(values.type):
                    raise ValueError(
                        f"column {name} of {group.path} holds {values.type}: pass integer codes"
                    )
                table[:, place] = values.to_numpy(zero_copy_only=False)
            yield table
