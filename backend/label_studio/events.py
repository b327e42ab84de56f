"""Webhook events of Label Studio: what each form of them means for the store.

Events are hints, sent once and never repeated: deletions name no task, imports carry no
annotations, a busy backend loses some. Reconciliation finds what they do not tell.
"""

from __future__ import annotations

import reprlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeGuard

import orjson

from backend.errors import BadRequestError
from backend.label_studio.annotations import microseconds_of

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

_LONGEST_ACTION = 100
_LONGEST_SECONDS = 10**10


@dataclass(frozen=True)
class WebhookEvent:
    """The part of an event that matters here."""

    action: str
    project: int
    annotations: tuple[JSON, ...] = field(default=())
    """For annotations created or updated: what `read_annotation` reads of them."""
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
        """Plain form, for the inbox.

        Raises
        ------
        BadRequestError
            A result holds what JSON cannot, which only other servers than ours let through.
        """
        try:
            return orjson.dumps(self).decode()
        except orjson.JSONEncodeError as error:
            raise BadRequestError(
                f"The webhook event {self.action} cannot be kept: {error}."
            ) from None

    @classmethod
    def from_json(cls, stored: bytes) -> WebhookEvent:
        """Inverse of `to_json`."""
        plain = orjson.loads(stored)
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
    if not isinstance(body, dict):
        raise BadRequestError("A webhook event must be a JSON object.")
    action = body.get("action")
    if not isinstance(action, str) or not action:
        raise BadRequestError(
            f"The webhook event has no action; its `action` is {reprlib.repr(action)}."
        )
    action = action[:_LONGEST_ACTION]
    project = body.get("project")
    if not isinstance(project, dict):
        project = {"id": project}
    number = project.get("id")
    if not is_id(number):
        raise BadRequestError(
            f"The webhook event {action} names no project; its `project.id` is "
            f"{reprlib.repr(number)}."
        )
    annotations: tuple[JSON, ...] = ()
    ids: tuple[int, ...] = ()
    match _EFFECTS.get(action):
        case Effect.SAVE_ANNOTATIONS:
            annotations = _annotations_of(body, action)
        case Effect.DELETE_ANNOTATIONS:
            name = "annotations" if "annotations" in body else "annotation"
            ids = _ids_of(body, name, action)
        case Effect.PULL_TASKS | Effect.DELETE_TASKS:
            ids = _ids_of(body, "tasks", action)
    title, label_config = project.get("title"), project.get("label_config")
    return WebhookEvent(
        action=action,
        project=number,
        annotations=annotations,
        ids=ids,
        title=title if isinstance(title, str) else "",
        label_config=label_config if isinstance(label_config, str) else "",
    )


def is_id(value: object) -> TypeGuard[int]:
    """Whether a value can be the id of something in Label Studio's database."""
    return type(value) is int and 0 <= value < 2**63


def _annotations_of(body: JSON, action: str) -> tuple[JSON, ...]:
    """What matters of the event's annotations, each with the task that it names.

    An annotation that names none belongs to the task at its place in the event.
    """
    tasks = _objects(body.get("task") or [], action, "task")
    kept = []
    for position, annotation in enumerate(_objects(body.get("annotation"), action, "annotation")):
        task = annotation.get("task")
        if task is None and position < len(tasks):
            task = tasks[position].get("id")
        if not is_id(task) or not is_id(annotation.get("id")):
            raise BadRequestError(
                f"An annotation of the webhook event {action} names no task, or has no id: its "
                f"`id` is {reprlib.repr(annotation.get('id'))}, its `task` {reprlib.repr(task)}."
            )
        kept.append(_Fields(annotation, action).kept(task))
    return tuple(kept)


@dataclass(frozen=True)
class _Fields:
    """Fields of an annotation in an event."""

    annotation: JSON
    action: str

    def kept(self, task: int) -> JSON:
        """What `read_annotation` reads; the rest of an annotation is much more."""
        annotator = self.annotation.get("completed_by")
        if isinstance(annotator, dict):
            annotator = annotator.get("id")
        return {
            "id": self.annotation["id"],
            "task": task,
            "completed_by": annotator if is_id(annotator) and annotator < 2**31 else None,
            "updated_at": self._moment("updated_at"),
            "created_at": self._moment("created_at"),
            "lead_time": self._seconds("lead_time"),
            "was_cancelled": self._flag("was_cancelled"),
            "ground_truth": self._flag("ground_truth"),
            "result": self._regions("result"),
        }

    def _moment(self, name: str) -> str | None:
        value = self.annotation.get(name)
        if value is None:
            return None
        try:
            if isinstance(value, str):
                microseconds_of(value)
                return value
        except ValueError:
            pass
        raise self._refusal(name, "a moment such as 2026-11-24T07:46:03Z")

    def _seconds(self, name: str) -> float | None:
        value = self.annotation.get(name)
        if isinstance(value, int | float) and 0 <= value < _LONGEST_SECONDS:
            return value
        return None

    def _flag(self, name: str) -> bool:
        value = self.annotation.get(name)
        if value is None or isinstance(value, bool):
            return bool(value)
        raise self._refusal(name, "true or false")

    def _regions(self, name: str) -> list[Any]:
        value = self.annotation.get(name, ...)
        if value is None:  # as of an annotation made through the API without a result
            return []
        if isinstance(value, list):
            return value
        raise self._refusal(name, "a list of regions")

    def _refusal(self, name: str, wanted: str) -> BadRequestError:
        return BadRequestError(
            f"Annotation {self.annotation['id']} of the webhook event {self.action} has the "
            f"`{name}` {reprlib.repr(self.annotation.get(name))}; it must be {wanted}."
        )


def _ids_of(body: JSON, name: str, action: str) -> tuple[int, ...]:
    ids = [one.get("id") for one in _objects(body.get(name), action, name)]
    found = tuple(filter(is_id, ids))
    if len(found) != len(ids):
        wrong = next(one for one in ids if not is_id(one))
        raise BadRequestError(
            f"`{name}` of the webhook event {action} holds an entry without an id: its `id` is "
            f"{reprlib.repr(wrong)}."
        )
    return found


def _objects(value: object, action: str, name: str) -> list[JSON]:
    """Return one object or a list of objects as a list."""
    several: list[Any] = value if isinstance(value, list) else [value]
    if not all(isinstance(one, dict) for one in several):
        raise BadRequestError(
            f"The webhook event {action} has no {name}; its `{name}` is {reprlib.repr(value)}."
        )
    return several
