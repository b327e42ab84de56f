"""Apply the webhook events of the inbox to the store."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import numpy as np
from redis.exceptions import RedisError

from backend.errors import CrowdlabError, LabelStudioError
from backend.features.extract import sources_of, width_of
from backend.jobs.sync import (
    SyncReport,
    annotation_rows,
    forget_tasks,
    pull_tasks,
    replace_tasks,
)
from backend.jobs.vocabulary import NoConsensusError, give_up, grown
from backend.label_studio.annotations import Annotation, read_annotation
from backend.label_studio.client import LabelStudioClient
from backend.label_studio.controls import parse_config
from backend.label_studio.events import Effect, WebhookEvent
from backend.store.inbox import MOST_TRIES, Entry
from backend.store.project import ProjectInfo, ProjectStore
from backend.store.tables import select

log = logging.getLogger(__name__)

_EVENTS_AT_ONCE = 2000
_TASKS_TO_PULL = 1000
"""Beyond this many new tasks, an incremental sync finds them instead."""


@dataclass(frozen=True)
class EventsReport:
    """What the events of the inbox changed."""

    entries: tuple[Entry, ...] = ()
    """Those that are applied, to be acknowledged when everything that follows is done."""
    sync: SyncReport = field(default_factory=SyncReport)
    needs_sync: bool = False
    """Something happened that only a look into Label Studio can tell."""
    needs_recompute: bool = False
    has_newcomers: bool = False
    """Somebody has labelled whose name is not known yet."""
    num_failed: int = 0
    """Events that could not be applied and are tried again."""
    num_buried: int = 0
    """Events that were put to the dead letters."""

    @property
    def num_events(self) -> int:
        """Number of events that are applied."""
        return len(self.entries)

    @property
    def is_retry(self) -> bool:
        """Whether some of the events were handed out before."""
        return any(entry.num_tries > 1 for entry in self.entries)

    def __add__(self, other: EventsReport) -> EventsReport:
        return EventsReport(
            self.entries + other.entries,
            self.sync + other.sync,
            self.needs_sync or other.needs_sync,
            self.needs_recompute or other.needs_recompute,
            self.has_newcomers or other.has_newcomers,
            self.num_failed + other.num_failed,
            self.num_buried + other.num_buried,
        )


def apply_events(store: ProjectStore, client: LabelStudioClient | None) -> EventsReport:
    """Apply the oldest events of the inbox; the caller acknowledges them.

    What an event carries is applied as it is, so that consensus follows without a look
    into Label Studio; tasks that are not known yet are pulled if Label Studio answers.
    Applying an event twice, or an older one after a newer, changes nothing. The caller
    holds the lock of `Work.STORE`.

    Parameters
    ----------
    client
        Connection to Label Studio; None if there is none.
    """
    entries = store.inbox.take(_EVENTS_AT_ONCE)
    if not entries:
        return EventsReport()
    try:
        report = _apply_or_try_singly(store, client, entries)
    except (RedisError, CrowdlabError):
        # None of the events is to blame.
        with suppress(RedisError):
            store.inbox.give_back(entries)
        raise
    log.info("project %s: %s events: %s", store.project_id, report.num_events, report.sync)
    return report


def _apply_or_try_singly(
    store: ProjectStore, client: LabelStudioClient | None, entries: Sequence[Entry]
) -> EventsReport:
    """Apply events together or, if that fails, each by itself.

    So one that cannot be applied stops no other. It is tried again some times, then put to
    the dead letters; a sync finds what it told.
    """
    report = EventsReport()
    for entry in [one for one in entries if one.num_tries > MOST_TRIES]:
        reason = f"given to {MOST_TRIES} processes, none of which lived to apply it"
        store.inbox.bury(entry, reason)
        log.error("project %s: an event is put to the dead letters: %s", store.project_id, reason)
        report += EventsReport(num_buried=1, needs_sync=True)
    entries = [one for one in entries if one.num_tries <= MOST_TRIES]
    try:
        return report + _apply_entries(store, client, entries)
    except (RedisError, CrowdlabError):
        raise
    except Exception:
        log.exception("project %s: events are applied one by one", store.project_id)
    for entry in entries:
        try:
            report += _apply_entries(store, client, [entry])
        except (RedisError, CrowdlabError):
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"[:500]
            if entry.num_tries < MOST_TRIES:
                report += EventsReport(num_failed=1, needs_sync=True)
            else:
                store.inbox.bury(entry, reason)
                report += EventsReport(num_buried=1, needs_sync=True)
            log.exception("project %s: an event cannot be applied", store.project_id)
    return report


def _apply_entries(
    store: ProjectStore, client: LabelStudioClient | None, entries: Sequence[Entry]
) -> EventsReport:
    if not entries:
        return EventsReport()
    events = [WebhookEvent.from_json(entry.event) for entry in entries]
    info = store.read_info() or _introduce(store, events)
    if info is None:
        return EventsReport(tuple(entries), needs_sync=True)
    try:
        return replace(_apply(store, client, info, events), entries=tuple(entries))
    except NoConsensusError as refused:
        give_up(store, refused)
        return EventsReport(tuple(entries), SyncReport(config_changed=True), needs_sync=True)


def _introduce(store: ProjectStore, events: Sequence[WebhookEvent]) -> ProjectInfo | None:
    """Make a project known from what its events tell; a full sync has to follow."""
    newest = next((event for event in reversed(events) if event.label_config), None)
    config = parse_config(newest.label_config) if newest else None
    if newest is None or config is None or not config.questions:
        return None
    info = ProjectInfo(
        title=newest.title,
        label_config=newest.label_config,
        questions=config.questions,
        feature_width=width_of(sources_of(config.questions)),
        unsupported=config.unsupported,
    )
    with store.transaction() as changes:
        store.stage_info(changes, info)
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
                log.info("project %s: ignored event %r", store.project_id, event.action)
    for gone in deleted_annotations:
        saved.pop(gone, None)
    saved = {key: one for key, one in saved.items() if one.task not in deleted_tasks}
    named = {one.task for one in saved.values()}
    known = set(store.tasks.read(sorted(named))["task"].tolist())
    unknown_tasks = (unknown_tasks | (named - known)) - deleted_tasks
    report = _save(store, info, list(saved.values()), deleted_annotations)
    if deleted_tasks:
        report += forget_tasks(store, np.asarray(sorted(deleted_tasks), dtype=np.int64))
    if unknown_tasks:
        pulled, is_complete = _pull(store, client, unknown_tasks)
        report += pulled
        needs_sync |= not is_complete
    people = {one.annotator for one in saved.values()}
    has_newcomers = not people <= set(store.annotator_names()) if people else False
    return EventsReport((), report, needs_sync, needs_recompute, has_newcomers)


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
    info = replace(info, questions=grown(info.questions, saved))
    new = annotation_rows(saved, info.questions, store.answer_book)
    touched = new["task"]
    if deleted:
        # A deletion names no task, so it is looked up among all annotations.
        for rows in table.parts():
            is_gone = np.isin(rows["annotation"], sorted(deleted))
            touched = np.union1d(touched, rows["task"][is_gone])
    touched = np.unique(touched)
    old = table.read(touched)
    _, in_new, in_old = np.intersect1d(new["annotation"], old["annotation"], return_indices=True)
    is_current = np.ones(len(new["annotation"]), dtype=bool)
    is_current[in_new] = new["updated_at"][in_new] >= old["updated_at"][in_old]
    new = select(new, is_current)
    is_replaced = np.isin(old["annotation"], [*new["annotation"].tolist(), *deleted])
    kept = select(old, ~is_replaced)
    annotations = {name: np.concatenate([kept[name], new[name]]) for name in kept}
    order = np.lexsort((annotations["annotation"], annotations["task"]))
    annotations = select(annotations, order)
    tasks = store.tasks.read(touched)
    added = np.setdiff1d(touched, tasks["task"])
    tasks = {
        "task": np.concatenate([tasks["task"], added]),
        "content": np.concatenate([tasks["content"], added.astype(np.uint64)]),
    }
    return replace_tasks(store, info, touched, tasks, annotations, None)


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
