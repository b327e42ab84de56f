"""Bring what Label Studio holds of a project into the store."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

from backend.answers.forms import needs_contents
from backend.errors import NothingToComputeError
from backend.features.extract import content_hashes, extract, sources_of, width_of
from backend.jobs.requests import stage_answered
from backend.jobs.vocabulary import NoConsensusError, give_up, grown
from backend.label_studio.annotations import Annotation, microseconds_of, read_annotation
from backend.label_studio.client import LabelStudioClient
from backend.label_studio.controls import parse_config, with_numbers
from backend.label_studio.questions import JSON, Question, continued
from backend.progress import Progress, silent
from backend.sources.brought import brought_probs
from backend.store.answer_book import AnswerBook
from backend.store.arrays import Arrays
from backend.store.project import ProjectInfo, ProjectStore, Pull
from backend.store.tables import TaskTable, select

log = logging.getLogger(__name__)

_OVERLAP = 90_000_000
"""How far before the last sync an incremental pull begins, in microseconds: a change is only
seen once its transaction has ended, and Label Studio's clock is known to the second."""

_TASKS_BETWEEN_PAUSES = 100
_LONGEST_PAUSE = 2.0

_IDS_TO_LIST = 5000
_NO_END = 2**62


@dataclass(frozen=True)
class SyncReport:
    """What a sync changed in the store."""

    tasks_added: int = 0
    tasks_changed: int = 0
    tasks_removed: int = 0
    annotations_added: int = 0
    annotations_changed: int = 0
    annotations_removed: int = 0
    predictions_changed: int = 0
    """Tasks in whose data other probabilities stand."""
    config_changed: bool = False
    tasks: frozenset[int] = frozenset()
    """Tasks whose labels changed, removed ones included."""

    @property
    def is_change(self) -> bool:
        """Whether anything changed."""
        return bool(self.tasks) or self.config_changed or any(self._counts().values())

    def _counts(self) -> dict[str, int]:
        return {
            one.name: getattr(self, one.name)
            for one in fields(self)
            if one.name.startswith(("tasks_", "annotations_", "predictions_"))
        }

    def __add__(self, other: SyncReport) -> SyncReport:
        counts = {name: n + getattr(other, name) for name, n in self._counts().items()}
        return SyncReport(
            **counts,
            config_changed=self.config_changed or other.config_changed,
            tasks=self.tasks | other.tasks,
        )

    def __str__(self) -> str:
        if not self.is_change:
            return "nothing changed"
        parts = [f"{n:,} {name.replace('_', ' ')}" for name, n in self._counts().items() if n]
        return ", ".join((["labeling config changed"] if self.config_changed else []) + parts)


def sync_project(
    store: ProjectStore,
    client: LabelStudioClient,
    *,
    full: bool = False,
    page_size: int = 500,
    number_keys: Sequence[str] = (),
    pred_probs_key: str = "",
    progress: Progress = silent,
) -> SyncReport:
    """Pull a project's changes, or all of it.

    All of it is pulled if `full`, if the project was never pulled, or if its labeling config
    asks other questions now. Otherwise the tasks updated since the last pull are, and if
    Label Studio's number of tasks differs then, tasks that were deleted are found by their
    ids. A page is stored as soon as it is there, so that a pull that was cut short goes on
    where it ended, and events are followed meanwhile. The caller holds the lock of
    `Work.REFRESH`.

    Parameters
    ----------
    number_keys
        Keys of the tasks' data under which there are numbers to learn from.
    pred_probs_key
        Key of the tasks' data under which there are probabilities; empty for none.

    Raises
    ------
    ProjectNotFoundError, AuthenticationError, LabelStudioUnreachableError
        Label Studio does not give the project.
    UnsupportedProjectError
        The project asks no question that has a consensus.
    """
    try:
        return _sync(store, client, full, page_size, number_keys, pred_probs_key, progress)
    except NoConsensusError as refused:
        give_up(store, refused)
    # One question fewer is left each time.
    begun_anew = sync_project(
        store,
        client,
        full=full,
        page_size=page_size,
        number_keys=number_keys,
        pred_probs_key=pred_probs_key,
        progress=progress,
    )
    return SyncReport(config_changed=True) + begun_anew


