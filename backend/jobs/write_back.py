"""Write consensus and scores into Label Studio, as predictions of a model version of ours."""

from __future__ import annotations

import logging
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.errors import LabelStudioError, RequestRefusedError
from backend.label_studio.client import LabelStudioClient
from backend.label_studio.controls import NO_LABEL, Question, validate_predictions
from backend.progress import Progress, silent
from backend.store.arrays import Arrays
from backend.store.project import JSON, ProjectInfo, ProjectStore, Publication
from backend.store.tables import select

log = logging.getLogger(__name__)

SCORE_DIGITS = 4
"""Decimals of the scores that Label Studio gets."""

_DELETE_AT_ONCE = 800
"""Predictions of a version that Label Studio deletes in less than SQLite waits for a lock."""

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
    num_waiting: int = 0
    """Predictions that are still to be changed."""

    @property
    def num_amended(self) -> int:
        """Predictions created, changed or deleted one by one."""
        return 0 if self.is_new_version else self.created + self.changed + self.deleted

    def then(self, later: WriteBackReport) -> WriteBackReport:
        """Report of this write-back and one that went on with it."""
        return replace(
            later,
            created=self.created + later.created,
            changed=self.changed + later.changed,
            deleted=self.deleted + later.deleted,
            is_new_version=self.is_new_version or later.is_new_version,
        )

    def __str__(self) -> str:
        if self.is_new_version:
            return f"published {self.num_predictions:,} predictions as {self.model_version}"
        waiting = f"; {self.num_waiting:,} more follow later" if self.num_waiting else ""
        if not (self.created or self.changed or self.deleted):
            if waiting:
                return f"nothing changed in {self.model_version}{waiting}"
            return f"nothing changed; {self.model_version or 'no version'} is up to date"
        return (
            f"{self.model_version}: {self.changed:,} predictions changed, "
            f"{self.created:,} created, {self.deleted:,} deleted{waiting}"
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
    amend_limit: int = 200,
    tolerance: float = 0.0,
    at_most: int | None = None,
    may_publish: bool = True,
    only: Iterable[int] | None = None,
    progress: Progress = silent,
) -> WriteBackReport:
    """Make Label Studio's predictions equal to the stored consensus.

    Up to `amend_limit` differing tasks are changed one by one in the current model
    version, the most different first. More are published as a new one: all predictions in
    one import, then the project's model version, so that people see the old predictions
    until the new ones are complete; `remove_old_versions` does the rest. A run that was cut
    short anywhere is finished or cleaned up by the next. The caller holds the project's lock.

    Parameters
    ----------
    tolerance
        A score that moved by no more than this makes no difference.
    at_most
        Change no more tasks than this now; the report tells how many wait.
    may_publish
        Whether a new version may be published while the current one is intact.
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
    if only is not None and publication is not None and publication.num_predictions:
        chosen = np.intersect1d(_differing(published, expected), np.fromiter(only, dtype=np.int64))
        return _amend(store, client, info, publication, expected, published, chosen, progress)
    versions = client.model_versions(store.project_id)
    if not len(expected["task"]):
        return _withdraw(store, client, info, versions)
    for name in _unfinished(versions, publication):
        client.delete_model_version(store.project_id, name)
        del versions[name]
    differing = _differing(published, expected, tolerance)
    # Predictions of deleted tasks are gone with them.
    num_held = np.count_nonzero(np.isin(published["task"], store.tasks.read()["task"]))
    is_intact = (
        publication is not None
        and versions.get(publication.model_version, 0) == num_held
        and client.project(store.project_id).get("model_version") == publication.model_version
    )
    if publication is None or not is_intact or (may_publish and len(differing) > amend_limit):
        return _publish(store, client, info, publication, versions, expected, progress)
    some = differing[:at_most]
    report = _amend(store, client, info, publication, expected, published, some, progress)
    return replace(report, num_waiting=len(differing) - len(some))


def remove_old_versions(
    store: ProjectStore, client: LabelStudioClient, *, progress: Progress = silent
) -> int:
    """Delete our predictions of versions before the current one; returns their number.

    Label Studio deletes a whole version in one transaction of about 4 ms per prediction, in
    which nobody can save an annotation if its database is SQLite, and gives up after 5 s.
    Large versions are therefore deleted prediction by prediction. It needs no lock, as
    nobody writes to an old version.
    """
    publication = store.read_publication()
    if publication is None:
        return 0
    deleted = 0
    versions = client.model_versions(store.project_id)
    for name, size in versions.items():
        if not 0 < _number_of(name) < publication.number:
            continue
        if size <= _DELETE_AT_ONCE:
            deleted += client.delete_model_version(store.project_id, name)
            continue
        ids = client.predictions_of_version(store.project_id, name)
        for step, prediction in enumerate(ids):
            progress(f"Removing {name}", step, len(ids))
            client.delete_prediction(prediction)
        progress(f"Removing {name}", len(ids), len(ids))
        deleted += len(ids)
    return deleted


def _unfinished(versions: dict[str, int], publication: Publication | None) -> list[str]:
    """Versions of ours that a publication left behind when it was cut short."""
    last = publication.number if publication else 0
    return [name for name in versions if _number_of(name) > last]


def _publish(
    store: ProjectStore,
    client: LabelStudioClient,
    info: ProjectInfo,
    publication: Publication | None,
    versions: dict[str, int],
    expected: Arrays,
    progress: Progress,
) -> WriteBackReport:
    """Add all predictions anew, as a new model version, and show that one."""
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
    log.info("project %s: published %s (%s predictions)", store.project_id, name, created)
    return WriteBackReport(name, len(predictions), created=created, is_new_version=True)


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
    version = publication.model_version
    counts: Counter[str] = Counter()
    position = {int(task): place for place, task in enumerate(expected["task"])}
    done = []
    for step, task in enumerate(tasks.tolist()):
        progress("Changing predictions", step, len(tasks))
        place = position.get(task)
        wanted = None if place is None else _prediction(info, expected, place, version)
        try:
            for change, number in _amend_task(client, store.project_id, task, version, wanted):
                counts[change] += number
        except RequestRefusedError as error:
            # The task was deleted. If we do not know that yet, a later sync tells.
            if wanted is not None:
                log.warning("project %s: task %s is left: %s", store.project_id, task, error)
                continue
        done.append(task)
    total = publication.num_predictions
    if done:
        kept = select(published, ~np.isin(published["task"], done))
        new = select(expected, np.isin(expected["task"], done))
        total = len(kept["task"]) + len(new["task"])
        with store.transaction() as pipe:
            store.published(len(info.questions)).stage_replacement(pipe, done, new)
            store.stage_publication(pipe, replace(publication, num_predictions=total))
        log.info("project %s: changed %s predictions of %s", store.project_id, len(done), version)
    return WriteBackReport(
        version,
        total,
        created=counts["created"],
        changed=counts["changed"],
        deleted=counts["deleted"],
    )


def _amend_task(
    client: LabelStudioClient, project_id: int, task: int, version: str, wanted: JSON | None
) -> Iterator[tuple[str, int]]:
    """Leave a task with the wanted prediction of the version, or with none; tells each change."""
    present = [
        int(one["id"])
        for one in client.predictions_of_task(task)
        if one["model_version"] == version
    ]
    keep = 0
    if wanted is not None and present:
        client.update_prediction(project_id, present[0], wanted)
        keep = 1
        yield "changed", 1
    elif wanted is not None:
        client.create_prediction(project_id, wanted)
        yield "created", 1
    for surplus in present[keep:]:
        client.delete_prediction(surplus)
        yield "deleted", 1


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
    for name in versions:
        if _number_of(name):
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


def _differing(published: Arrays, expected: Arrays, tolerance: float = 0.0) -> NDArray[Any]:
    """Tasks whose prediction in Label Studio is missing, surplus or another one.

    The most different come first: those with another label, then by how far the score is.
    """
    both, in_old, in_new = np.intersect1d(published["task"], expected["task"], return_indices=True)
    distance = np.abs(published["score"][in_old] - expected["score"][in_new])
    distance[(published["label"][in_old] != expected["label"][in_new]).any(axis=1)] = np.inf
    differs = distance > tolerance
    order = np.argsort(-distance[differs], kind="stable")
    lone = np.setxor1d(published["task"], expected["task"])
    return np.concatenate([lone, both[differs][order]])


def _number_of(name: str) -> int:
    match = _OURS.fullmatch(name)
    return int(match[1]) if match else 0
