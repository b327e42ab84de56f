"""Label Studio's SQLite file: watched without a request, so that watching costs it nothing."""

from __future__ import annotations

import json
import sqlite3
import time
import uuid
from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.live.recorded import NewAnnotation

_PATIENCE_SECONDS = 0.02
_WRITE_PATIENCE_SECONDS = 30.0


class StudioDatabase:
    """Label Studio's tables of annotations and predictions.

    Parameters
    ----------
    path
        The SQLite file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reading = sqlite3.connect(
            f"file:{path}?mode=ro", uri=True, timeout=_PATIENCE_SECONDS, isolation_level=None
        )
        # Moments in the file are of the wall clock, all others of the monotonic one.
        self._clock_difference = time.time() - time.monotonic()

    def close(self) -> None:
        """Close the file."""
        self._reading.close()

    def shown_predictions(
        self, project: int, tasks: Iterable[int]
    ) -> dict[int, tuple[str, float]] | None:
        """Choice and score of the predictions that Label Studio shows of tasks.

        Returns
        -------
        dict or None
            None while Label Studio writes.
        """
        wanted = list(tasks)
        marks = ", ".join("?" * len(wanted))
        try:
            rows = self._reading.execute(
                "SELECT prediction.task_id, prediction.result, prediction.score"
                " FROM prediction JOIN project ON project.id = prediction.project_id"
                " AND project.model_version = prediction.model_version"
                f" WHERE project.id = ? AND prediction.task_id IN ({marks})",
                [project, *wanted],
            ).fetchall()
        except sqlite3.OperationalError:
            return None
        return {int(task): (choice_of(result), float(score)) for task, result, score in rows}

    def last_annotation(self) -> int:
        """Highest id of an annotation that there is or was."""
        rows = self._patiently("SELECT seq FROM sqlite_sequence WHERE name = 'task_completion'")
        return int(rows[0][0]) if rows else 0

    def saved_since(self, project: int, annotation: int) -> list[tuple[int, float]]:
        """Task and moment (`time.monotonic`) of the annotations saved after one, by id."""
        rows = self._patiently(
            "SELECT task_id, created_at FROM task_completion"
            " WHERE project_id = ? AND id > ? ORDER BY id",
            [project, annotation],
        )
        return [(int(task), self._monotonic(moment)) for task, moment in rows]

    def add_annotations(self, project: int, annotations: Sequence[NewAnnotation]) -> None:
        """Put annotations into a project as if saved, without a word to anybody.

        They are copies of one that the project has, but for what is given.
        """
        if not annotations:
            return
        with closing(sqlite3.connect(self._path, timeout=_WRITE_PATIENCE_SECONDS)) as writing:
            writing.row_factory = sqlite3.Row
            template = dict(
                writing.execute(
                    "SELECT * FROM task_completion WHERE project_id = ? LIMIT 1", [project]
                ).fetchone()
            )
            names = ", ".join(f'"{name}"' for name in template)
            values = ", ".join(f":{name}" for name in template)
            rows = [_row(template, one) for one in annotations]
            insertion = f"INSERT INTO task_completion ({names}) VALUES ({values})"
            with writing:
                writing.executemany(insertion, rows)

    def _patiently(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        deadline = time.monotonic() + _WRITE_PATIENCE_SECONDS
        while True:
            try:
                return self._reading.execute(query, values).fetchall()
            except sqlite3.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_PATIENCE_SECONDS)

    def _monotonic(self, moment: str) -> float:
        seconds = datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp()
        return seconds - self._clock_difference


def choice_of(result: str) -> str:
    """The only choice of a result in JSON, empty if there is none."""
    for region in json.loads(result):
        choices = region.get("value", {}).get("choices")
        if choices:
            return str(choices[0])
    return ""


def _row(template: dict[str, Any], annotation: NewAnnotation) -> dict[str, Any]:
    (region,) = json.loads(template["result"])
    moment = annotation.saved_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    return {
        **template,
        "id": annotation.id,
        "task_id": annotation.task,
        "completed_by_id": annotation.annotator,
        "result": json.dumps([{**region, "value": {"choices": [annotation.choice]}}]),
        "created_at": moment,
        "updated_at": moment,
        "unique_id": uuid.uuid4().hex,
    }
