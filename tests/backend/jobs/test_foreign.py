"""Other classifiers, calibrated on the annotators' labels."""

import dataclasses

import numpy as np
import pytest

from backend.jobs.foreign import foreign_classifiers
from backend.jobs.predictions import StoredPredictions
from backend.jobs.recompute import recompute_project
from backend.jobs.train import train_classifiers
from backend.label_studio.questions import AnswerType, Question
from backend.sources.checks import FULL
from backend.sources.report import CheckReport
from backend.store.prediction_sources import PredictionSource, SourceKind
from backend.store.project import ProjectStore
from crowdlab_engine import MultiannotatorLabels
from tests.backend.jobs.test_recompute import FIRST, fill, moods, raw_task
from tests.backend.jobs.test_train_sets import TOPICS, truth_of
from tests.backend.jobs.test_train_sets import fill as fill_sets
from tests.backend.store.test_prediction_sources import uploaded

TASKS = np.arange(1, 61)
CONTENTS = TASKS.astype(np.uint64)


def labels() -> MultiannotatorLabels:
    """Three people who are right five times of six."""
    task = np.repeat(np.arange(60), 3)
    right = np.array([task % 2 for task in TASKS])  # even tasks are good, code 0
    wrong = np.arange(180) % 6 == 0
    return MultiannotatorLabels.from_codes(
        task, np.tile([0, 1, 2], 60), np.where(wrong, 1 - right[task], right[task]), num_classes=2
    )


def put(store: ProjectStore, source: PredictionSource, rows: dict[str, np.ndarray]) -> None:
    with store.lock(), store.transaction() as changes:
        store.prediction_sources.stage(changes, source, rows)


def test_probabilities_get_a_temperature_and_scores_a_curve(store: ProjectStore) -> None:
    source, rows = uploaded(range(1, 61))
    said = np.where(np.arange(60) < 30, FULL, rows["probs"].argmax(axis=1))
    sure = np.array([0.999, 0.001])
    rows["probs"] = np.where(rows["probs"] > 0.5, *sure)
    put(store, source, {**rows, "said": said})
    (found,) = foreign_classifiers(store, 0, FIRST, labels(), CONTENTS, TASKS)
    assert found.calibration.startswith("temperature ")
    assert found.calibration.endswith(", isotonic regression on scores")
    probs = found.rows["probs"]
    np.testing.assert_array_equal(probs.argmax(axis=1), rows["probs"].argmax(axis=1))
    # As sure as people agree.
    assert 0.75 < probs.max(axis=1)[:30].mean() < 0.92
    assert probs.max(axis=1)[30:].mean() == pytest.approx(5 / 6, abs=0.03)
    np.testing.assert_allclose(probs.sum(axis=1), 1)


def test_a_score_below_one_half_keeps_its_class(store: ProjectStore) -> None:
    source, rows = uploaded(range(1, 61))
    said = rows["probs"].argmax(axis=1)
    rows["probs"] = 1 - rows["probs"]  # the class that is meant has the score 0.1
    put(store, source, {**rows, "said": said})
    (found,) = foreign_classifiers(store, 0, FIRST, labels(), CONTENTS, TASKS)
    np.testing.assert_array_equal(found.rows["probs"].argmax(axis=1), said)


def test_classes_are_known_by_name_and_tasks_that_are_gone_left_out(store: ProjectStore) -> None:
    report = CheckReport(2, 2)
    source = PredictionSource(
        "theirs", SourceKind.BORROWED, "mood", ("ugly", "bad", "good"), "v1", 1.0, report
    )
    put(
        store,
        source,
        {
            "task": np.array([1, 2, 3, 99]),
            "probs": np.array([[0.5, 0.1, 0.4], [1, 0, 0], [0.2, 0.4, 0.4], [0, 1, 0]]),
            "said": np.array([FULL, FULL, 0, FULL]),
        },
    )
    (found,) = foreign_classifiers(store, 0, FIRST, None, CONTENTS, TASKS)
    assert found.rows["task"].tolist() == [1]  # of the others only what is no class was said
    np.testing.assert_allclose(found.rows["probs"], [[0.8, 0.2]])
    assert found.calibration == "not calibrated"
    other = Question("tense", "text", ("past", "now"))
    assert foreign_classifiers(store, 0, other, None, CONTENTS, TASKS) == []
    spans = dataclasses.replace(FIRST, type=AnswerType.SPANS)
    assert foreign_classifiers(store, 0, spans, None, CONTENTS, TASKS) == []


def test_sets_of_classes_take_the_mean_of_all(store: ProjectStore) -> None:
    fill_sets(store, TOPICS, lambda number, person: truth_of(number) if person < 3 else ["price"])
    source = PredictionSource(
        "theirs", SourceKind.UPLOADED, "topics", ("speed", "price"), "a.csv", 1.0, CheckReport(2, 2)
    )
    rows = {"task": np.array([3, 4]), "probs": np.array([[1.0, 0.0], [0.0, 0.5]])}
    put(store, source, {**rows, "said": np.array([FULL, FULL])})
    recompute_project(store, train_classifiers(store))
    assert store.models(0) == ("own", "theirs")
    own = store.pred_probs(0, 3).read()["probs"][3:5]
    found = StoredPredictions.read(store, 0, 3).mean_of(np.array([3, 4]), [0])
    np.testing.assert_allclose(found, (own + np.array([[0, 1, 0], [0.5, 0, 0]])) / 2)
    summary = store.read_summary()
    assert summary is not None
    mine, theirs = summary.questions[0].models
    assert (mine.num_tasks, theirs.num_tasks) == (48, 2)
    assert (theirs.accuracy, theirs.weight) == (None, None)


def test_sets_of_classes_by_a_file_alone(store: ProjectStore) -> None:
    topics = dataclasses.replace(TOPICS, sources=())
    fill_sets(store, topics, lambda number, person: truth_of(number))
    source = PredictionSource(
        "theirs", SourceKind.UPLOADED, "topics", ("speed",), "a.csv", 1.0, CheckReport(2, 2)
    )
    rows = {"task": np.array([3, 4]), "probs": np.array([[1.0], [0.0]])}
    put(store, source, {**rows, "said": np.array([FULL, FULL])})
    recompute_project(store, train_classifiers(store))
    assert store.models(0) == ("theirs",)
    summary = store.read_summary()
    assert summary is not None
    assert summary.questions[0].num_labeled == 48


@pytest.mark.parametrize("method", ["crowdlab", "fusion"])
def test_what_stands_in_the_tasks_counts(store: ProjectStore, method: str) -> None:
    info = fill(store, [raw_task(n, moods(n), {}) for n in range(1, 41)], FIRST)
    even = np.array([1.0, 0.0])
    rows = {
        "task": np.arange(1, 21),
        "fault": np.zeros(20),
        "probs": np.array([even if task % 2 == 0 else even[::-1] for task in range(1, 21)]),
    }
    with store.lock(), store.transaction() as changes:
        store.brought(0, 2).stage_all(changes, rows)
        store.stage_info(changes, dataclasses.replace(info, pred_probs_key="probs"))
    recompute_project(store, train_classifiers(store), method)  # type: ignore[arg-type]
    summary = store.read_summary()
    assert summary is not None
    own, brought = summary.questions[0].models
    assert (own.name, brought.name) == ("own", "task-data")
    assert (brought.num_tasks, brought.coverage) == (20, 0.5)
    assert (brought.weight is None) == (method == "fusion")
