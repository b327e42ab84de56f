"""A computed project of two questions that the tests of insights share."""

from collections.abc import Callable

import pytest

from backend.jobs.recompute import recompute_project
from backend.jobs.train import train_classifiers
from backend.service import Service
from backend.store.project import ProjectStore
from tests.backend.jobs.test_recompute import FIRST, SECOND, fill, moods, raw_task

NUM_TASKS = 90


def tenses(number: int) -> dict[int, str]:
    """Only every third task has an answer to the second question."""
    return {1: "past", 4: ["past", "now", "later"][number % 2]} if number % 3 == 0 else {}


@pytest.fixture
def service(make_service: Callable[..., Service]) -> Service:
    """A service whose project 25 is computed."""
    service = make_service(label_studio_url="http://studio.example:8080")
    store = service.store(25)
    fill(store, [raw_task(n, moods(n), tenses(n)) for n in range(1, NUM_TASKS + 1)], FIRST, SECOND)
    recompute_project(store, train_classifiers(store))
    store.save_annotator_names({1: "ann@example.com", 2: "<script>alert(1)</script>@example.com"})
    return service


@pytest.fixture
def computed(service: Service) -> ProjectStore:
    """Store of the computed project."""
    return service.store(25)
