"""What the service knows about one project."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.errors import LOCK_LOST, LockLostError, NothingToComputeError, ProjectBusyError
from backend.features.report import MediaReport
from backend.label_studio.questions import Question
from backend.store import keys
from backend.store.answer_book import AnswerBook
from backend.store.arrays import Arrays, pack, unpack
from backend.store.changes import Changes
from backend.store.cluster import DataRedis, server_of
from backend.store.contents import Contents
from backend.store.inbox import Inbox
from backend.store.locks import FencedLock
from backend.store.prediction_sources import OWN, PredictionSources
from backend.store.review import REQUEST_COLUMNS, AutomaticReview
from backend.store.schema import SCHEMA_VERSION
from backend.store.tables import TaskTable
from backend.store.trail import Trail

JSON = dict[str, Any]

log = logging.getLogger(__name__)

_PROGRESS_SECONDS = 60
_DISCONNECTED_SECONDS = 3600


class Work(StrEnum):
    """Kinds of work on a project of which one process at a time does each."""

    STORE = "store"
    """Changing what is known; short."""
    REFRESH = "refresh"
    """Sync, training and recompute of all of it; long."""
    WRITE = "write"
    """Changing predictions in Label Studio."""
    REVIEW = "review"
    """Asking for labels in Label Studio, and taking that back."""


_DOES: dict[str, str] = {
    Work.STORE: "being changed",
    Work.REFRESH: "being refreshed",
    Work.WRITE: "being written back",
    Work.REVIEW: "being reviewed",
}


@dataclass(frozen=True)
class ProjectInfo:
    """What a project is, and how far it is known."""

    title: str
    label_config: str
    questions: tuple[Question, ...]
    feature_width: int = 0
    """Number of features per task; 0 if there are none."""
    cursor: int = 0
    """Label Studio's clock when the last sync began, microseconds since 1970; 0 before
    the first full sync."""
    synced_at: float = 0.0
    """Seconds since 1970 of the last sync."""
    fully_synced_at: float = 0.0
    """Seconds since 1970 of the last sync that pulled everything."""
    data_version: int = 0
    """Raised by every change of labels or tasks."""
    is_gone: bool = False
    """Label Studio has the project no more."""
    unsupported: dict[str, str] = field(default_factory=dict)
    """Control tags without a consensus: name of the tag to the reason."""
    pred_probs_key: str = ""
    """Key of the tasks' data under which probabilities stand; empty for none."""
    given_up: dict[str, str] = field(default_factory=dict)
    """Those among them that asked a question until its answers turned out to be too many."""

    def to_json(self) -> str:
        """Plain form, for storage."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, stored: bytes) -> ProjectInfo:
        """Inverse of `to_json`."""
        plain = json.loads(stored)
        plain["questions"] = tuple(Question.from_json(one) for one in plain["questions"])
        return cls(**plain)


@dataclass(frozen=True)
class Pull:
    """How far a full pull has come, so that one cut short goes on there."""

    began: int
    """Label Studio's clock when it began, microseconds since 1970."""
    last_task: int = 0
    """Tasks up to this id are in the store."""

    def to_json(self) -> str:
        """Plain form, for storage."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, stored: bytes) -> Pull:
        """Inverse of `to_json`."""
        return cls(**json.loads(stored))


@dataclass(frozen=True)
class ModelScore:
    """How much one of several classifiers counted, and how good it was."""

    name: str
    """`own`, `task-data`, or the name of the source."""
    num_tasks: int
    """Tasks of which it says something."""
    coverage: float
    """Share of the project's tasks of which it says something, 0 to 1."""
    weight: float | None
    """Weight in CROWDLAB's ensemble; None by another method."""
    log_loss: float | None
    """Mean of minus the logarithm of its probability of the consensus, lower is better."""
    accuracy: float | None
    """Share of the tasks on which it prefers the consensus, 0 to 1."""
    calibration: str
    """How its probabilities were calibrated."""


