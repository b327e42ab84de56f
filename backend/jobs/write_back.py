"""Write consensus and scores into Label Studio, as predictions of a model version of ours."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.errors import LabelStudioError
from backend.label_studio.client import LabelStudioClient
from backend.label_studio.controls import NO_LABEL, Question, validate_predictions
from backend.progress import Progress, silent
from backend.store.arrays import Arrays
from backend.store.project import JSON, ProjectInfo, ProjectStore, Publication
from backend.store.tables import select

log = logging.getLogger(__name__)

SCORE_DIGITS = 4
"""Decimals of the scores that Label Studio gets."""

_OURS = re.compile(r"crowdlab-(\d{6,})")
_HISTORY = 50


def version_name(number: int) -> str:
    """Name of a model version: readable, and sorted as its number."""
    return f"crowdlab-{number:06d}"


@dataclass(frozen=True)
class WriteBackReport:
    """What a write-back changed in Label Studio."""

    model_version: str
    num_predictions: int
    """Predictions that Label Studio holds of this version."""
    created: int = 0
    changed: int = 0
    deleted: int = 0
    is_new_version: bool = False

    def __str__(self) -> str:
        if self.is_new_version:
            return f"published {self.num_predictions:,} predictions as {self.model_version}"
        if not (self.created or self.changed or self.deleted):
            return f"nothing changed; {self.model_version or 'no version'} is up to date"
        return (
            f"{self.model_version}: {self.changed:,} predictions changed, "
            f"{self.created:,} created, {self.deleted:,} deleted"
        )


def result_of(questions: Iterable[Question], labels: NDArray[Any]) -> list[JSON]:
    """Result of one task's prediction: a region per answered question.

    Parameters
    ----------
    questions
        Q questions.
    labels
        (Q,) class codes, `NO_LABEL` where there is no consensus.
    """
    return [
        question.region_of(int(label))
        for question, label in zip(questions, labels, strict=True)
        if label != NO_LABEL
    ]


def expected_predictions(consensus: Arrays) -> Arrays:
    """What Label Studio should hold: consensus labels and score of each labelled task.

    The score is the lowest consensus quality of the task's questions, so that a task is as
    doubtful as its most doubtful answer.
    """
    scores = np.min(
        np.nan_to_num(consensus["quality"].astype(np.float64), nan=np.inf), axis=1, initial=np.inf
    )
    return {
        "task": consensus["task"],
        "label": consensus["label"],
        "score": np.round(np.clip(scores, 0.0, 1.0), SCORE_DIGITS),
    }


def write_back(
    store: ProjectStore,
    client: LabelStudioClient,
    *,
    amend_limit: int = 25,
    only: Iterable[int] | None = None,
    progress: Progress = silent,
) -> WriteBackReport:
    """Make Label Studio's predictions equal to the stored consensus.

    Up to `amend_limit` differing tasks are changed one by one in the current model
    version. More are published as a new one: all predictions in one import, then the
    project's model version, then the deletion of our previous version, so that people see
    the old predictions until the new ones are complete. A run that was cut short anywhere
    is finished or cleaned up by the next. The caller holds the project's lock.

    Parameters
    ----------
    only
        Amend these tasks alone, if there is a current version; others follow later.

    Raises
    ------
    LabelStudioError
        Label Studio refused or dropped predictions; what it showed before is unchanged.
    UnsupportedProjectError
        A prediction does not fit the labeling config.
    """
    info = store.read_info()
    if info is None:
        return WriteBackReport("", 0)
    table = store.published(len(info.questions))
    expected = expected_predictions(store.consensus(len(info.questions)).read())
    published = table.read()
    publication = store.read_publication()
    differing = _differing(published, expected)
    if only is not None and publication is not None and publication.num_predictions:
        chosen = np.intersect1d(differing, np.fromiter(only, dtype=np.int64))
        return _amend(store, client, info, publication, expected, published, chosen, progress)
    versions = client.model_versions(store.project_id)
    if not len(expected["task"]):
        return _withdraw(store, client, info, versions)
    shown = client.project(store.project_id).get("model_version")
    is_intact = (
        publication is not None
        and versions.get(publication.model_version, 0) == len(published["task"])
        and shown == publication.model_version
        and not _leftovers(versions, publication.model_version)
    )
    if publication is not None and is_intact and len(differing) <= amend_limit:
        return _amend(store, client, info, publication, expected, published, differing, progress)
    return _publish(store, client, info, publication, versions, expected, progress)


def _publish(
    store: ProjectStore,
    client: LabelStudioClient,
    info: ProjectInfo,
    publication: Publication | None,
    versions: dict[str, int],
    expected: Arrays,
    progress: Progress,
) -> WriteBackReport:
    """Replace all our predictions by those of a new model version."""
    shown = client.project(store.project_id).get("model_version")
    # What people see now, or would see if somebody had not changed the project's model
    # version, stays until the new predictions are complete.
    previous = publication.model_version if publication else None
    for leftover in _leftovers(versions, shown, previous):
        client.delete_model_version(store.project_id, leftover)
    last = max([_number_of(name) for name in versions], default=0)
    number = max(last, publication.number if publication else 0) + 1
    name = version_name(number)
    predictions = [
        _prediction(info, expected, place, name) for place in range(len(expected["task"]))
    ]
    validate_predictions(info.label_config, predictions)
    progress(f"Publishing {name}", 0, len(predictions))
    try:
        created = client.import_predictions(store.project_id, predictions)
    except LabelStudioError:
        # What was stored before the failure must not stay as a second prediction.
        client.delete_model_version(store.project_id, name)
        raise
    if created != len(predictions):
        client.delete_model_version(store.project_id, name)
        raise LabelStudioError(
            f"Label Studio stored {created:,} of {len(predictions):,} predictions for project "
            f"{store.project_id}, so none was published.",
            "Run `crowdlab sync --full` for the project: tasks or its labeling config may have "
            "changed meanwhile.",
        )
    progress(f"Publishing {name}", len(predictions), len(predictions))
    client.update_project(store.project_id, model_version=name)
    history = (publication.history if publication else ()) + (name,)
    new = Publication(
        model_version=name,
        number=number,
        published_at=time.time(),
        num_predictions=len(predictions),
        history=history[-_HISTORY:],
    )
    with store.transaction() as pipe:
        store.published(len(info.questions)).stage_all(pipe, expected)
        store.stage_publication(pipe, new)
    deleted = sum(
        client.delete_model_version(store.project_id, old) for old in _leftovers(versions, name)
    )
    log.info("project %s: published %s (%s predictions)", store.project_id, name, created)
    return WriteBackReport(
        name, len(predictions), created=created, deleted=deleted, is_new_version=True
    )


def _amend(
    store: ProjectStore,
    client: LabelStudioClient,
    info: ProjectInfo,
    publication: Publication,
    expected: Arrays,
    published: Arrays,
    tasks: NDArray[Any],
    progress: Progress,
) -> WriteBackReport:
    """Change the predictions of a few tasks in the current model version."""
    created = changed = deleted = 0
    version = publication.model_version
    position = {int(task): place for place, task in enumerate(expected["task"])}
    done = []
    for step, task in enumerate(tasks.tolist()):
        progress("Changing predictions", step, len(tasks))
        present = [
            int(one["id"])
            for one in client.predictions_of_task(task)
            if one["model_version"] == version
        ]
        place = position.get(task)
        keep = 0
        if place is not None:
            prediction = _prediction(info, expected, place, version)
            if present:
                client.update_prediction(store.project_id, present[0], prediction)
                keep = 1
                changed += 1
            else:
                client.create_prediction(store.project_id, prediction)
                created += 1
        for surplus in present[keep:]:
            client.delete_prediction(surplus)
            deleted += 1
        done.append(task)
    if done:
        kept = select(published, ~np.isin(published["task"], done))
        new = select(expected, np.isin(expected["task"], done))
        with store.transaction() as pipe:
            store.published(len(info.questions)).stage_replacement(pipe, done, new)
            total = len(kept["task"]) + len(new["task"])
            store.stage_publication(
                pipe, replace(publication, num_predictions=total, published_at=time.time())
            )
        log.info("project %s: changed %s predictions of %s", store.project_id, len(done), version)
    else:
        total = publication.num_predictions
    return WriteBackReport(version, total, created=created, changed=changed, deleted=deleted)


def _prediction(info: ProjectInfo, expected: Arrays, place: int, version: str) -> JSON:
    """One prediction in Label Studio's form."""
    return {
        "task": int(expected["task"][place]),
        "result": result_of(info.questions, expected["label"][place]),
        "score": float(expected["score"][place]),
        "model_version": version,
    }


