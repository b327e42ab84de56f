"""Speed of CROWDLAB and ActiveLab against cleanlab and crowd-kit, in the same run.

    python -m benchmarks.speed [--short]

One thread; CPU seconds of whole calls, the least of several; peak memory of the process.
Labels come as codes in long form to us and to crowd-kit, as the array it wants to cleanlab,
whose making is not counted.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import argparse
import contextlib
import io
import multiprocessing
import resource
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from benchmarks.large import LargeCrowd, Size, draw
from crowdlab_engine import Crowdlab, MultiannotatorLabels, active_learning_scores, majority_vote


def _labels(crowd: LargeCrowd) -> MultiannotatorLabels:
    return MultiannotatorLabels.from_codes(
        crowd.task,
        crowd.annotator,
        crowd.label,
        num_tasks=crowd.size.num_tasks,
        num_annotators=crowd.size.num_annotators,
        num_classes=crowd.size.num_classes,
    )


def ours(crowd: LargeCrowd) -> Callable[[], object]:
    """Labels, qualities and the table of annotators."""
    return lambda: Crowdlab().fit(_labels(crowd), crowd.pred_probs)


def ours_active(crowd: LargeCrowd) -> Callable[[], object]:
    """ActiveLab scores."""
    return lambda: active_learning_scores(_labels(crowd), crowd.pred_probs)


def ours_majority(crowd: LargeCrowd) -> Callable[[], object]:
    """Majority vote."""
    return lambda: majority_vote(_labels(crowd))


def cleanlab_default(crowd: LargeCrowd) -> Callable[[], object]:
    """What cleanlab's users call."""
    from cleanlab.multiannotator import get_label_quality_multiannotator

    wide = crowd.wide()
    return lambda: get_label_quality_multiannotator(wide, crowd.pred_probs, verbose=False)


def cleanlab_active(crowd: LargeCrowd) -> Callable[[], object]:
    """ActiveLab scores of cleanlab."""
    from cleanlab.multiannotator import get_active_learning_scores

    wide = crowd.wide()
    return lambda: get_active_learning_scores(wide, crowd.pred_probs)


def _crowd_kit(name: str) -> Callable[[LargeCrowd], Callable[[], object]]:
    def prepare(crowd: LargeCrowd) -> Callable[[], object]:
        import crowdkit.aggregation as peers

        table = pd.DataFrame({"task": crowd.task, "worker": crowd.annotator, "label": crowd.label})
        return lambda: getattr(peers, name)().fit_predict(table)

    return prepare


def floor(crowd: LargeCrowd) -> Callable[[], object]:
    """The least that any method does: count labels, and find the classifier's guesses."""
    num_classes, num_cells = crowd.size.num_classes, crowd.pred_probs.size

    def count() -> object:
        cell = crowd.task * num_classes + crowd.label
        return np.bincount(cell, minlength=num_cells), crowd.pred_probs.argmax(axis=1)

    return count


METHODS: dict[str, Callable[[LargeCrowd], Callable[[], object]]] = {
    "Crowdlab": ours,
    "ActiveLab": ours_active,
    "majority vote": ours_majority,
    "cleanlab": cleanlab_default,
    "cleanlab ActiveLab": cleanlab_active,
    "crowd-kit MajorityVote": _crowd_kit("MajorityVote"),
    "crowd-kit DawidSkene": _crowd_kit("DawidSkene"),
    "bincount + argmax": floor,
}


@dataclass(frozen=True)
class Measured:
    """What a method costs."""

    seconds: float
    peak_gb: float
    base_gb: float
    """Memory of the process before the first call, data included."""


