import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dask
import numpy as np
import pytest
from distributed import LocalCluster
from redis import Redis

from backend.jobs import dask_cluster, labels
from backend.jobs.dask_cluster import DaskCluster
from backend.jobs.recompute import recompute_project
from backend.settings import load_settings
from backend.store.project import ProjectStore
from benchmarks.large import Size
from benchmarks.projects import fill_project

SIZE = Size(5_000, 20, 4, (1, 5))


@contextmanager
def cluster(folder: Path, num_workers: int, **environment: str) -> Iterator[LocalCluster]:
    with (
        dask.config.set({"temporary-directory": str(folder)}),
        LocalCluster(
            n_workers=num_workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            memory_limit=0,
            env=environment,
        ) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def scheduler(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a scheduler with two workers, which know Redis."""
    with cluster(tmp_path_factory.mktemp("dask"), 2, REDIS_URL=redis_url) as running:
        yield str(running.scheduler_address)


@pytest.fixture
def stores(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> tuple[ProjectStore, ProjectStore]:
    """Two projects of the same labels, in parts of a thousand tasks."""
    monkeypatch.setattr(labels, "BLOCKS_AT_ONCE", 1)
    both = ProjectStore(redis, 1), ProjectStore(redis, 2)
    for store in both:
        fill_project(store, SIZE)
    recompute_project(both[0])
    return both


def assert_same(stores: tuple[ProjectStore, ProjectStore]) -> None:
    here, there = stores
    for table in ("consensus", "label_quality"):
        ours, theirs = (getattr(store, table)(1).read() for store in (there, here))
        for name, values in theirs.items():
            np.testing.assert_allclose(ours[name], values, rtol=0, atol=1e-12, err_msg=name)
    one, other = here.read_summary(), there.read_summary()
    assert one is not None
    assert other is not None
    for name in ("num_labels", "num_labeled", "classes"):
        assert getattr(one.questions[0], name) == getattr(other.questions[0], name)
    ranked = (summary.questions[0].annotators for summary in (other, one))
    for row, expected in zip(*ranked, strict=True):
        assert row == pytest.approx(expected, abs=1e-12)
    ours, theirs = (store.read_statistics(0) for store in (there, here))
    assert ours is not None
    assert theirs is not None
    for name, values in theirs.items():
        np.testing.assert_allclose(ours[name], values, rtol=1e-12, err_msg=name)


def test_results_are_those_of_a_recompute_in_memory(
    stores: tuple[ProjectStore, ProjectStore],
    scheduler: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = []
    original = dask_cluster._estimator
    monkeypatch.setattr(dask_cluster, "_estimator", lambda: calls.append(1) or original())
    recompute_project(stores[1], dask=DaskCluster(scheduler, above_labels=1_000))
    assert calls == [1]
    assert_same(stores)
    left = stores[1].redis.keys("*partition*") + stores[1].redis.keys("*scores*")
    assert left == []


def test_small_questions_are_computed_here(
    stores: tuple[ProjectStore, ProjectStore], caplog: pytest.LogCaptureFixture
) -> None:
    # Nobody listens there; it is not asked.
    recompute_project(stores[1], dask=DaskCluster("tcp://127.0.0.1:9", above_labels=10**9))
    assert "Dask" not in caplog.text
    assert_same(stores)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_without_a_scheduler_it_is_computed_here(
    stores: tuple[ProjectStore, ProjectStore],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dask_cluster, "_CONNECT_SECONDS", 1.0)
    with caplog.at_level(logging.WARNING, logger=dask_cluster.__name__):
        recompute_project(stores[1], dask=DaskCluster("tcp://127.0.0.1:9", above_labels=0))
    assert "project 2: computing here, as Dask at tcp://127.0.0.1:9 failed" in caplog.text
    assert_same(stores)


def test_without_workers_it_is_computed_here(
    stores: tuple[ProjectStore, ProjectStore],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(dask_cluster, "_WORKERS_SECONDS", 1.0)
    with cluster(tmp_path, 0) as running:
        recompute_project(stores[1], dask=DaskCluster(running.scheduler_address, above_labels=0))
    assert "computing here, as Dask at" in caplog.text
    assert_same(stores)


def test_workers_that_do_not_know_redis(
    stores: tuple[ProjectStore, ProjectStore],
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    with cluster(tmp_path, 1) as running:
        recompute_project(stores[1], dask=DaskCluster(running.scheduler_address, above_labels=0))
    assert "This Dask worker does not know where Redis is" in caplog.text
    assert_same(stores)
    assert stores[1].redis.keys("*partition*") == []


def test_an_embedded_redis_is_not_for_workers(
    stores: tuple[ProjectStore, ProjectStore], caplog: pytest.LogCaptureFixture
) -> None:
    settings = load_settings(dask_scheduler="tcp://127.0.0.1:9", dask_above_labels=0)
    recompute_project(stores[1], dask=DaskCluster.of(settings))
    assert "set REDIS_URL" in caplog.text
    assert_same(stores)


def test_settings(redis_url: str) -> None:
    assert DaskCluster.of(load_settings()) is None
    settings = load_settings(redis_url=redis_url, dask_scheduler="tls://dask:8786")
    assert DaskCluster.of(settings) == DaskCluster("tls://dask:8786", 5_000_000)
