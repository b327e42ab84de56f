"""Exported tables against the stored ones."""

from collections.abc import Callable
from dataclasses import asdict, fields

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from backend.errors import NothingToComputeError, UnknownProjectError
from backend.exports.data_sets import _leaderboard, open_data_set
from backend.exports.names import DataSetName
from backend.insights.annotators import AnnotatorInsight, leaderboards
from backend.insights.tasks import TaskQuery, TaskSort, task_page
from backend.jobs.insights import store_insights
from backend.jobs.sync import TaskRows, replace_tasks
from backend.service import Service
from backend.store.project import ProjectInfo, ProjectStore, Summary
from tests.backend.insights.conftest import NUM_TASKS
from tests.backend.jobs.test_recompute import FIRST, SECOND, moods, raw_task


def frame(service: Service, name: DataSetName) -> pd.DataFrame:
    data_set = open_data_set(service, 25, name)
    parts = list(data_set.parts())
    assert all(one.schema.equals(data_set.schema) for one in parts)
    return pd.concat([one.to_pandas() for one in parts], ignore_index=True)


def test_the_consensus_is_what_pages_show(service: Service) -> None:
    found = frame(service, DataSetName.CONSENSUS)
    assert found["task"].tolist() == list(range(1, NUM_TASKS + 1))
    for question in ("mood", "tense"):
        rows = task_page(service, 25, TaskQuery(question, TaskSort.TASK, limit=1000)).rows
        answered = found[found[f"{question}.consensus_label"].notna()]
        assert answered["task"].tolist() == [row.task for row in rows]
        for column, name in {
            "consensus_label": "consensus",
            "consensus_quality_score": "quality",
            "annotator_agreement": "agreement",
            "num_annotations": "num_annotations",
            "active_learning_score": "active_learning_score",
        }.items():
            shown = [getattr(row, name) for row in rows]
            assert answered[f"{question}.{column}"].tolist() == shown
    is_open = found["tense.consensus_label"].isna()
    assert is_open.sum() == NUM_TASKS - NUM_TASKS // 3
    assert found.loc[is_open, "tense.num_annotations"].eq(0).all()
    assert found.loc[is_open, "tense.active_learning_score"].isna().all()
    assert found["mood.ground_truth"].isna().all()


def test_ground_truth_is_exported(service: Service, computed: ProjectStore) -> None:
    info = computed.read_info()
    assert info is not None
    known = raw_task(7, moods(7), {})
    known["annotations"][0]["ground_truth"] = True
    rows = TaskRows((FIRST, SECOND))
    unlabelled = raw_task(1000, {1: "good"}, {})
    unlabelled["annotations"][0]["ground_truth"] = True
    rows.add([known, unlabelled])
    replace_tasks(computed, info, rows.task_ids, *rows.arrays(computed.answer_book))
    found = frame(service, DataSetName.CONSENSUS).set_index("task")
    assert found["mood.ground_truth"].dropna().to_dict() == {7: "bad"}


def test_labels_come_with_their_quality(service: Service, computed: ProjectStore) -> None:
    found = frame(service, DataSetName.LABELS)
    stored = computed.label_quality(2).read()
    assert len(found) == (stored["label"] >= 0).sum()
    assert found["task"].is_monotonic_increasing
    mood = found[found["question"] == "mood"]
    np.testing.assert_array_equal(
        mood["label_quality"], stored["quality"][stored["label"][:, 0] >= 0, 0]
    )
    of_three = found[found["task"] == 3].drop(columns="label_quality")
    columns = ["question", "annotator", "label", "agrees_with_consensus"]
    assert of_three[columns].to_numpy().tolist() == [
        ["mood", 1, "bad", True],
        ["mood", 2, "bad", True],
        ["mood", 3, "good", False],
        ["tense", 1, "past", True],
        ["tense", 4, "now", False],
    ]  # fmt: skip
    assert of_three["annotation"].tolist() == [301, 302, 303, 301, 304]
    names = dict(zip(of_three["annotator"], of_three["annotator_name"], strict=True))
    assert names[1] == "ann@example.com"
    assert names[2] == "<script>alert(1)</script>@example.com"
    assert names[3] == "annotator 3"


def test_the_leaderboard_is_that_of_the_pages(service: Service, computed: ProjectStore) -> None:
    store_insights(computed)
    found = frame(service, DataSetName.LEADERBOARD)
    rows = [asdict(one) for board in leaderboards(computed) for one in board.annotators]
    assert found.pop("question").tolist() == ["mood"] * 3 + ["tense"] * 2
    columns = [one.name for one in fields(AnnotatorInsight) if one.name != "weeks"]
    assert list(found.columns) == columns
    assert found.pop("last_active").isna().all()  # these labels have no moments
    for name in found.columns:
        expected = pd.Series([row[name] for row in rows], dtype=found[name].dtype, name=name)
        pd.testing.assert_series_equal(found[name], expected, check_exact=True)


def test_columns_of_an_empty_leaderboard_are_the_same(store: ProjectStore) -> None:
    summary = Summary(1, 1, "", 0.0, ())
    with store.transaction() as changes:
        store.stage_summary(changes, summary)
    table = _leaderboard(store, show_names=True)
    assert table.num_rows == 0
    assert table.schema.field("quality").type == pa.float64()
    assert table.schema.field("median_seconds").type == pa.float64()
    assert table.schema.field("last_active").type == pa.timestamp("us", tz="UTC")


def test_there_may_be_nothing_to_export(make_service: Callable[..., Service]) -> None:
    service = make_service()
    with pytest.raises(UnknownProjectError):
        open_data_set(service, 25, DataSetName.CONSENSUS)
    store = service.store(25)
    with store.transaction() as changes:
        store.stage_info(changes, ProjectInfo("t", "<View/>", (FIRST,)))
    with pytest.raises(NothingToComputeError, match="Nothing was computed for project 25"):
        open_data_set(service, 25, DataSetName.CONSENSUS)
