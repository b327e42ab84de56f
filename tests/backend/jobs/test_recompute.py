"""From stored labels to stored consensus."""

from typing import Any

import numpy as np
import pytest

from backend.errors import NothingToComputeError
from backend.jobs.recompute import recompute_project
from backend.jobs.sync import TaskRows, replace_tasks
from backend.jobs.train import train_classifiers
from backend.label_studio.questions import Question, Source
from backend.store.project import ProjectInfo, ProjectStore
from crowdlab_engine import Crowdlab, Fusion, MultiannotatorLabels

WORDS = {"good": "fine lovely warm", "bad": "awful cold grim"}
FIRST = Question("mood", "text", ("good", "bad"), (Source("text", "text"),))
SECOND = Question("tense", "text", ("past", "now", "later"), (Source("text", "text"),))


def region(question: Question, choice: str) -> dict[str, Any]:
    return {"from_name": question.name, "value": {"choices": [choice]}}


def raw_task(number: int, moods: dict[int, str], tenses: dict[int, str]) -> dict[str, Any]:
    annotations = []
    for annotator in sorted({*moods, *tenses}):
        result = []
        if annotator in moods:
            result.append(region(FIRST, moods[annotator]))
        if annotator in tenses:
            result.append(region(SECOND, tenses[annotator]))
        annotations.append(
            {"id": number * 100 + annotator, "completed_by": annotator, "result": result}
        )
    truth = ["good", "bad"][number % 2]
    return {
        "id": number,
        "data": {"text": f"{WORDS[truth]} {number}"},
        "annotations": annotations,
    }


def fill(store: ProjectStore, tasks: list[dict[str, Any]], *questions: Question) -> ProjectInfo:
    info = store.read_info() or ProjectInfo("t", "<View/>", questions, feature_width=2**18)
    rows = TaskRows(questions)
    rows.add(tasks)
    replace_tasks(store, info, rows.task_ids, *rows.arrays(store.answer_book))
    known = store.read_info()
    assert known is not None
    return known


def moods(number: int) -> dict[int, str]:
    right = ["good", "bad"][number % 2]
    wrong = ["bad", "good"][number % 2]
    return {1: right, 2: right, 3: wrong if number % 3 == 0 else right}


def test_results_are_the_engines(store: ProjectStore) -> None:
    fill(store, [raw_task(n, moods(n), {}) for n in range(1, 31)], FIRST)
    trained = train_classifiers(store)
    assert trained is not None
    report = recompute_project(store, trained)
    assert (report.num_tasks, report.labels_changed) == (30, 30)
    given = [(n, a, FIRST.classes.index(m)) for n in range(1, 31) for a, m in moods(n).items()]
    labels = MultiannotatorLabels.from_codes(
        [n - 1 for n, _, _ in given], [a - 1 for _, a, _ in given], [c for _, _, c in given]
    )
    fitted = Crowdlab().fit(labels, trained.questions[0].pred_probs)
    rows = store.consensus(1).read()
    np.testing.assert_array_equal(rows["label"][:, 0], fitted.consensus_label_)
    np.testing.assert_array_equal(rows["quality"][:, 0], fitted.consensus_quality_score_)
    quality = store.label_quality(1).read()
    np.testing.assert_array_equal(quality["quality"][:, 0], fitted.label_quality_)
    summary = store.read_summary()
    assert summary is not None
    board = summary.questions[0].annotators
    assert board[-1]["annotator"] == 3
    assert board[-1]["quality"] == fitted.annotator_stats_["annotator_quality"].iloc[0]


def test_the_own_classifier_is_scored_by_the_consensus(store: ProjectStore) -> None:
    fill(store, [raw_task(n, moods(n), {}) for n in range(1, 31)], FIRST)
    trained = train_classifiers(store)
    assert trained is not None
    recompute_project(store, trained)
    summary = store.read_summary()
    assert summary is not None
    (own,) = summary.questions[0].models
    probs, label = trained.questions[0].pred_probs, store.consensus(1).read()["label"][:, 0]
    assert probs is not None
    assert (own.name, own.num_tasks, own.coverage) == ("own", 30, 1.0)
    assert own.accuracy == np.mean(probs.argmax(axis=1) == label)
    assert own.log_loss == pytest.approx(-np.log(probs[np.arange(30), label]).mean())


def test_doing_it_again_changes_nothing(store: ProjectStore) -> None:
    fill(store, [raw_task(n, moods(n), {}) for n in range(1, 31)], FIRST)
    recompute_project(store, train_classifiers(store))
    assert train_classifiers(store) is None
    report = recompute_project(store)
    assert report.is_skipped
    assert "nothing changed" in str(report)


def test_a_changed_label_uses_the_classifier_that_there_is(store: ProjectStore) -> None:
    fill(store, [raw_task(n, moods(n), {}) for n in range(1, 31)], FIRST)
    recompute_project(store, train_classifiers(store))
    before = store.pred_probs(0, 2).read()["probs"]
    fill(store, [raw_task(1, {1: "good", 2: "good", 4: "good"}, {})], FIRST)
    report = recompute_project(store)
    assert report.scores_changed
    np.testing.assert_array_equal(store.pred_probs(0, 2).read()["probs"], before)
    assert train_classifiers(store) is not None


def test_a_task_added_since_the_training_is_computed(store: ProjectStore) -> None:
    fill(store, [raw_task(n, moods(n), {}) for n in range(1, 31)], FIRST)
    recompute_project(store, train_classifiers(store))
    fill(store, [raw_task(99, {1: "good"}, {})], FIRST)
    recompute_project(store)
    assert store.consensus(1).read([99])["label"].tolist() == [[0]]


