"""A worker as a process of its own, on a Redis that loses its data."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis

from backend.jobs.queue import JobKind
from backend.processes import Processes, own_command
from backend.service import Service
from tests.backend.store.test_project import INFO


@pytest.fixture
def worker(redis: Redis, redis_url: str, tmp_path: Path) -> Iterator[Path]:
    """A worker for events, and the file that its log goes to."""
    log = tmp_path / "worker.log"
    with Processes() as processes:
        environment = {"REDIS_URL": redis_url, "CROWDLAB_RECONCILE_SECONDS": "5"}
        command = own_command("worker", "--only", "events")
        processes.start("worker", command, environment, log)
        yield log


def wait_for(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_worker_goes_on_after_redis_lost_its_data(
    worker: Path, redis: Redis, make_service: Callable[..., Service]
) -> None:
    service = make_service()
    wait_for(lambda: service.queue.num_workers(JobKind.EVENTS) == 1)
    wait_for(lambda: service.queue.queues(JobKind.REFRESH)[0].scheduled_job_registry.count)
    redis.flushall()
    assert service.queue.num_workers(JobKind.EVENTS) == 0
    wait_for(lambda: service.queue.num_workers(JobKind.EVENTS) == 1)
    assert service.queue.queues(JobKind.REFRESH)[0].scheduled_job_registry.count


def test_events_that_nobody_asked_to_apply_are_found_at_the_start(
    redis: Redis, redis_url: str, make_service: Callable[..., Service], tmp_path: Path
) -> None:
    """As after a worker was killed and took its job along."""
    service = make_service()
    store = service.store(25)

    store.touch(INFO)
    store.inbox.add('{"action": "PROJECT_UPDATED", "project": 25, "annotations": [], "ids": []}')
    with Processes() as processes:
        command = own_command("worker", "--only", "events")
        processes.start("worker", command, {"REDIS_URL": redis_url}, tmp_path / "worker.log")
        wait_for(lambda: not len(store.inbox))
