"""The worker: runs jobs one after the other."""

from __future__ import annotations

import logging

from rq import SimpleWorker
from rq.serializers import JSONSerializer

from backend.jobs.queue import JobKind
from backend.service import Service

log = logging.getLogger(__name__)

_SCHEDULER_CHECK_SECONDS = 30
"""A scheduler that died with a lost connection to Redis is started again after this long."""

_HEARTBEAT_SECONDS = 45
"""A worker that shows no sign of life for longer, and a minute, is no worker."""


def run_worker(service: Service, *, only: JobKind | None = None, burst: bool = False) -> None:
    """Run jobs until the process is told to stop, or until none waits if `burst`.

    Jobs run in the worker's own process: its connections and access token are ready, so
    that an annotation's consensus follows at once. Any number of workers can run.
    """
    service.queue.reconcile(service.settings.reconcile_seconds)
    worker = SimpleWorker(
        service.queue.queues(only),
        connection=service.redis,
        serializer=JSONSerializer,
        worker_ttl=_HEARTBEAT_SECONDS,
        maintenance_interval=_SCHEDULER_CHECK_SECONDS,
    )
    level = "DEBUG" if service.settings.log_level == "DEBUG" else "WARNING"
    worker.work(burst=burst, with_scheduler=not burst, logging_level=level)
