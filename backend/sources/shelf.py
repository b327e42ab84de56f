"""Take predictions in, and out again."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from backend.errors import LabelStudioError, PredictionsError, UnknownSourceError
from backend.insights.lookup import known_project, question_number
from backend.label_studio.client import LabelStudioClient
from backend.label_studio.questions import Question
from backend.progress import Progress, silent
from backend.service import Service
from backend.sources.borrowed import borrowed_claims
from backend.sources.brought import takes_predictions
from backend.sources.checks import Checked, check, check_question
from backend.sources.files import read_claims
from backend.store.prediction_sources import OWN, TASK_DATA, PredictionSource, SourceKind
from backend.store.project import ProjectInfo, ProjectStore

log = logging.getLogger(__name__)

MOST_SOURCES = 20
"""Sources that a project can have: each is read, calibrated and weighed at every recompute."""

_LONGEST_NAME = 60


def upload(
    service: Service,
    project_id: int,
    path: Path,
    *,
    file_name: str,
    question: str | None = None,
    key: str = "",
    name: str = "",
    by: str,
    progress: Progress = silent,
) -> PredictionSource:
    """Take in a file of predictions, all that fits of it, and ask for a recompute.

    Parameters
    ----------
    file_name
        What the file is called, which tells its form.
    question
        Name of the question; the only one that takes predictions without it.
    key
        Key of the tasks' data, and column of the file, by which rows are matched; empty for
        task ids.
    name
        What the source is called; after the file by default. One of this name is replaced.
    by
        Who does it, for the audit trail.

    Raises
    ------
    PredictionsError
        Nothing of the file can be used; nothing has changed.
    UnknownProjectError, UnknownQuestionError
        There is no such project or question.
    LabelStudioError
        Label Studio does not tell the tasks' data.
    """
    store = service.store(project_id)
    info = known_project(service, project_id)
    asked = _question(info, question)
    source_name = source_name_of(name or Path(file_name).stem)
    check_question(asked)
    progress("Reading the file", 0, None)
    claims = read_claims(path, file_name, key, asked.classes, service.settings.max_upload_bytes)
    progress("Matching tasks", 0, None)
    tasks_of = _tasks_by_key(service, store, key) if key else _tasks_by_id(store)
    checked = check(claims, asked, tasks_of)
    source = _source_of(
        checked, source_name, SourceKind.UPLOADED, asked, origin=file_name[:200], key=key
    )
    _store(service, store, source, checked, by)
    return source


def borrow(
    service: Service,
    project_id: int,
    version: str,
    *,
    question: str | None = None,
    name: str = "",
    by: str,
    progress: Progress = silent,
) -> list[PredictionSource]:
    """Take in the predictions of another model version in Label Studio.

    Without `question`, those of every question that it answers. Later predictions of the version
    follow with `crowdlab sync`, and with each full pull.

    Raises
    ------
    PredictionsError
        The version is this service's own, does not exist, or says nothing that can be used.
    LabelStudioError
        Label Studio does not give the predictions.
    """
    store = service.store(project_id)
    info = known_project(service, project_id)
    if version in {one.name for one in store.model_versions()}:
        raise PredictionsError(
            f"Model version {version} is what this service itself has published.",
            "Borrow from another model.",
        )
    wanted = [_question(info, question)] if question else list(info.questions)
    wanted = [one for one in wanted if takes_predictions(one)]
    progress("Reading predictions", 0, None)
    predictions = _predictions_of(service.label_studio, project_id, version)
    found: list[tuple[PredictionSource, Checked]] = []
    reasons = []
    for one in wanted:
        base = name or version
        called = source_name_of(base if len(wanted) == 1 else f"{base}-{one.name}")
        try:
            found.append(_borrowed(store, predictions, version, called, one))
        except PredictionsError as error:
            reasons.append(error.message)
    if not found:
        raise PredictionsError(
            f"Model version {version} says nothing that can be used. {' '.join(reasons)}".strip()
        )
    for source, checked in found:
        _store(service, store, source, checked, by)
    return [source for source, _ in found]


def drop(service: Service, project_id: int, name: str, *, by: str) -> None:
    """Forget a source; it counts until the recompute that this asks for.

    Raises
    ------
    PredictionsError
        There is none of the name.
    """
    store = service.store(project_id)
    known_project(service, project_id)
    with store.lock():
        if store.prediction_sources.read(name) is None:
            known = [one.name for one in store.prediction_sources.all()]
            hint = f"There are: {', '.join(known)}." if known else "There is none to drop."
            if name == TASK_DATA:
                hint = "What stands in the tasks' data goes with CROWDLAB_PRED_PROBS_KEY."
            raise UnknownSourceError(f"Project {project_id} has no source {name!r} to drop.", hint)
        with store.transaction() as changes:
            store.prediction_sources.stage_drop(changes, name)
            store.stage_audit(changes, "predictions dropped", source=name, by=by)
    _ask_for_recompute(service, store)


def refresh_borrowed(service: Service, store: ProjectStore, progress: Progress = silent) -> None:
    """Read the predictions of borrowed model versions again; what has changed is stored.

    A version that is gone, or cannot be read now, stays as it was.
    """
    info = store.read_info()
    borrowed = [one for one in store.prediction_sources.all() if one.kind is SourceKind.BORROWED]
    if info is None or not borrowed:
        return
    questions = {one.name: one for one in info.questions}
    try:
        for version in dict.fromkeys(one.origin for one in borrowed):
            progress("Reading predictions", 0, None)
            predictions = _predictions_of(service.label_studio, store.project_id, version)
            for one in borrowed:
                if one.origin == version and one.question in questions:
                    _renew(store, one, predictions, questions[one.question])
    except (PredictionsError, LabelStudioError) as error:
        log.warning(
            "project %s: borrowed predictions stay as they are: %s", store.project_id, error
        )


def source_name_of(text: str) -> str:
    """Name of a source that is like a text: letters, digits, dots, hyphens, underscores.

    Raises
    ------
    PredictionsError
        Nothing is left of it, or it is one that the service uses itself.
    """
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[:_LONGEST_NAME]
    if not name or name in {OWN, TASK_DATA}:
        raise PredictionsError(
            f"A source cannot be called {text[:80]!r}.",
            "Choose a name of letters, digits, dots, hyphens and underscores (--name).",
        )
    return name


def _question(info: ProjectInfo, name: str | None) -> Question:
    if name is not None:
        return info.questions[question_number(info, name)]
    fitting = [one for one in info.questions if takes_predictions(one)]
    if len(fitting) != 1:
        names = ", ".join(one.name for one in fitting or info.questions)
        raise PredictionsError(
            f"The project asks {len(info.questions)} questions; it is not said which of them the "
            "predictions are for.",
            f"Name one of them (--question): {names}."
            if fitting
            else f"None of them takes predictions: {names}.",
        )
    return fitting[0]


def _tasks_by_id(store: ProjectStore) -> dict[str, tuple[int, ...]]:
    return {str(task): (task,) for task in store.tasks.read()["task"].tolist()}


def _tasks_by_key(service: Service, store: ProjectStore, key: str) -> Mapping[str, Sequence[int]]:
    """Tasks by the value under a key of their data, as Label Studio holds it now."""
    known = set(store.tasks.read()["task"].tolist())
    found: dict[str, list[int]] = {}
    pages = service.label_studio.task_contents(
        store.project_id, page_size=service.settings.page_size
    )
    for page in pages:
        for task in page:
            value = (task.get("data") or {}).get(key)
            if isinstance(value, str | int | float) and task["id"] in known:
                found.setdefault(str(value).strip(), []).append(int(task["id"]))
    if not found:
        raise PredictionsError(
            f"No task of project {store.project_id} has text or a number under the key {key!r}.",
            "Choose another key of the tasks' data (--key), or leave it out to match by task ids.",
        )
    return found


def _predictions_of(
    client: LabelStudioClient, project_id: int, version: str
) -> list[dict[str, Any]]:
    predictions = client.predictions_of_project(project_id, version)
    if not predictions:
        known = client.model_versions(project_id)
        raise PredictionsError(
            f"Label Studio holds no prediction of model version {version!r} in project "
            f"{project_id}.",
            f"It holds those of: {', '.join(sorted(known)) or 'none'}.",
        )
    return predictions


def _borrowed(
    store: ProjectStore,
    predictions: Iterable[Mapping[str, Any]],
    version: str,
    name: str,
    question: Question,
) -> tuple[PredictionSource, Checked]:
    claims = borrowed_claims(predictions, question)
    checked = check(claims, question, _tasks_by_id(store))
    source = _source_of(checked, name, SourceKind.BORROWED, question, origin=version)
    return source, checked


def _renew(
    store: ProjectStore,
    known: PredictionSource,
    predictions: Iterable[Mapping[str, Any]],
    question: Question,
) -> None:
    source, checked = _borrowed(store, predictions, known.origin, known.name, question)
    rows = store.prediction_sources.table(known).read()
    if source.classes == known.classes and all(
        np.array_equal(rows[column], checked.rows[column]) for column in rows
    ):
        return
    with store.lock():
        if store.prediction_sources.read(known.name) is None:
            return  # dropped meanwhile
        with store.transaction() as changes:
            store.prediction_sources.stage(changes, source, checked.rows)


def _source_of(
    checked: Checked,
    name: str,
    kind: SourceKind,
    question: Question,
    *,
    origin: str,
    key: str = "",
) -> PredictionSource:
    return PredictionSource(
        name=name,
        kind=kind,
        question=question.name,
        classes=checked.classes,
        origin=origin,
        changed_at=time.time(),
        report=checked.report,
        key=key,
    )


def _store(
    service: Service, store: ProjectStore, source: PredictionSource, checked: Checked, by: str
) -> None:
    sources = store.prediction_sources
    with store.lock():
        if sources.read(source.name) is None and len(sources.all()) >= MOST_SOURCES:
            raise PredictionsError(
                f"Project {store.project_id} has {MOST_SOURCES} sources of predictions, which is "
                "the most.",
                f"Drop one: `crowdlab sources {store.project_id} --drop NAME`.",
            )
        with store.transaction() as changes:
            sources.stage(changes, source, checked.rows)
            store.stage_audit(
                changes,
                f"predictions {source.kind.value}",
                source=source.name,
                origin=source.origin,
                question=source.question,
                rows=source.report.num_used,
                by=by,
            )
    _ask_for_recompute(service, store)


def _ask_for_recompute(service: Service, store: ProjectStore) -> None:
    """Ask for a recompute, unless there is nothing yet that it could change."""
    if store.has_results():
        service.queue.recompute(store.project_id)
    else:
        log.info("project %s: predictions count with its first labels", store.project_id)
