"""The way of a change: Label Studio → store → engine → store → Label Studio."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field, replace

from backend.errors import LabelStudioError, NothingToComputeError, SettingsError
from backend.jobs.events import EventsReport, apply_events
from backend.jobs.recompute import RecomputeReport, recompute_project
from backend.jobs.sync import SyncReport, sync_project
from backend.jobs.train import TrainedClassifiers, train_classifiers
from backend.jobs.write_back import WriteBackReport, remove_old_versions, write_back
from backend.label_studio.client import LabelStudioClient
from backend.label_studio.project_setup import set_up_tab
from backend.progress import Progress, silent
from backend.service import Service
from backend.store.project import ProjectStore

log = logging.getLogger(__name__)

_CHANGES_PER_LOCK = 25
"""Predictions that are changed while the project's lock is held: about two seconds."""

_LOCK_HANDOVER_SECONDS = 0.3
"""Longer than waiting for the lock takes to notice that it is free."""


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
    is_scheduled: bool = False,
    progress: Progress = silent,
) -> RefreshReport:
    """Sync, recompute with new classifiers and write back one project.

    Parameters
    ----------
    full_sync
        Pull everything.
    is_scheduled
        Nobody asked for it: publish no more often than the settings allow.

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
    recomputed, written = recompute(
        service, project_id, is_scheduled=is_scheduled, progress=progress
    )
    return RefreshReport(synced, recomputed, written)


def recompute(
    service: Service,
    project_id: int,
    *,
    is_scheduled: bool = False,
    progress: Progress = silent,
) -> tuple[RecomputeReport, WriteBackReport]:
    """Train classifiers if labels changed, recompute one project and write back.

    Training does not hold the project's lock, so that annotations saved meanwhile are
    followed at once.
    """
    store = service.store(project_id)
    trained = train_classifiers(store, folds=service.settings.folds, progress=progress)
    with store.lock():
        recomputed = _recompute_or_withdraw(service, store, trained)
    written = _write_back_in_bites(service, store, is_scheduled, progress)
    _show_first_version(service, store, written)
    deleted = remove_old_versions(store, service.label_studio, progress=progress)
    return recomputed, replace(written, deleted=written.deleted + deleted)


def _write_back_in_bites(
    service: Service, store: ProjectStore, is_scheduled: bool, progress: Progress
) -> WriteBackReport:
    """Write back, letting the events of annotators go first between two bites."""
    settings = service.settings
    publication = store.read_publication()
    may_publish = (
        not is_scheduled
        or publication is None
        or time.time() - publication.published_at >= settings.publish_seconds
    )
    # Where it may not publish, it changes the most different predictions and no more.
    left = None if may_publish else settings.amend_limit
    total: WriteBackReport | None = None
    while True:
        with store.lock():
            report = write_back(
                store,
                service.label_studio,
                amend_limit=settings.amend_limit,
                tolerance=settings.score_tolerance,
                at_most=_CHANGES_PER_LOCK if left is None else min(_CHANGES_PER_LOCK, left),
                may_publish=may_publish,
                progress=progress,
            )
        total = report if total is None else total.then(report)
        left = None if left is None else left - report.num_amended
        if not report.num_waiting or not report.num_amended or left == 0:
            return total
        if store.num_events():
            time.sleep(_LOCK_HANDOVER_SECONDS)


def _show_first_version(service: Service, store: ProjectStore, written: WriteBackReport) -> None:
    """Make the Data Manager tab when there is something to see in it for the first time."""
    publication = store.read_publication()
    if written.is_new_version and publication is not None and len(publication.history) == 1:
        set_up_tab(service.label_studio, store.project_id)


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
            written = write_back(store, client, only=report.sync.tasks)
            _show_first_version(service, store, written)
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
