"""Webhook events, from the recorded ones."""

from typing import Any

import pytest

from backend.errors import BadRequestError
from backend.label_studio.annotations import read_annotation
from backend.label_studio.controls import parse_config
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


@pytest.mark.parametrize(
    "name", [*RECORDED, "webhook_ANNOTATIONS_CREATED.json", "webhook_TASKS_CREATED.json"]
)
def test_every_recorded_event_survives_the_inbox(recorded: Any, name: str) -> None:
    event = read_event(recorded(name)["body"])
    assert WebhookEvent.from_json(event.to_json().encode()) == event


@pytest.mark.parametrize(
    "name", [name for name, (effect, _) in RECORDED.items() if effect is Effect.SAVE_ANNOTATIONS]
)
def test_what_is_kept_of_an_annotation_says_all_that_is_read(recorded: Any, name: str) -> None:
    body = recorded(name)["body"]
    event = read_event(body)
    (kept,) = event.annotations
    questions = parse_config(event.label_config).questions
    assert read_annotation(kept, questions) == read_annotation(body["annotation"], questions)
    assert len(event.to_json()) < 800


def created(**changes: Any) -> dict[str, Any]:
    """An event of an annotation with other values of some fields; `...` leaves one out."""
    annotation = {
        "id": 1,
        "task": 2,
        "completed_by": 3,
        "updated_at": "2026-11-24T07:46:03Z",
        "result": [],
        **changes,
    }
    annotation = {name: value for name, value in annotation.items() if value is not ...}
    return {"action": "ANNOTATION_CREATED", "project": {"id": 1}, "annotation": annotation}


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({}, {"completed_by": 3, "lead_time": None, "was_cancelled": False}),
        ({"completed_by": {"id": 7, "email": "a@example.com"}}, {"completed_by": 7}),
        ({"completed_by": None}, {"completed_by": None}),
        ({"completed_by": 2**31 - 1}, {"completed_by": 2**31 - 1}),
        ({"completed_by": 2**31}, {"completed_by": None}),
        ({"completed_by": -1}, {"completed_by": None}),
        ({"completed_by": "3"}, {"completed_by": None}),
        ({"lead_time": 3.3}, {"lead_time": 3.3}),
        ({"lead_time": 10**400}, {"lead_time": None}),
        ({"lead_time": -1}, {"lead_time": None}),
        ({"lead_time": float("nan")}, {"lead_time": None}),
        ({"lead_time": float("inf")}, {"lead_time": None}),
        ({"lead_time": "3"}, {"lead_time": None}),
        ({"updated_at": None}, {"updated_at": None}),
        ({"updated_at": "0001-01-01T00:00:00+23:59"}, {}),
        ({"updated_at": "9999-12-31T23:59:59-23:59"}, {}),
        ({"was_cancelled": True, "ground_truth": None}, {"was_cancelled": True}),
        ({"ground_truth": True}, {"ground_truth": True, "was_cancelled": False}),
        ({"result": None}, {"result": []}),
        ({"result": [{"from_name": "a"}, 3]}, {"result": [{"from_name": "a"}, 3]}),
    ],
)
def test_unusual_fields_are_kept_as_far_as_they_can_be(
    changes: dict[str, Any], kept: dict[str, Any]
) -> None:
    event = read_event(created(**changes))
    assert event.annotations[0].items() >= kept.items()
    assert WebhookEvent.from_json(event.to_json().encode()) == event
    annotation = read_annotation(event.annotations[0], ())
    assert (annotation is None) == (event.annotations[0]["completed_by"] is None)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"result": ...}, "`result` None; it must be a list of regions"),
        ({"result": "positive"}, "`result` 'positive'; it must be a list of regions"),
        ({"was_cancelled": "false"}, "`was_cancelled` 'false'; it must be true or false"),
        ({"ground_truth": 1}, "`ground_truth` 1; it must be true or false"),
        ({"updated_at": "yesterday"}, "`updated_at` 'yesterday'; it must be a moment"),
        ({"updated_at": 5}, "`updated_at` 5; it must be a moment"),
        ({"created_at": {"x": ["y" * 10_000] * 10_000}}, "`created_at` {'x': "),
        ({"id": 2**63}, "`id` is 9223372036854775808"),
        ({"task": 2.0}, "`task` 2.0"),
        ({"task": True}, "`task` True"),
        ({"task": "x" * 10_000_000}, "`task` 'xxx"),
    ],
)
def test_an_annotation_that_could_be_taken_wrongly_is_refused(
    changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(BadRequestError) as raised:
        read_event(created(**changes))
    assert said in str(raised.value)
    assert len(str(raised.value)) < 400


@pytest.mark.parametrize("region", [{"a": "\ud800"}, {"a": 2**64}, {1: "a"}])
def test_what_json_cannot_hold_is_refused(region: Any) -> None:
    event = read_event(created(result=[region]))
    with pytest.raises(BadRequestError, match="ANNOTATION_CREATED cannot be kept"):
        event.to_json()


def test_of_a_large_import_only_the_ids_are_kept(recorded: Any) -> None:
    body = recorded("webhook_TASKS_CREATED.json")["body"]
    event = read_event({**body, "tasks": body["tasks"] * 5000})
    assert event.ids == (10419, 10420, 10421) * 5000
    assert len(event.to_json()) < 100_000


def test_titles_and_configs_that_are_no_texts_are_left_out() -> None:
    project = {"id": 3, "title": ["a"], "label_config": {"a": 1}}
    event = read_event({"action": "PROJECT_UPDATED", "project": project})
    assert (event.title, event.label_config) == ("", "")


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
        ({"action": "TASKS_CREATED", "project": {"id": 1}, "tasks": None}, "has no tasks"),
        (
            {"action": "TASKS_CREATED", "project": {"id": 1}, "tasks": [{"id": 1}, {"id": 1e3}]},
            r"`id` is 1000\.0",
        ),
        ({"action": "x" * 10**6, "project": []}, "names no project"),
    ],
)
def test_what_is_no_event_is_refused(body: object, said: str) -> None:
    with pytest.raises(BadRequestError, match=said) as raised:
        read_event(body)
    assert len(str(raised.value)) < 300
