"""The way of a change: Label Studio → store → engine → store → Label Studio."""

from __future__ import annotations

import logging
import random
import time
from dataclasses import dataclass, field, replace

import numpy as np

from backend.errors import (
    LabelStudioError,
    NothingToComputeError,
    ProjectBusyError,
    ProjectNotFoundError,
    SettingsError,
)
from backend.jobs.dask_cluster import DaskCluster
from backend.jobs.describe import describe_files
from backend.jobs.events import EventsReport, apply_events
from backend.jobs.follow import follow_tasks
from backend.jobs.insights import store_insights
from backend.jobs.recompute import RecomputeReport, recompute_project
from backend.jobs.sync import SyncReport, sync_project
from backend.jobs.train import TrainedClassifiers, train_classifiers
from backend.jobs.write_back import (
    WriteBackReport,
    release_pin,
    remove_old_versions,
    roll_back,
    send_changes,
    write_back,
)
from backend.label_studio.client import LabelStudioClient
from backend.label_studio.project_setup import set_up_tab
from backend.progress import Progress, silent
from backend.service import Service
from backend.sources.shelf import refresh_borrowed
from backend.store.project import ProjectStore, Work

log = logging.getLogger(__name__)

_CHANGES_PER_LOCK = 25
"""Predictions that are changed while the lock of `Work.WRITE` is held: about two seconds."""

_LOCK_HANDOVER_SECONDS = 0.1
"""Longer than waiting for a lock takes to notice that it is free."""

_SEND_SECONDS = 20.0
"""How long one job sends changes before the next project has its turn."""

_DESCRIBE_SECONDS = 60.0
"""How long one job describes contents before the consensus has its turn."""

