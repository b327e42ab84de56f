"""What the service knows about one project."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from threading import Event, Thread
from typing import Any

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import LockError, RedisError

from backend.errors import ProjectBusyError
from backend.label_studio.controls import Question
from backend.store import keys
from backend.store.tables import TaskTable

JSON = dict[str, Any]

log = logging.getLogger(__name__)

_LOCK_SECONDS = 30
_MOST_DEAD_LETTERS = 1000


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
    history: tuple[str, ...] = field(default=())
    """Model versions published so far, the newest last."""

    def to_json(self) -> str:
        """Plain form, for storage."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, stored: bytes) -> Publication:
        """Inverse of `to_json`."""
        plain = json.loads(stored)
        return cls(**{**plain, "history": tuple(plain["history"])})


class ProjectStore:
    """One project's part of Redis.

    Parameters
    ----------
    redis
        Connection that returns bytes.
    project_id
        Id of the project in Label Studio.
    """

    def __init__(self, redis: Redis, project_id: int) -> None:
        self.redis = redis
        self.project_id = project_id

    def _key(self, template: str, **names: str) -> str:
        return template.format(project=self.project_id, **names)

    def read_info(self) -> ProjectInfo | None:
        """Return what is known of the project, None if it was never synced."""
        stored: Any = self.redis.get(self._key(keys.INFO))
        return ProjectInfo.from_json(stored) if stored else None

    def stage_info(self, pipe: Pipeline, info: ProjectInfo) -> None:
        """Store `info`, and list the project, when `pipe` is executed."""
        pipe.set(self._key(keys.INFO), info.to_json())
        self.redis.sadd(keys.PROJECTS, self.project_id)

    def touch(self, info: ProjectInfo, **changes: Any) -> ProjectInfo:
        """Store `info` with changed fields and return it."""
        changed = replace(info, **changes)
        with self.transaction() as pipe:
            self.stage_info(pipe, changed)
        return changed

    def read_summary(self) -> Summary | None:
        """Return what the last recompute found."""
        stored: Any = self.redis.get(self._key(keys.SUMMARY))
        return Summary.from_json(stored) if stored else None

    def stage_summary(self, pipe: Pipeline, summary: Summary) -> None:
        """Store `summary` when `pipe` is executed."""
        pipe.set(self._key(keys.SUMMARY), summary.to_json())

    def read_publication(self) -> Publication | None:
        """Return what was published, None if nothing was."""
        stored: Any = self.redis.get(self._key(keys.PUBLICATION))
        return Publication.from_json(stored) if stored else None

    def stage_publication(self, pipe: Pipeline, publication: Publication) -> None:
        """Store `publication` when `pipe` is executed."""
        pipe.set(self._key(keys.PUBLICATION), publication.to_json())

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

    @cached_property
    def tasks(self) -> TaskTable:
        """One row per task: `content`, a hash of what a classifier could learn from."""
        return self._table("tasks", content=("u8", None))

    @cached_property
    def features(self) -> TaskTable:
        """One row per non-zero feature of a task: its `index` and `value`."""
        return self._table("features", index=("i4", None), value=("f4", None))

    def annotations(self, num_questions: int) -> TaskTable:
        """One row per annotation, whether it counts as a label or not."""
        return self._table(
            "annotations",
            annotation=("i8", None),
            annotator=("i8", None),
            updated_at=("i8", None),
            lead_time=("f4", None),
            is_cancelled=("u1", None),
            is_ground_truth=("u1", None),
            codes=("i4", num_questions),
        )

    def pred_probs(self, question: int, num_classes: int) -> TaskTable:
        """One row per task: the classifier's out-of-sample probabilities."""
        return self._table(f"pred_probs:{question}", probs=("f8", num_classes))

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
        """One row per annotation that counts: the quality of its labels, NaN if none."""
        return self._table(
            "label_quality",
            annotation=("i8", None),
            annotator=("i8", None),
            quality=("f8", num_questions),
        )

    def published(self, num_questions: int) -> TaskTable:
        """One row per prediction that Label Studio holds of our current version."""
        return self._table("published", label=("i4", num_questions), score=("f8", None))

    def stage_forget_results(self, pipe: Pipeline) -> None:
        """Forget what was computed, as after a change of the labeling config.

        The publication stays known, so that the next one replaces it.
        """
        pipe.delete(self._key(keys.SUMMARY))
        for key in self.redis.scan_iter(match=self._key(keys.TABLE, name="pred_probs:*")):
            pipe.delete(key)
        for name in ("consensus", "label_quality", "published"):
            pipe.delete(self._key(keys.TABLE, name=name))

    def _table(self, name: str, **columns: tuple[str, int | None]) -> TaskTable:
        return TaskTable(self.redis, self._key(keys.TABLE, name=name), columns)

    @contextmanager
    def transaction(self) -> Iterator[Pipeline]:
        """Commands staged inside are executed together at the end, or not at all."""
        with self.redis.pipeline(transaction=True) as pipe:
            yield pipe
            pipe.execute()

    def forget(self) -> None:
        """Delete everything that is known of the project."""
        pattern = self._key(keys.INFO).removesuffix("info") + "*"
        found: Any = list(self.redis.scan_iter(match=pattern, count=1000))
        if found:
            self.redis.delete(*found)
        self.redis.srem(keys.PROJECTS, self.project_id)

    def add_event(self, event: str) -> None:
        """Append a webhook event (JSON) to the inbox."""
        self.redis.xadd(self._key(keys.INBOX), {"event": event})

    def events(self, limit: int) -> list[tuple[bytes, bytes]]:
        """Oldest events of the inbox: entry id and JSON."""
        entries: Any = self.redis.xrange(self._key(keys.INBOX), count=limit)
        return [(entry, fields[b"event"]) for entry, fields in entries]

    def num_events(self) -> int:
        """Number of events that are not applied yet."""
        waiting: Any = self.redis.xlen(self._key(keys.INBOX))
        return int(waiting)

    def remove_events(self, entries: list[bytes]) -> None:
        """Remove applied events from the inbox."""
        if entries:
            self.redis.xdel(self._key(keys.INBOX), *entries)

    def bury_event(self, entry: bytes, event: bytes, reason: str) -> None:
        """Move an event that cannot be applied from the inbox to the dead letters."""
        with self.transaction() as pipe:
            letter: Any = {"event": event, "reason": reason}
            pipe.xadd(self._key(keys.DEAD_LETTERS), letter, maxlen=_MOST_DEAD_LETTERS)
            pipe.xdel(self._key(keys.INBOX), entry)

    def num_dead_letters(self) -> int:
        """Number of events that could not be applied."""
        dead: Any = self.redis.xlen(self._key(keys.DEAD_LETTERS))
        return int(dead)

    def mark_scheduled(self, kind: str, seconds: int) -> bool:
        """Note that a job of this kind is queued; False if one was queued already.

        The note expires, so that a lost job is replaced.
        """
        return bool(self.redis.set(self._key(keys.SCHEDULED, kind=kind), 1, nx=True, ex=seconds))

    def unmark_scheduled(self, kind: str) -> None:
        """Note that a job of this kind begins: changes from now on need another one."""
        self.redis.delete(self._key(keys.SCHEDULED, kind=kind))

    @contextmanager
    def lock(self, wait: float = 600.0) -> Iterator[None]:
        """Let only one process at a time change the project.

        The lock is renewed while it is held and expires if its holder dies.

        Raises
        ------
        ProjectBusyError
            Another process held the lock for longer than `wait` seconds.
        """
        lock = self.redis.lock(
            self._key(keys.LOCK), timeout=_LOCK_SECONDS, blocking_timeout=wait, thread_local=False
        )
        if not lock.acquire():
            raise ProjectBusyError(
                f"Project {self.project_id} is being changed by another process.",
                "Try again when it has finished; `crowdlab status` shows what runs.",
            )
        ended = Event()

        def renew() -> None:
            while not ended.wait(_LOCK_SECONDS / 3):
                try:
                    lock.reacquire()
                except RedisError:  # lost, or Redis is away: the holder's next command tells
                    return

        renewal = Thread(target=renew, name="project-lock", daemon=True)
        renewal.start()
        try:
            yield
        finally:
            ended.set()
            renewal.join()
            try:
                lock.release()
            except LockError:
                log.warning("project %s: the lock expired while it was held", self.project_id)


def known_projects(redis: Redis) -> list[int]:
    """Ids of all projects that the service looks after, ascending."""
    stored: Any = redis.smembers(keys.PROJECTS)
    return sorted(int(number) for number in stored)
