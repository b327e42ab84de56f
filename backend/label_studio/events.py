"""Webhook events of Label Studio: what each form of them means for the store.

Events are hints, sent once and never repeated: deletions name no task, imports carry no
annotations, a busy backend loses some. Reconciliation finds what they do not tell.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from backend.errors import BadRequestError

JSON = dict[str, Any]


class Effect(StrEnum):
    """What an event calls for."""

    SAVE_ANNOTATIONS = "save annotations"
    DELETE_ANNOTATIONS = "delete annotations"
    PULL_TASKS = "pull tasks"
    DELETE_TASKS = "delete tasks"
    CHECK_PROJECT = "check the project"
    RECOMPUTE = "recompute"
    NOTHING = "nothing"


_EFFECTS = {
    "ANNOTATION_CREATED": Effect.SAVE_ANNOTATIONS,
    "ANNOTATION_UPDATED": Effect.SAVE_ANNOTATIONS,
    "ANNOTATIONS_CREATED": Effect.SAVE_ANNOTATIONS,
    "ANNOTATION_DELETED": Effect.DELETE_ANNOTATIONS,
    "ANNOTATIONS_DELETED": Effect.DELETE_ANNOTATIONS,
    "TASKS_CREATED": Effect.PULL_TASKS,
    "TASKS_DELETED": Effect.DELETE_TASKS,
    "PROJECT_UPDATED": Effect.CHECK_PROJECT,
    "START_TRAINING": Effect.RECOMPUTE,
}


@dataclass(frozen=True)
class WebhookEvent:
    """The part of an event that matters here."""

    action: str
    project: int
    annotations: tuple[JSON, ...] = field(default=())
    """Annotations as sent, for those created or updated."""
    ids: tuple[int, ...] = field(default=())
    """Ids of the annotations or tasks, for the others."""
    title: str = ""
    label_config: str = ""
    """The project's labeling config at the time of the event."""

    @property
    def effect(self) -> Effect:
        """What the event calls for; nothing if its action is not known."""
        return _EFFECTS.get(self.action, Effect.NOTHING)

    def to_json(self) -> str:
        """Plain form, for the inbox."""
        return json.dumps(self.__dict__)

    @classmethod
    def from_json(cls, stored: bytes) -> WebhookEvent:
        """Inverse of `to_json`."""
        plain = json.loads(stored)
        plain["annotations"] = tuple(plain["annotations"])
        plain["ids"] = tuple(plain["ids"])
        return cls(**plain)


def read_event(body: object) -> WebhookEvent:
    """Read the body of a webhook request.

    Raises
    ------
    BadRequestError
        The body is not an event of Label Studio; the message names what is wrong.
    """
    if not isinstance(body, Mapping):
        raise BadRequestError("A webhook event must be a JSON object.")
    action = body.get("action")
    if not isinstance(action, str) or not action:
        raise BadRequestError("The webhook event has no action.")
    project = body.get("project")
    project = project if isinstance(project, Mapping) else {"id": project}
    project_id = project.get("id")
    if not _is_id(project_id):
        raise BadRequestError(f"The webhook event {action[:50]} names no project.")
    assert isinstance(project_id, int)
    event = WebhookEvent(
        action=action[:100],
        project=project_id,
        title=str(project.get("title") or ""),
        label_config=str(project.get("label_config") or ""),
    )
    if event.effect is Effect.SAVE_ANNOTATIONS:
        annotations = _objects(body.get("annotation"), action, "annotation")
        tasks = _objects(body.get("task") or [], action, "task")
        return WebhookEvent(
            **{**event.__dict__, "annotations": tuple(_with_task(annotations, tasks, action))}
        )
    if event.effect is Effect.DELETE_ANNOTATIONS:
        found = _objects(body.get("annotations", body.get("annotation")), action, "annotations")
        return WebhookEvent(**{**event.__dict__, "ids": _ids(found, action)})
    if event.effect in {Effect.PULL_TASKS, Effect.DELETE_TASKS}:
        found = _objects(body.get("tasks"), action, "tasks")
        return WebhookEvent(**{**event.__dict__, "ids": _ids(found, action)})
    return event


def _objects(value: object, action: str, name: str) -> list[JSON]:
    """Return one object or a list of objects as a list."""
    several = value if isinstance(value, list) else [value]
    objects = [dict(one) for one in several if isinstance(one, Mapping)]
    if len(objects) != len(several):
        raise BadRequestError(f"The webhook event {action} has no {name}.")
    return objects


def _with_task(annotations: list[JSON], tasks: list[JSON], action: str) -> list[JSON]:
    """Annotations, each naming its task."""
    complete = []
    for position, annotation in enumerate(annotations):
        task = annotation.get("task")
        if task is None and position < len(tasks):
            task = tasks[position].get("id")
        if not _is_id(task) or not _is_id(annotation.get("id")):
            raise BadRequestError(f"An annotation of the webhook event {action} names no task.")
        complete.append({**annotation, "task": task})
    return complete


def _ids(objects: list[JSON], action: str) -> tuple[int, ...]:
    found = tuple(one.get("id") for one in objects)
    if not all(_is_id(one) for one in found):
        raise BadRequestError(f"The webhook event {action} holds an entry without an id.")
    return tuple(one for one in found if isinstance(one, int))


def _is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63
