"""The way of a change: Label Studio → store → engine → store → Label Studio."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from backend.errors import LabelStudioError, NothingToComputeError, SettingsError
from backend.jobs.events import EventsReport, apply_events
from backend.jobs.recompute import RecomputeReport, recompute_project
from backend.jobs.sync import SyncReport, sync_project
from backend.jobs.train import TrainedClassifiers, train_classifiers
from backend.jobs.write_back import WriteBackReport, write_back
from backend.label_studio.client import LabelStudioClient
from backend.progress import Progress, silent
from backend.service import Service
from backend.store.project import ProjectStore

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RefreshReport:
    """What a refresh changed, step by step."""

    sync: SyncReport = field(default_factory=SyncReport)
    recompute: RecomputeReport = field(default_factory=RecomputeReport)
    write_back: WriteBackReport = field(default_factory=lambda: WriteBackReport("", 0))


def refresh(
    service: Service,
    project_id: int,
    *,
    full_sync: bool = False,
    progress: Progress = silent,
) -> RefreshReport:
    """Sync, recompute with new classifiers and write back one project.

    Raises
    ------
    CrowdlabError
        A step could not be done; what the steps before it did stays.
    """
    store = service.store(project_id)
    with store.lock():
        synced = sync_project(
            store,
            service.label_studio,
            full=full_sync,
            page_size=service.settings.page_size,
            progress=progress,
        )
    recomputed, written = recompute(service, project_id, progress=progress)
    return RefreshReport(synced, recomputed, written)


def recompute(
    service: Service, project_id: int, *, progress: Progress = silent
) -> tuple[RecomputeReport, WriteBackReport]:
    """Train classifiers if labels changed, recompute one project and write back.

    Training does not hold the project's lock, so that annotations saved meanwhile are
    followed at once.
    """
    store = service.store(project_id)
    trained = train_classifiers(store, folds=service.settings.folds, progress=progress)
    with store.lock():
        recomputed = _recompute_or_withdraw(service, store, trained)
        written = write_back(
            store,
            service.label_studio,
            amend_limit=service.settings.amend_limit,
            progress=progress,
        )
    return recomputed, written


def _recompute_or_withdraw(
    service: Service, store: ProjectStore, trained: TrainedClassifiers | None = None
) -> RecomputeReport:
    """Recompute; if nothing is left to compute, withdraw what was published."""
    try:
        return recompute_project(store, trained, service.settings.method)
    except NothingToComputeError:
        if store.read_publication() is not None:
            write_back(store, service.label_studio)
        raise


def follow_events(service: Service, project_id: int) -> EventsReport:
    """Apply the inbox, recompute with the present classifier, amend the changed tasks.

    What else changed by it (weights, other tasks' scores) is exact after the refresh that
    this asks for.
    """
    store = service.store(project_id)
    client = _client_if_any(service)
    with store.lock():
        report = apply_events(store, client)
        if report.sync.tasks:
            _follow(service, project_id, report, client)
    if not report.num_events:
        return report
    if report.sync.is_change or report.needs_sync or report.needs_recompute:
        delay = 0 if report.needs_sync else service.settings.recompute_delay_seconds
        service.queue.refresh(project_id, delay=delay)
    if store.num_events():
        service.queue.apply_events(project_id)
    return report


def _follow(
    service: Service, project_id: int, report: EventsReport, client: LabelStudioClient | None
) -> None:
    """Bring changed labels into consensus and predictions, as far as that goes at once."""
    store = service.store(project_id)
    try:
        _recompute_or_withdraw(service, store)
        if client is not None:
            write_back(
                store, client, amend_limit=service.settings.amend_limit, only=report.sync.tasks
            )
    except NothingToComputeError as reason:
        log.info("project %s: %s", project_id, reason)
    except LabelStudioError as error:
        # The store is right; the refresh that follows brings it into Label Studio.
        log.warning("project %s: predictions follow later: %s", project_id, error)


def _client_if_any(service: Service) -> LabelStudioClient | None:
    try:
        return service.label_studio
    except (SettingsError, LabelStudioError) as error:
        log.warning("working without Label Studio: %s", error)
        return None
