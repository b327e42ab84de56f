"""Webhook events, from the recorded ones."""

from typing import Any

import pytest

from backend.errors import BadRequestError
from backend.label_studio.events import Effect, WebhookEvent, read_event

RECORDED = {
    "webhook_ANNOTATION_CREATED.json": (Effect.SAVE_ANNOTATIONS, [31917]),
    "webhook_ANNOTATION_CREATED_ground_truth.json": (Effect.SAVE_ANNOTATIONS, [31922]),
    "webhook_ANNOTATION_CREATED_skipped.json": (Effect.SAVE_ANNOTATIONS, [31918]),
    "webhook_ANNOTATION_UPDATED.json": (Effect.SAVE_ANNOTATIONS, [31917]),
    "webhook_ANNOTATIONS_DELETED.json": (Effect.DELETE_ANNOTATIONS, [31923]),
    "webhook_TASKS_DELETED.json": (Effect.DELETE_TASKS, [10479]),
    "webhook_PROJECT_UPDATED.json": (Effect.CHECK_PROJECT, []),
    "ml_webhook_START_TRAINING.request.json": (Effect.RECOMPUTE, []),
}


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_events_are_understood(recorded: Any, name: str) -> None:
    event = read_event(recorded(name)["body"])
    effect, ids = RECORDED[name]
    assert event.effect is effect
    assert event.project == 25
    assert [one["id"] for one in event.annotations] + list(event.ids) == ids
    assert "<Choices" in event.label_config


def test_created_tasks_are_named(recorded: Any) -> None:
    event = read_event(recorded("webhook_TASKS_CREATED.json")["body"])
    assert event.effect is Effect.PULL_TASKS
    assert event.ids == (10419, 10420, 10421)


def test_annotations_created_in_bulk_name_their_tasks(recorded: Any) -> None:
    body = recorded("webhook_ANNOTATIONS_CREATED.json")["body"]
    event = read_event(body)
    assert [one["task"] for one in event.annotations] == [one["id"] for one in body["task"]]
    for one in body["annotation"]:
        del one["task"]
    assert read_event(body).annotations == event.annotations


def test_an_event_survives_the_inbox(recorded: Any) -> None:
    event = read_event(recorded("webhook_ANNOTATION_CREATED.json")["body"])
    assert WebhookEvent.from_json(event.to_json().encode()) == event


def test_unknown_actions_call_for_nothing() -> None:
    event = read_event({"action": "REVIEW_CREATED", "project": {"id": 3}})
    assert event.effect is Effect.NOTHING


def test_the_project_may_be_a_number() -> None:
    assert read_event({"action": "START_TRAINING", "project": 3}).project == 3


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ([], "must be a JSON object"),
        (None, "must be a JSON object"),
        ({}, "no action"),
        ({"action": 3}, "no action"),
        ({"action": "ANNOTATION_CREATED"}, "names no project"),
        ({"action": "ANNOTATION_CREATED", "project": {"id": "x"}}, "names no project"),
        ({"action": "ANNOTATION_CREATED", "project": {"id": True}}, "names no project"),
        ({"action": "ANNOTATION_CREATED", "project": {"id": 2**70}}, "names no project"),
        ({"action": "ANNOTATION_CREATED", "project": {"id": 1}}, "has no annotation"),
        (
            {"action": "ANNOTATION_CREATED", "project": {"id": 1}, "annotation": {"id": 1}},
            "names no task",
        ),
        (
            {"action": "ANNOTATIONS_DELETED", "project": {"id": 1}, "annotations": [{}]},
            "without an id",
        ),
        ({"action": "TASKS_DELETED", "project": {"id": 1}, "tasks": "all"}, "has no tasks"),
    ],
)
def test_what_is_no_event_is_refused(body: object, said: str) -> None:
    with pytest.raises(BadRequestError, match=said):
        read_event(body)
