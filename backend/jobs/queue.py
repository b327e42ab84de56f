"""The queue of jobs, on RQ with JSON instead of pickle."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from redis import Redis
from rq import Queue
from rq.serializers import JSONSerializer
from rq.worker import BaseWorker, Worker

from backend.store.project import ProjectStore


class JobKind(StrEnum):
    """Kinds of jobs, each with a queue of its own."""

    EVENTS = "events"
    """Short: follow what annotators save."""
    REFRESH = "refresh"
    """Long: sync, train, recompute, publish."""


_APPLY_EVENTS = "backend.jobs.run.apply_events_job"
_REFRESH = "backend.jobs.run.refresh_job"
_RECONCILE = "backend.jobs.run.reconcile_job"

_JOB_SECONDS = 3600
_LOST_AFTER_SECONDS = 60


class JobQueue:
    """Asks workers for work, each kind once per project.

    A job that is queued and has not begun covers later requests for the same; a job that
    has begun does not, so nothing that happens while it runs is missed.

    Parameters
    ----------
    redis
        Connection that returns bytes.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._queues = {
            kind: Queue(
                f"crowdlab-{kind.value}",
                connection=redis,
                serializer=JSONSerializer,
                default_timeout=_JOB_SECONDS,
            )
            for kind in JobKind
        }

    def queues(self, only: JobKind | None = None) -> Sequence[Queue]:
        """RQ's queues, the more urgent first."""
        return [queue for kind, queue in self._queues.items() if only in (None, kind)]

    def apply_events(self, project_id: int) -> None:
        """Ask for the project's inbox to be applied."""
        if self._is_first("events", project_id, _LOST_AFTER_SECONDS):
            self._enqueue(JobKind.EVENTS, _APPLY_EVENTS, project_id)

    def refresh(self, project_id: int, *, full_sync: bool = False, delay: float = 0) -> None:
        """Ask for sync, full recompute and write-back of the project, after `delay` seconds."""
        kind = "full_refresh" if full_sync else "later_refresh" if delay else "refresh"
        if self._is_first(kind, project_id, int(delay) + _LOST_AFTER_SECONDS):
            self._enqueue(JobKind.REFRESH, _REFRESH, project_id, kind, delay=delay)

    def reconcile(self, every: int) -> None:
        """Make sure that the next look for changes is scheduled, one per `every` seconds."""
        slot = int(time.time() // every) + 1
        self._queues[JobKind.REFRESH].enqueue_at(
            datetime.fromtimestamp(slot * every, tz=UTC),
            _RECONCILE,
            job_id=f"reconcile-{slot}",
            result_ttl=every,
            failure_ttl=86_400,
        )

    def _is_first(self, kind: str, project_id: int, seconds: int) -> bool:
        return ProjectStore(self._redis, project_id).mark_scheduled(kind, seconds)

    def _enqueue(self, kind: JobKind, function: str, *arguments: Any, delay: float = 0) -> None:
        options: dict[str, Any] = {"result_ttl": 3600, "failure_ttl": 7 * 86_400}
        queue = self._queues[kind]
        if delay:
            queue.enqueue_in(timedelta(seconds=delay), function, *arguments, **options)
        else:
            queue.enqueue(function, *arguments, **options)

    def num_workers(self, kind: JobKind) -> int:
        """Number of workers that take jobs of this kind."""
        workers = Worker.all(queue=self._queues[kind], serializer=JSONSerializer)
        return sum(_is_alive(worker) for worker in workers)

    def num_waiting(self) -> int:
        """Number of jobs that wait for a worker."""
        return sum(queue.count for queue in self._queues.values())


def _is_alive(worker: BaseWorker) -> bool:
    """Whether a registered worker still runs, as far as can be seen from this machine."""
    if worker.hostname != socket.gethostname() or worker.pid is None:
        return True
    try:
        os.kill(worker.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
