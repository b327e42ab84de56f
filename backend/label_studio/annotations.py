"""Annotations as Label Studio sends them, reduced to what the store keeps.

The three places where Label Studio shows an annotation (task pages, exports, webhook
events) differ in form, not in content; this module is where the forms meet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from backend.label_studio.controls import Question

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
    """Class code per question, `NO_LABEL` where it is left open."""


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
        codes=tuple(question.code_of(regions) for question in questions),
    )


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
