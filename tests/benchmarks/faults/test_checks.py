from typing import Any

import pytest

from benchmarks.faults import checks
from benchmarks.faults.annotators import Ledger, Saved

LEDGER: Ledger = {
    1: Saved(task=10, annotator=3, choice="positive"),
    2: Saved(task=10, annotator=4, choice=None),
    3: Saved(task=11, annotator=3, choice="neutral"),
}
OURS = {10: ("positive", 0.8123456), 11: ("neutral", 0.5)}


def prediction(task: int, version: str) -> dict[str, Any]:
    return {"task": task, "model_version": version}


def test_equal_ledgers_have_no_difference() -> None:
    assert checks.differences("a against b", LEDGER, dict(LEDGER)) == ""


def test_each_difference_of_ledgers_is_named() -> None:
    found = {**LEDGER, 3: Saved(11, 3, "negative"), 4: Saved(12, 3, None)}
    del found[1]
    said = checks.differences("a against b", LEDGER, found)
    assert said == "a against b: 1 missing (1), 1 surplus (4), 1 other (3)"


def test_many_are_named_in_part() -> None:
    many = dict.fromkeys(range(9), LEDGER[1])
    said = checks.differences("a against b", many, {})
    assert said == "a against b: 9 missing (0, 1, 2, 3, …)"


@pytest.mark.parametrize(
    ("tasks", "said"),
    [
        ([10, 11], ""),
        ([10, 11, 11], "v2: 1 tasks with several predictions (11)"),
        ([10], "v2: 1 tasks with a consensus and no prediction (11)"),
        ([10, 11, 12], "v2: 1 tasks with a prediction and no consensus (12)"),
    ],
)
def test_each_task_has_one_prediction(tasks: list[int], said: str) -> None:
    predictions = [prediction(task, "v2") for task in tasks] + [prediction(99, "v1")]
    assert checks.wrong_numbers(predictions, "v2", OURS) == said


@pytest.mark.parametrize(
    ("versions", "shown", "published", "said"),
    [
        (["v2", "v2"], "v2", "v2", ""),
        ([], "", "", ""),
        (["v2", "v1", "v1"], "v2", "v2", "2 predictions of v1 beside v2"),
        (["v1"], "v1", "v2", "Label Studio shows 'v1', published is 'v2'"),
    ],
)
def test_no_version_beside_the_shown_one(
    versions: list[str], shown: str, published: str, said: str
) -> None:
    predictions = [prediction(10, version) for version in versions]
    assert checks.orphans(predictions, shown, published) == said


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({10: ("positive", 0.8123), 11: ("neutral", 0.5)}, ""),
        ({10: ("positive", 0.8123456)}, "a against b: 1 tasks in one alone (11)"),
        (
            {10: ("negative", 0.8123456), 11: ("neutral", 0.52)},
            "a against b: 1 other labels (10), 1 other scores, by up to 0.02 (11)",
        ),
        (
            {10: ("positive", float("nan")), 11: ("neutral", 0.5)},
            "a against b: 1 other scores, by up to nan (10)",
        ),
    ],
)
def test_how_far_results_are_apart(found: checks.Consensus, said: str) -> None:
    assert checks.far_apart("a against b", OURS, found, checks.SHOWN) == said


def test_the_largest_difference_is_that_of_tasks_in_both() -> None:
    assert checks.largest_difference(OURS, {11: ("positive", 0.25), 12: ("neutral", 9.0)}) == 0.25
    assert checks.largest_difference(OURS, {}) == 0.0
