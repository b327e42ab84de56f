"""Answers that are no class, from stored annotations to stored consensus."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from backend.insights.annotators import doubtful_labels, leaderboard
from backend.insights.questions import question_insights
from backend.insights.task import task_detail
from backend.insights.tasks import TaskQuery, TaskSort, task_page
from backend.jobs.answer_regions import AnswerRegions
from backend.jobs.follow import follow_tasks
from backend.jobs.insights import store_insights
from backend.jobs.rank import rank_tasks
from backend.jobs.recompute import recompute_project
from backend.jobs.sync import TaskRows, replace_tasks
from backend.jobs.train import train_classifiers
from backend.jobs.write_back import expected_predictions
from backend.label_studio.questions import NO_LABEL, AnswerType, Question
from backend.service import Service
from backend.store.project import ProjectInfo, ProjectStore
from crowdlab_engine.multilabel import MultilabelAnswers, MultilabelCrowdlab

TOPICS = Question("topics", "text", ("price", "quality", "speed"), type=AnswerType.CHOICES)
MOOD = Question("mood", "text", ("good", "bad"))
NUM_TASKS = 30
PEOPLE = (1, 2, 3)


def said_by(task: int, person: int) -> list[str]:
    right = [["price"], ["price", "speed"], []][task % 3]
    return ["quality"] if person == 3 and task % 5 == 0 else right


def raw_task(number: int, answers: dict[int, list[str]]) -> dict[str, Any]:
    annotations = []
    for person, choices in answers.items():
        result = [{"from_name": "topics", "value": {"choices": choices}}]
        if person != 3:
            result.append({"from_name": "mood", "value": {"choices": ["good"]}})
        annotations.append({"id": number * 10 + person, "completed_by": person, "result": result})
    return {"id": number, "data": {"text": "x"}, "annotations": annotations}


def put(store: ProjectStore, tasks: list[dict[str, Any]]) -> ProjectInfo:
    info = store.read_info() or ProjectInfo("t", "<View/>", (TOPICS, MOOD))
    rows = TaskRows((TOPICS, MOOD))
    rows.add(tasks)
    replace_tasks(store, info, rows.task_ids, *rows.arrays(store.answer_book))
    known = store.read_info()
    assert known is not None
    return known


@pytest.fixture
def info(store: ProjectStore) -> ProjectInfo:
    tasks = [raw_task(n, {p: said_by(n, p) for p in PEOPLE}) for n in range(NUM_TASKS)]
    info = put(store, [*tasks, raw_task(NUM_TASKS, {})])
    recompute_project(store, train_classifiers(store))
    store_insights(store)
    return info


def test_consensus_and_qualities_are_the_engines(store: ProjectStore, info: ProjectInfo) -> None:
    given = [(n, p) for n in range(NUM_TASKS) for p in range(3)]
    chosen = [[TOPICS.classes.index(c) for c in said_by(n, p + 1)] for n, p in given]
    task, person = zip(*given, strict=True)
    fitted = MultilabelCrowdlab().fit(
        MultilabelAnswers.from_sets(task, person, chosen, num_tasks=NUM_TASKS, num_classes=3)
    )
    rows = store.consensus(2).read()
    assert len(rows["task"]) == NUM_TASKS
    np.testing.assert_array_equal(rows["quality"][:, 0], fitted.consensus_quality_score_)
    np.testing.assert_array_equal(rows["agreement"][:, 0], fitted.annotator_agreement_)
    np.testing.assert_array_equal(
        store.label_quality(2).read()["quality"][:, 0], fitted.answer_quality_
    )
    regions = AnswerRegions(store, info, rows)
    for place in range(NUM_TASKS):
        said = [r for r in regions.of(place) if r["from_name"] == "topics"]
        choices = said[0]["value"]["choices"] if said else []
        assert choices == [TOPICS.classes[k] for k in np.flatnonzero(fitted.consensus_[place])]
    summary = store.read_summary()
    assert summary is not None
    assert summary.questions[0].num_labeled == NUM_TASKS
    assert summary.questions[0].annotators[-1]["annotator"] == 3


def test_a_recompute_of_the_same_answers_changes_no_prediction(
    store: ProjectStore, info: ProjectInfo
) -> None:
    before = expected_predictions(store.consensus(2).read())
    put(store, [raw_task(NUM_TASKS, {})])
    recompute_project(store)
    after = expected_predictions(store.consensus(2).read())
    for name in before:
        np.testing.assert_array_equal(before[name], after[name])


def test_a_change_keeps_the_consensus_until_the_next_recompute(
    store: ProjectStore, info: ProjectInfo
) -> None:
    old = store.consensus(2).read([0])
    now = put(store, [raw_task(0, {1: ["speed"], 2: ["speed"], 3: ["speed"]})])
    assert follow_tasks(store, now, np.array([0]))
    kept = store.consensus(2).read([0])
    assert kept["label"].tolist() == old["label"].tolist()
    assert np.isnan(store.label_quality(2).read([0])["quality"][:, 0]).all()
    recompute_project(store)
    rows = store.consensus(2).read([0])
    assert store.answer_book.read(rows["label"][:, 0].tolist()) == {
        int(rows["label"][0, 0]): ["speed"]
    }
    now = put(store, [raw_task(0, {})])
    assert follow_tasks(store, now, np.array([0]))
    assert (store.consensus(2).read([0])["label"] == NO_LABEL).all()


def test_pages_show_answers_in_words(
    store: ProjectStore, info: ProjectInfo, make_service: Callable[..., Service]
) -> None:
    service = make_service()
    number = store.project_id
    page = task_page(service, number, TaskQuery(sort=TaskSort.TASK))
    assert [row.consensus for row in page.rows[:3]] == ["price", "price, speed", "nothing"]
    topics, _ = task_detail(service, number, 5).answers
    assert topics.consensus == "nothing"
    assert [one.label for one in topics.labels] == ["nothing", "nothing", "quality"]
    assert [one.agrees for one in topics.labels] == [True, True, False]
    (worst, *_) = doubtful_labels(store, 0, 3)
    assert worst.given == "quality"
    board = leaderboard(store, 0)
    assert [one.annotator for one in board][-1] == 3
    (insight, _) = question_insights(store)
    assert insight.quality_histogram.sum() == NUM_TASKS
    assert insight.consensus_accuracy is None
    ranked = rank_tasks(store).tasks
    assert ranked["task"][ranked["score"].argmin()] in (*range(0, NUM_TASKS, 5), NUM_TASKS)
