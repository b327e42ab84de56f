"""One task and the reasons for its consensus."""

import numpy as np
import pytest

from backend.errors import UnknownProjectError, UnknownTaskError
from backend.insights.task import task_detail
from backend.jobs.follow import follow_tasks
from backend.jobs.recompute import recompute_project
from backend.jobs.sync import TaskRows, replace_tasks
from backend.jobs.train import train_classifiers
from backend.service import Service
from backend.store.project import ProjectStore
from tests.backend.insights.conftest import NUM_TASKS
from tests.backend.jobs.test_recompute import FIRST, SECOND, moods, raw_task
from tests.backend.store.test_prediction_sources import uploaded


def test_contributions_add_up_to_the_stored_score(service: Service) -> None:
    num_sums = 0
    for task in range(1, NUM_TASKS + 1):
        for answer in task_detail(service, 25, task).answers:
            if answer.consensus is None:
                assert (answer.quality, answer.explanation, answer.labels) == (None, None, ())
                continue
            why = answer.explanation
            assert why is not None
            assert why.is_current
            parts = np.array([one.by_class for one in why.contributions])
            np.testing.assert_allclose(parts.sum(axis=0), why.posterior, rtol=0, atol=1e-15)
            assert sum(why.posterior) == pytest.approx(1, abs=1e-12)
            said = answer.classes.index(answer.consensus)
            assert answer.quality == pytest.approx(parts[:, said].sum(), abs=1e-12)
            for label in answer.labels:
                posterior = why.posterior[answer.classes.index(label.label)]
                assert label.quality == pytest.approx(posterior, abs=1e-12)
            num_sums += 1
    assert num_sums == NUM_TASKS + NUM_TASKS // 3


def test_who_said_what(service: Service) -> None:
    detail = task_detail(service, 25, 3)
    mood, tense = detail.answers
    assert (mood.question, mood.classes) == ("mood", ("good", "bad"))
    assert [(one.annotator, one.label, one.agrees) for one in mood.labels] == [
        (1, "bad", True),
        (2, "bad", True),
        (3, "good", False),
    ]
    assert mood.labels[0].name == "ann@example.com"
    assert mood.labels[2].name == "annotator 3"
    assert mood.labels[2].annotation == 303
    assert (mood.consensus, mood.agreement) == ("bad", 2 / 3)
    assert [(one.annotator, one.label) for one in tense.labels] == [(1, "past"), (4, "now")]
    assert mood.explanation is not None
    assert [(one.source, one.annotator) for one in mood.explanation.contributions] == [
        ("model", None),
        ("annotator", 1),
        ("annotator", 2),
        ("annotator", 3),
    ]
    assert mood.explanation.contributions[0].weight > 0


def test_ground_truth_and_skips_are_told(service: Service, computed: ProjectStore) -> None:
    info = computed.read_info()
    assert info is not None
    task = raw_task(7, moods(7), {})
    task["annotations"][0]["ground_truth"] = True
    task["annotations"][1] |= {"was_cancelled": True, "result": []}
    rows = TaskRows((FIRST, SECOND))
    rows.add([task])
    replace_tasks(computed, info, rows.task_ids, *rows.arrays(computed.answer_book))
    detail = task_detail(service, 25, 7)
    assert detail.answers[0].ground_truth == "bad"
    assert detail.answers[1].ground_truth is None
    assert detail.skipped_by == ("<script>alert(1)</script>@example.com",)


def test_other_weights_than_those_of_the_score_are_told(
    service: Service, computed: ProjectStore
) -> None:
    info = computed.read_info()
    assert info is not None
    rows = TaskRows((FIRST, SECOND))
    rows.add([raw_task(7, {1: "good", 2: "bad", 3: "good", 9: "good"}, {})])
    replace_tasks(computed, info, rows.task_ids, *rows.arrays(computed.answer_book))
    assert follow_tasks(computed, info, rows.task_ids)
    changed, other = task_detail(service, 25, 7), task_detail(service, 25, 8)
    assert changed.answers[0].explanation is not None
    assert changed.answers[0].explanation.is_current
    assert other.answers[0].explanation is not None
    assert not other.answers[0].explanation.is_current
    recompute_project(computed)
    again = task_detail(service, 25, 8).answers[0].explanation
    assert again is not None
    assert again.is_current


def test_a_task_without_labels_is_a_task(service: Service, computed: ProjectStore) -> None:
    info = computed.read_info()
    assert info is not None
    rows = TaskRows((FIRST, SECOND))
    rows.add([raw_task(901, {}, {})])
    replace_tasks(computed, info, rows.task_ids, *rows.arrays(computed.answer_book))
    detail = task_detail(service, 25, 901)
    assert [one.consensus for one in detail.answers] == [None, None]
    assert detail.skipped_by == ()


def test_by_fusion_nothing_is_a_weighted_sum(service: Service, computed: ProjectStore) -> None:
    info = computed.read_info()
    assert info is not None
    computed.touch(info, data_version=99)
    recompute_project(computed, method="fusion")
    answer = task_detail(service, 25, 3).answers[0]
    assert answer.consensus == "bad"
    assert len(answer.labels) == 3
    assert (answer.explanation, answer.active_learning_score) == (None, None)


def test_unknown_tasks_and_projects_are_errors(service: Service) -> None:
    with pytest.raises(UnknownTaskError, match=r"no task 5000.*crowdlab sync 25"):
        task_detail(service, 25, 5000)
    with pytest.raises(UnknownProjectError):
        task_detail(service, 26, 1)


def test_every_classifier_that_says_something_is_named(
    service: Service, computed: ProjectStore
) -> None:
    source, rows = uploaded(range(1, 31))
    with computed.lock(), computed.transaction() as changes:
        computed.prediction_sources.stage(changes, source, rows)
    recompute_project(computed, train_classifiers(computed))
    named = {}
    for task in (30, 31):
        explanation = task_detail(service, 25, task).answers[0].explanation
        assert explanation is not None
        assert explanation.is_current
        assert sum(explanation.posterior) == pytest.approx(1)
        named[task] = [one.name for one in explanation.contributions if one.source == "model"]
    assert named == {30: ["classifier", "theirs"], 31: ["classifier"]}
