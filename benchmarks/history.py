"""Time of the engine's main calls, to be compared from release to release.

    make benchmark-history

pytest-benchmark saves each run under .benchmarks/ and prints it beside the one before. The calls
and crowds are those of `benchmarks.speed`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.large import LargeCrowd, Size, draw
from benchmarks.speed import ours, ours_active, ours_majority
from crowdlab_engine import Fusion, MultiannotatorLabels, OnlineCrowdlab

SIZES = (Size(10_000, 100, 10, (3, 5)), Size(100_000, 200, 10, (3, 5)))


@pytest.fixture(scope="module", params=SIZES, ids=lambda size: f"{size.num_tasks:,} tasks")
def crowd(request: pytest.FixtureRequest) -> LargeCrowd:
    """A crowd drawn by a seed."""
    return draw(request.param)


@pytest.mark.parametrize("method", [ours, ours_active, ours_majority])
def test_calls(
    benchmark: BenchmarkFixture,
    crowd: LargeCrowd,
    method: Callable[[LargeCrowd], Callable[[], object]],
) -> None:
    """CROWDLAB, ActiveLab and the majority vote, labels given as codes."""
    benchmark(method(crowd))


def test_fusion(benchmark: BenchmarkFixture) -> None:
    """Fusion, which iterates, on the smaller crowd."""
    crowd = draw(SIZES[0])
    labels = MultiannotatorLabels.from_codes(crowd.task, crowd.annotator, crowd.label)
    benchmark(lambda: Fusion().fit(labels, crowd.pred_probs))


def test_one_label_more(benchmark: BenchmarkFixture) -> None:
    """One label that comes while people work, in a crowd of 10,000 tasks."""
    crowd = draw(SIZES[0])
    online = OnlineCrowdlab([str(code) for code in range(10)])
    for task, annotator, label in zip(crowd.task, crowd.annotator, crowd.label, strict=True):
        online.set_label(int(task), int(annotator), str(label))
    online.settle()
    random = np.random.default_rng(0)

    def change() -> None:
        task = int(random.integers(10_000))
        online.set_label(task, 0, str(random.integers(10)))
        online.consensus(task)

    benchmark(change)
