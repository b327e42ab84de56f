"""The worker: runs jobs one after the other."""

from __future__ import annotations

import os
from typing import Any

from rq import SimpleWorker
from rq.serializers import JSONSerializer

from backend.jobs.queue import JobKind
from backend.jobs.run import ask_for_what_waits
from backend.service import Service

_CHECK_SECONDS = 10
"""A scheduler that died with a lost connection to Redis is started again after this long, and
what Redis has lost of the worker and of the jobs is put back."""

_HEARTBEAT_SECONDS = 45
"""A worker that shows no sign of life for longer, and a minute, is no worker."""

_NICENESS = {JobKind.EVENTS: 10, JobKind.WRITE: 10, JobKind.REFRESH: 19}
"""How far workers stand back where processors are short: Label Studio waits for the web
application, and annotators for the consensus of what they saved; nobody waits for the rest."""


def run_worker(service: Service, *, only: JobKind | None = None, burst: bool = False) -> None:
    """Run jobs until the process is told to stop, or until none waits if `burst`.

    Jobs run in the worker's own process: its connections and access token are ready, so
    that an annotation's consensus follows at once. Any number of workers can run.
    """
    worker = _Worker(service, only)
    level = "DEBUG" if service.settings.log_level == "DEBUG" else "WARNING"
    worker.work(burst=burst, with_scheduler=not burst, logging_level=level)


def stand_back(only: JobKind | None) -> None:
    """Let more urgent processes go first, for as long as this one lives."""
    os.nice(_NICENESS[only or JobKind.EVENTS])


class _Worker(SimpleWorker):
    """A worker that survives the loss of all that Redis holds."""

    def __init__(self, service: Service, only: JobKind | None) -> None:
        super().__init__(
            service.queue.queues(only),
            connection=service.redis,
            serializer=JSONSerializer,
            worker_ttl=_HEARTBEAT_SECONDS,
            maintenance_interval=_CHECK_SECONDS,
        )
        self._service = service

    def run_maintenance_tasks(self) -> Any:
        """Do what RQ does, and see that the looks for changes go on."""
        if not self.connection.hexists(self.key, "birth"):
            self.connection.delete(self.key)
            self.register_birth()  # type: ignore[no-untyped-call]
        self._service.queue.reconcile(self._service.settings.reconcile_seconds)
        ask_for_what_waits(self._service)
        return super().run_maintenance_tasks()  # type: ignore[no-untyped-call]
