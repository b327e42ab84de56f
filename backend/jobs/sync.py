"""Bring what Label Studio holds of a project into the store."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

from backend.features.extract import content_hashes, extract, sources_of, width_of
from backend.label_studio.annotations import Annotation, read_annotation
from backend.label_studio.client import LabelStudioClient
from backend.label_studio.controls import Question, parse_config
from backend.progress import Progress, silent
from backend.store.arrays import Arrays
from backend.store.project import ProjectInfo, ProjectStore
from backend.store.tables import select

log = logging.getLogger(__name__)

_OVERLAP = timedelta(seconds=90)
"""How far before the last sync an incremental pull begins: a change is only seen once its
transaction has ended, and Label Studio's clock is known to the second."""


@dataclass(frozen=True)
class SyncReport:
    """What a sync changed in the store."""

    tasks_added: int = 0
    tasks_changed: int = 0
    tasks_removed: int = 0
    annotations_added: int = 0
    annotations_changed: int = 0
    annotations_removed: int = 0
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
            if one.name.startswith(("tasks_", "annotations_"))
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
    progress: Progress = silent,
) -> SyncReport:
    """Pull a project's changes, or all of it.

    All of it is pulled if `full`, if the project was never pulled, or if its labeling
    config has changed. Otherwise the tasks updated since the last pull are, and if Label
    Studio's number of tasks differs then, tasks that were deleted are found by their ids.
    The caller holds the project's lock.

    Raises
    ------
    ProjectNotFoundError, AuthenticationError, LabelStudioUnreachableError
        Label Studio does not give the project.
    UnsupportedProjectError
        The project asks no question that has a consensus.
    """
    project = client.project(store.project_id)
    began = round(client.server_time.timestamp() * 1e6)
    known = store.read_info()
    config_changed = known is not None and known.label_config != project["label_config"]
    if full or known is None or config_changed or not known.cursor:
        return _pull_all(store, client, project, known, began, page_size, progress)
    return _pull_changes(store, client, project, known, began, page_size, progress)


def _pull_all(
    store: ProjectStore,
    client: LabelStudioClient,
    project: Mapping[str, Any],
    known: ProjectInfo | None,
    began: int,
    page_size: int,
    progress: Progress,
) -> SyncReport:
    questions = parse_config(project["label_config"]).require_questions(store.project_id)
    config_changed = known is not None and known.label_config != project["label_config"]
    pulled = TaskRows(questions)
    total = None
    for page, remaining in client.tasks(store.project_id, page_size=page_size):
        total = remaining if total is None else total
        pulled.add(page)
        progress("Pulling tasks", pulled.num_tasks, max(total, pulled.num_tasks))
    tasks, annotations, features = pulled.arrays()
    if known is None or config_changed or known.questions != questions:
        old_tasks, old_annotations = select(tasks, slice(0)), select(annotations, slice(0))
        if known is not None:
            old_tasks = store.tasks.read()
    else:
        old_tasks = store.tasks.read()
        old_annotations = store.annotations(len(questions)).read()
    report = _difference(old_tasks, tasks, old_annotations, annotations)
    report = replace(report, config_changed=config_changed)
    base = known or ProjectInfo(title="", label_config="", questions=())
    now = time.time()
    info = replace(
        base,
        title=project["title"],
        label_config=project["label_config"],
        questions=questions,
        feature_width=width_of(sources_of(questions)),
        cursor=began,
        synced_at=now,
        fully_synced_at=now,
        data_version=base.data_version + (report.is_change or known is None),
    )
    store.save_annotator_names(_names_of(client, annotations))
    with store.transaction() as pipe:
        store.stage_info(pipe, info)
        if config_changed:
            store.stage_forget_results(pipe)
        if report.is_change:
            store.tasks.stage_all(pipe, tasks)
            store.features.stage_all(pipe, features)
            store.annotations(len(questions)).stage_all(pipe, annotations)
    log.log(_level(report), "project %s: full sync: %s", store.project_id, report)
    return report


def _pull_changes(
    store: ProjectStore,
    client: LabelStudioClient,
    project: Mapping[str, Any],
    known: ProjectInfo,
    began: int,
    page_size: int,
    progress: Progress,
) -> SyncReport:
    since = datetime.fromtimestamp(known.cursor / 1e6, tz=UTC) - _OVERLAP
    pulled = TaskRows(known.questions)
    for page, remaining in client.tasks(store.project_id, page_size=page_size, updated_after=since):
        pulled.add(page)
        progress("Pulling changed tasks", pulled.num_tasks, max(remaining, pulled.num_tasks))
    removed: NDArray[np.int64] = np.empty(0, dtype=np.int64)
    stored = store.tasks.read()["task"]
    expected = np.union1d(stored, pulled.task_ids)
    if len(expected) != int(project["task_number"]):
        progress("Comparing task ids", 0, None)
        existing = np.asarray(client.task_ids(store.project_id), dtype=np.int64)
        removed = np.setdiff1d(stored, existing)
        missing = np.setdiff1d(existing, expected)
        pulled.add(client.tasks_by_id(store.project_id, missing.tolist()))
    tasks, annotations, features = pulled.arrays()
    replaced = np.union1d(tasks["task"], removed)
    report = replace_tasks(store, known, replaced, tasks, annotations, features)
    store.save_annotator_names(_names_of(client, annotations, store.annotator_names()))
    info = store.read_info() or known
    store.touch(
        info,
        title=project["title"],
        cursor=began,
        synced_at=time.time(),
    )
    log.log(_level(report), "project %s: sync: %s", store.project_id, report)
    return report


