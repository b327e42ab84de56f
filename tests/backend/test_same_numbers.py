"""Engine, pages, API, files and terminal give the same numbers, to the last bit."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
from flask.testing import FlaskClient

from backend.jobs.insights import store_insights
from backend.jobs.labels import counted_labels, engine_labels
from backend.jobs.recompute import recompute_project
from backend.jobs.train import train_classifiers
from backend.service import Service
from backend.store.project import ProjectStore
from backend.web.app import create_app
from backend.web.dashboard import annotators
from backend.web.dashboard.place import Page, Place
from crowdlab_engine import Crowdlab
from tests.backend.jobs.test_recompute import FIRST, SECOND, fill, raw_task
from tests.backend.test_cli import run
from tests.backend.web.dashboard.conftest import Call, call

__all__ = ["call"]

NUM_TASKS = 240
NUM_ANNOTATORS = 9


@pytest.fixture
def store(store: ProjectStore) -> ProjectStore:
    """Nine people of different skill, who label two to four tasks of each five."""
    generator = np.random.default_rng(25)
    tasks = []
    for number in range(1, NUM_TASKS + 1):
        people = generator.choice(NUM_ANNOTATORS, generator.integers(1, 5), replace=False) + 1
        moods = {int(one): _said(generator, one, number, FIRST.classes) for one in people}
        tenses = {int(one): _said(generator, one, number, SECOND.classes) for one in people[:2]}
        tasks.append(raw_task(number, moods, tenses if number % 2 else {}))
        for annotation in tasks[-1]["annotations"]:
            annotation["updated_at"] = f"2026-0{1 + number % 9}-05T08:00:00Z"
            annotation["lead_time"] = float(generator.gamma(2, 5))
    fill(store, tasks, FIRST, SECOND)
    return store


def _said(
    generator: np.random.Generator, annotator: int, number: int, classes: tuple[str, ...]
) -> str:
    is_right = generator.random() < 0.5 + 0.05 * annotator
    return classes[number % len(classes) if is_right else generator.integers(len(classes))]


@dataclass(frozen=True)
class Fitted:
    """What the engine alone finds of one question."""

    name: str
    tasks: list[int]
    consensus: list[str]
    quality: list[float]
    agreement: list[float]
    board: dict[int, dict[str, Any]]
    """Statistics by annotator."""


@pytest.fixture
def fitted(store: ProjectStore) -> list[Fitted]:
    """The engine's results; the project is computed as by the service."""
    trained = train_classifiers(store)
    assert trained is not None
    recompute_project(store, trained)
    store_insights(store)
    store.save_annotator_names({1: "ann@example.com", 2: "bob@example.com"})
    tasks = store.tasks.read()["task"]
    found = []
    for number, question in enumerate((FIRST, SECOND)):
        counted = counted_labels(store.annotations(2).read(), number)
        labels = engine_labels(tasks, counted, number, question)
        one = Crowdlab().fit(labels, trained.questions[number].pred_probs)
        is_labelled = np.isin(tasks, counted["task"])
        table = one.annotator_stats_
        found.append(
            Fitted(
                question.name,
                tasks[is_labelled].tolist(),
                [question.classes[code] for code in one.consensus_label_[is_labelled]],
                one.consensus_quality_score_[is_labelled].tolist(),
                one.annotator_agreement_[is_labelled].tolist(),
                {
                    int(annotator): {
                        "quality": row["annotator_quality"],
                        "agreement_with_consensus": row["agreement_with_consensus"],
                        "worst_class": question.classes[int(row["worst_class"])],
                        "num_labels": int(row["num_examples_labeled"]),
                    }
                    for annotator, row in zip(
                        table.index.tolist(), table.to_dict("records"), strict=True
                    )
                },
            )
        )
    return found


@pytest.fixture
def web(make_service: Callable[..., Service]) -> FlaskClient:
    return create_app(make_service()).test_client()


def same(row: dict[str, Any]) -> dict[str, Any]:
    """The columns of the leaderboard that the engine knows."""
    return {
        name: row[name]
        for name in ("quality", "agreement_with_consensus", "worst_class", "num_labels")
    }


