"""CROWDLAB on a Dask cluster of four processes: memory, speed, and a killed worker.

    python -m benchmarks.distributed [--short] [--workers N] [--memory MB]

Labels and pred_probs are drawn into Parquet files. A million labels are computed in memory and
on the cluster, and compared; then twenty million on the cluster, once undisturbed and once
while a worker is killed. Workers may not exceed their memory: Dask ends one that does.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import argparse
import logging
import resource
import signal
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import dask
import numpy as np
import pandas as pd
from distributed import Client, LocalCluster
from rich.console import Console
from rich.table import Table

from benchmarks.memory import ANNOTATORS, CLASSES, LABELS, write
from crowdlab_engine import Crowdlab, MultiannotatorLabels
from crowdlab_engine.distributed import DistributedCrowdlab, fit_parquet

_TOLERANCE = 1e-12


@dataclass(frozen=True)
class Run:
    """What one computation on the cluster took."""

    num_tasks: int
    seconds: float
    cpu_seconds: float
    """Of all workers; of a killed one, nothing."""
    peaks: tuple[float, ...]
    """Peak of each worker that was there at the end, megabytes."""

    @property
    def num_labels(self) -> int:
        """Number of labels."""
        return self.num_tasks * LABELS


class _Killer(threading.Thread):
    """Kills a worker when half of the output is written."""

    def __init__(self, folder: Path, num_parts: int, pid: int) -> None:
        super().__init__(daemon=True)
        self._folder = folder
        self._enough = num_parts // 2
        self._pid = pid
        self.is_done = False

    def run(self) -> None:
        """Wait, and kill."""
        while len(list(self._folder.glob(".found*/consensus/part-*"))) < self._enough:
            time.sleep(0.01)
        os.kill(self._pid, signal.SIGKILL)
        self.is_done = True


def compute(
    client: Client,
    data: Path,
    output: Path,
    num_tasks: int,
    tasks_per_partition: int,
    *,
    kills: bool = False,
) -> tuple[Run, DistributedCrowdlab, bool]:
    """Compute on the cluster; tells too whether a worker was killed."""
    before = sum(client.run(time.process_time).values())
    num_parts = -(-num_tasks // tasks_per_partition)
    killer = _Killer(output.parent, num_parts, min(client.run(os.getpid).values()))
    if kills:
        killer.start()
    began = time.perf_counter()
    fitted = fit_parquet(
        data / "labels.parquet",
        output,
        client=client,
        pred_probs=data / "pred_probs.parquet",
        num_tasks=num_tasks,
        num_annotators=ANNOTATORS,
        num_classes=CLASSES,
        tasks_per_partition=tasks_per_partition,
    )
    seconds = time.perf_counter() - began
    cpu = sum(client.run(time.process_time).values()) - before
    peaks = tuple(client.run(_peak).values())
    return Run(num_tasks, seconds, cpu, peaks), fitted, killer.is_done


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def distances(data: Path, output: Path, fitted: DistributedCrowdlab) -> dict[str, float]:
    """How far the cluster's results are from those in memory, at most."""
    table = pd.read_parquet(data / "labels.parquet")
    labels = MultiannotatorLabels.from_codes(
        table["task"],
        table["annotator"],
        table["label"],
        num_annotators=ANNOTATORS,
        num_classes=CLASSES,
    )
    probs = pd.read_parquet(data / "pred_probs.parquet").to_numpy()
    whole = Crowdlab().fit(labels, probs)
    consensus = pd.read_parquet(output / "consensus")
    of_labels = pd.read_parquet(output / "label_quality")
    stats, expected = fitted.annotator_stats_.sort_index(), whole.annotator_stats_.sort_index()

    def far(ours: object, theirs: object) -> float:
        return float(np.nanmax(np.abs(np.asarray(ours) - np.asarray(theirs))))

    return {
        "consensus labels that differ": float(
            (consensus["consensus_label"] != whole.consensus_label_).sum()
        ),
        "consensus quality": far(
            consensus["consensus_quality_score"], whole.consensus_quality_score_
        ),
        "label quality": far(
            of_labels["label_quality"],
            whole.label_quality_[labels.sorting]
            if labels.sorting is not None
            else whole.label_quality_,
        ),
        "annotator quality": far(stats["annotator_quality"], expected["annotator_quality"]),
        "worst classes that differ": float((stats["worst_class"] != expected["worst_class"]).sum()),
        "model weight": far(fitted.model_weight_, whole.model_weight_),
    }


