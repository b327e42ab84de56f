"""Entry points of the jobs: what a worker calls, with arguments that JSON can hold."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from rq import get_current_job

from backend.errors import CrowdlabError, NothingToComputeError, ProjectNotFoundError
from backend.jobs import pipeline
from backend.service import Service
from backend.settings import load_settings

log = logging.getLogger(__name__)


@cache
def _settings_service() -> Service:
    """Service that the worker's environment describes, with the worker's connection."""
    job = get_current_job()
    assert job is not None
    return Service(load_settings(), job.connection)


def apply_events_job(project_id: int) -> None:
    """Apply the project's inbox."""
    service = _settings_service()
    service.store(project_id).unmark_scheduled("events")
    with _failures_noted(service, project_id):
        pipeline.follow_events(service, project_id)


def refresh_job(project_id: int, kind: str) -> None:
    """Sync, recompute and write back the project, as a request of this kind wants."""
    service = _settings_service()
    store = service.store(project_id)
    store.unmark_scheduled(kind)
    with _failures_noted(service, project_id):
        try:
            is_full = kind == "full_refresh"
            pipeline.refresh(service, project_id, full_sync=is_full, is_scheduled=True)
        except ProjectNotFoundError as error:
            info = store.read_info()
            if info is not None and info.cursor:
                raise
            log.warning("project %s, known from events alone, is forgotten: %s", project_id, error)
            store.forget()


@contextmanager
def _failures_noted(service: Service, project_id: int) -> Iterator[None]:
    """Keep why a job failed, for `crowdlab status`; the next reconcile tries again."""
    store = service.store(project_id)
    try:
        yield
    except NothingToComputeError as reason:
        log.info("project %s: %s", project_id, reason)
    except CrowdlabError as error:
        log.error("project %s: %s", project_id, error)
        store.save_last_error(str(error))
        return
    except Exception as error:
        store.save_last_error(
            f"Internal error ({type(error).__name__}); the worker's log has the details."
        )
        raise
    store.save_last_error("")


def reconcile_job() -> None:
    """Look for changes that no event told of, in every project.

    The next look is scheduled first, so that no failure ends the series.
    """
    service = _settings_service()
    service.queue.reconcile(service.settings.reconcile_seconds)
    for project_id in service.projects():
        store = service.store(project_id)
        if store.num_events():
            service.queue.apply_events(project_id)
        info = store.read_info()
        age = time.time() - info.fully_synced_at if info else 0.0
        is_due = age >= service.settings.full_sync_seconds
        service.queue.refresh(project_id, full_sync=is_due)