def _sync(
    store: ProjectStore,
    client: LabelStudioClient,
    full: bool,
    page_size: int,
    number_keys: Sequence[str],
    pred_probs_key: str,
    progress: Progress,
) -> SyncReport:
    project = client.project(store.project_id)
    began = round(client.server_time.timestamp() * 1e6)
    config_changed = _adopt_config(store, project, number_keys, pred_probs_key)
    info = _info_of(store)
    pull = store.read_pull()
    report = SyncReport(config_changed=config_changed)
    if full or pull is not None or not info.cursor:
        report += _pull_all(store, client, pull or Pull(began), page_size, progress)
        # What changed in pages that had been read already.
        began = round(client.server_time.timestamp() * 1e6)
    report += _pull_changes(store, client, project, began, page_size, progress)
    level = logging.INFO if report.is_change else logging.DEBUG
    log.log(level, "project %s: sync: %s", store.project_id, report)
    return report


def _info_of(store: ProjectStore) -> ProjectInfo:
    info = store.read_info()
    if info is None:
        raise NothingToComputeError(f"Project {store.project_id} was disconnected meanwhile.")
    return info


def _adopt_config(
    store: ProjectStore,
    project: Mapping[str, Any],
    number_keys: Sequence[str],
    pred_probs_key: str,
) -> bool:
    """Store title and labeling config; whether the config is another one.

    If it asks other questions, what is known of the answers is forgotten, as a class is known
    by its position. Then, or if classifiers learn from other contents, all tasks have to be
    pulled anew. So it is after an update of this service that finds more questions in the same
    config.
    """
    config = project["label_config"]
    with store.lock():
        known = store.read_info()
        is_same = known is not None and known.label_config == config
        given_up = known.given_up if known is not None and is_same else {}
        asked = parse_config(config).without(given_up)
        questions = with_numbers(asked.require_questions(store.project_id), number_keys)
        if known is not None:
            questions = _with_known_classes(questions, known.questions)
        base = known or ProjectInfo(title="", label_config="", questions=questions)
        info = replace(
            base,
            title=project["title"],
            label_config=config,
            questions=questions,
            feature_width=width_of(sources_of(questions)),
            is_gone=False,
            pred_probs_key=pred_probs_key,
            unsupported=asked.unsupported,
            given_up=given_up,
        )
        if info == known:
            return False
        for name, reason in asked.unsupported.items():
            if base.unsupported.get(name) != reason:
                log.warning("project %s: no consensus for %s: %s", store.project_id, name, reason)
        with store.transaction() as changes:
            if _without_sources(base.questions) != _without_sources(questions):
                most = max(len(base.questions), len(questions))
                store.stage_other_questions(changes, info, most)
            elif (base.questions, base.feature_width, base.pred_probs_key) != (
                questions,
                info.feature_width,
                pred_probs_key,
            ):
                info = replace(info, cursor=0, data_version=base.data_version + 1)
                store.stage_pull(changes, None)
                store.stage_info(changes, info)
            else:
                store.stage_info(changes, info)
    return known is not None and not is_same


def _with_known_classes(
    questions: Sequence[Question], known: Sequence[Question]
) -> tuple[Question, ...]:
    """Questions with the classes that annotators have brought, if they are the same ones."""
    if not continued(_without_sources(known), _without_sources(questions)):
        return tuple(questions)
    return tuple(
        replace(before, sources=now.sources) for before, now in zip(known, questions, strict=True)
    )


def _without_sources(questions: Sequence[Question]) -> list[Question]:
    return [replace(question, sources=()) for question in questions]