def sizes(data: Path, output: Path, num_tasks: int) -> str:
    """Bytes of what was read and written."""

    def of(path: Path, number: int) -> str:
        files = path.iterdir() if path.is_dir() else [path]
        return f"{sum(file.stat().st_size for file in files) / number:.1f}"

    num_labels = num_tasks * LABELS
    return (
        f"Bytes in Parquet: labels {of(data / 'labels.parquet', num_labels)} a label, "
        f"pred_probs {of(data / 'pred_probs.parquet', num_tasks)} a task; "
        f"found {of(output / 'label_quality', num_labels)} a label "
        f"and {of(output / 'consensus', num_tasks)} a task."
    )


def is_same(one: Path, other: Path) -> bool:
    """Whether two outputs hold the same, to the last bit."""
    return all(
        pd.read_parquet(one / name).equals(pd.read_parquet(other / name))
        for name in ("consensus", "label_quality", "annotators.parquet")
    )


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--short", action="store_true", help="a hundredth of it: a minute")
    parser.add_argument("--workers", type=int, default=4, help="worker processes (4)")
    parser.add_argument("--memory", type=int, default=700, help="megabytes of each (700)")
    arguments = parser.parse_args()
    small, large = (2_000, 40_000) if arguments.short else (200_000, 4_000_000)
    tasks_per_partition = min(2**16, large // 16)
    console = Console(width=110)
    wrong: list[str] = []
    with (
        tempfile.TemporaryDirectory() as name,
        dask.config.set({"temporary-directory": name}),
        LocalCluster(
            n_workers=arguments.workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            memory_limit=f"{arguments.memory}MB",
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster) as client,
    ):
        folders = {size: Path(name) / str(size) for size in (small, large)}
        for size, folder in folders.items():
            folder.mkdir()
            write(folder, size, tasks_per_group=tasks_per_partition)

        idle = max(client.run(_peak).values())
        _, fitted, _ = compute(
            client, folders[small], folders[small] / "found", small, min(small // 8, 2**14)
        )
        table = Table(title=f"{small * LABELS:,} labels: cluster less memory", header_style="bold")
        table.add_column("Result")
        table.add_column("Largest difference", justify="right")
        for what, distance in distances(folders[small], folders[small] / "found", fitted).items():
            table.add_row(what, f"{distance:.2g}")
            if distance > _TOLERANCE:
                wrong.append(f"{what}: {distance:.2g}")
        console.print(table)

        title = (
            f"{large * LABELS:,} labels, {ANNOTATORS:,} annotators, {CLASSES} classes; "
            f"{arguments.workers} processes of at most {arguments.memory} MB, "
            f"{os.cpu_count()} cores"
        )
        table = Table(title=title, header_style="bold")
        table.add_column("Run")
        for heading in ("s", "CPU s", "labels/s", "labels per core and s", "peak MB per worker"):
            table.add_column(heading, justify="right")
        outputs = []
        for kills in (False, True):
            outputs.append(folders[large] / ("found_killed" if kills else "found"))
            run, _, is_killed = compute(
                client, folders[large], outputs[-1], large, tasks_per_partition, kills=kills
            )
            per_core = "" if kills else f"{run.num_labels / run.cpu_seconds:,.0f}"
            table.add_row(
                "a worker is killed" if kills else "undisturbed",
                f"{run.seconds:.1f}",
                "" if kills else f"{run.cpu_seconds:.1f}",
                f"{run.num_labels / run.seconds:,.0f}",
                per_core,
                ", ".join(f"{peak:.0f}" for peak in run.peaks),
            )
            if max(run.peaks) > arguments.memory:
                wrong.append(f"a worker took {max(run.peaks):.0f} MB")
            if kills and not is_killed:
                wrong.append("no worker was killed")
        console.print(table)
        console.print(
            f"A worker without work has {idle:.0f} MB; partitions have "
            f"{tasks_per_partition:,} tasks."
        )
        console.print(sizes(folders[large], outputs[0], large))
        if not is_same(*outputs):
            wrong.append("the results after the loss of a worker differ")
        console.print(
            "The loss of a worker changed no bit of the results." if not wrong else "\n".join(wrong)
        )
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
