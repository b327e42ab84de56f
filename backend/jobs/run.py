"""Entry points of the jobs: what a worker calls, with arguments that JSON can hold."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from rq import get_current_job

from backend.errors import (
    CrowdlabError,
    NothingToComputeError,
    ProjectBusyError,
    ProjectNotFoundError,
)
from backend.jobs import pipeline, reannotate
from backend.jobs.queue import JobKind
from backend.logs import logged_as
from backend.service import Service
from backend.settings import load_settings
from backend.store.connection import connect_data

log = logging.getLogger(__name__)

_BUSY_SECONDS = 3


@cache
def _settings_service() -> Service:
    """Service that the worker's environment describes, with the worker's connection."""
    job = get_current_job()
    assert job is not None
    settings = load_settings()
    return Service(settings, job.connection, connect_data(settings))


def apply_events_job(project_id: int, name: str = "events") -> None:
    """Apply the project's inbox."""
    service = _settings_service()
    service.store(project_id).unmark_scheduled(name)
    with _noted(service, project_id, JobKind.EVENTS):
        pipeline.follow_events(service, project_id)


def send_changes_job(project_id: int, name: str = "write") -> None:
    """Bring the predictions of changed tasks into Label Studio."""
    service = _settings_service()
    service.store(project_id).unmark_scheduled(name)
    with _noted(service, project_id, JobKind.WRITE):
        pipeline.send_predictions(service, project_id)


def refresh_job(project_id: int, name: str) -> None:
    """Sync, recompute and write back the project, as a request of this name wants."""
    service = _settings_service()
    store = service.store(project_id)
    store.unmark_scheduled(name)
    is_full = name.endswith("full_refresh")
    with _noted(service, project_id, JobKind.REFRESH):
        try:
            pipeline.refresh(service, project_id, full_sync=is_full, is_scheduled=True)
        except ProjectBusyError as busy:
            log.info("project %s: tried again in a moment: %s", project_id, busy)
            service.queue.refresh(project_id, full_sync=is_full, delay=_BUSY_SECONDS)
        except ProjectNotFoundError as error:
            info = store.read_info()
            if info is not None and info.cursor:
                raise
            log.warning("project %s, known from events alone, is forgotten: %s", project_id, error)
            store.disconnect()


def recompute_job(project_id: int, name: str) -> None:
    """Recompute and write back the project from what is stored."""
    service = _settings_service()
    service.store(project_id).unmark_scheduled(name)
    with _noted(service, project_id, JobKind.REFRESH):
        try:
            pipeline.recompute(service, project_id, is_scheduled=True)
        except ProjectBusyError as busy:
            log.info("project %s: tried again in a moment: %s", project_id, busy)
            service.queue.recompute(project_id, delay=_BUSY_SECONDS)


def review_job(project_id: int, name: str = "review") -> None:
    """Ask for the labels that the automatic review of the project allows today."""
    service = _settings_service()
    service.store(project_id).unmark_scheduled(name)
    with _noted(service, project_id, JobKind.REFRESH):
        try:
            reannotate.review_automatically(service, project_id)
        except ProjectBusyError as busy:
            log.info("project %s: reviewed at the next look: %s", project_id, busy)


@contextmanager
def _noted(service: Service, project_id: int, kind: JobKind) -> Iterator[None]:
    """Keep why a job failed, for `crowdlab status`; the next reconcile tries again."""
    store = service.store(project_id)
    job = get_current_job()
    with logged_as(project=project_id, job=job.id if job else None):
        try:
            yield
        except NothingToComputeError as reason:
            log.info("project %s: %s", project_id, reason)
        except CrowdlabError as error:
            log.error("project %s: %s", project_id, error)
            service.metrics.count("job_failures_total", kind=kind.value)
            store.save_last_error(str(error))
            return
        except Exception as error:
            service.metrics.count("job_failures_total", kind=kind.value)
            store.save_last_error(
                f"Internal error ({type(error).__name__}); the worker's log has the details."
            )
            raise
        finally:
            if store.is_disconnected() and store.forget(only_disconnected=True):
                service.metrics.forget(project_id)
        if kind is JobKind.REFRESH:
            store.save_last_error("")


def reconcile_job() -> None:
    """Look for changes that no event told of, in every project.

    The next look is scheduled first, so that no failure ends the series.
    """
    service = _settings_service()
    service.queue.reconcile(service.settings.reconcile_seconds)
    ask_for_what_waits(service)
    for project_id in service.projects():
        info = service.store(project_id).read_info()
        if info is not None and info.is_gone:
            continue
        age = time.time() - info.fully_synced_at if info else 0.0
        is_due = age >= service.settings.full_sync_seconds
        service.queue.refresh(project_id, full_sync=is_due)
        if service.store(project_id).read_automatic_review() is not None:
            service.queue.review(project_id)


def ask_for_what_waits(service: Service) -> None:
    """Ask for the jobs that events and unsent predictions wait for.

    Usually that was done when they came; a process that is killed takes its job along.
    """
    for project_id in service.projects():
        store = service.store(project_id)
        if len(store.inbox):
            service.queue.apply_events(project_id)
        if store.num_unsent():
            service.queue.send_changes(project_id)
