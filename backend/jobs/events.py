"""Apply the webhook events of the inbox to the store."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from redis.exceptions import RedisError

from backend.errors import CrowdlabError, LabelStudioError
from backend.features.extract import sources_of, width_of
from backend.jobs.sync import SyncReport, annotation_rows, pull_tasks, replace_tasks
from backend.label_studio.annotations import Annotation, read_annotation
from backend.label_studio.client import LabelStudioClient
from backend.label_studio.controls import parse_config
from backend.label_studio.events import Effect, WebhookEvent
from backend.store.project import ProjectInfo, ProjectStore
from backend.store.tables import select

log = logging.getLogger(__name__)

_EVENTS_AT_ONCE = 2000
_TASKS_TO_PULL = 1000
"""Beyond this many new tasks, an incremental sync finds them instead."""


@dataclass(frozen=True)
class EventsReport:
    """What the events of the inbox changed."""

    num_events: int = 0
    sync: SyncReport = field(default_factory=SyncReport)
    needs_sync: bool = False
    """Something happened that only a look into Label Studio can tell."""
    needs_recompute: bool = False


def apply_events(store: ProjectStore, client: LabelStudioClient | None) -> EventsReport:
    """Apply the oldest events of the inbox and remove them from it.

    What an event carries is applied as it is, so that consensus follows without a look
    into Label Studio; tasks that are not known yet are pulled if Label Studio answers.
    Applying an event twice, or an older one after a newer, changes nothing. The caller
    holds the project's lock.

    Parameters
    ----------
    client
        Connection to Label Studio; None if there is none.
    """
    entries = store.events(_EVENTS_AT_ONCE)
    if not entries:
        return EventsReport()
    try:
        report = _apply_entries(store, client, entries)
    except (RedisError, CrowdlabError):
        raise
    except Exception:
        if len(entries) > 1:
            log.exception("project %s: events are applied one by one", store.project_id)
        report = _apply_one_by_one(store, client, entries)
    log.info("project %s: %s events: %s", store.project_id, report.num_events, report.sync)
    return report


Entries = Sequence[tuple[bytes, bytes]]
"""Entry ids of the inbox, and events."""


def _apply_entries(
    store: ProjectStore, client: LabelStudioClient | None, entries: Entries
) -> EventsReport:
    events = [WebhookEvent.from_json(stored) for _, stored in entries]
    info = store.read_info() or _introduce(store, events)
    if info is None:
        report = EventsReport(num_events=len(events), needs_sync=True)
    else:
        report = _apply(store, client, info, events)
    store.remove_events([entry for entry, _ in entries])
    return report


def _apply_one_by_one(
    store: ProjectStore, client: LabelStudioClient | None, entries: Entries
) -> EventsReport:
    """Apply events each by itself, so that one that cannot be applied stops no other.

    It is kept among the dead letters; a sync finds what it told.
    """
    total = EventsReport()
    for entry, event in entries:
        try:
            report = _apply_entries(store, client, [(entry, event)])
        except (RedisError, CrowdlabError):
            raise
        except Exception as error:
            log.exception("project %s: an event cannot be applied", store.project_id)
            store.bury_event(entry, event, f"{type(error).__name__}: {error}"[:500])
            report = EventsReport(num_events=1, needs_sync=True)
        total = EventsReport(
            total.num_events + report.num_events,
            total.sync + report.sync,
            total.needs_sync or report.needs_sync,
            total.needs_recompute or report.needs_recompute,
        )
    return total


def _introduce(store: ProjectStore, events: Sequence[WebhookEvent]) -> ProjectInfo | None:
    """Make a project known from what its events tell; a full sync has to follow."""
    newest = next((event for event in reversed(events) if event.label_config), None)
    questions = parse_config(newest.label_config).questions if newest else ()
    if newest is None or not questions:
        return None
    info = ProjectInfo(
        title=newest.title,
        label_config=newest.label_config,
        questions=questions,
        feature_width=width_of(sources_of(questions)),
    )
    with store.transaction() as pipe:
        store.stage_info(pipe, info)
    return info


def _apply(
    store: ProjectStore,
    client: LabelStudioClient | None,
    info: ProjectInfo,
    events: Sequence[WebhookEvent],
) -> EventsReport:
    saved: dict[int, Annotation] = {}
    deleted_annotations: set[int] = set()
    deleted_tasks: set[int] = set()
    unknown_tasks: set[int] = set()
    needs_sync = not info.cursor
    needs_recompute = False
    for event in events:
        match event.effect:
            case Effect.SAVE_ANNOTATIONS:
                for annotation in _annotations_of(event, info):
                    earlier = saved.get(annotation.id)
                    if earlier is None or earlier.updated_at <= annotation.updated_at:
                        saved[annotation.id] = annotation
            case Effect.DELETE_ANNOTATIONS:
                deleted_annotations.update(event.ids)
            case Effect.PULL_TASKS:
                unknown_tasks.update(event.ids)
            case Effect.DELETE_TASKS:
                deleted_tasks.update(event.ids)
            case Effect.CHECK_PROJECT:
                needs_sync |= event.label_config != info.label_config
            case Effect.RECOMPUTE:
                needs_recompute = True
            case Effect.NOTHING:
                log.info("project %s: ignored event %s", store.project_id, event.action)
    for gone in deleted_annotations:
        saved.pop(gone, None)
    saved = {key: one for key, one in saved.items() if one.task not in deleted_tasks}
    named = {one.task for one in saved.values()}
    known = set(store.tasks.read(sorted(named))["task"].tolist())
    unknown_tasks = (unknown_tasks | (named - known)) - deleted_tasks
    report = _save(store, info, list(saved.values()), deleted_annotations)
    if deleted_tasks:
        report += _forget_tasks(store, store.read_info() or info, deleted_tasks)
    if unknown_tasks:
        pulled, is_complete = _pull(store, client, unknown_tasks)
        report += pulled
        needs_sync |= not is_complete
    return EventsReport(len(events), report, needs_sync, needs_recompute)


def _annotations_of(event: WebhookEvent, info: ProjectInfo) -> Iterable[Annotation]:
    for raw in event.annotations:
        try:
            annotation = read_annotation(raw, info.questions)
        except ValueError as error:
            log.warning("project %s: ignored an annotation: %s", event.project, error)
            continue
        if annotation is not None:
            yield annotation


def _save(
    store: ProjectStore,
    info: ProjectInfo,
    saved: Sequence[Annotation],
    deleted: set[int],
) -> SyncReport:
    """Add, change and delete annotations; features stay as they are."""
    table = store.annotations(len(info.questions))
    new = annotation_rows(saved, len(info.questions))
    touched = new["task"]
    if deleted:
        # A deletion names no task, so it is looked up among all annotations.
        rows = table.read()
        touched = np.union1d(touched, rows["task"][np.isin(rows["annotation"], sorted(deleted))])
    touched = np.unique(touched)
    old = table.read(touched)
    _, in_new, in_old = np.intersect1d(new["annotation"], old["annotation"], return_indices=True)
    is_current = np.ones(len(new["annotation"]), dtype=bool)
    is_current[in_new] = new["updated_at"][in_new] >= old["updated_at"][in_old]
    new = select(new, is_current)
    is_replaced = np.isin(old["annotation"], [*new["annotation"].tolist(), *deleted])
    kept = select(old, ~is_replaced)
    annotations = {name: np.concatenate([kept[name], new[name]]) for name in kept}
    tasks = store.tasks.read(touched)
    added = np.setdiff1d(touched, tasks["task"])
    tasks = {
        "task": np.concatenate([tasks["task"], added]),
        "content": np.concatenate([tasks["content"], added.astype(np.uint64)]),
    }
    return replace_tasks(store, info, touched, tasks, annotations, None)


def _forget_tasks(store: ProjectStore, info: ProjectInfo, deleted: set[int]) -> SyncReport:
    """Forget deleted tasks with their annotations and features."""
    gone = np.asarray(sorted(deleted), dtype=np.int64)
    nothing = select(store.tasks.read(gone), slice(0))
    annotations = select(store.annotations(len(info.questions)).read(gone), slice(0))
    features = select(store.features.read(gone), slice(0))
    return replace_tasks(store, info, gone, nothing, annotations, features)


def _pull(
    store: ProjectStore, client: LabelStudioClient | None, tasks: set[int]
) -> tuple[SyncReport, bool]:
    """Pull tasks that are not known yet; False if that is left to a sync."""
    info = store.read_info()
    if client is None or info is None or len(tasks) > _TASKS_TO_PULL:
        return SyncReport(), False
    try:
        return pull_tasks(store, client, info, tasks), True
    except LabelStudioError as error:
        log.warning("project %s: new tasks are pulled later: %s", store.project_id, error)
        return SyncReport(), False