def _pull_all(
    store: ProjectStore,
    client: LabelStudioClient,
    pull: Pull,
    page_size: int,
    progress: Progress,
) -> SyncReport:
    """Pull every task, from where an earlier pull was cut short."""
    report = SyncReport()
    annotators: set[int] = set()
    recent: dict[int, int] = {}
    done = 0
    pages = client.tasks(store.project_id, page_size=page_size, after=pull.last_task)
    for page, remaining in pages:
        rows = _rows_of(_info_of(store))
        rows.add(page)
        pull = replace(pull, last_task=int(rows.task_ids.max()))
        report += _store_rows(store, rows, pull)
        annotators |= rows.annotators
        moments = {int(task["id"]): microseconds_of(task.get("updated_at")) for task in page}
        since = pull.began - _OVERLAP
        recent |= {task: moment for task, moment in moments.items() if moment > since}
        done += len(page)
        progress("Pulling tasks", done, done + remaining - len(page))
    progress("Comparing task ids", 0, None)
    existing = np.asarray(client.task_ids(store.project_id), dtype=np.int64)
    with store.lock():
        gone = np.setdiff1d(store.tasks.read()["task"], existing)
        report += forget_tasks(store, gone)
    _save_names(store, client, annotators, known={})
    with store.lock(), store.transaction() as changes:
        now = time.time()
        info = replace(_info_of(store), cursor=pull.began, synced_at=now, fully_synced_at=now)
        store.stage_info(changes, info)
        store.stage_pull(changes, None)
        store.stage_recent(changes, recent)
    return report


def _pull_changes(
    store: ProjectStore,
    client: LabelStudioClient,
    project: Mapping[str, Any],
    began: int,
    page_size: int,
    progress: Progress,
) -> SyncReport:
    """Pull the tasks updated since the last sync, and find those deleted."""
    report = SyncReport()
    annotators: set[int] = set()
    since = datetime.fromtimestamp((_info_of(store).cursor - _OVERLAP) / 1e6, tz=UTC)
    updated = client.updated_tasks(store.project_id, since)
    recent = store.read_recent()
    wanted = [task for task, moment in updated.items() if recent.get(task) != moment]
    size = min(page_size, _TASKS_BETWEEN_PAUSES)
    for start in range(0, len(wanted), size):
        progress("Pulling changed tasks", start, len(wanted))
        asked_at = time.monotonic()
        rows = _rows_of(_info_of(store))
        rows.add(client.tasks_by_id(store.project_id, wanted[start : start + size]))
        took = time.monotonic() - asked_at
        report += _store_rows(store, rows)
        annotators |= rows.annotators
        if start + size < len(wanted):
            # Half of Label Studio's time is left to those who label.
            time.sleep(min(took, _LONGEST_PAUSE))
    stored = store.tasks.read()["task"]
    if len(stored) != int(project["task_number"]):
        progress("Comparing task ids", 0, None)
        gone, missing = _differing_ids(client, store.project_id, stored)
        rows = _rows_of(_info_of(store))
        rows.add(client.tasks_by_id(store.project_id, missing.tolist()))
        report += _store_rows(store, rows)
        annotators |= rows.annotators
        with store.lock():
            report += forget_tasks(store, gone)
    _save_names(store, client, annotators, known=store.annotator_names())
    with store.lock(), store.transaction() as changes:
        info = replace(_info_of(store), cursor=began, synced_at=time.time())
        store.stage_info(changes, info)
        store.stage_recent(changes, updated)
    return report


def _rows_of(info: ProjectInfo) -> TaskRows:
    return TaskRows(info.questions, info.pred_probs_key)


