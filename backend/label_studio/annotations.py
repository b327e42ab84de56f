"""Annotations as Label Studio sends them, reduced to what the store keeps.

The three places where Label Studio shows an annotation (task pages, exports, webhook
events) differ in form, not in content; this module is where the forms meet.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from backend.answers.forms import class_of, code_of, reason_to_give_up, structured_form
from backend.label_studio.questions import NO_LABEL, Question

_LONGEST_SECONDS = 10**10

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Annotation:
    """One person's answers to one task."""

    id: int
    task: int
    annotator: int
    updated_at: int
    """Microseconds since 1970 (UTC)."""
    lead_time: float
    """Seconds spent, NaN if unknown."""
    is_cancelled: bool
    """The annotator skipped the task."""
    is_ground_truth: bool
    codes: tuple[int, ...]
    """Class code per question, `NO_LABEL` where it is left open or not answered by a class that
    is known by now."""
    answers: tuple[str | None, ...] = ()
    """Answer per question, None where it is left open or a class of the config; empty if all
    are. A class that annotators can bring is its name, any other answer canonical JSON."""
    objections: tuple[str, ...] = ()
    """Per question, why it has no consensus, as this annotation shows; empty if it does not."""


def read_annotation(
    raw: Mapping[str, Any], questions: Sequence[Question], task: int | None = None
) -> Annotation | None:
    """Reduce an annotation; None if it names no annotator, so that it counts for nobody.

    Parameters
    ----------
    raw
        The annotation as Label Studio sent it.
    questions
        Questions of the project.
    task
        Id of the task, where `raw` does not give it.

    Raises
    ------
    ValueError
        `raw` is not an annotation.
    """
    annotator = _id_of(raw.get("completed_by"))
    task_id = _id_of(raw.get("task")) if task is None else task
    annotation_id = _id_of(raw.get("id"))
    if annotation_id is None or task_id is None:
        raise ValueError("the annotation has no id or names no task")
    if annotator is None:
        return None
    result = raw.get("result")
    regions = result if isinstance(result, list) else []
    return Annotation(
        id=annotation_id,
        task=task_id,
        annotator=annotator,
        updated_at=microseconds_of(raw.get("updated_at") or raw.get("created_at")),
        lead_time=_seconds_of(raw.get("lead_time")),
        is_cancelled=bool(raw.get("was_cancelled")),
        is_ground_truth=bool(raw.get("ground_truth")),
        codes=tuple(
            code_of(question, regions) if question.type.is_class else NO_LABEL
            for question in questions
        ),
        answers=tuple(_answer_in(question, regions) for question in questions),
        objections=tuple(reason_to_give_up(question, regions) for question in questions),
    )


def _answer_in(question: Question, result: Sequence[object]) -> str | None:
    if question.type.is_class:
        return class_of(question, result) if question.is_open else None
    answer = structured_form(question).answer_in(question, result)
    return None if answer is None else canonical(answer)


def canonical(answer: object) -> str:
    """JSON of an answer, the same for equal answers."""
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def microseconds_of(moment: object) -> int:
    """Microseconds since 1970 of an ISO 8601 moment; 0 if there is none.

    Raises
    ------
    ValueError
        `moment` is a text that is no moment.
    """
    if not isinstance(moment, str):
        return 0
    parsed = datetime.fromisoformat(moment)
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=UTC)
    return (parsed - _EPOCH) // timedelta(microseconds=1)


def _id_of(value: object) -> int | None:
    """Id of a reference, which Label Studio writes as a number or as an object."""
    if isinstance(value, Mapping):
        value = value.get("id")
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63:
        return value
    return None


def _seconds_of(value: object) -> float:
    """Seconds, NaN for what is no time that somebody could have spent."""
    if isinstance(value, int | float) and 0 <= value < _LONGEST_SECONDS:
        return float(value)
    return float("nan")
