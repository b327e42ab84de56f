"""The queue of jobs."""

import json
import subprocess
import sys
import time
import zlib

from redis import Redis
from rq import SimpleWorker
from rq.serializers import JSONSerializer

from backend.jobs.queue import JobKind, JobQueue
from backend.store.project import ProjectStore


def test_each_kind_of_job_waits_once_per_project(redis: Redis) -> None:
    queue = JobQueue(redis)
    for _ in range(3):
        queue.apply_events(1)
        queue.refresh(1)
        queue.refresh(1, full_sync=True)
        queue.refresh(1, delay=9)
        queue.apply_events(2)
    assert queue.num_waiting() == 4
    assert queue.queues(JobKind.REFRESH)[0].scheduled_job_registry.count == 1


def test_a_job_that_has_begun_does_not_cover_what_follows(redis: Redis) -> None:
    queue = JobQueue(redis)
    queue.apply_events(1)
    ProjectStore(redis, 1).unmark_scheduled("events")
    queue.apply_events(1)
    assert queue.num_waiting() == 2


def test_reconciling_is_scheduled_once_per_slot(redis: Redis) -> None:
    queue = JobQueue(redis)
    for _ in range(3):
        queue.reconcile(3600)
    registry = queue.queues(JobKind.REFRESH)[0].scheduled_job_registry
    (job,) = registry.get_job_ids()
    wait = registry.get_scheduled_time(job).timestamp() - time.time()
    assert 0 < wait <= 3600


def test_nothing_in_redis_is_pickled(redis: Redis) -> None:
    queue = JobQueue(redis)
    queue.apply_events(1)
    queue.refresh(1, delay=9)
    jobs = list(redis.scan_iter("rq:job:*"))
    assert len(jobs) == 2
    for key in jobs:
        stored = redis.hget(key, "data")
        function, _, arguments, _ = json.loads(zlib.decompress(stored))
        assert function.startswith("backend.jobs.run.")
        assert arguments[0] == 1


def test_without_workers_none_are_counted(redis: Redis) -> None:
    assert [JobQueue(redis).num_workers(kind) for kind in JobKind] == [0, 0, 0]


def test_a_worker_that_was_killed_is_not_counted(redis: Redis) -> None:
    queue = JobQueue(redis)
    running = SimpleWorker(
        queue.queues(JobKind.EVENTS), connection=redis, serializer=JSONSerializer
    )
    running.register_birth()
    assert queue.num_workers(JobKind.EVENTS) == 1
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    redis.hset(running.key, "pid", ended.pid)
    assert queue.num_workers(JobKind.EVENTS) == 0
    redis.hset(running.key, "hostname", "another machine")
    assert queue.num_workers(JobKind.EVENTS) == 1
    running.register_death()