def files_of(web: FlaskClient, what: str) -> dict[str, pd.DataFrame]:
    """A data set in every format."""
    sent = {
        name: web.get(f"/api/projects/25/exports/{what}.{name}").data
        for name in ("csv", "json", "jsonl", "parquet")
    }
    frames = {
        "csv": pd.read_csv(io.BytesIO(sent["csv"])),
        "json": pd.DataFrame(json.loads(sent["json"])),
        "jsonl": pd.DataFrame([json.loads(line) for line in sent["jsonl"].splitlines()]),
        "parquet": pd.read_parquet(io.BytesIO(sent["parquet"])),
    }
    return {name: frame.astype(object).where(frame.notna(), None) for name, frame in frames.items()}


def test_the_leaderboard_is_the_same_everywhere(
    fitted: list[Fitted],
    web: FlaskClient,
    make_service: Callable[..., Service],
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    service = make_service()
    printed = json.loads(run(monkeypatch, capsys, "leaderboard", "25", "--json")[1])["questions"]
    told = web.get("/api/projects/25/annotators?limit=1000").get_json()["questions"]
    assert told == printed
    files = files_of(web, "leaderboard")
    for number, engine in enumerate(fitted):
        rows = told[number]["annotators"]
        assert {row["annotator"]: same(row) for row in rows} == engine.board
        assert len(rows) == NUM_ANNOTATORS
        for frame in files.values():
            own = frame[frame["question"] == engine.name].drop(columns=["question", "last_active"])
            assert own.to_dict("records") == [
                {name: row[name] for name in own.columns} for row in rows
            ]
        shown = annotators.rows_of(service, Place(Page.ANNOTATORS, 25, question=engine.name))
        for cells, row in zip(shown, rows, strict=True):
            assert row["enough_data"]
            common = cells.keys() & row.keys() - {"annotator"}
            assert len(common) >= 15
            assert {name: cells[name] for name in common} == {name: row[name] for name in common}
            assert cells["annotator"] == str(row["annotator"])
            assert cells["trend"] == [week["agreement"] for week in row["weeks"]]
        for row in rows:
            path = f"/api/projects/25/annotators/{row['annotator']}"
            (one,) = [
                part
                for part in web.get(path).get_json()["questions"]
                if part["question"] == engine.name
            ]
            assert one["statistics"] == row
            assert sum(cell["num_labels"] for cell in one["confusion"]) == row["num_labels"]


def test_the_consensus_is_the_same_everywhere(
    fitted: list[Fitted], web: FlaskClient, call: Call
) -> None:
    files = files_of(web, "consensus")
    for engine in fitted:
        expected = list(
            zip(engine.tasks, engine.consensus, engine.quality, engine.agreement, strict=True)
        )
        assert len(expected) >= NUM_TASKS // 2
        columns = ("consensus", "quality", "agreement")
        path = f"/api/projects/25/tasks?question={engine.name}&sort=task&limit=1000"
        told = web.get(path).get_json()["rows"]
        assert [(row["task"], *(row[name] for name in columns)) for row in told] == expected
        names = ("consensus_label", "consensus_quality_score", "annotator_agreement")
        for frame in files.values():
            kept = frame[frame[f"{engine.name}.consensus_label"].notna()]
            cells = kept[["task", *(f"{engine.name}.{name}" for name in names)]]
            assert list(cells.itertuples(index=False, name=None)) == expected
            scores = kept[f"{engine.name}.active_learning_score"].tolist()
            assert scores == [row["active_learning_score"] for row in told]
        wanted = {
            "startRow": 0,
            "endRow": 1000,
            "sortModel": [{"colId": "task", "sort": "asc"}],
            "filterModel": {"filters": {"filter": json.dumps([None, [0, 1], 1, "", False])}},
        }
        shown = call(
            "review.getRowsResponse",
            "review.getRowsRequest",
            review__getRowsRequest=wanted,
            address__pathname="/projects/25/review",
            address__search=f"?question={engine.name}",
        )["review"]["getRowsResponse"]["rowData"]
        assert [(int(row["task"]), *(row[name] for name in columns)) for row in shown] == expected
        for task, consensus, quality, _ in expected[::40]:
            answers = web.get(f"/api/projects/25/tasks/{task}").get_json()["answers"]
            (one,) = [part for part in answers if part["question"] == engine.name]
            assert (one["consensus"], one["quality"]) == (consensus, quality)
