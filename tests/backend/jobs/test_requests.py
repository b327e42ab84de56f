"""Requests for one more label, closed by the labels that come."""

from typing import Any

import numpy as np
import pytest

from backend.jobs.sync import forget_tasks
from backend.store.project import ProjectStore
from backend.store.review import RequestState
from tests.backend.jobs.test_recompute import FIRST, fill, raw_task


def request_rows(**columns: Any) -> dict[str, Any]:
    """Rows of the table of requests; columns that are not given hold nothing of interest."""
    size = len(columns["task"])
    names = (
        "state", "requested_at", "was_labeled", "old_overlap", "new_overlap", "num_annotators",
        "last_annotation", "num_extra", "score", "quality",
    )  # fmt: skip
    return {name: np.zeros(size) for name in names} | {
        name: np.asarray(values) for name, values in columns.items()
    }


@pytest.fixture
def asked(store: ProjectStore) -> ProjectStore:
    """Tasks 1 and 2 have two labels and are asked for one more; task 3 is noted."""
    fill(store, [raw_task(n, {1: "good", 2: "bad"}, {}) for n in (1, 2, 3)], FIRST)
    states = [RequestState.OPEN, RequestState.OPEN, RequestState.NOTED]
    rows = request_rows(task=[1, 2, 3], state=states, last_annotation=[102, 202, 302])
    with store.lock(), store.transaction() as changes:
        store.requests.stage_all(changes, rows)
    return store


def states_of(store: ProjectStore) -> list[RequestState]:
    return [RequestState(state) for state in store.requests.read()["state"].tolist()]


def test_a_new_label_closes_the_request(asked: ProjectStore) -> None:
    three = {1: "good", 2: "bad", 3: "good"}
    fill(asked, [raw_task(1, three, {}), raw_task(3, three, {})], FIRST)
    # What is not known to be open yet is settled by the process that opens it.
    assert states_of(asked) == [RequestState.ANSWERED, RequestState.OPEN, RequestState.NOTED]
    assert asked.requests.read()["num_extra"].tolist() == [1, 0, 0]
    (entry,) = asked.audit_trail()
    assert (entry["action"], entry["tasks"]) == ("answered", [1])
    fill(asked, [raw_task(1, {**three, 4: "good"}, {})], FIRST)
    assert asked.requests.read()["num_extra"].tolist() == [1, 0, 0]


@pytest.mark.parametrize("mark", [{"was_cancelled": True}, {"ground_truth": True}])
def test_a_skip_or_ground_truth_is_no_answer(asked: ProjectStore, mark: dict[str, bool]) -> None:
    task = raw_task(1, {1: "good", 2: "bad", 3: "good"}, {})
    task["annotations"][-1] |= mark
    fill(asked, [task], FIRST)
    assert states_of(asked)[0] is RequestState.OPEN


def test_changed_and_deleted_labels_are_no_answer(asked: ProjectStore) -> None:
    fill(asked, [raw_task(1, {1: "bad", 2: "bad"}, {}), raw_task(2, {1: "good"}, {})], FIRST)
    assert states_of(asked)[:2] == [RequestState.OPEN, RequestState.OPEN]


def test_requests_of_deleted_tasks_are_forgotten(asked: ProjectStore) -> None:
    with asked.lock():
        forget_tasks(asked, np.array([2]))
    assert asked.requests.read()["task"].tolist() == [1, 3]
