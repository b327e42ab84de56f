"""Mutated request bodies: always the same, fewer than `python -m benchmarks.fuzz` sends."""

import json
from collections.abc import Callable

import pytest

from backend.errors import BadRequestError
from backend.service import Service
from benchmarks import fuzz
from benchmarks.fuzz import PROJECT, Sent, Target, named_tasks, run

EXAMPLES = 500


@pytest.fixture
def target(make_service: Callable[..., Service]) -> Target:
    return Target(make_service())


def test_mutated_bodies_are_answered_and_change_no_other_result(target: Target) -> None:
    run(target, EXAMPLES)
    answers = target.counts
    assert sum(answers.values()) >= EXAMPLES
    assert {status for _, status in answers} == {200, 201, 400}
    assert answers["/webhook", 201] > EXAMPLES / 10
    assert answers["/webhook", 400] > EXAMPLES / 10


def event(action: str, **parts: object) -> Sent:
    body = json.dumps({"action": action, "project": {"id": PROJECT}, **parts})
    return Sent("/webhook", "application/json", body.encode())


def test_a_changed_result_would_be_seen(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    deletion = event("TASKS_DELETED", tasks=[{"id": 10422}])
    target.check(deletion)
    monkeypatch.setattr(fuzz, "named_tasks", lambda *_: {10421})
    with pytest.raises(AssertionError, match="that no event named"):
        target.check(deletion)


def test_a_request_that_is_refused_and_yet_stored_would_be_seen(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    from backend.web import contract

    def store_and_refuse(service: Service, body: object) -> str:
        service.redis.set("crowdlab:{25}:something", 1)
        raise BadRequestError("The request is refused.")

    monkeypatch.setattr(contract, "accept_event", store_and_refuse)
    with pytest.raises(AssertionError, match="changed the store"):
        target.check(event("TASKS_DELETED", tasks=[]))


def test_an_error_of_ours_would_be_seen(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    from backend.web import contract

    def fail(service: Service, body: object) -> str:
        raise KeyError("a")

    monkeypatch.setattr(contract, "accept_event", fail)
    with pytest.raises(AssertionError, match="status 500"):
        target.check(event("TASKS_DELETED", tasks=[]))


def test_events_name_their_tasks() -> None:
    saved = {"action": "ANNOTATION_CREATED", "annotation": {"id": 7, "task": 1}, "task": {"id": 1}}
    assert named_tasks(saved, {7: 5}) == {1}
    deleted = {"action": "ANNOTATIONS_DELETED", "annotations": [{"id": 7}, {"id": 8}]}
    assert named_tasks(deleted, {7: 5}) == {5}
    assert named_tasks({"action": "TASKS_DELETED", "tasks": [{"id": 3}]}, {}) == {3}