@dataclass(frozen=True)
class QuestionSummary:
    """What the last recompute found about one question."""

    name: str
    classes: tuple[str, ...]
    num_tasks: int
    """Tasks of the project."""
    num_labeled: int
    """Tasks with at least one label."""
    num_labels: int
    num_ground_truth: int
    mean_quality: float | None
    """Mean consensus quality score, 0 to 1."""
    ground_truth_accuracy: float | None
    """Share of the tasks with ground truth whose consensus equals it."""
    classifier: str
    """What gave the pred_probs, or why there are none."""
    model_weight: float | None
    """Weight of the classifier in CROWDLAB's ensemble; None by another method."""
    annotators: tuple[JSON, ...]
    """Leaderboard rows, best annotator first."""
    values: tuple[float, ...] | None = None
    """Number that each class stands for; None if classes are no numbers."""
    is_class: bool = True
    """Whether an answer is one class, rather than made of parts."""
    classifier_name: str = ""
    """Which of the portfolio was chosen; empty if no classifier was trained."""
    not_counted: str = ""
    """What of the answers could not be used, and why; empty if all could."""
    models: tuple[ModelScore, ...] = ()
    """Classifiers that counted, if any but the service's own did."""


@dataclass(frozen=True)
class Summary:
    """What the last recompute found."""

    data_version: int
    """`ProjectInfo.data_version` that it was computed from."""
    trained_version: int
    """`ProjectInfo.data_version` that the classifiers were trained on; -1 if never."""
    recipe: str
    """Engine version and settings that shaped the classifiers."""
    computed_at: float
    """Seconds since 1970."""
    questions: tuple[QuestionSummary, ...]
    method: str = "crowdlab"
    """How the consensus was found."""
    fingerprint: str = ""
    """Hash of all labels that counted, and of the questions."""
    trained_at: float = 0.0
    """Seconds since 1970 of the last training."""
    training_seconds: float = 0.0
    """CPU seconds that it took."""
    is_complete: bool = True
    """All of the portfolio were tried in it."""

    def to_json(self) -> str:
        """Plain form, for storage."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, stored: bytes) -> Summary:
        """Inverse of `to_json`."""
        plain = json.loads(stored)
        plain["questions"] = tuple(
            QuestionSummary(
                **{
                    **one,
                    "classes": tuple(one["classes"]),
                    "annotators": tuple(one["annotators"]),
                    "values": None if one.get("values") is None else tuple(one["values"]),
                    "models": tuple(ModelScore(**model) for model in one.get("models", ())),
                }
            )
            for one in plain["questions"]
        )
        return cls(**plain)


@dataclass(frozen=True)
class Publication:
    """What Label Studio shows of our results."""

    model_version: str
    number: int
    """Number of the model version, ascending."""
    published_at: float
    """Seconds since 1970."""
    num_predictions: int
    is_pinned: bool = False
    """Left as it is, by a rollback, until somebody publishes again."""

    def to_json(self) -> str:
        """Plain form, for storage."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, stored: bytes) -> Publication:
        """Inverse of `to_json`."""
        return cls(**json.loads(stored))


