"""Predictions that people gave the service, and model versions that it borrows from.

Label Studio does not know what was uploaded, so that it has to be saved; see `backend.state`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from backend.sources.report import CheckReport
from backend.store.arrays import Arrays
from backend.store.changes import Changes
from backend.store.cluster import DataRedis
from backend.store.tables import TaskTable

OWN = "own"
"""Name of the classifier that the service trains itself."""
TASK_DATA = "task-data"
"""Name of what stands in the tasks' data."""


class SourceKind(StrEnum):
    """Where predictions come from."""

    OWN = "own"
    """The service's own classifier."""
    BROUGHT = "brought"
    """Probabilities in the tasks' data."""
    UPLOADED = "uploaded"
    """A file."""
    BORROWED = "borrowed"
    """Predictions of another model version in Label Studio."""


@dataclass(frozen=True)
class PredictionSource:
    """One set of predictions of a question."""

    name: str
    kind: SourceKind
    question: str
    """Name of the question."""
    classes: tuple[str, ...]
    """Class of each column of its table."""
    origin: str
    """Name of the file, or of the model version."""
    changed_at: float
    """When its rows were stored, seconds since 1970."""
    report: CheckReport
    key: str = ""
    """Key of the tasks' data by which rows were matched; empty for task ids."""

    def to_json(self) -> str:
        """Plain form, for storage."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, stored: bytes | str) -> PredictionSource:
        """Inverse of `to_json`."""
        plain = json.loads(stored)
        return cls(
            **{
                **plain,
                "kind": SourceKind(plain["kind"]),
                "classes": tuple(plain["classes"]),
                "report": CheckReport.from_json(plain["report"]),
            }
        )


class PredictionSources:
    """What was uploaded and borrowed for one project.

    Parameters
    ----------
    redis
        Connection that returns bytes.
    key
        Key of the hash: name of a source to what it is.
    table_key
        Gives the key of a source's table by its name.
    """

    def __init__(self, redis: DataRedis, key: str, table_key: Callable[[str], str]) -> None:
        self._redis = redis
        self._key = key
        self._table_key = table_key

    def all(self) -> list[PredictionSource]:
        """All of them, by name."""
        stored: Any = self._redis.hgetall(self._key)
        return [PredictionSource.from_json(stored[name]) for name in sorted(stored)]

    def read(self, name: str) -> PredictionSource | None:
        """One of them; None if there is none of the name."""
        stored: Any = self._redis.hget(self._key, name)
        return PredictionSource.from_json(stored) if stored else None

    def table(self, source: PredictionSource) -> TaskTable:
        """One row per task: `probs`, and the column of the class that is all that was said."""
        return TaskTable(
            self._redis,
            self._table_key(source.name),
            {"probs": ("f8", len(source.classes)), "said": ("i4", None)},
        )

    def fingerprint(self) -> str:
        """Hash of what there is; empty if there is nothing."""
        stored: Any = self._redis.hgetall(self._key)
        if not stored:
            return ""
        digest = hashlib.blake2b(digest_size=8)
        for name in sorted(stored):
            digest.update(name + b"\0" + stored[name] + b"\0")
        return digest.hexdigest()

    def stage(self, changes: Changes, source: PredictionSource, rows: Arrays) -> None:
        """Store a source, in the place of one of the same name, when the changes are executed."""
        changes.set_field(self._key, source.name, source.to_json())
        self.table(source).stage_all(changes, rows)

    def stage_drop(self, changes: Changes, name: str) -> None:
        """Forget a source when the changes are executed."""
        changes.delete_fields(self._key, name)
        changes.delete(self._table_key(name))
