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

from backend.store.cluster import DataRedis
from backend.store.project import ProjectStore


class JobKind(StrEnum):
    """Kinds of jobs, each with a queue of its own."""

    EVENTS = "events"
    """Short: follow what annotators save."""
    WRITE = "write"
    """Short: bring the predictions of changed tasks into Label Studio."""
    REFRESH = "refresh"
    """Long: sync, train, recompute, publish."""


_APPLY_EVENTS = "backend.jobs.run.apply_events_job"
_SEND_CHANGES = "backend.jobs.run.send_changes_job"
_REFRESH = "backend.jobs.run.refresh_job"
_RECOMPUTE = "backend.jobs.run.recompute_job"
_REVIEW = "backend.jobs.run.review_job"
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
    data
        Connection to what holds the projects' data, where it is noted which jobs are queued;
        None if that is `redis`.
    known_seconds
        How long a finished job is still known. Nobody asks for one, and there can be ten a
        second.
    """

    def __init__(
        self, redis: Redis, data: DataRedis | None = None, *, known_seconds: int = 10
    ) -> None:
        self._known_seconds = known_seconds
        self._data = redis if data is None else data
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

    def take_event(self, project_id: int, event: bytes | str) -> None:
        """Put an event into the project's inbox and ask for it to be applied."""
        store = ProjectStore(self._data, project_id)
        if store.receive_event(event, "events", _LOST_AFTER_SECONDS):
            self._enqueue(JobKind.EVENTS, _APPLY_EVENTS, project_id, "events")

    def apply_events(self, project_id: int, *, delay: float = 0) -> None:
        """Ask for the project's inbox to be applied, after `delay` seconds."""
        self._ask(JobKind.EVENTS, _APPLY_EVENTS, project_id, "events", delay)

    def send_changes(self, project_id: int, *, delay: float = 0) -> None:
        """Ask for the predictions of changed tasks to be sent, after `delay` seconds."""
        self._ask(JobKind.WRITE, _SEND_CHANGES, project_id, "write", delay)

    def refresh(self, project_id: int, *, full_sync: bool = False, delay: float = 0) -> None:
        """Ask for sync, full recompute and write-back of the project, after `delay` seconds."""
        kind = "full_refresh" if full_sync else "refresh"
        self._ask(JobKind.REFRESH, _REFRESH, project_id, kind, delay)

    def recompute(self, project_id: int, *, delay: float = 0) -> None:
        """Ask for full recompute and write-back of what is stored, after `delay` seconds."""
        self._ask(JobKind.REFRESH, _RECOMPUTE, project_id, "recompute", delay)

    def review(self, project_id: int) -> None:
        """Ask for the automatic review of the project."""
        self._ask(JobKind.REFRESH, _REVIEW, project_id, "review", 0)

    def _ask(self, kind: JobKind, function: str, project_id: int, name: str, delay: float) -> None:
        name = f"later_{name}" if delay else name
        if self._is_first(name, project_id, int(delay) + _LOST_AFTER_SECONDS):
            self._enqueue(kind, function, project_id, name, delay=delay)

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
        return ProjectStore(self._data, project_id).mark_scheduled(kind, seconds)

    def _enqueue(self, kind: JobKind, function: str, *arguments: Any, delay: float = 0) -> None:
        options: dict[str, Any] = {
            "result_ttl": self._known_seconds,
            "failure_ttl": 7 * 86_400,
        }
        queue = self._queues[kind]
        if delay:
            queue.enqueue_in(timedelta(seconds=delay), function, *arguments, **options)
        else:
            queue.enqueue(function, *arguments, **options)

    def num_workers(self, kind: JobKind) -> int:
        """Number of workers that take jobs of this kind."""
        workers = Worker.all(queue=self._queues[kind], serializer=JSONSerializer)
        return sum(_is_alive(worker) for worker in workers)

    def has_worker_here(self) -> bool:
        """Whether a worker of any kind runs on this machine."""
        return any(
            worker.hostname == socket.gethostname() and _is_alive(worker)
            for queue in self._queues.values()
            for worker in Worker.all(queue=queue, serializer=JSONSerializer)
        )

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