def _measure(name: str, size: Size, repeats: int) -> Measured:
    call = METHODS[name](draw(size))
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    seconds = []
    for _ in range(repeats):
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            began = time.process_time()
            call()
            seconds.append(time.process_time() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return Measured(min(seconds), peak, base)


def measure(name: str, size: Size, repeats: int) -> Measured:
    """Measure a method in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measure, (name, size, repeats))


SIZES = (
    Size(1_000, 50, 3, (3, 5)),
    Size(100_000, 200, 10, (3, 5)),
    Size(50_000, 2_000, 10, (3, 5)),
)
SHORT_SIZES = (Size(1_000, 50, 3, (3, 5)), Size(10_000, 100, 10, (3, 5)))
MILLION = Size(1_000_000, 5_000, 10, (5, 5))
RIVALS = (
    ("Crowdlab", "cleanlab"),
    ("ActiveLab", "cleanlab ActiveLab"),
    ("majority vote", "crowd-kit MajorityVote"),
    ("Crowdlab", "crowd-kit DawidSkene"),
)


def against_peers(console: Console, sizes: tuple[Size, ...]) -> None:
    """Print how many times faster we are."""
    for size in sizes:
        table = Table(title=str(size), title_justify="left", header_style="bold")
        table.add_column("Method")
        for heading in ("CPU s", "Peer", "Peer's CPU s", "Times faster", "GB", "Peer's GB"):
            table.add_column(heading, justify="left" if heading == "Peer" else "right")
        for name, peer in RIVALS:
            mine = measure(name, size, 7)
            theirs = measure(peer, size, 3 if size.num_tasks < 20_000 else 1)
            table.add_row(
                name,
                f"{mine.seconds:.4f}",
                peer,
                f"{theirs.seconds:.3f}",
                f"{theirs.seconds / mine.seconds:,.0f} ×",
                f"{mine.peak_gb:.2f}",
                f"{theirs.peak_gb:.2f}",
            )
        console.print(table)


def against_floor(console: Console, size: Size) -> None:
    """Print what we cost in units of what nobody can do without."""
    least = measure("bincount + argmax", size, 7).seconds
    table = Table(title=str(size), title_justify="left", header_style="bold")
    table.add_column("Method")
    for heading in ("CPU s", "In units of bincount + argmax", "Peak GB", "Of it data"):
        table.add_column(heading, justify="right")
    for name in ("bincount + argmax", "Crowdlab", "ActiveLab"):
        found = measure(name, size, 5)
        table.add_row(
            name,
            f"{found.seconds:.3f}",
            f"{found.seconds / least:.1f}",
            f"{found.peak_gb:.2f}",
            f"{found.base_gb:.2f}",
        )
    console.print(table)


def growth(console: Console, counts: tuple[int, ...]) -> None:
    """Print the exponent by which cost grows with the number of tasks."""
    table = Table(title="Growth with tasks", title_justify="left", header_style="bold")
    for heading in ("Tasks", "CPU s", "µs a task", "Exponent from the size before"):
        table.add_column(heading, justify="right")
    seconds: list[float] = []
    for count in counts:
        seconds.append(measure("Crowdlab", Size(count, 500, 10, (3, 5)), 5).seconds)
        exponent = "–"
        if len(seconds) > 1:
            ratio = count / counts[len(seconds) - 2]
            exponent = f"{np.log(seconds[-1] / seconds[-2]) / np.log(ratio):.2f}"
        cost = 1e6 * seconds[-1] / count
        table.add_row(f"{count:,}", f"{seconds[-1]:.4f}", f"{cost:.2f}", exponent)
    console.print(table)
    slope = np.polyfit(np.log(counts), np.log(seconds), 1)[0]
    console.print(f"Exponent over all sizes: {slope:.3f}", highlight=False)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--short", action="store_true", help="small sizes only: a minute")
    short = parser.parse_args().short
    console = Console(width=120)
    against_peers(console, SHORT_SIZES if short else SIZES)
    against_floor(console, Size(100_000, 500, 10, (5, 5)) if short else MILLION)
    growth(console, (10_000, 30_000, 100_000) if short else (10_000, 100_000, 1_000_000, 3_000_000))


if __name__ == "__main__":
    main()