def _differing_ids(
    client: LabelStudioClient, project_id: int, stored: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ids of tasks that only the store has, and of those that only Label Studio has.

    Ids are listed only where Label Studio counts another number of tasks.
    """
    gone: list[NDArray[np.int64]] = [stored[:0]]
    missing: list[NDArray[np.int64]] = [stored[:0]]
    ranges = [(0, _NO_END, stored)]
    while ranges:
        low, high, ours = ranges.pop()
        number = client.count_tasks(project_id, after=low, up_to=high)
        if number == len(ours):
            continue
        if number > _IDS_TO_LIST and len(ours) > 1:
            middle = int(ours[len(ours) // 2 - 1])
            below = np.searchsorted(ours, middle, side="right")
            ranges += [(low, middle, ours[:below]), (middle, high, ours[below:])]
            continue
        theirs = np.asarray(client.task_ids(project_id, after=low, up_to=high), dtype=np.int64)
        gone.append(np.setdiff1d(ours, theirs))
        missing.append(np.setdiff1d(theirs, ours))
    return np.concatenate(gone), np.concatenate(missing)


def _store_rows(store: ProjectStore, rows: TaskRows, pull: Pull | None = None) -> SyncReport:
    """Store pulled tasks, and how far the pull has come."""
    with store.lock():
        info = _info_of(store)
        if not continued(info.questions, rows.questions):
            raise NothingToComputeError(
                f"The labeling config of project {store.project_id} changed while it was pulled.",
                "The next sync pulls it anew.",
            )
        store.contents.save(rows.shown)
        info = replace(info, questions=rows.grown(info.questions))
        arrays = rows.arrays(store.answer_book, info.questions)
        report = replace_tasks(store, info, rows.task_ids, *arrays)
        if pull is not None:
            with store.transaction() as changes:
                store.stage_pull(changes, pull)
    return report


def pull_tasks(
    store: ProjectStore, client: LabelStudioClient, info: ProjectInfo, task_ids: Iterable[int]
) -> SyncReport:
    """Pull some tasks as Label Studio holds them; those it no longer has are removed.

    The caller holds the lock of `Work.STORE`.

    Raises
    ------
    NoConsensusError
        A question has more different answers than can be classes, or answers that are none.
    """
    wanted = np.unique(np.asarray(list(task_ids), dtype=np.int64))
    pulled = TaskRows(info.questions, info.pred_probs_key)
    pulled.add(client.tasks_by_id(store.project_id, wanted.tolist()))
    store.contents.save(pulled.shown)
    info = replace(info, questions=pulled.grown(info.questions))
    return replace_tasks(store, info, wanted, *pulled.arrays(store.answer_book, info.questions))


def forget_tasks(store: ProjectStore, gone: NDArray[np.int64]) -> SyncReport:
    """Forget deleted tasks with their annotations and features.

    The caller holds the lock of `Work.STORE`.
    """
    if not len(gone):
        return SyncReport()
    info = _info_of(store)
    nothing = select(store.tasks.read(gone), slice(0))
    annotations = select(store.annotations(len(info.questions)).read(gone), slice(0))
    features = select(store.features.read(gone), slice(0))
    return replace_tasks(store, info, gone, nothing, annotations, features, {})


def replace_tasks(
    store: ProjectStore,
    info: ProjectInfo,
    replaced: NDArray[np.int64],
    tasks: Arrays,
    annotations: Arrays,
    features: Arrays | None,
    brought: Mapping[int, Arrays] | None = None,
) -> SyncReport:
    """Replace all that is known of some tasks, and close the requests that this answers.

    The caller holds the lock of `Work.STORE`.

    Parameters
    ----------
    info
        With the classes that the annotations bring.
    replaced
        Ids of the tasks; those without a row in `tasks` are forgotten.
    features
        None leaves the features as they are.
    brought
        Position of a question to the probabilities that stand in the tasks' data; None leaves
        them as they are.
    """
    table = store.annotations(len(info.questions))
    report = _difference(store.tasks.read(replaced), tasks, table.read(replaced), annotations)
    others = _other_predictions(store, info, replaced, brought)
    report += SyncReport(predictions_changed=sum(number for *_, number in others))
    if report.is_change:
        new = replace(info, data_version=info.data_version + 1)
        with store.transaction() as changes:
            store.tasks.stage_replacement(changes, replaced, tasks)
            table.stage_replacement(changes, replaced, annotations)
            stage_answered(store, changes, replaced, tasks, annotations)
            if features is not None:
                store.features.stage_replacement(changes, replaced, features)
            for predictions, rows, _ in others:
                predictions.stage_replacement(changes, replaced, rows)
            store.stage_info(changes, new)
            if store.has_results():
                store.stage_changed(changes, report.tasks, new.data_version)
    return report


def _other_predictions(
    store: ProjectStore,
    info: ProjectInfo,
    replaced: NDArray[np.int64],
    brought: Mapping[int, Arrays] | None,
) -> list[tuple[TaskTable, Arrays, int]]:
    """Tables of probabilities in the tasks' data that change, by what, and of how many tasks."""
    found: list[tuple[TaskTable, Arrays, int]] = []
    for number, question in enumerate(info.questions if brought is not None else ()):
        table = store.brought(number, len(question.classes))
        old = table.read(replaced)
        new = (brought or {}).get(number, select(old, slice(0)))
        both, in_old, in_new = np.intersect1d(old["task"], new["task"], return_indices=True)
        is_same = (old["fault"][in_old] == new["fault"][in_new]) & (
            np.isclose(
                old["probs"][in_old], new["probs"][in_new], rtol=0, atol=1e-12, equal_nan=True
            ).all(axis=1)
        )
        number_changed = len(old["task"]) + len(new["task"]) - len(both) - int(is_same.sum())
        if number_changed:
            found.append((table, new, number_changed))
    return found


class TaskRows:
    """Rows of the store's tables, collected from tasks as Label Studio sends them.

    Parameters
    ----------
    questions
        Questions of the project.
    pred_probs_key
        Key of the tasks' data under which probabilities stand; empty for none.
    """

    def __init__(self, questions: Sequence[Question], pred_probs_key: str = "") -> None:
        self.questions = tuple(questions)
        self._pred_probs_key = pred_probs_key
        self._brought: dict[int, list[tuple[int, int, NDArray[np.float64]]]] = {}
        self._sources = sources_of(questions)
        self._tasks: list[int] = []
        self._contents: list[NDArray[np.uint64]] = []
        self._features: list[csr_array] = []
        self._annotations: list[Annotation] = []
        self._needs_contents = needs_contents(questions)
        self.shown: dict[int, JSON] = {}
        """Contents that annotators saw, by their hash, where some question needs them."""

    @property
    def task_ids(self) -> NDArray[np.int64]:
        """Ids of the tasks collected so far."""
        return np.asarray(self._tasks, dtype=np.int64)

    @property
    def annotators(self) -> set[int]:
        """Ids of the annotators of the tasks collected so far."""
        return {one.annotator for one in self._annotations}

    def add(self, tasks: Iterable[Mapping[str, Any]]) -> None:
        """Collect tasks with their annotations."""
        page = list(tasks)
        data = [task.get("data") or {} for task in page]
        hashes = content_hashes(data, self._sources)
        self._contents.append(hashes)
        if self._needs_contents:
            keys = [source.key for source in self._sources]
            self.shown |= {
                number: {key: one[key] for key in keys if key in one}
                for number, one in zip(hashes.tolist(), data, strict=True)
            }
        self._features.append(extract(data, self._sources))
        if self._pred_probs_key:
            for task, one in zip(page, data, strict=True):
                self._bring(int(task["id"]), one.get(self._pred_probs_key))
        for task in page:
            self._tasks.append(int(task["id"]))
            for raw in task.get("annotations") or []:
                annotation = read_annotation(raw, self.questions, task=int(task["id"]))
                if annotation is not None:
                    self._annotations.append(annotation)

    def _bring(self, task: int, value: Any) -> None:
        """Collect the probabilities of a task."""
        for number, question in enumerate(self.questions):
            found = brought_probs(value, question, self.questions)
            if found is not None:
                self._brought.setdefault(number, []).append((task, int(found[1]), found[0]))

    def _brought_rows(self, questions: Sequence[Question]) -> dict[int, Arrays]:
        rows = {}
        for number, found in self._brought.items():
            tasks, faults, probs = zip(*found, strict=True)
            # Annotators may have brought classes that the probabilities say nothing of.
            more = len(questions[number].classes) - len(self.questions[number].classes)
            rows[number] = {
                "task": np.asarray(tasks, dtype=np.int64),
                "fault": np.asarray(faults),
                "probs": np.pad(np.stack(probs), ((0, 0), (0, more))),
            }
        return rows

    def grown(self, questions: Sequence[Question]) -> tuple[Question, ...]:
        """Questions with the classes that the collected annotations bring.

        Raises
        ------
        NoConsensusError
            There are too many, or answers that are none.
        """
        return grown(questions, self._annotations)

    def arrays(
        self, book: AnswerBook, questions: Sequence[Question] | None = None
    ) -> tuple[Arrays, Arrays, Arrays, dict[int, Arrays]]:
        """Rows for the tables of tasks, annotations, features, and of brought probabilities.

        Parameters
        ----------
        book
            Takes the answers that are no class.
        questions
            With the classes that the annotations bring. Default: those of the beginning.
        """
        ids = self.task_ids
        contents = np.concatenate([np.empty(0, dtype=np.uint64), *self._contents])
        if self._features:
            entries = vstack(self._features, format="coo")
            features: Arrays = {
                "task": ids[entries.row],
                "index": entries.col.astype(np.int32),
                "value": entries.data.astype(np.float32),
            }
        else:
            features = {name: np.empty(0) for name in ("task", "index", "value")}
        return (
            {"task": ids, "content": contents},
            annotation_rows(self._annotations, questions or self.questions, book),
            features,
            self._brought_rows(questions or self.questions),
        )


def annotation_rows(
    annotations: Sequence[Annotation], questions: Sequence[Question], book: AnswerBook
) -> Arrays:
    """Rows of the annotations table, by task and annotation id.

    Parameters
    ----------
    questions
        With the classes that the annotations bring.
    book
        Takes the answers that are no class.
    """
    ordered = sorted(annotations, key=lambda one: (one.task, one.id))
    codes = np.asarray([one.codes for one in ordered], dtype=np.int32)
    codes = codes.reshape(len(ordered), len(questions))
    for number, question in enumerate(questions):
        given = [
            (row, answer)
            for row, one in enumerate(ordered)
            if one.answers and (answer := one.answers[number]) is not None
        ]
        if not given:
            continue
        rows, answers = zip(*given, strict=True)
        if question.type.is_class:
            place = {name: code for code, name in enumerate(question.classes)}
            codes[list(rows), number] = [place[name] for name in answers]
        else:
            codes[list(rows), number] = book.numbers_of(answers)
    return {
        "task": np.asarray([one.task for one in ordered], dtype=np.int64),
        "annotation": np.asarray([one.id for one in ordered], dtype=np.int64),
        "annotator": np.asarray([one.annotator for one in ordered], dtype=np.int64),
        "updated_at": np.asarray([one.updated_at for one in ordered], dtype=np.int64),
        "lead_time": np.asarray([one.lead_time for one in ordered], dtype=np.float32),
        "is_cancelled": np.asarray([one.is_cancelled for one in ordered], dtype=np.uint8),
        "is_ground_truth": np.asarray([one.is_ground_truth for one in ordered], dtype=np.uint8),
        "codes": codes,
    }


def _difference(
    old_tasks: Arrays, new_tasks: Arrays, old_annotations: Arrays, new_annotations: Arrays
) -> SyncReport:
    """Compare two states of the same tasks."""
    added, removed, changed = _compare(old_tasks, new_tasks, "task", ("content",))
    # The newest of a person's annotations counts, so that its time is part of the meaning.
    meaning = ("annotator", "updated_at", "is_cancelled", "is_ground_truth", "codes")
    more, fewer, other = _compare(old_annotations, new_annotations, "annotation", meaning)
    relabeled = np.concatenate(
        [
            new_annotations["task"][
                np.isin(new_annotations["annotation"], np.union1d(more, other))
            ],
            old_annotations["task"][np.isin(old_annotations["annotation"], fewer)],
            removed,
        ]
    )
    return SyncReport(
        tasks_added=len(added),
        tasks_changed=len(changed),
        tasks_removed=len(removed),
        annotations_added=len(more),
        annotations_changed=len(other),
        annotations_removed=len(fewer),
        tasks=frozenset(relabeled.tolist()),
    )


def _compare(
    old: Arrays, new: Arrays, identity: str, columns: Sequence[str]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Ids that are only in `new`, only in `old`, and in both with other values."""
    both, in_old, in_new = np.intersect1d(old[identity], new[identity], return_indices=True)
    differs = np.zeros(len(both), dtype=bool)
    for column in columns:
        unequal = old[column][in_old] != new[column][in_new]
        differs |= unequal.any(axis=1) if unequal.ndim == 2 else unequal
    added = np.setdiff1d(new[identity], old[identity])
    removed = np.setdiff1d(old[identity], new[identity])
    return added, removed, both[differs]


def _save_names(
    store: ProjectStore, client: LabelStudioClient, annotators: set[int], known: Mapping[int, str]
) -> None:
    """Keep the e-mail addresses of annotators whose names are not known yet.

    Those whom Label Studio does not know any more get an empty name, and are not asked for
    again.
    """
    wanted = annotators - set(known)
    if wanted:
        found = {
            int(user["id"]): str(user.get("email") or user.get("username") or user["id"])
            for user in client.users()
            if int(user["id"]) in wanted
        }
        store.save_annotator_names(dict.fromkeys(wanted, "") | found)
