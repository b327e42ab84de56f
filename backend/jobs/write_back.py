"""Write consensus and scores into Label Studio, as predictions of a model version of ours."""

from __future__ import annotations

import logging
import re
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.errors import LabelStudioError, RequestRefusedError, UnknownVersionError
from backend.jobs.answer_regions import AnswerRegions
from backend.label_studio.client import LabelStudioClient
from backend.label_studio.controls import validate_predictions
from backend.progress import Progress, silent
from backend.store.arrays import Arrays
from backend.store.changes import Changes
from backend.store.project import JSON, ModelVersion, ProjectInfo, ProjectStore, Publication, Work
from backend.store.tables import select

log = logging.getLogger(__name__)

SCORE_DIGITS = 4
"""Decimals of the scores that Label Studio gets."""

_DELETE_AT_ONCE = 800
"""Predictions of a version that Label Studio deletes in less than SQLite waits for a lock."""

_OURS = re.compile(r"crowdlab-(\d{6,})")
_IDS_TO_ASK = 50_000
"""Up to this many ids of predictions are asked for in one request, which Label Studio does
not divide into pages."""


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
    is_pinned: bool = False
    """A rollback keeps the predictions as they are."""

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
        if self.is_pinned:
            return (
                f"left as rolled back, in {self.model_version}; "
                "`crowdlab rollback PROJECT --undo` publishes the present consensus"
            )
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
    keep_versions: int = 5,
    reason: str = "recompute",
    progress: Progress = silent,
) -> WriteBackReport:
    """Make Label Studio's predictions equal to the stored consensus.

    Up to `amend_limit` differing tasks are changed one by one in the current model
    version, the most different first. More are published as a new one: all predictions in
    one import, then the project's model version, so that people see the old predictions
    until the new ones are complete; `remove_old_versions` does the rest. A run that was cut
    short anywhere is finished or cleaned up by the next. The caller holds the lock of
    `Work.WRITE`.

    Parameters
    ----------
    tolerance
        A score that moved by no more than this makes no difference.
    at_most
        Change no more tasks than this now; the report tells how many wait.
    may_publish
        Whether a new version may be published while the current one is intact.
    keep_versions
        Of how many replaced versions to keep what they said.
    reason
        Why it is done, for the audit trail.

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
    publication = store.read_publication()
    if publication is not None and publication.is_pinned:
        return _left_pinned(publication)
    expected = expected_predictions(store.consensus(len(info.questions)).read())
    published = store.published(len(info.questions)).read()
    versions = client.model_versions(store.project_id)
    shown = str(client.project(store.project_id).get("model_version") or "")
    if not len(expected["task"]):
        return _withdraw(store, client, info, versions)
    for name in _unfinished(versions, publication, shown):
        client.delete_model_version(store.project_id, name)
        del versions[name]
    differing = _differing(published, expected, tolerance)
    # Predictions of deleted tasks are gone with them.
    num_held = np.count_nonzero(np.isin(published["task"], store.tasks.read()["task"]))
    is_intact = (
        publication is not None
        and versions.get(publication.model_version, 0) == num_held
        and shown == publication.model_version
    )
    if publication is None or not is_intact or (may_publish and len(differing) > amend_limit):
        release = _Release(store, client, info, reason, keep_versions)
        return release.publish(versions, expected, progress)
    some = differing[:at_most]
    report = amend_tasks(store, client, info, publication, some, progress)
    return replace(report, num_waiting=len(differing) - len(some))


def _left_pinned(publication: Publication) -> WriteBackReport:
    return WriteBackReport(publication.model_version, publication.num_predictions, is_pinned=True)


def send_changes(store: ProjectStore, client: LabelStudioClient, at_most: int) -> dict[int, float]:
    """Bring the predictions that wait longest up to the newest state of their tasks.

    However often a task changed since, its prediction is changed once. What Label Studio does
    not take goes on waiting. The caller holds the lock of `Work.WRITE`.

    Returns
    -------
    dict
        Tasks that were sent, to the moment of their first change, seconds since 1970.
    """
    info, publication = store.read_info(), store.read_publication()
    if info is None or publication is None or publication.is_pinned:
        store.forget_unsent()
        return {}
    taken = store.take_unsent(at_most)
    if not taken:
        return {}
    tasks = np.asarray(sorted(taken), dtype=np.int64)
    num_questions = len(info.questions)
    # What a new version or an equal answer has brought there already needs no request.
    differing = _differing(
        store.published(num_questions).read(tasks),
        expected_predictions(store.consensus(num_questions).read(tasks)),
    )
    try:
        amend_tasks(store, client, info, publication, differing)
    except LabelStudioError:
        store.put_back_unsent(taken)
        raise
    return taken


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
        found = client.predictions_of_version(store.project_id, name)
        for step, (prediction, _) in enumerate(found):
            progress(f"Removing {name}", step, len(found))
            client.delete_prediction(prediction)
        progress(f"Removing {name}", len(found), len(found))
        deleted += len(found)
    return deleted


def roll_back(
    store: ProjectStore,
    client: LabelStudioClient,
    version: str,
    *,
    keep_versions: int = 5,
    progress: Progress = silent,
) -> WriteBackReport:
    """Publish anew what a replaced model version said, and leave it so.

    Tasks that were deleted since are left out. Consensus goes on being computed, but Label
    Studio shows this version until `release_pin`. The caller holds the lock of `Work.WRITE`.

    Raises
    ------
    UnknownVersionError
        It is not known any more what the version said.
    """
    info = store.read_info()
    kept = store.kept_versions()
    if info is None or version not in kept:
        raise UnknownVersionError(
            f"It is not known what {version} of project {store.project_id} said.",
            f"Known are: {', '.join(kept) or 'none'}.",
        )
    said = store.said_by(version, len(info.questions)).read()
    said = select(said, np.isin(said["task"], store.tasks.read()["task"]))
    versions = client.model_versions(store.project_id)
    release = _Release(store, client, info, f"rollback to {version}", keep_versions, version)
    return release.publish(versions, said, progress)


def release_pin(store: ProjectStore) -> None:
    """Let predictions follow the consensus again. The caller holds the lock of `Work.WRITE`."""
    publication = store.read_publication()
    if publication is not None and publication.is_pinned:
        with store.transaction() as changes:
            store.stage_publication(changes, replace(publication, is_pinned=False))
            store.stage_audit(changes, "undo rollback", model_version=publication.model_version)


def _unfinished(versions: Iterable[str], publication: Publication | None, shown: str) -> list[str]:
    """Versions of ours that a publication left behind when it was cut short.

    They are newer than the one that is published, and than the one that people see, which is
    what is known after Redis has lost its data.
    """
    last = max(publication.number if publication else 0, _number_of(shown))
    return [name for name in versions if _number_of(name) > last]


@dataclass(frozen=True)
class _Release:
    """A new model version that takes the place of the current one."""

    store: ProjectStore
    client: LabelStudioClient
    info: ProjectInfo
    reason: str
    keep_versions: int
    restores: str = ""

    def publish(
        self, versions: dict[str, int], expected: Arrays, progress: Progress
    ) -> WriteBackReport:
        """Add all predictions anew, as a new model version, and show that one."""
        store, client = self.store, self.client
        old = store.read_publication()
        last = max([_number_of(name) for name in versions], default=0)
        number = max(last, old.number if old else 0) + 1
        name = version_name(number)
        regions = AnswerRegions(store, self.info, expected)
        predictions = [
            _prediction(regions, expected, place, name) for place in range(len(expected["task"]))
        ]
        validate_predictions(self.info.label_config, predictions)
        progress(f"Publishing {name}", 0, len(predictions))
        self._import(name, predictions)
        progress(f"Publishing {name}", len(predictions), len(predictions))
        store.check_lock(Work.WRITE)
        client.update_project(store.project_id, model_version=name)
        ids = self._ids_of(name, expected["task"])
        new = Publication(
            model_version=name,
            number=number,
            published_at=time.time(),
            num_predictions=len(predictions),
            is_pinned=bool(self.restores),
        )
        with store.transaction() as changes:
            if old is not None:
                self._keep(changes, old.model_version)
            table = store.published(len(self.info.questions))
            table.stage_all(changes, {**expected, "prediction": ids})
            store.stage_publication(changes, new)
            store.stage_model_version(changes, self._record(name, new))
            store.stage_audit(
                changes,
                "publish",
                reason=self.reason,
                model_version=name,
                replaces=old.model_version if old else "",
                num_predictions=len(predictions),
            )
        log.info("project %s: published %s: %s predictions", store.project_id, name, len(ids))
        return WriteBackReport(
            name, len(predictions), created=len(predictions), is_new_version=True
        )

    def _import(self, name: str, predictions: list[JSON]) -> None:
        store, client = self.store, self.client
        store.check_lock(Work.WRITE)
        try:
            created = client.import_predictions(store.project_id, predictions)
        except LabelStudioError:
            # What was stored before the failure must not stay as a second prediction.
            with suppress(LabelStudioError):
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

    def _ids_of(self, name: str, tasks: NDArray[Any]) -> NDArray[np.int64]:
        """Ids of the predictions of a version, in the order of the tasks; 0 where not asked for."""
        ids = np.zeros(len(tasks), dtype=np.int64)
        if len(tasks) <= _IDS_TO_ASK:
            found = self.client.predictions_of_version(self.store.project_id, name)
            by_task = {task: prediction for prediction, task in found}
            ids[:] = [by_task.get(task, 0) for task in tasks.tolist()]
        return ids

    def _keep(self, changes: Changes, version: str) -> None:
        """Keep what the replaced version said, and no more versions than wanted."""
        if not self.keep_versions:
            return
        self.store.stage_keep_published(changes, version)
        kept = [name for name in self.store.kept_versions() if name != version]
        for name in kept[: max(0, len(kept) + 1 - self.keep_versions)]:
            self.store.stage_drop_version(changes, name)

    def _record(self, name: str, new: Publication) -> ModelVersion:
        summary = self.store.read_summary()
        return ModelVersion(
            name=name,
            published_at=new.published_at,
            num_predictions=new.num_predictions,
            reason=self.reason,
            fingerprint=summary.fingerprint if summary else "",
            recipe=f"method={summary.method} {summary.recipe}" if summary else "",
            restores=self.restores,
        )


def amend_tasks(
    store: ProjectStore,
    client: LabelStudioClient,
    info: ProjectInfo,
    publication: Publication,
    tasks: NDArray[Any],
    progress: Progress = silent,
) -> WriteBackReport:
    """Change the predictions of a few tasks in the current model version.

    The caller holds the lock of `Work.WRITE`.

    Raises
    ------
    LabelStudioError
        Label Studio does not take it; what was changed before is kept.
    LockLostError
        Another process does this work now.
    """
    num_questions = len(info.questions)
    expected = expected_predictions(store.consensus(num_questions).read(tasks))
    table = store.published(num_questions)
    published = table.read(tasks)
    amendment = _Amendment(store, client, publication.model_version)
    regions = AnswerRegions(store, info, expected)
    wanted = {int(task): place for place, task in enumerate(expected["task"])}
    known = dict(zip(published["task"].tolist(), published["prediction"].tolist(), strict=True))
    failure: LabelStudioError | None = None
    for step, task in enumerate(tasks.tolist()):
        progress("Changing predictions", step, len(tasks))
        place = wanted.get(task)
        prediction = (
            None
            if place is None
            else _prediction(regions, expected, place, publication.model_version)
        )
        try:
            amendment.amend(task, prediction, known.get(task))
        except RequestRefusedError as error:
            # The task was deleted. If we do not know that yet, a later sync tells.
            if prediction is not None:
                log.warning("project %s: task %s is left: %s", store.project_id, task, error)
                continue
            amendment.ids[task] = 0
        except LabelStudioError as error:
            failure = error
            break
    total = publication.num_predictions
    if done := sorted(amendment.ids):
        new = select(expected, np.isin(expected["task"], done))
        ids = np.asarray([amendment.ids[task] for task in new["task"].tolist()], dtype=np.int64)
        total += len(new["task"]) - int(np.isin(published["task"], done).sum())
        with store.transaction() as changes:
            table.stage_replacement(changes, done, {**new, "prediction": ids})
            store.stage_publication(changes, replace(publication, num_predictions=total))
            store.stage_landed(changes, done)
        log.info(
            "project %s: changed %s predictions of %s",
            store.project_id,
            len(done),
            publication.model_version,
        )
    if failure is not None:
        raise failure
    counts = amendment.counts
    return WriteBackReport(
        publication.model_version,
        total,
        created=counts["created"],
        changed=counts["changed"],
        deleted=counts["deleted"],
    )


class _Amendment:
    """Changes of single predictions of one model version."""

    def __init__(self, store: ProjectStore, client: LabelStudioClient, version: str) -> None:
        self.ids: dict[int, int] = {}
        """Task to its prediction, of the tasks that are done; 0 if it has none."""
        self.counts: Counter[str] = Counter()
        self._store = store
        self._client = client
        self._version = version

    def amend(self, task: int, wanted: JSON | None, known: int | None) -> None:
        """Leave a task with the wanted prediction of the version, or with none.

        Parameters
        ----------
        known
            Id of its prediction: 0 if it has one whose id is not known, None if it has none.
        """
        self._store.check_lock(Work.WRITE)
        if wanted is not None and known and self._update(known, wanted):
            self.ids[task] = known
        elif wanted is not None and known is None and self._store.mark_in_flight(task):
            self.ids[task] = self._create(wanted)
        else:
            self.ids[task] = self._settle(task, wanted)

    def _update(self, prediction: int, wanted: JSON) -> bool:
        try:
            self._client.update_prediction(self._store.project_id, prediction, wanted)
        except RequestRefusedError:  # somebody deleted it
            return False
        self.counts["changed"] += 1
        return True

    def _create(self, wanted: JSON) -> int:
        self.counts["created"] += 1
        return self._client.create_prediction(self._store.project_id, wanted)

    def _settle(self, task: int, wanted: JSON | None) -> int:
        """Look which predictions of the version the task has, and leave one or none."""
        present = [
            int(one["id"])
            for one in self._client.predictions_of_task(task)
            if one["model_version"] == self._version
        ]
        keep = 0
        if wanted is not None and present:
            keep = present.pop(0)
            self._client.update_prediction(self._store.project_id, keep, wanted)
            self.counts["changed"] += 1
        elif wanted is not None:
            keep = self._create(wanted)
        for surplus in present:
            self._client.delete_prediction(surplus)
            self.counts["deleted"] += 1
        return keep


def _prediction(regions: AnswerRegions, expected: Arrays, place: int, version: str) -> JSON:
    """One prediction in Label Studio's form."""
    return {
        "task": int(expected["task"][place]),
        "result": regions.of(place),
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
    with store.transaction() as changes:
        table.stage_parts(changes, [])
        if publication is not None and publication.num_predictions:
            store.stage_publication(changes, replace(publication, num_predictions=0))
            store.stage_audit(
                changes,
                "withdraw",
                reason="no task has a consensus any more",
                model_version=publication.model_version,
            )
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