_RETRY_SECONDS = 5
_BUSY_SECONDS = 2.0
_LOOK_SECONDS = 1.0


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
        Nobody asked for it: publish no more often than the settings allow, and do not wait
        for another process that does the same.

    Raises
    ------
    CrowdlabError
        A step could not be done; what the steps before it did stays.
    """
    store = service.store(project_id)
    with store.lock(Work.REFRESH, wait=0 if is_scheduled else 600):
        kept = _Kept(store, progress)
        try:
            with service.metrics.timed("sync_seconds", project=project_id):
                synced = _sync(service, store, full_sync, kept)
            if full_sync or not is_scheduled:
                refresh_borrowed(service, store, kept)
            recomputed, written = _recompute_and_write(
                service,
                store,
                is_scheduled=is_scheduled,
                is_quiet=not synced.is_change,
                reason="recompute" if is_scheduled else "sync",
                progress=kept,
            )
        finally:
            store.forget_progress()
    return RefreshReport(synced, recomputed, written)


def recompute(
    service: Service,
    project_id: int,
    *,
    is_scheduled: bool = False,
    progress: Progress = silent,
) -> tuple[RecomputeReport, WriteBackReport]:
    """Train classifiers if labels changed, recompute one project and write back.

    Parameters
    ----------
    is_scheduled
        See `refresh`.
    """
    store = service.store(project_id)
    with store.lock(Work.REFRESH, wait=0 if is_scheduled else 600):
        kept = _Kept(store, progress)
        try:
            return _recompute_and_write(
                service, store, reason="recompute", is_scheduled=is_scheduled, progress=kept
            )
        finally:
            store.forget_progress()


class _Kept:
    """Progress that those who watch the project from elsewhere see as well."""

    def __init__(self, store: ProjectStore, shown: Progress) -> None:
        self._store = store
        self._shown = shown
        self._next = 0.0

    def __call__(self, step: str, done: int, total: int | None) -> None:
        self._shown(step, done, total)
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _LOOK_SECONDS
            self._store.save_progress(step, done, total)


def _sync(service: Service, store: ProjectStore, full: bool, progress: Progress) -> SyncReport:
    try:
        return sync_project(
            store,
            service.label_studio,
            full=full,
            page_size=service.settings.page_size,
            number_keys=service.settings.number_key_list,
            pred_probs_key=service.settings.pred_probs_key,
            progress=progress,
        )
    except ProjectNotFoundError:
        with store.lock():
            info = store.read_info()
            if info is not None and not info.is_gone:
                store.touch(info, is_gone=True)
        raise


def _recompute_and_write(
    service: Service,
    store: ProjectStore,
    *,
    reason: str,
    is_scheduled: bool = False,
    is_quiet: bool = False,
    progress: Progress = silent,
) -> tuple[RecomputeReport, WriteBackReport]:
    _describe(service, store, is_scheduled=is_scheduled, progress=progress)
    trained = train_classifiers(
        store,
        folds=service.settings.folds,
        seconds=service.settings.training_seconds,
        models=service.models,
        is_busy=is_scheduled and not is_quiet,
        progress=progress,
    )
    with service.metrics.timed("recompute_seconds", project=store.project_id):
        recomputed = _recompute_or_withdraw(service, store, trained, progress)
    is_exact = not is_scheduled or (is_quiet and recomputed.is_skipped)
    written = _write_back_in_bites(
        service, store, is_scheduled=is_scheduled, is_exact=is_exact, reason=reason, show=progress
    )
    _show_first_version(service, store, written)
    deleted = 0
    if not written.is_pinned or written.is_new_version:
        deleted = remove_old_versions(store, service.label_studio, progress=progress)
    return recomputed, replace(written, deleted=written.deleted + deleted)


def _describe(
    service: Service, store: ProjectStore, *, is_scheduled: bool, progress: Progress
) -> None:
    """Describe contents of new tasks; those that take too long follow by another job.

    Labels count without them, so no failure stops what comes after.
    """
    try:
        report = describe_files(
            store,
            service.label_studio,
            service.content_fetcher(),
            models=service.models,
            seconds=_DESCRIBE_SECONDS if is_scheduled else None,
            progress=progress,
        )
    except (SettingsError, LabelStudioError) as error:
        log.warning("project %s: images and sounds follow later: %s", store.project_id, error)
        return
    if report.num_waiting and report.num_described:
        service.queue.recompute(store.project_id, delay=_RETRY_SECONDS)


def _write_back_in_bites(
    service: Service,
    store: ProjectStore,
    *,
    is_scheduled: bool,
    is_exact: bool,
    reason: str,
    show: Progress,
) -> WriteBackReport:
    """Write back, letting the changes of annotators go first between two bites."""
    settings = service.settings
    publication = store.read_publication()
    may_publish = (
        not is_scheduled
        or publication is None
        or time.time() - publication.published_at >= settings.publish_seconds
    )
    if publication is not None and not may_publish and store.num_unsent():
        # People are labelling: what they change goes first, the rest can wait.
        return WriteBackReport(publication.model_version, publication.num_predictions)
    # Where it may not publish, it changes the most different predictions and no more.
    left = None if may_publish else settings.amend_limit
    total: WriteBackReport | None = None
    while True:
        began = time.monotonic()
        with store.lock(Work.WRITE):
            report = write_back(
                store,
                service.label_studio,
                amend_limit=settings.amend_limit,
                tolerance=0.0 if is_exact else settings.score_tolerance,
                at_most=_CHANGES_PER_LOCK if left is None else min(_CHANGES_PER_LOCK, left),
                may_publish=may_publish,
                keep_versions=settings.keep_versions,
                reason=reason,
                progress=show,
            )
        service.metrics.observe(
            "publish_seconds" if report.is_new_version else "amend_seconds",
            time.monotonic() - began,
            project=store.project_id,
        )
        service.metrics.count(
            "predictions_written_total",
            project=store.project_id,
            amount=report.created + report.changed,
        )
        total = report if total is None else total.then(report)
        left = None if left is None else left - report.num_amended
        if not report.num_waiting or not report.num_amended or left == 0:
            return total
        if store.num_unsent():
            if is_scheduled:
                return total
            time.sleep(_LOCK_HANDOVER_SECONDS)


def _show_first_version(service: Service, store: ProjectStore, written: WriteBackReport) -> None:
    """Make the Data Manager tab when there is something to see in it for the first time."""
    if written.is_new_version and len(store.model_versions()) == 1:
        set_up_tab(service.label_studio, store.project_id)


def _recompute_or_withdraw(
    service: Service,
    store: ProjectStore,
    trained: TrainedClassifiers | None = None,
    progress: Progress = silent,
) -> RecomputeReport:
    """Recompute; if nothing is left to compute, withdraw what was published."""
    try:
        recomputed = recompute_project(
            store, trained, service.settings.method, progress, DaskCluster.of(service.settings)
        )
        store_insights(store, progress)
    except NothingToComputeError:
        if store.read_publication() is not None:
            with store.lock(Work.WRITE):
                write_back(store, service.label_studio)
        raise
    return recomputed


def follow_events(service: Service, project_id: int) -> EventsReport:
    """Apply the inbox and bring the consensus of the changed tasks up to date.

    Their predictions follow by a job of their own, and what else changed by it (weights,
    other tasks' scores) is exact after the refresh that this asks for.
    """
    store = service.store(project_id)
    with store.lock():
        report = apply_events(store, _client_if_any(service))
        if report.is_retry or report.sync.tasks:
            _follow(service, store, report)
        store.inbox.acknowledge(report.entries)
    _measure(service, project_id, report)
    if store.num_unsent():
        service.queue.send_changes(project_id)
    if report.needs_sync:
        service.queue.refresh(project_id)
    elif report.has_newcomers:
        service.queue.refresh(project_id, delay=service.settings.recompute_delay_seconds)
    elif report.sync.is_change or report.needs_recompute:
        # Label Studio is not asked again for what its events have told.
        service.queue.recompute(project_id, delay=service.settings.recompute_delay_seconds)
    if len(store.inbox):
        service.queue.apply_events(project_id, delay=_RETRY_SECONDS if report.num_failed else 0)
    return report


def _follow(service: Service, store: ProjectStore, report: EventsReport) -> None:
    """Bring changed labels into the consensus."""
    info, summary = store.read_info(), store.read_summary()
    if info is None or store.read_pull() is not None:
        return  # what is being pulled is computed when it is complete
    tasks = np.asarray(sorted(report.sync.tasks), dtype=np.int64)
    if report.is_retry and summary is not None:
        # What an earlier try stored and had no time to follow.
        tasks = np.union1d(tasks, store.changed_since(summary.data_version))
    since = min((entry.received_at for entry in report.entries), default=None)
    try:
        if service.settings.method != "crowdlab" or not follow_tasks(store, info, tasks):
            recompute_project(
                store, None, service.settings.method, dask=DaskCluster.of(service.settings)
            )
    except NothingToComputeError as reason:
        log.info("project %s: %s", store.project_id, reason)
    with store.transaction() as changes:
        store.stage_unsent(changes, tasks.tolist(), since)


def _measure(service: Service, project_id: int, report: EventsReport) -> None:
    metrics = service.metrics
    now = time.time()
    for entry in report.entries[:: max(1, len(report.entries) // 20)]:
        metrics.observe("event_lag_seconds", now - entry.received_at, project=project_id)
    if report.entries:
        metrics.count("events_total", project=project_id, amount=len(report.entries))
    if report.num_buried:
        metrics.count("dead_letters_total", project=project_id, amount=report.num_buried)


def send_predictions(service: Service, project_id: int) -> int:
    """Bring the predictions of changed tasks into Label Studio; returns their number.

    What Label Studio does not take now is tried again later.
    """
    store = service.store(project_id)
    sent = 0
    deadline = time.monotonic() + _SEND_SECONDS
    try:
        publication = store.read_publication()
        if publication is None or not publication.num_predictions:
            return _send_first(service, store)
        while store.num_unsent() and time.monotonic() < deadline:
            began = time.monotonic()
            with store.lock(Work.WRITE, wait=_BUSY_SECONDS):
                moments = send_changes(store, service.label_studio, _CHANGES_PER_LOCK)
            service.metrics.observe("amend_seconds", time.monotonic() - began, project=project_id)
            service.metrics.count(
                "predictions_written_total", project=project_id, amount=len(moments)
            )
            now = time.time()
            for moment in moments.values():
                service.metrics.observe("visible_lag_seconds", now - moment, project=project_id)
            sent += len(moments)
    except ProjectBusyError:
        service.queue.send_changes(project_id, delay=1)
    except LabelStudioError as error:
        # The store is right; the predictions wait.
        log.warning("project %s: predictions follow later: %s", project_id, error)
        # Not all projects at the same moment.
        delay = _RETRY_SECONDS * random.uniform(0.5, 1.5)  # noqa: S311
        service.queue.send_changes(project_id, delay=delay)
    else:
        if store.num_unsent():
            service.queue.send_changes(project_id)
    return sent


def _send_first(service: Service, store: ProjectStore) -> int:
    """Publish the first consensus of a project as soon as there is one."""
    with store.lock(Work.WRITE, wait=_BUSY_SECONDS):
        store.forget_unsent()
        written = write_back(store, service.label_studio, reason="first labels")
    _show_first_version(service, store, written)
    return written.created


def roll_back_project(
    service: Service, project_id: int, version: str, *, progress: Progress = silent
) -> WriteBackReport:
    """Show again what a replaced model version said, until `undo_rollback`.

    Raises
    ------
    UnknownVersionError
        It is not known any more what the version said.
    LabelStudioError
        Label Studio does not take the predictions; what it showed is unchanged.
    """
    store = service.store(project_id)
    keep = service.settings.keep_versions
    with store.lock(Work.WRITE):
        report = roll_back(
            store, service.label_studio, version, keep_versions=keep, progress=progress
        )
    remove_old_versions(store, service.label_studio, progress=progress)
    return report


def undo_rollback(
    service: Service, project_id: int, *, progress: Progress = silent
) -> WriteBackReport:
    """Publish the present consensus again, and let predictions follow it."""
    store = service.store(project_id)
    with store.lock(Work.REFRESH):
        with store.lock(Work.WRITE):
            release_pin(store)
        _, written = _recompute_and_write(service, store, reason="undo rollback", progress=progress)
    return written


def _client_if_any(service: Service) -> LabelStudioClient | None:
    try:
        return service.label_studio
    except (SettingsError, LabelStudioError) as error:
        log.warning("working without Label Studio: %s", error)
        return None
