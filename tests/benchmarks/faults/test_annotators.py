from collections.abc import Callable
from typing import Any

import httpx
import pytest

from benchmarks.faults import annotators
from benchmarks.faults.annotators import ImpatientError, Saved, insist, read_annotations, result_of


def test_annotations_are_read_as_label_studio_sends_them(recorded: Callable[[str], Any]) -> None:
    page = recorded("tasks_api_fields_all_page.json")
    found = read_annotations(page["tasks"])
    sent = [(task["id"], one) for task in page["tasks"] for one in task["annotations"]]
    assert found.keys() == {one["id"] for _, one in sent}
    for task, one in sent:
        saved = found[one["id"]]
        assert (saved.task, saved.annotator) == (task, one["completed_by"])
        assert (saved.choice is None) == (one["was_cancelled"] or not one["result"])


def test_what_is_sent_is_read_back() -> None:
    annotation = {
        "id": 5,
        "completed_by": 2,
        "was_cancelled": False,
        "result": result_of("neutral"),
    }
    skip = {"id": 6, "completed_by": 3, "was_cancelled": True, "result": result_of(None)}
    found = read_annotations([{"id": 9, "annotations": [annotation, skip]}])
    assert found == {5: Saved(9, 2, "neutral"), 6: Saved(9, 3, None)}


def test_a_save_is_tried_until_it_is_confirmed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(annotators, "_RETRY_SECONDS", 0.0)
    answers = iter([httpx.ReadTimeout("slow"), httpx.ConnectError("gone"), 7])

    def attempt() -> Any:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert insist(attempt) == 7


def test_nobody_tries_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(annotators, "_RETRY_SECONDS", 0.0)
    monkeypatch.setattr(annotators, "_PATIENCE_SECONDS", 0.05)

    def attempt() -> None:
        raise httpx.ConnectError("gone")

    with pytest.raises(ImpatientError, match="confirmed nothing for 0 s: gone"):
        insist(attempt)
