"""Boxes, from stored annotations to what the pages show."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import plotly
import pytest

from backend.insights.annotators import doubtful_labels, leaderboard
from backend.insights.questions import question_insights
from backend.insights.task import task_detail
from backend.insights.tasks import TaskQuery, TaskSort, task_page
from backend.jobs.answer_regions import AnswerRegions
from backend.jobs.insights import store_insights
from backend.jobs.rank import rank_tasks
from backend.jobs.recompute import recompute_project
from backend.jobs.sync import TaskRows, replace_tasks
from backend.jobs.train import train_classifiers
from backend.label_studio.questions import AnswerType, Question
from backend.service import Service
from backend.store.project import ProjectInfo, ProjectStore
from backend.web.dashboard import task
from backend.web.dashboard.place import Page, Place

STATE = Question("state", "img", ("new", "old"))
BOX = Question("box", "img", ("car", "person"), type=AnswerType.BOXES, attached=(STATE,))
NUM_TASKS = 12
DOUBTFUL = 4


def box(x: float, label: str, state: str = "") -> list[dict[str, Any]]:
    value = {"x": x, "y": 10, "width": 20, "height": 20}
    found = [{"id": f"r{x}", "from_name": "box", "value": {**value, "rectanglelabels": [label]}}]
    if state:
        found.append({"id": f"r{x}", "from_name": "state", "value": {**value, "choices": [state]}})
    return found


def said_by(task: int, person: int) -> list[dict[str, Any]]:
    if task % 3 == 2:
        return []
    if task == DOUBTFUL and person == 3:
        return box(60, "person")
    if task == 0 and person == 3:
        return box(-30, "car")
    return box(10 + person / 10, "car", "new") + (box(60, "person") if task % 3 else [])


def test_boxes_from_the_store_to_the_pages(
    store: ProjectStore, make_service: Callable[..., Service]
) -> None:
    info = ProjectInfo("t", "<View/>", (BOX,))
    rows = TaskRows((BOX,))
    rows.add(
        {
            "id": one,
            "data": {},
            "annotations": [
                {"id": 10 * one + person, "completed_by": person, "result": said_by(one, person)}
                for person in (1, 2, 3)
            ],
        }
        for one in range(NUM_TASKS)
    )
    replace_tasks(store, info, rows.task_ids, *rows.arrays(store.answer_book))
    recompute_project(store, train_classifiers(store))
    store_insights(store)

    consensus = store.consensus(1).read()
    regions = AnswerRegions(store, info, consensus)
    first, second, third = (regions.of(place) for place in range(3))
    assert first[0]["id"] == first[1]["id"]
    assert 10.1 < first[0]["value"]["x"] == first[1]["value"]["x"] < 10.2
    assert [one["from_name"] for one in second] == ["box", "state", "box"]
    assert third == []
    assert consensus["task"][np.argmin(consensus["quality"][:, 0])] == DOUBTFUL
    quality = store.label_quality(1).read()["quality"][:, 0]
    assert np.flatnonzero(np.isnan(quality)).tolist() == [2]

    service, number = make_service(), store.project_id
    page = task_page(service, number, TaskQuery(sort=TaskSort.TASK))
    assert page.rows[0].consensus == "car at 10.2 %, 10 %, 20 % × 20 % (state: new)"
    assert page.rows[2].consensus == "nothing"
    (answer,) = task_detail(service, number, 0).answers
    assert [part.words for part in answer.parts] == [page.rows[0].consensus]
    (state,) = answer.parts[0].attached
    assert (state.question, state.words) == ("state", "new")
    assert state.quality is not None
    assert first[1]["score"] == pytest.approx(state.quality, abs=1e-4)
    shown = json.dumps(
        task.show(service, Place(Page.TASK, number, task=0)), cls=plotly.utils.PlotlyJSONEncoder
    )
    assert '"state: new"' in shown
    assert answer.labels[2].label == "(one outside of their image)"
    # Boxes that are a tenth of a percent apart are the same.
    assert [one.agrees for one in answer.labels] == [True, True, False]
    assert answer.agreement == 1.0
    (doubted,) = task_detail(service, number, DOUBTFUL).answers
    assert [one.agrees for one in doubted.labels] == [True, True, False]
    assert doubted.agreement == pytest.approx(2 / 3)
    told = {one.annotator: one for one in leaderboard(store, 0)}
    shares = {who: one.agreement_with_consensus for who, one in told.items()}
    assert shares == {1: 1.0, 2: 1.0, 3: pytest.approx((NUM_TASKS - 2) / (NUM_TASKS - 1))}
    assert [sum(week.agreement * week.num_labels for week in one.weeks) for one in told.values()]
    assert [one.annotator for one in leaderboard(store, 0)][-1] == 3
    found = doubtful_labels(store, 0, 3)
    assert {one.task for one in found} == {0, DOUBTFUL}
    assert next(one for one in found if one.task == DOUBTFUL).likeness == pytest.approx(2 / 3)
    assert doubtful_labels(store, 0, 1) == []
    (insight,) = question_insights(store)
    assert insight.summary.not_counted == "1 outside of their image"
    assert rank_tasks(store).tasks["task"].tolist() == list(range(NUM_TASKS))
