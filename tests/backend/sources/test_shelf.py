"""Predictions in, and out again, with what they change."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from backend.errors import PredictionsError, UnknownQuestionError
from backend.insights.sources import source_rows
from backend.jobs.recompute import recompute_project
from backend.jobs.train import train_classifiers
from backend.service import Service
from backend.sources.shelf import drop, source_name_of, upload
from backend.store.project import ProjectStore
from tests.backend.jobs.test_recompute import FIRST, SECOND, fill, moods, raw_task

NUM_TASKS = 40


@pytest.fixture
def service(make_service: Callable[..., Service]) -> Service:
    return make_service(max_upload_mb=1)


@pytest.fixture
def known(store: ProjectStore) -> ProjectStore:
    """A project with labels and a first consensus."""
    fill(store, [raw_task(n, moods(n), {}) for n in range(1, NUM_TASKS + 1)], FIRST)
    recompute_project(store, train_classifiers(store))
    return store


def predictions(folder: Path, tasks: range, sureness: float = 0.9) -> Path:
    """A file by one who is always right, and as sure as is said."""
    right = [sureness if task % 2 == 0 else 1 - sureness for task in tasks]
    path = folder / "their model.csv"
    table = {"task": list(tasks), "bad": [1 - one for one in right], "good": right}
    pd.DataFrame(table).to_csv(path, index=False)
    return path


def send(service: Service, path: Path, **options: str) -> str:
    return upload(service, 25, path, file_name=path.name, by="a test", **options).name


def renewed(store: ProjectStore) -> None:
    recompute_project(store, train_classifiers(store))


def test_an_upload_is_weighed_beside_the_own_classifier(
    service: Service, known: ProjectStore, tmp_path: Path
) -> None:
    before = known.consensus(1).read()
    assert send(service, predictions(tmp_path, range(1, 31))) == "their-model"
    (row,) = [one for one in source_rows(service, 25) if one.kind == "uploaded"]
    assert (row.num_tasks, row.coverage, row.is_counted, row.weight) == (30, 0.75, False, None)

    renewed(known)
    own, theirs = source_rows(service, 25)
    assert (own.name, own.coverage) == ("own", 1.0)
    assert theirs.is_counted
    assert theirs.weight is not None
    assert theirs.weight > 0
    assert theirs.accuracy == 1.0
    assert theirs.log_loss is not None
    assert theirs.log_loss < 0.2
    assert theirs.calibration.startswith("temperature")
    after = known.consensus(1).read()
    covered = np.arange(NUM_TASKS) < 30
    np.testing.assert_array_equal(after["label"], before["label"])
    np.testing.assert_array_equal(
        (after["quality"] != before["quality"])[:, 0], covered
    )  # where it says nothing, all is as before
    assert after["quality"][covered].mean() > before["quality"][covered].mean()
    assert train_classifiers(known) is None  # all of it is counted

    drop(service, 25, "their-model", by="a test")
    renewed(known)
    (own,) = source_rows(service, 25)
    assert own.name == "own"
    np.testing.assert_array_equal(known.consensus(1).read()["quality"], before["quality"])
    assert known.models(0) == ("own",)
    assert not list(known.redis.scan_iter(match="*their-model*"))


def test_only_the_others_are_taken_in_anew(
    service: Service, known: ProjectStore, tmp_path: Path
) -> None:
    own = known.pred_probs(0, 2).read()["probs"]
    before = known.read_summary()
    send(service, predictions(tmp_path, range(1, 31)))
    trained = train_classifiers(known)
    assert trained is not None
    np.testing.assert_array_equal(trained.questions[0].pred_probs, own)
    assert before is not None
    assert trained.questions[0].description == before.questions[0].classifier
    assert trained.questions[0].name == before.questions[0].classifier_name


def test_predictions_alone_are_enough_of_a_classifier(
    service: Service, store: ProjectStore, tmp_path: Path
) -> None:
    tasks = [{**raw_task(n, moods(n) if n < 30 else {}, {}), "data": {}} for n in range(1, 41)]
    fill(store, tasks, dataclasses.replace(FIRST, sources=()))
    send(service, predictions(tmp_path, range(1, 36)))
    assert not service.queue.num_waiting()  # there is no consensus yet that they could change
    renewed(store)
    own, theirs = source_rows(service, 25)
    assert own.num_tasks == 0
    assert theirs.weight is not None
    assert theirs.weight > 0.5
    assert store.models(0) == ("their-model",)
    summary = store.read_summary()
    assert summary is not None
    assert summary.questions[0].model_weight == theirs.weight


def test_a_new_upload_replaces_that_of_its_name(
    service: Service, known: ProjectStore, tmp_path: Path
) -> None:
    send(service, predictions(tmp_path, range(1, 31)))
    renewed(known)
    send(service, predictions(tmp_path, range(1, 11)))
    (source,) = known.prediction_sources.all()
    assert source.report.num_used == 10
    assert train_classifiers(known) is not None
    assert [entry["action"] for entry in known.audit_trail()] == ["predictions uploaded"] * 2


def test_what_does_not_fit_changes_nothing(
    service: Service, known: ProjectStore, tmp_path: Path
) -> None:
    path = predictions(tmp_path, range(901, 905))
    with pytest.raises(PredictionsError, match=r"None of the 4 rows .* no task of the project"):
        send(service, path)
    with pytest.raises(UnknownQuestionError, match="It asks: mood"):
        send(service, path, question="tense")
    with pytest.raises(PredictionsError, match="cannot be called 'own'"):
        send(service, path, name="own")
    with pytest.raises(PredictionsError, match=r"no source 'nothing' to drop\. There is none"):
        drop(service, 25, "nothing", by="a test")
    assert known.prediction_sources.all() == []
    assert known.audit_trail() == []
    assert not service.queue.num_waiting()


def test_of_several_questions_one_has_to_be_named(
    service: Service, store: ProjectStore, tmp_path: Path
) -> None:
    fill(store, [raw_task(n, moods(n), {1: "past"}) for n in range(1, 31)], FIRST, SECOND)
    path = predictions(tmp_path, range(1, 31))
    with pytest.raises(PredictionsError, match=r"Name one of them \(--question\): mood, tense"):
        send(service, path)
    assert send(service, path, question="mood") == "their-model"
    with pytest.raises(PredictionsError, match=r"No column is named .* question tense"):
        send(service, path, question="tense")


def test_predictions_outlive_another_labeling_config(
    service: Service, known: ProjectStore, tmp_path: Path
) -> None:
    send(service, predictions(tmp_path, range(1, 31)))
    info = known.read_info()
    assert info is not None
    swapped = dataclasses.replace(FIRST, classes=("bad", "fair", "good"))
    with known.lock(), known.transaction() as changes:
        known.stage_other_questions(changes, dataclasses.replace(info, questions=(swapped,)), 1)
    fill(known, [raw_task(n, moods(n), {}) for n in range(1, NUM_TASKS + 1)], swapped)
    renewed(known)
    (theirs,) = [one for one in source_rows(service, 25) if one.kind == "uploaded"]
    assert theirs.accuracy == 1.0


@pytest.mark.parametrize(
    ("text", "name"), [("bert v2.1", "bert-v2.1"), ("../x", "x"), ("a" * 99, "a" * 60)]
)
def test_names_are_plain(text: str, name: str) -> None:
    assert source_name_of(text) == name


def test_a_name_of_signs_is_refused() -> None:
    with pytest.raises(PredictionsError, match="cannot be called"):
        source_name_of("///")