def _level(report: SyncReport) -> int:
    """Log level: most looks into Label Studio find nothing new."""
    return logging.INFO if report.is_change else logging.DEBUG


def pull_tasks(
    store: ProjectStore, client: LabelStudioClient, info: ProjectInfo, task_ids: Iterable[int]
) -> SyncReport:
    """Pull some tasks as Label Studio holds them; those it no longer has are removed."""
    wanted = np.unique(np.asarray(list(task_ids), dtype=np.int64))
    pulled = TaskRows(info.questions)
    pulled.add(client.tasks_by_id(store.project_id, wanted.tolist()))
    return replace_tasks(store, info, wanted, *pulled.arrays())


def replace_tasks(
    store: ProjectStore,
    info: ProjectInfo,
    replaced: NDArray[np.int64],
    tasks: Arrays,
    annotations: Arrays,
    features: Arrays | None,
) -> SyncReport:
    """Replace all that is known of some tasks.

    Parameters
    ----------
    replaced
        Ids of the tasks; those without a row in `tasks` are forgotten.
    features
        None leaves the features as they are.
    """
    table = store.annotations(len(info.questions))
    report = _difference(store.tasks.read(replaced), tasks, table.read(replaced), annotations)
    if report.is_change:
        with store.transaction() as pipe:
            store.tasks.stage_replacement(pipe, replaced, tasks)
            table.stage_replacement(pipe, replaced, annotations)
            if features is not None:
                store.features.stage_replacement(pipe, replaced, features)
            store.stage_info(pipe, replace(info, data_version=info.data_version + 1))
    return report


class TaskRows:
    """Rows of the store's tables, collected from tasks as Label Studio sends them."""

    def __init__(self, questions: Sequence[Question]) -> None:
        self._questions = questions
        self._sources = sources_of(questions)
        self._tasks: list[int] = []
        self._contents: list[NDArray[np.uint64]] = []
        self._features: list[csr_array] = []
        self._annotations: list[Annotation] = []

    @property
    def task_ids(self) -> NDArray[np.int64]:
        """Ids of the tasks collected so far."""
        return np.asarray(self._tasks, dtype=np.int64)

    @property
    def num_tasks(self) -> int:
        """Number of tasks collected so far."""
        return len(self._tasks)

    def add(self, tasks: Iterable[Mapping[str, Any]]) -> None:
        """Collect tasks with their annotations."""
        page = list(tasks)
        data = [task.get("data") or {} for task in page]
        self._contents.append(content_hashes(data, self._sources))
        self._features.append(extract(data, self._sources))
        for task in page:
            self._tasks.append(int(task["id"]))
            for raw in task.get("annotations") or []:
                annotation = read_annotation(raw, self._questions, task=int(task["id"]))
                if annotation is not None:
                    self._annotations.append(annotation)

    def arrays(self) -> tuple[Arrays, Arrays, Arrays]:
        """Rows for the tables of tasks, annotations and features."""
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
            annotation_rows(self._annotations, len(self._questions)),
            features,
        )


def annotation_rows(annotations: Sequence[Annotation], num_questions: int) -> Arrays:
    """Rows of the annotations table, by task and annotation id."""
    ordered = sorted(annotations, key=lambda one: (one.task, one.id))
    codes = np.asarray([one.codes for one in ordered], dtype=np.int32)
    return {
        "task": np.asarray([one.task for one in ordered], dtype=np.int64),
        "annotation": np.asarray([one.id for one in ordered], dtype=np.int64),
        "annotator": np.asarray([one.annotator for one in ordered], dtype=np.int64),
        "updated_at": np.asarray([one.updated_at for one in ordered], dtype=np.int64),
        "lead_time": np.asarray([one.lead_time for one in ordered], dtype=np.float32),
        "is_cancelled": np.asarray([one.is_cancelled for one in ordered], dtype=np.uint8),
        "is_ground_truth": np.asarray([one.is_ground_truth for one in ordered], dtype=np.uint8),
        "codes": codes.reshape(len(ordered), num_questions),
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


def _names_of(
    client: LabelStudioClient, annotations: Arrays, known: Mapping[int, str] | None = None
) -> dict[int, str]:
    """E-mail addresses of annotators whose names are not known yet."""
    wanted = set(np.unique(annotations["annotator"]).tolist()) - set(known or {})
    if not wanted:
        return {}
    return {
        int(user["id"]): str(user.get("email") or user.get("username") or user["id"])
        for user in client.users()
        if int(user["id"]) in wanted
    }
