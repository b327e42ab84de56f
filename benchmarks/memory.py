"""Memory of data sets that are large in tasks, or in classes.

    python -m benchmarks.memory [--short]

Tasks are streamed from Parquet files; classes come as a sparse matrix and in single
precision. Each in a process of its own; its peak is that of the whole process, data that
the caller holds included.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow.parquet import ParquetWriter
from rich.console import Console
from rich.table import Table
from scipy.sparse import csr_array

from benchmarks.large import Size, draw
from crowdlab_engine import BlockwiseCrowdlab, Crowdlab, MultiannotatorLabels, parquet_blocks

Found = tuple[float, float, str]
"""CPU seconds, peak memory in GB, and what was found."""

ANNOTATORS, CLASSES, LABELS = 5_000, 10, 5


def write(folder: Path, num_tasks: int, *, tasks_per_group: int | None = None) -> None:
    """Write a crowd of any size, a million tasks at a time, in row groups of so many tasks."""
    at_once = min(num_tasks, 1_000_000)
    labels = probs = None
    for start in range(0, num_tasks, at_once):
        size = Size(at_once, ANNOTATORS, CLASSES, (LABELS, LABELS))
        crowd = draw(size, seed=start)
        table = pa.table(
            {
                "task": (crowd.task + start).astype(np.int32),
                "annotator": crowd.annotator.astype(np.int16),
                "label": crowd.label.astype(np.int8),
            }
        )
        columns = crowd.pred_probs.astype(np.float32).T
        predicted = pa.table({f"class_{code}": column for code, column in enumerate(columns)})
        labels = labels or ParquetWriter(folder / "labels.parquet", table.schema)
        probs = probs or ParquetWriter(folder / "pred_probs.parquet", predicted.schema)
        labels.write_table(table, tasks_per_group and tasks_per_group * LABELS)
        probs.write_table(predicted, tasks_per_group)
    for writer in (labels, probs):
        if writer is not None:
            writer.close()


def stream(folder: Path, num_tasks: int) -> Found:
    """Find the consensus of what `write` wrote."""
    blocks = parquet_blocks(
        folder / "labels.parquet",
        folder / "pred_probs.parquet",
        num_tasks=num_tasks,
        num_annotators=ANNOTATORS,
        num_classes=CLASSES,
    )
    scored = []
    began = time.process_time()
    fitted = BlockwiseCrowdlab().fit(
        blocks, lambda block: scored.append(len(block.consensus_label))
    )
    seconds = time.process_time() - began
    return seconds, _peak(), f"{sum(scored):,} tasks, {fitted.num_labels_:,} labels"


def many_classes(num_tasks: int, num_classes: int, is_sparse: bool) -> Found:
    """Find the consensus of tasks with thousands of classes."""
    random = np.random.default_rng(0)
    truth = random.integers(num_classes, size=num_tasks)
    task = np.repeat(np.arange(num_tasks), 4)
    annotator = (task * 7 + np.tile(np.arange(4), num_tasks) * 251) % 1_000
    is_right = random.random(len(task)) < 0.7
    label = np.where(is_right, truth[task], random.integers(num_classes, size=len(task)))
    labels = MultiannotatorLabels.from_codes(task, annotator, label, num_classes=num_classes)
    probs: Any
    if is_sparse:
        others = random.integers(num_classes, size=(num_tasks, 20))
        column = np.column_stack([truth, others]).reshape(-1)
        row = np.repeat(np.arange(num_tasks), 21)
        value = np.tile(np.r_[0.6, np.full(20, 0.02)], num_tasks)
        probs = csr_array((value, (row, column)), shape=(num_tasks, num_classes))
    else:
        probs = np.empty((num_tasks, num_classes), dtype=np.float32)
        for some in np.array_split(np.arange(num_tasks), max(1, num_tasks // 2_000)):
            part = random.random((len(some), num_classes), dtype=np.float32)
            part[np.arange(len(some)), truth[some]] += num_classes
            probs[some] = part / part.sum(axis=1, keepdims=True)
    began = time.process_time()
    fitted = Crowdlab().fit(labels, probs)
    seconds = time.process_time() - began
    return seconds, _peak(), f"{(fitted.consensus_label_ == truth).mean():.1%} right"


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def measure(function: Callable[..., Found], *arguments: object) -> Found:
    """Call a function in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--short", action="store_true", help="a hundredth of it: seconds")
    short = parser.parse_args().short
    num_streamed = 100_000 if short else 10_000_000
    num_tasks, num_classes = (2_000, 5_000) if short else (200_000, 5_000)
    table = Table(title="Memory of the process at its peak", header_style="bold")
    table.add_column("Data")
    for heading in ("CPU s", "GB", "Found"):
        table.add_column(heading, justify="right")
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), num_streamed)
        seconds, peak, found = measure(stream, Path(name), num_streamed)
    title = f"{num_streamed:,} tasks × {LABELS} labels, streamed from Parquet"
    table.add_row(title, f"{seconds:.1f}", f"{peak:.2f}", found)
    for is_sparse, kind in ((True, "sparse"), (False, "float32")):
        seconds, peak, found = measure(many_classes, num_tasks, num_classes, is_sparse)
        title = f"{num_tasks:,} tasks × {num_classes:,} classes, {kind} pred_probs"
        table.add_row(title, f"{seconds:.1f}", f"{peak:.2f}", found)
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
