"""Annotations in the forms in which Label Studio shows them."""

import math
from typing import Any

import pytest

from backend.label_studio.annotations import microseconds_of, read_annotation
from backend.label_studio.questions import NO_LABEL, Question

QUESTION = Question("label", "text", ("positive", "negative", "neutral"))


def test_the_forms_of_one_annotation_read_the_same(recorded: Any) -> None:
    exported = recorded("export_60_tasks.json")[0]["annotations"][0]
    paged = recorded("tasks_api_fields_all_page.json")["tasks"][0]["annotations"][0]
    detailed = recorded("task_detail.json")["annotations"][0]
    assert exported["id"] == paged["id"] == detailed["id"]
    assert isinstance(detailed["completed_by"], dict)
    first, second, third = (read_annotation(raw, [QUESTION]) for raw in (exported, paged, detailed))
    assert first == second == third
    assert first is not None
    assert (first.annotator, first.codes) == (9, (1,))
    assert first.lead_time == 5.28


def test_a_skip_is_cancelled_and_open(recorded: Any) -> None:
    raw = recorded("webhook_ANNOTATION_CREATED_skipped.json")["body"]["annotation"]
    annotation = read_annotation(raw, [QUESTION])
    assert annotation is not None
    assert annotation.is_cancelled
    assert annotation.codes == (NO_LABEL,)


def test_ground_truth_is_marked(recorded: Any) -> None:
    raw = recorded("webhook_ANNOTATION_CREATED_ground_truth.json")["body"]["annotation"]
    annotation = read_annotation(raw, [QUESTION])
    assert annotation is not None
    assert annotation.is_ground_truth


def test_an_annotation_of_nobody_counts_for_nobody() -> None:
    assert read_annotation({"id": 1, "task": 2, "completed_by": None}, [QUESTION]) is None


@pytest.mark.parametrize(
    "raw",
    [{}, {"id": 1}, {"id": "x", "task": 1}, {"id": True, "task": 1}, {"id": 2**63, "task": 1}],
)
def test_what_is_no_annotation_is_refused(raw: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no id or names no task"):
        read_annotation({"completed_by": 1, **raw}, [QUESTION])


def test_missing_parts_have_neutral_values() -> None:
    annotation = read_annotation({"id": 1, "completed_by": 3, "result": None}, [QUESTION], task=2)
    assert annotation is not None
    assert (annotation.task, annotation.updated_at) == (2, 0)
    assert math.isnan(annotation.lead_time)


@pytest.mark.parametrize("seconds", [10**400, -1, float("inf"), float("nan"), "5", None, []])
def test_impossible_times_are_unknown(seconds: object) -> None:
    raw = {"id": 1, "task": 2, "completed_by": 3, "lead_time": seconds}
    annotation = read_annotation(raw, [QUESTION])
    assert annotation is not None
    assert math.isnan(annotation.lead_time)


def test_an_annotator_that_no_database_holds_is_nobody() -> None:
    assert read_annotation({"id": 1, "task": 2, "completed_by": 2**64}, [QUESTION]) is None


def test_moments_are_exact_to_the_microsecond() -> None:
    assert microseconds_of("1970-01-01T00:00:01.000001Z") == 1_000_001
    assert microseconds_of("2026-11-24T07:46:03.720391Z") % 1_000_000 == 720_391
    assert microseconds_of("1970-01-01T01:00:00+01:00") == 0
    assert microseconds_of("1970-01-01T00:00:00") == 0
    with pytest.raises(ValueError, match="Invalid isoformat"):
        microseconds_of("yesterday")