@dataclass(frozen=True)
class ModelVersion:
    """What produced a model version."""

    name: str
    published_at: float
    """Seconds since 1970."""
    num_predictions: int
    """Predictions that it was published with."""
    reason: str
    """Why it was published."""
    fingerprint: str
    """Hash of the labels that it was computed from; see `Summary`."""
    recipe: str
    """Engine version and settings."""
    restores: str = ""
    """The version whose predictions it repeats, after a rollback."""

    def to_json(self) -> str:
        """Plain form, for storage."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, stored: bytes) -> ModelVersion:
        """Inverse of `to_json`."""
        return cls(**json.loads(stored))


class ProjectStore:
    """One project's part of Redis.

    Parameters
    ----------
    redis
        Connection that returns bytes.
    project_id
        Id of the project in Label Studio.
    """

    def __init__(self, redis: DataRedis, project_id: int) -> None:
        self.redis = redis
        self.project_id = project_id
        self._held: dict[Work, FencedLock] = {}

    def _key(self, template: str, **names: object) -> str:
        return template.format(project=self.project_id, **names)

    def read_info(self) -> ProjectInfo | None:
        """Return what is known of the project, None if it was never synced."""
        stored: Any = self.redis.get(self._key(keys.INFO))
        return ProjectInfo.from_json(stored) if stored else None

    def stage_info(self, changes: Changes, info: ProjectInfo) -> None:
        """Store `info`, and list the project, when the changes are executed."""
        self.redis.set(keys.SCHEMA, SCHEMA_VERSION, nx=True)
        self.redis.sadd(keys.PROJECTS, self.project_id)
        changes.set(self._key(keys.INFO), info.to_json())

    def touch(self, info: ProjectInfo, **fields: Any) -> ProjectInfo:
        """Store `info` with other values of some fields and return it."""
        changed = replace(info, **fields)
        with self.transaction() as changes:
            self.stage_info(changes, changed)
        return changed

    def read_pull(self) -> Pull | None:
        """Return how far a full pull has come, None if none is under way."""
        stored: Any = self.redis.get(self._key(keys.PULL))
        return Pull.from_json(stored) if stored else None

    def stage_pull(self, changes: Changes, pull: Pull | None) -> None:
        """Store how far a full pull has come, or that it is done."""
        if pull is None:
            changes.delete(self._key(keys.PULL))
        else:
            changes.set(self._key(keys.PULL), pull.to_json())

    def read_recent(self) -> dict[int, int]:
        """Tasks that were pulled a short while ago, to when they had been updated."""
        stored: Any = self.redis.get(self._key(keys.RECENT))
        if not stored:
            return {}
        rows = unpack(stored)
        return dict(zip(rows["task"].tolist(), rows["updated_at"].tolist(), strict=True))

    def stage_recent(self, changes: Changes, moments: Mapping[int, int]) -> None:
        """Store what the next incremental pull need not pull again.

        Parameters
        ----------
        moments
            Task to its last update, by Label Studio's clock, microseconds since 1970.
        """
        rows = {
            "task": np.fromiter(moments.keys(), dtype=np.int64),
            "updated_at": np.fromiter(moments.values(), dtype=np.int64),
        }
        changes.set(self._key(keys.RECENT), pack(rows))

    def read_summary(self) -> Summary | None:
        """Return what the last recompute found."""
        stored: Any = self.redis.get(self._key(keys.SUMMARY))
        return Summary.from_json(stored) if stored else None

    def has_results(self) -> bool:
        """Whether something was computed."""
        return bool(self.redis.exists(self._key(keys.SUMMARY)))

    def stage_summary(self, changes: Changes, summary: Summary) -> None:
        """Store `summary` when the changes are executed."""
        changes.set(self._key(keys.SUMMARY), summary.to_json())

    def read_statistics(self, question: int) -> Arrays | None:
        """Return the sums that the weights of a question follow from."""
        stored: Any = self.redis.get(self._key(keys.STATISTICS, question=question))
        return unpack(stored) if stored else None

    def stage_statistics(self, changes: Changes, question: int, sums: Arrays | None) -> None:
        """Store the sums of a question when the changes are executed; None forgets them."""
        key = self._key(keys.STATISTICS, question=question)
        if sums is None:
            changes.delete(key)
        else:
            changes.set(key, pack(sums))

    def read_insights(self, question: int) -> Arrays | None:
        """Return what pages show of a question, None if it was never summed up."""
        stored: Any = self.redis.get(self._key(keys.INSIGHTS, question=question))
        return unpack(stored) if stored else None

    def insights_at(self) -> float:
        """Moment at which the insights were summed up, seconds since 1970; 0 if never."""
        stored: Any = self.redis.get(self._key(keys.INSIGHTS_AT))
        return float(stored) if stored else 0.0

    def stage_insights_at(self, changes: Changes, moment: float) -> None:
        """Note when the insights were summed up when the changes are executed."""
        changes.set(self._key(keys.INSIGHTS_AT), moment)

    def stage_insights(self, changes: Changes, question: int, sums: Arrays) -> None:
        """Store what pages show of a question when the changes are executed."""
        changes.set(self._key(keys.INSIGHTS, question=question), pack(sums))

    def stage_changed(self, changes: Changes, tasks: Iterable[int], data_version: int) -> None:
        """Note which tasks' labels a data version changed."""
        changes.rank(self._key(keys.CHANGED), dict.fromkeys(tasks, data_version))

    def changed_since(self, data_version: int) -> NDArray[np.int64]:
        """Tasks whose labels changed after a data version, ascending."""
        found: Any = self.redis.zrangebyscore(self._key(keys.CHANGED), f"({data_version}", "+inf")
        return np.sort(np.asarray([int(task) for task in found], dtype=np.int64))

    def stage_forget_changed(self, changes: Changes, data_version: int) -> None:
        """Forget which tasks were changed up to a data version, as results count them."""
        changes.drop_up_to(self._key(keys.CHANGED), data_version)

    def read_publication(self) -> Publication | None:
        """Return what was published, None if nothing was."""
        stored: Any = self.redis.get(self._key(keys.PUBLICATION))
        return Publication.from_json(stored) if stored else None

    def stage_publication(self, changes: Changes, publication: Publication) -> None:
        """Store `publication` when the changes are executed."""
        changes.set(self._key(keys.PUBLICATION), publication.to_json())

    def model_versions(self) -> list[ModelVersion]:
        """What produced each model version so far, the oldest first."""
        stored: Any = self.redis.hgetall(self._key(keys.VERSIONS))
        return [ModelVersion.from_json(stored[name]) for name in sorted(stored)]

    def stage_model_version(self, changes: Changes, version: ModelVersion) -> None:
        """Keep what produced a model version when the changes are executed."""
        changes.set_field(self._key(keys.VERSIONS), version.name, version.to_json())

    def stage_audit(self, changes: Changes, action: str, **details: object) -> None:
        """Note in the audit trail what was done, when the changes are executed."""
        entry = json.dumps({"at": time.time(), "action": action, **details})
        self.audit.stage(changes, {"entry": entry})

    def audit_trail(self, limit: int = 100) -> list[JSON]:
        """What was done to the project in Label Studio, the newest first."""
        return [json.loads(fields[b"entry"]) for _, fields in self.audit.newest(limit)]

    @cached_property
    def audit(self) -> Trail:
        """What the service did to the project in Label Studio."""
        return Trail(self.redis, self._key(keys.AUDIT))

    @cached_property
    def requests(self) -> TaskTable:
        """One row per task that one more label was ever asked of: the newest request."""
        return self._table("requests", **REQUEST_COLUMNS)

    def read_automatic_review(self) -> AutomaticReview | None:
        """Return the review that the service does by itself, None if it does none."""
        stored: Any = self.redis.get(self._key(keys.AUTOMATIC_REVIEW))
        return AutomaticReview.from_json(stored) if stored else None

    def stage_automatic_review(self, changes: Changes, review: AutomaticReview | None) -> None:
        """Store the review that the service does by itself; None switches it off."""
        if review is None:
            changes.delete(self._key(keys.AUTOMATIC_REVIEW))
        else:
            changes.set(self._key(keys.AUTOMATIC_REVIEW), review.to_json())

    def accepted(self) -> dict[int, int]:
        """Tasks whose consensus was accepted as ground truth, to the annotation that says so."""
        stored: Any = self.redis.hgetall(self._key(keys.ACCEPTED))
        return {int(task): int(annotation) for task, annotation in stored.items()}

    def stage_accepted(self, changes: Changes, task: int, annotation: int | None) -> None:
        """Keep by which annotation a task's consensus was accepted; None forgets it."""
        key = self._key(keys.ACCEPTED)
        if annotation is None:
            changes.delete_fields(key, str(task))
        else:
            changes.set_field(key, str(task), annotation)

    def annotator_names(self) -> dict[int, str]:
        """E-mail addresses by annotator id."""
        stored: Any = self.redis.hgetall(self._key(keys.ANNOTATOR_NAMES))
        return {int(number): name.decode() for number, name in stored.items()}

    def save_annotator_names(self, names: Mapping[int, str]) -> None:
        """Add or change e-mail addresses by annotator id."""
        if names:
            self.redis.hset(
                self._key(keys.ANNOTATOR_NAMES), mapping={str(k): v for k, v in names.items()}
            )

    def last_error(self) -> str:
        """Why the last job of the project failed; empty if it did not."""
        stored: Any = self.redis.get(self._key(keys.LAST_ERROR))
        return stored.decode() if stored else ""

    def save_last_error(self, reason: str) -> None:
        """Keep why a job failed; an empty reason says that it did not."""
        if reason:
            self.redis.set(self._key(keys.LAST_ERROR), reason)
        else:
            self.redis.delete(self._key(keys.LAST_ERROR))

    def save_progress(self, step: str, done: int, total: int | None) -> None:
        """Keep how far the work on the project is, for those who watch."""
        entry = json.dumps({"step": step, "done": done, "total": total, "at": time.time()})
        self.redis.set(self._key(keys.PROGRESS), entry, ex=_PROGRESS_SECONDS)

    def forget_progress(self) -> None:
        """Note that the work on the project has ended."""
        self.redis.delete(self._key(keys.PROGRESS))

    def read_progress(self) -> JSON | None:
        """Return `step`, `done`, `total` and `at` of the work under way, None if there is none."""
        stored: Any = self.redis.get(self._key(keys.PROGRESS))
        return dict(json.loads(stored)) if stored else None

    @cached_property
    def inbox(self) -> Inbox:
        """Webhook events that are not applied yet."""
        return Inbox(
            self.redis, self._key(keys.INBOX), self._key(keys.DEAD_LETTERS), self.transaction
        )

    @cached_property
    def answer_book(self) -> AnswerBook:
        """Numbers of the answers that are no class."""
        return AnswerBook(self.redis, self._key(keys.ANSWERS), self._key(keys.ANSWER_NUMBERS))

    @cached_property
    def contents(self) -> Contents:
        """What annotators saw, for questions that cannot be answered for without it."""
        return Contents(self.redis, self._key(keys.CONTENTS))

    def contents_of(self, tasks: Sequence[int] | NDArray[np.int64]) -> dict[int, JSON]:
        """What the annotators of tasks saw, by task id; without those that are not known."""
        rows = self.tasks.read(np.unique(np.asarray(tasks, dtype=np.int64)))
        found = self.contents.read(np.unique(rows["content"]).tolist())
        return {
            task: found[number]
            for task, number in zip(rows["task"].tolist(), rows["content"].tolist(), strict=True)
            if number in found
        }

    @cached_property
    def consensus_parts(self) -> TaskTable:
        """One row per part of a consensus that is no class: its `question` and `quality`."""
        return self._table("consensus_parts", question=("u1", None), quality=("f4", None))

    @cached_property
    def tasks(self) -> TaskTable:
        """One row per task: `content`, a hash of what a classifier could learn from."""
        return self._table("tasks", content=("u8", None))

    @cached_property
    def features(self) -> TaskTable:
        """One row per non-zero feature of a task: its `index` and `value`."""
        return self._table("features", index=("i4", None), value=("f4", None))

    def descriptors(self, recipe: str, width: int) -> TaskTable:
        """One row per task with a file that could be read: features of all its files."""
        return self._table(f"descriptors:{recipe}", values=("f2", width))

    def described(self, recipe: str, num_sources: int) -> TaskTable:
        """One row per task whose files were read, or tried.

        That is the `content` they were found in, when (seconds since 1970), and the outcome
        per source; see `Outcome`.
        """
        return self._table(
            f"described:{recipe}",
            content=("u8", None),
            tried_at=("f8", None),
            outcome=("u2", num_sources),
        )

    def stage_forget_descriptors(self, changes: Changes, recipe: str) -> None:
        """Forget what was computed of files by a recipe."""
        for name in ("descriptors", "described"):
            changes.delete(self._key(keys.TABLE, name=f"{name}:{recipe}"))

    def read_media(self) -> MediaReport | None:
        """Return which files could be read, None if none was ever looked for."""
        stored: Any = self.redis.get(self._key(keys.MEDIA))
        return MediaReport.from_json(stored) if stored else None

    def stage_media(self, changes: Changes, report: MediaReport | None) -> None:
        """Store which files could be read when the changes are executed; None forgets it."""
        if report is None:
            changes.delete(self._key(keys.MEDIA))
        else:
            changes.set(self._key(keys.MEDIA), report.to_json())

    def annotations(self, num_questions: int) -> TaskTable:
        """One row per annotation, whether it counts as a label or not."""
        return self._table(
            "annotations",
            annotation=("i8", None),
            annotator=("i4", None),
            updated_at=("i8", None),
            lead_time=("f4", None),
            is_cancelled=("u1", None),
            is_ground_truth=("u1", None),
            codes=("i4", num_questions),
        )

    def pred_probs(self, question: int, num_classes: int, model: str = OWN) -> TaskTable:
        """One row per task: a classifier's out-of-sample probabilities, as they count."""
        return self._table(_pred_probs_name(question, model), probs=("f8", num_classes))

    def models(self, question: int) -> tuple[str, ...]:
        """Names of the classifiers that a question's weights are of, in their order."""
        stored: Any = self.redis.get(self._key(keys.MODELS, question=question))
        if stored is not None:
            return tuple(json.loads(stored))
        # Before there were others, nothing was noted.
        own = self._key(keys.TABLE, name=_pred_probs_name(question, OWN))
        return (OWN,) if self.redis.exists(own) else ()

    def stage_models(self, changes: Changes, question: int, names: Sequence[str]) -> None:
        """Note which classifiers count, and forget the pred_probs of others."""
        for gone in set(self.models(question)) - set(names):
            changes.delete(self._key(keys.TABLE, name=_pred_probs_name(question, gone)))
        changes.set(self._key(keys.MODELS, question=question), json.dumps(list(names)))

    def brought(self, question: int, num_classes: int) -> TaskTable:
        """One row per task whose data hold probabilities: these, and what is wrong with them."""
        return self._table(f"brought:{question}", fault=("u1", None), probs=("f8", num_classes))

    @cached_property
    def prediction_sources(self) -> PredictionSources:
        """Predictions that were uploaded or borrowed."""
        return PredictionSources(
            self.redis,
            self._key(keys.SOURCES),
            lambda name: self._key(keys.TABLE, name=f"given:{name}"),
        )

    def consensus(self, num_questions: int) -> TaskTable:
        """One row per task: consensus label, its quality, agreement, number of labels."""
        return self._table(
            "consensus",
            label=("i4", num_questions),
            quality=("f8", num_questions),
            agreement=("f8", num_questions),
            num_annotations=("i4", num_questions),
        )

    def label_quality(self, num_questions: int) -> TaskTable:
        """One row per annotation that counted: its labels, -1 for none, and their quality."""
        return self._table(
            "label_quality",
            annotation=("i8", None),
            annotator=("i4", None),
            label=("i4", num_questions),
            quality=("f8", num_questions),
        )

    def published(self, num_questions: int) -> TaskTable:
        """One row per prediction that Label Studio holds of our current version.

        The id of the prediction is 0 as long as nobody has asked for it.
        """
        return self._predictions("published", num_questions)

    def said_by(self, version: str, num_questions: int) -> TaskTable:
        """One row per prediction that a replaced model version had at its end."""
        return self._predictions(f"said:{version}", num_questions)

    def stage_keep_published(self, changes: Changes, version: str) -> None:
        """Keep what the current version says under its name, before another replaces it."""
        kept = self._key(keys.TABLE, name=f"said:{version}")
        changes.put_aside(self._key(keys.TABLE, name="published"), kept)

    def kept_versions(self) -> list[str]:
        """Model versions of which it is still known what they said, the oldest first."""
        prefix = self._key(keys.TABLE, name="said:")
        found: Any = self.redis.scan_iter(match=f"{prefix}*", count=1000)
        return sorted(key.decode().removeprefix(prefix) for key in found)

    def stage_drop_version(self, changes: Changes, version: str) -> None:
        """Forget what a replaced model version said."""
        changes.delete(self._key(keys.TABLE, name=f"said:{version}"))

    def _predictions(self, name: str, num_questions: int) -> TaskTable:
        return self._table(
            name, label=("i4", num_questions), score=("f8", None), prediction=("i8", None)
        )

    def stage_forget_results(self, changes: Changes, num_questions: int) -> None:
        """Forget what was computed, as after a change of the labeling config.

        The publication stays known, so that the next one replaces it.
        """
        changes.delete(self._key(keys.SUMMARY))
        for question in range(num_questions):
            self.stage_statistics(changes, question, None)
            for model in {OWN, *self.models(question)}:
                changes.delete(self._key(keys.TABLE, name=_pred_probs_name(question, model)))
            changes.delete(self._key(keys.MODELS, question=question))
            changes.delete(self._key(keys.INSIGHTS, question=question))
        for name in ("consensus", "consensus_parts", "label_quality", "published"):
            changes.delete(self._key(keys.TABLE, name=name))
        for version in self.kept_versions():
            self.stage_drop_version(changes, version)

    def stage_other_questions(self, changes: Changes, info: ProjectInfo, most: int) -> None:
        """Store that the project asks other questions, of which no answer is known yet.

        Parameters
        ----------
        info
            With the questions that it asks now.
        most
            Number of questions that it asked, or asks now, whichever is larger.
        """
        fresh = replace(info, cursor=0, data_version=info.data_version + 1)
        self.stage_forget_results(changes, most)
        for question in range(most):
            changes.delete(self._key(keys.TABLE, name=f"brought:{question}"))
        self.stage_forget_annotations(changes)
        self.stage_pull(changes, None)
        self.stage_info(changes, fresh)

    def stage_forget_annotations(self, changes: Changes) -> None:
        """Forget all annotations, whose codes mean nothing under another labeling config."""
        changes.delete(self._key(keys.TABLE, name="annotations"))
        changes.delete(self._key(keys.ANSWERS))
        changes.delete(self._key(keys.ANSWER_NUMBERS))
        changes.delete(self._key(keys.CONTENTS))
        changes.delete(self._key(keys.CHANGED))

    def _table(self, name: str, **columns: tuple[str, int | None]) -> TaskTable:
        return TaskTable(self.redis, self._key(keys.TABLE, name=name), columns)

    @contextmanager
    def transaction(self) -> Iterator[Changes]:
        """Changes staged inside are executed together at the end, or not at all.

        They are refused if another process has taken a lock that this store holds.
        """
        changes = Changes(self.redis, {one.fence: one.token for one in self._held.values()})
        yield changes
        changes.execute()

    def forget(self, *, only_disconnected: bool = False) -> bool:
        """Delete everything that is known of the project.

        Parameters
        ----------
        only_disconnected
            Leave it alone if it is connected by the time that its keys are found, which takes
            a while in a large store: the project may be a new one then.

        Returns
        -------
        bool
            Whether it was deleted.
        """
        found: Any = list(self.redis.scan_iter(match=self._key(keys.ALL), count=1000))
        if only_disconnected and not self.is_disconnected():
            return False
        for start in range(0, len(found), 100):
            self.redis.unlink(*found[start : start + 100])
        self.redis.srem(keys.PROJECTS, self.project_id)
        return True

    def disconnect(self) -> None:
        """Refuse further work on the project, until `connect` or as long as a job may last."""
        self.redis.set(self._key(keys.DISCONNECTED), 1, ex=_DISCONNECTED_SECONDS)

    def connect(self) -> None:
        """Take back `disconnect`."""
        self.redis.delete(self._key(keys.DISCONNECTED))

    def is_disconnected(self) -> bool:
        """Whether the project was disconnected a while ago and not connected since."""
        return bool(self.redis.exists(self._key(keys.DISCONNECTED)))

    def stage_unsent(
        self, changes: Changes, tasks: Iterable[int], moment: float | None = None
    ) -> None:
        """Note tasks whose prediction has to follow their consensus."""
        since = time.time() if moment is None else moment
        changes.rank(self._key(keys.UNSENT), dict.fromkeys(tasks, since), only_new=True)

    def take_unsent(self, limit: int) -> dict[int, float]:
        """Take the tasks that wait longest for their prediction: task to moment of change.

        One that changes from now on waits anew.
        """
        taken: Any = self.redis.zpopmin(self._key(keys.UNSENT), limit)
        return {int(task): float(moment) for task, moment in taken}

    def put_back_unsent(self, taken: Mapping[int, float]) -> None:
        """Let tasks wait again that were taken and not sent."""
        with self.transaction() as changes:
            changes.rank(self._key(keys.UNSENT), taken)

    def num_unsent(self) -> int:
        """Number of tasks whose prediction has to follow their consensus."""
        waiting: Any = self.redis.zcard(self._key(keys.UNSENT))
        return int(waiting)

    def oldest_unsent(self) -> float | None:
        """Moment since which a prediction waits to be sent; None if none does."""
        first: Any = self.redis.zrange(self._key(keys.UNSENT), 0, 0, withscores=True)
        return float(first[0][1]) if first else None

    def forget_unsent(self) -> None:
        """Note that no prediction waits to be sent."""
        self.redis.delete(self._key(keys.UNSENT))

    def mark_in_flight(self, task: int) -> bool:
        """Note that a prediction of the task is being created.

        Returns
        -------
        bool
            False if that was noted before, so that the prediction may exist.
        """
        return bool(self.redis.sadd(self._key(keys.IN_FLIGHT), task))

    def stage_landed(self, changes: Changes, tasks: Sequence[int]) -> None:
        """Note that the predictions of these tasks are known again."""
        changes.remove_members(self._key(keys.IN_FLIGHT), tasks)

    def mark_scheduled(self, kind: str, seconds: int) -> bool:
        """Note that a job of this kind is queued; False if one was queued already.

        The note expires, so that a lost job is replaced.
        """
        return bool(self.redis.set(self._key(keys.SCHEDULED, kind=kind), 1, nx=True, ex=seconds))

    def receive_event(self, event: bytes | str, kind: str, seconds: int) -> bool:
        """Put an event into the inbox and mark a job of this kind as queued, in one request.

        Returns
        -------
        bool
            False if such a job was queued already.
        """
        with self.redis.pipeline(transaction=False) as pipe:
            pipe.xadd(self._key(keys.INBOX), {"event": event})
            pipe.set(self._key(keys.SCHEDULED, kind=kind), 1, nx=True, ex=seconds)
            _, is_first = pipe.execute()
        return bool(is_first)

    def unmark_scheduled(self, kind: str) -> None:
        """Note that a job of this kind begins: changes from now on need another one."""
        self.redis.delete(self._key(keys.SCHEDULED, kind=kind))

    @contextmanager
    def lock(self, work: Work = Work.STORE, wait: float = 600.0) -> Iterator[None]:
        """Let only one process at a time do this kind of work on the project.

        The lock is renewed while it is held and expires if its holder dies; who holds it may
        take it again. Inside, whatever this store changes is refused if another process has
        taken the lock.

        Raises
        ------
        ProjectBusyError
            Another process held the lock for longer than `wait` seconds.
        NothingToComputeError
            The project was disconnected.
        """
        if work in self._held:
            yield
            return
        lock = FencedLock(
            self.redis, self._key(keys.LOCK, name=work), self._key(keys.FENCE, name=work)
        )
        if not lock.acquire(wait):
            raise ProjectBusyError(
                f"Project {self.project_id} is {_DOES[work]} by another process.",
                "Try again when it has finished; `crowdlab status` shows what runs.",
            )
        self._held[work] = lock
        try:
            if self.is_disconnected():
                raise NothingToComputeError(
                    f"Project {self.project_id} was disconnected.",
                    f"`crowdlab connect {self.project_id}` connects it again.",
                )
            yield
        finally:
            del self._held[work]
            if not lock.release():
                log.warning("project %s: the lock expired while it was held", self.project_id)

    def clock(self) -> float:
        """Seconds since 1970, by the clock that the project's events are dated by."""
        seconds, microseconds = server_of(self.redis, self._key(keys.INBOX)).time()
        return float(seconds) + float(microseconds) / 1e6

    def check_lock(self, work: Work) -> None:
        """Make sure that the lock is still held, before something outside the store is changed.

        Raises
        ------
        LockLostError
            Another process has taken it.
        """
        if not self._held[work].is_ours():
            raise LockLostError(LOCK_LOST)

    def is_locked(self, work: Work) -> bool:
        """Whether some process does this kind of work now."""
        return bool(self.redis.exists(self._key(keys.LOCK, name=work)))


def _pred_probs_name(question: int, model: str) -> str:
    return f"pred_probs:{question}" if model == OWN else f"pred_probs:{question}:{model}"


def known_projects(redis: DataRedis) -> list[int]:
    """Ids of all projects that the service looks after, ascending."""
    stored: Any = redis.smembers(keys.PROJECTS)
    return sorted(int(number) for number in stored)