def _withdraw(
    store: ProjectStore, client: LabelStudioClient, info: ProjectInfo, versions: dict[str, int]
) -> WriteBackReport:
    """Delete all our predictions, as nothing has a consensus any more."""
    deleted = 0
    for name in _leftovers(versions):
        deleted += client.delete_model_version(store.project_id, name)
    if deleted:
        client.update_project(store.project_id, model_version="")
    table = store.published(len(info.questions))
    publication = store.read_publication()
    with store.transaction() as pipe:
        table.stage_all(pipe, select(table.read(), slice(0)))
        if publication is not None:
            store.stage_publication(pipe, replace(publication, num_predictions=0))
    return WriteBackReport("", 0, deleted=deleted)


def _differing(published: Arrays, expected: Arrays) -> NDArray[Any]:
    """Tasks whose prediction in Label Studio is missing, surplus or another one."""
    both, in_old, in_new = np.intersect1d(published["task"], expected["task"], return_indices=True)
    differs = (published["label"][in_old] != expected["label"][in_new]).any(axis=1)
    differs |= published["score"][in_old] != expected["score"][in_new]
    return np.union1d(both[differs], np.setxor1d(published["task"], expected["task"]))


def _leftovers(versions: dict[str, int], *kept: str | None) -> list[str]:
    """Model versions of ours besides those to keep."""
    return [name for name in versions if _OURS.fullmatch(name) and name not in kept]


def _number_of(name: str) -> int:
    match = _OURS.fullmatch(name)
    return int(match[1]) if match else 0
