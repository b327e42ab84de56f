"""What a project costs in Redis and in a worker, from ten thousand tasks to a million.

    python -m benchmarks.scale [--short]

Each size is put into a redis-server of its own. A fresh process then does what a worker does
when labels have changed: read everything, recompute, store the results. Another follows
changes of single tasks. Results are compared with those of the engine on arrays in memory.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

import numpy as np
from redis import Redis
from rich.console import Console
from rich.table import Table

from backend.jobs.follow import follow_tasks
from backend.jobs.insights import store_insights
from backend.jobs.recompute import recompute_project
from backend.store.embedded import EmbeddedRedis
from backend.store.project import ProjectStore
from benchmarks.large import LargeCrowd, Size, draw
from benchmarks.projects import FIRST_TASK, fill_project
from crowdlab_engine import Crowdlab, MultiannotatorLabels

SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000)
SHORT_SIZES = (2_000, 10_000)
TARGET_SECONDS = {100_000: 2.0, 1_000_000: 15.0}
TARGET_GIGABYTES = 3.0
TARGET_EXPONENT = 1.05
_CHANGES = 200
_TABLES = ("tasks", "annotations", "pred_probs:0", "consensus", "label_quality")


@dataclass(frozen=True)
class Cost:
    """What one size costs."""

    num_tasks: int
    seconds: float
    """Wall time of load, full recompute and storing."""
    pages_seconds: float
    """Wall time of summing up what pages show."""
    gigabytes: float
    """Peak memory of the worker, both included."""
    follow_milliseconds: float
    """95th percentile of following one changed task."""
    bytes_per_task: dict[str, float]
    """In Redis, by table."""


def size_of(num_tasks: int) -> Size:
    """Five labels a task, ten classes, and annotators who label two thousand tasks each."""
    return Size(num_tasks, max(50, num_tasks // 400), 10, (5, 5))


def _store(url: str) -> ProjectStore:
    return ProjectStore(Redis.from_url(url), 1)


def fill(url: str, num_tasks: int) -> None:
    """Put a project of this size into Redis."""
    fill_project(_store(url), size_of(num_tasks))


def recompute(url: str) -> tuple[float, float, float]:
    """Recompute as a worker does; its seconds, those of summing up for pages, and gigabytes."""
    store = _store(url)
    store.redis.ping()
    began = time.perf_counter()
    recompute_project(store)
    seconds = time.perf_counter() - began
    store_insights(store)
    pages_seconds = time.perf_counter() - began - seconds
    return seconds, pages_seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def follow(url: str, num_tasks: int) -> float:
    """Milliseconds in which 95 of 100 changed tasks were followed."""
    store = _store(url)
    info = store.read_info()
    assert info is not None
    tasks = np.random.default_rng(0).integers(num_tasks, size=_CHANGES) + FIRST_TASK
    taken = []
    for task in tasks:
        began = time.perf_counter()
        with store.lock():
            assert follow_tasks(store, info, np.array([task]))
        taken.append(1000 * (time.perf_counter() - began))
    return float(np.percentile(taken, 95))


def in_memory(crowd: LargeCrowd) -> Crowdlab:
    """What the engine finds on arrays."""
    labels = MultiannotatorLabels.from_codes(
        crowd.task,
        crowd.annotator,
        crowd.label,
        num_tasks=crowd.size.num_tasks,
        num_annotators=crowd.size.num_annotators,
        num_classes=crowd.size.num_classes,
    )
    return Crowdlab().fit(labels, crowd.pred_probs)


def check(url: str, num_tasks: int) -> str:
    """What is wrong with the stored results; empty if nothing is."""
    fitted = in_memory(draw(size_of(num_tasks)))
    rows = _store(url).consensus(1).read()
    if len(rows["task"]) != num_tasks:
        return f"{len(rows['task']):,} of {num_tasks:,} tasks have a consensus"
    differ = int((rows["label"][:, 0] != fitted.consensus_label_).sum())
    if differ:
        return f"{differ:,} consensus labels differ from the engine's"
    distance = float(np.abs(rows["quality"][:, 0] - fitted.consensus_quality_score_).max())
    return "" if distance < 1e-9 else f"scores differ from the engine's by up to {distance:.2g}"


P = ParamSpec("P")
T = TypeVar("T")


def _alone(function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Call a function in a fresh process."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *arguments, **named).result()


def measure(num_tasks: int) -> tuple[Cost, str]:
    """Cost of one size, and what is wrong with its results."""
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedRedis(Path(folder))
        server.start()
        try:
            _alone(fill, server.url, num_tasks)
            seconds, pages_seconds, gigabytes = _alone(recompute, server.url)
            error = _alone(check, server.url, num_tasks)
            milliseconds = _alone(follow, server.url, num_tasks)
            redis = Redis.from_url(server.url)
            by_table = {}
            for name in _TABLES:
                size = redis.memory_usage(f"crowdlab:{{1}}:table:{name}", samples=0)
                by_table[name] = (size or 0) / num_tasks
        finally:
            server.stop()
    return Cost(num_tasks, seconds, pages_seconds, gigabytes, milliseconds, by_table), error


def exponent(costs: list[Cost]) -> float:
    """Slope of the logarithms of time and size: 1 is linear growth."""
    logarithms = np.log([[cost.num_tasks, cost.seconds] for cost in costs])
    return float(np.polyfit(logarithms[:, 0], logarithms[:, 1], 1)[0])


def shown(costs: list[Cost]) -> Table:
    """The costs as a table."""
    table = Table(title="Load from Redis + full recompute + store: tasks × 5 labels × 10 classes")
    for heading in (
        "tasks",
        "seconds",
        "target",
        "summing up for pages",
        "worker GiB",
        "follow one task, p95 ms",
        "Redis bytes/task",
    ):
        table.add_column(heading, justify="right")
    for cost in costs:
        target = TARGET_SECONDS.get(cost.num_tasks)
        table.add_row(
            f"{cost.num_tasks:,}",
            f"{cost.seconds:.2f}",
            f"{target:.0f}" if target else "",
            f"{cost.pages_seconds:.2f}",
            f"{cost.gigabytes:.2f}",
            f"{cost.follow_milliseconds:.1f}",
            f"{sum(cost.bytes_per_task.values()):.0f}",
        )
    return table


def main() -> int:
    """Run the benchmark; 1 if results are wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="small sizes, for CI")
    sizes = SHORT_SIZES if parser.parse_args().short else SIZES
    console = Console(width=120)
    costs, errors = [], []
    for num_tasks in sizes:
        cost, error = measure(num_tasks)
        costs.append(cost)
        if error:
            errors.append(f"{num_tasks:,} tasks: {error}")
    console.print(shown(costs))
    parts = ", ".join(f"{name} {size:.0f}" for name, size in costs[-1].bytes_per_task.items())
    console.print(f"Bytes per task in Redis at {costs[-1].num_tasks:,} tasks: {parts}.")
    console.print(f"Worker's memory: target below {TARGET_GIGABYTES:.0f} GiB.")
    console.print(f"Growth: exponent {exponent(costs):.3f} (target at most {TARGET_EXPONENT}).")
    for error in errors:
        console.print(f"[red]wrong[/]: {error}")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
