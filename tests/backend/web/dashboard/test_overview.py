"""What the overview and the task's page show of each kind of answer."""

import json
from collections.abc import Callable

import plotly
import pytest

from backend.service import Service
from backend.store.project import ProjectStore
from backend.web.dashboard import overview, task
from backend.web.dashboard.place import Page, Place
from tests.backend.answers.test_whole_way import QUESTIONS, computed, service

__all__ = ["computed", "service"]


def shown(show: Callable[[Service, Place], object], service: Service, place: Place) -> str:
    """Everything that a page holds, as text."""
    return json.dumps(show(service, place), cls=plotly.utils.PlotlyJSONEncoder, ensure_ascii=False)


@pytest.mark.parametrize("question", [one.name for one in QUESTIONS])
def test_only_what_there_is_to_show_is_shown(
    service: Service, computed: ProjectStore, question: str
) -> None:
    page = shown(overview.show, service, Place(Page.OVERVIEW, 25, question=question))
    is_class = question not in ("paths", "several")
    for title in (
        "Classes",
        "Agreement between annotators",
        "Where annotators differ",
        "Agreement (α)",
    ):
        assert (title in page) == is_class, title
    assert ("What the consensus holds" in page) != is_class
    assert ("Mean quality" in page) != is_class
    assert ("α by distance" in page) == (question in ("stars", "number"))
    assert "Control tags without a consensus" not in page


def test_unsupported_tags_are_listed_with_the_reason(
    service: Service, computed: ProjectStore
) -> None:
    info = computed.read_info()
    assert info is not None
    computed.touch(info, unsupported={"mask": "Brush tags have no consensus yet"})
    page = shown(overview.show, service, Place(Page.OVERVIEW, 25))
    assert "Control tags without a consensus" in page
    assert "mask" in page
    assert ": Brush tags have no consensus yet" in page


@pytest.mark.parametrize(
    ("question", "has_value", "has_levels"),
    [
        ("stars", True, False),
        ("path", False, True),
        ("paths", False, True),
        ("better", False, False),
    ],
)
def test_numbers_have_a_value_and_paths_have_levels(
    service: Service, computed: ProjectStore, question: str, has_value: bool, has_levels: bool
) -> None:
    page = shown(task.show, service, Place(Page.TASK, 25, task=5, question=question))
    assert ("Expected value" in page) == has_value
    assert ("Level by level" in page) == has_levels
    assert ("how probable it is that the path is right" in page) == (question == "path")


def test_answers_that_may_differ_a_little_are_graded(
    service: Service, computed: ProjectStore
) -> None:
    page = shown(task.show, service, Place(Page.TASK, 25, task=5, question="paths"))
    assert page.count('"the same"') == 2
    assert page.count('"alike in part (80 %)"') == 1
    assert "Like the consensus" in page
    page = shown(task.show, service, Place(Page.TASK, 25, task=5, question="path"))
    assert "Like the consensus" not in page
