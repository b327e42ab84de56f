"""What is kept of requests for one more label; making them needs a Label Studio."""

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from backend.errors import ProjectBusyError, ReviewPolicyError
from backend.jobs import reannotate
from backend.service import Service
from backend.store.project import ProjectStore, Work
from backend.store.review import AutomaticReview, RequestState, ReviewPolicy
from tests.backend.jobs.test_requests import request_rows
from tests.backend.jobs.test_review_plan import PLANNED, plan_of


@pytest.fixture
def service(make_service: Callable[..., Service]) -> Service:
    return make_service()


@pytest.mark.parametrize("call", ["apply", "automatic", "automatic with tasks"])
def test_how_much_must_be_said(service: Service, call: str) -> None:
    if call == "apply":
        with pytest.raises(ReviewPolicyError, match="does not say how much to ask for"):
            reannotate.apply_plan(service, plan_of(PLANNED), by="a test")
        return
    policy = ReviewPolicy(budget=3, tasks=(1,)) if "tasks" in call else ReviewPolicy(threshold=0.5)
    with pytest.raises(ReviewPolicyError, match="needs a budget per day"):
        reannotate.start_automatic(service, 25, policy, by="a test")


def test_one_process_at_a_time_asks(service: Service, store: ProjectStore) -> None:
    with store.lock(Work.REVIEW), pytest.raises(ProjectBusyError, match="is being reviewed"):
        reannotate.review_automatically(service, 25)


def test_the_automatic_review_is_switched_on_and_off(service: Service, store: ProjectStore) -> None:
    policy = ReviewPolicy(budget=3)
    reannotate.start_automatic(service, 25, policy, by="ann")
    review = store.read_automatic_review()
    assert review == AutomaticReview(policy, started_by="ann")
    spent = replace(review, day="2026-01-01", num_asked=2)
    with store.transaction() as changes:
        store.stage_automatic_review(changes, spent)
    # Another budget does not forget what was asked today.
    reannotate.start_automatic(service, 25, ReviewPolicy(budget=4), by="bob")
    review = store.read_automatic_review()
    assert review is not None
    assert review.left_on("2026-01-01") == 2
    assert reannotate.stop_automatic(service, 25, by="ann")
    assert not reannotate.stop_automatic(service, 25, by="ann")
    assert [(one["action"], one["by"]) for one in store.audit_trail()] == [
        ("automatic review off", "ann"),
        ("automatic review on", "bob"),
        ("automatic review on", "ann"),
    ]


def test_requests_are_listed_by_state(store: ProjectStore) -> None:
    now = time.time()
    rows = request_rows(
        task=[1, 2, 3],
        state=[RequestState.OPEN, RequestState.ANSWERED, RequestState.NOTED],
        requested_at=[now - 5, now, now],
        quality=[0.5, 0.5, np.nan],
    )
    with store.transaction() as changes:
        store.requests.stage_all(changes, rows)
    found = reannotate.requests_of(store)
    assert [(one["task"], one["state"], one["quality"]) for one in found] == [
        (3, "noted", None),
        (1, "open", 0.5),
    ]
    (answered,) = reannotate.requests_of(store, (RequestState.ANSWERED,))
    assert answered["task"] == 2


def test_what_is_asked_already_is_not_asked_again(store: ProjectStore) -> None:
    rows = request_rows(
        task=[7, 8], state=[RequestState.OPEN, RequestState.ANSWERED], num_extra=[0, 1]
    )
    with store.transaction() as changes:
        store.requests.stage_all(changes, rows)
    plan = plan_of(PLANNED, replace(PLANNED, task=8), replace(PLANNED, task=2, quality=None))
    new = reannotate._new_requests(store, plan)
    assert new["task"].tolist() == [2, 8]
    assert new["num_extra"].tolist() == [0, 1]
    assert np.isnan(new["quality"][0])
