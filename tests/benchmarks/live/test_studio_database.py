import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks.live.recorded import NewAnnotation
from benchmarks.live.studio_database import StudioDatabase, choice_of

RESULT = '[{"from_name": "label", "value": {"choices": ["positive"]}}]'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Only the tables and columns that are looked at, as Label Studio makes them."""
    path = tmp_path / "label_studio.sqlite3"
    with sqlite3.connect(path) as tables:
        tables.executescript(
            """
            CREATE TABLE project (id integer PRIMARY KEY, model_version text);
            CREATE TABLE prediction (
                id integer PRIMARY KEY, task_id integer, project_id integer,
                model_version text, result text, score real
            );
            CREATE TABLE task_completion (
                id integer PRIMARY KEY AUTOINCREMENT, task_id integer, project_id integer,
                completed_by_id integer, result text, created_at datetime, updated_at datetime,
                unique_id char(32) UNIQUE, ground_truth bool NOT NULL
            );
            """
        )
        tables.execute("INSERT INTO project VALUES (1, 'new'), (2, 'new')")
        tables.executemany(
            "INSERT INTO prediction VALUES (?, ?, ?, ?, ?, ?)",
            [
                (1, 10, 1, "old", RESULT, 0.1),
                (2, 10, 1, "new", RESULT, 0.2),
                (3, 11, 1, "new", "[]", 0.3),
                (4, 12, 2, "new", RESULT, 0.4),
            ],
        )
        tables.execute(
            "INSERT INTO task_completion VALUES (5, 10, 1, 7, ?, ?, ?, 'a', 0)",
            [RESULT, "2026-11-24 12:00:00", "2026-11-24 12:00:00"],
        )
    tables.close()
    return path


@pytest.fixture
def database(path: Path) -> Iterator[StudioDatabase]:
    database = StudioDatabase(path)
    yield database
    database.close()


def annotation(number: int, moment: datetime) -> NewAnnotation:
    return NewAnnotation(id=number, task=11, annotator=8, choice="neutral", saved_at=moment)


def test_only_the_shown_version_counts(database: StudioDatabase) -> None:
    shown = database.shown_predictions(1, [10, 11, 12, 13])
    assert shown == {10: ("positive", 0.2), 11: ("", 0.3)}
    assert database.shown_predictions(1, []) == {}


def test_it_waits_for_nobody_who_writes(path: Path, database: StudioDatabase) -> None:
    writing = sqlite3.connect(path, isolation_level=None)
    writing.execute("BEGIN EXCLUSIVE")
    assert database.shown_predictions(1, [10]) is None
    writing.execute("COMMIT")
    assert database.shown_predictions(1, [10]) is not None
    writing.close()


def test_added_annotations_are_as_saved_ones(path: Path, database: StudioDatabase) -> None:
    assert database.last_annotation() == 5
    now = datetime.now(tz=UTC)
    database.add_annotations(1, [annotation(6, now), annotation(9, now)])
    database.add_annotations(1, [])
    assert database.last_annotation() == 9
    saved = database.saved_since(1, 5)
    assert [task for task, _ in saved] == [11, 11]
    assert saved[0][1] == pytest.approx(time.monotonic(), abs=1.0)
    assert database.saved_since(2, 0) == []
    tables = sqlite3.connect(path)
    rows = tables.execute(
        "SELECT completed_by_id, result, ground_truth, unique_id FROM task_completion WHERE id > 5"
    ).fetchall()
    tables.close()
    assert [row[0] for row in rows] == [8, 8]
    assert [choice_of(row[1]) for row in rows] == ["neutral", "neutral"]
    assert len({row[3] for row in rows}) == 2


def test_an_empty_result_has_no_choice() -> None:
    assert choice_of("[]") == ""
    assert choice_of('[{"value": {"text": ["x"]}}]') == ""