def test_labels_that_arrive_during_training_count(store: ProjectStore) -> None:
    fill(store, [raw_task(n, moods(n), {}) for n in range(1, 31)], FIRST)
    trained = train_classifiers(store)
    fill(store, [raw_task(1, dict.fromkeys(range(1, 9), "good"), {})], FIRST)
    recompute_project(store, trained)
    assert store.consensus(1).read([1])["num_annotations"][0, 0] == 8
    assert train_classifiers(store) is not None  # for the labels that came later


def test_classifiers_of_another_config_are_not_used(store: ProjectStore) -> None:
    info = fill(store, [raw_task(n, moods(n), {}) for n in range(1, 31)], FIRST)
    trained = train_classifiers(store)
    wider = Question("mood", "text", ("good", "bad", "mixed"), FIRST.sources)
    store.touch(info, questions=(wider,))
    recompute_project(store, trained)
    assert len(store.pred_probs(0, 3).read()["task"]) == 0


def test_two_questions_never_mix(store: ProjectStore) -> None:
    tasks = [raw_task(n, moods(n), {1: "now", 2: "now"} if n < 5 else {}) for n in range(1, 31)]
    tasks.append(raw_task(40, {}, {1: "later"}))
    tasks.append(raw_task(41, {}, {}))
    fill(store, tasks, FIRST, SECOND)
    recompute_project(store, train_classifiers(store))
    rows = store.consensus(2).read()
    assert rows["task"].tolist() == [*range(1, 31), 40]
    assert rows["label"][0].tolist() == [1, 1]
    assert rows["label"][10].tolist() == [0 if 11 % 2 == 0 else 1, -1]
    assert rows["label"][-1].tolist() == [-1, 2]
    assert np.isnan(rows["quality"][-1, 0])
    summary = store.read_summary()
    assert summary is not None
    assert [one.num_labels for one in summary.questions] == [90, 9]
    assert (
        "too few" in summary.questions[1].classifier or "needs" in summary.questions[1].classifier
    )


def test_a_question_that_nobody_answered_is_empty(store: ProjectStore) -> None:
    fill(store, [raw_task(n, moods(n), {}) for n in range(1, 31)], FIRST, SECOND)
    recompute_project(store, train_classifiers(store))
    summary = store.read_summary()
    assert summary is not None
    assert (summary.questions[1].num_labels, summary.questions[1].annotators) == (0, ())
    assert (store.consensus(2).read()["label"][:, 1] == -1).all()


def test_ground_truth_checks_consensus_and_annotators(store: ProjectStore) -> None:
    tasks = [raw_task(n, moods(n), {}) for n in range(1, 31)]
    for task in tasks[:6]:
        right = ["good", "bad"][task["id"] % 2]
        expert = {"id": 9000 + task["id"], "completed_by": 50, "ground_truth": True}
        task["annotations"].append({**expert, "result": [region(FIRST, right)]})
    fill(store, tasks, FIRST)
    recompute_project(store, train_classifiers(store))
    summary = store.read_summary()
    assert summary is not None
    (found,) = summary.questions
    assert (found.num_ground_truth, found.ground_truth_accuracy) == (6, 1.0)
    rows = {row["annotator"]: row for row in found.annotators}
    assert 50 not in rows
    assert rows[1]["agreement_with_ground_truth"] == 1.0
    assert rows[3]["agreement_with_ground_truth"] == pytest.approx(4 / 6)


def test_without_labels_there_is_nothing_to_compute(store: ProjectStore) -> None:
    with pytest.raises(NothingToComputeError, match="not known yet"):
        recompute_project(store)
    fill(store, [raw_task(1, {}, {})], FIRST)
    with pytest.raises(NothingToComputeError, match="1 tasks, 0 annotations"):
        recompute_project(store)


def test_without_features_the_annotators_decide_alone(store: ProjectStore) -> None:
    bare = Question("mood", "audio", ("good", "bad"))
    fill(store, [raw_task(n, moods(n), {}) for n in range(1, 31)], bare)
    recompute_project(store, train_classifiers(store))
    summary = store.read_summary()
    assert summary is not None
    assert summary.questions[0].classifier.startswith("none: the tasks hold no text")
    assert summary.questions[0].model_weight == 0


def test_another_method_recomputes_what_has_not_changed(store: ProjectStore) -> None:
    fill(store, [raw_task(number, moods(number), {}) for number in range(1, 25)], FIRST)
    recompute_project(store, train_classifiers(store))
    by_crowdlab = store.consensus(1).read()
    assert recompute_project(store).is_skipped
    report = recompute_project(store, method="fusion")
    assert not report.is_skipped
    assert report.num_tasks == 24
    assert recompute_project(store, method="fusion").is_skipped
    summary = store.read_summary()
    assert summary is not None
    assert (summary.method, summary.questions[0].model_weight) == ("fusion", None)

    tasks = store.tasks.read()["task"]
    annotations = store.annotations(1).read()
    labels = MultiannotatorLabels.from_codes(
        np.searchsorted(tasks, annotations["task"]),
        annotations["annotator"] - 1,
        annotations["codes"][:, 0],
        num_classes=2,
    )
    probs = store.pred_probs(0, 2).read()["probs"]
    expected = Fusion().fit(labels, probs)
    by_fusion = store.consensus(1).read()
    np.testing.assert_array_equal(by_fusion["quality"][:, 0], expected.consensus_quality_score_)
    assert (by_fusion["quality"] != by_crowdlab["quality"]).any()
    recompute_project(store)
    np.testing.assert_array_equal(store.consensus(1).read()["quality"], by_crowdlab["quality"])
