import ast
import inspect
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from crowdlab_engine import (
    Fusion,
    MultiannotatorLabels,
    active_learning_scores,
    choose_tasks,
    expected_gain,
)
from crowdlab_engine.relabeling import _Future
from tests.crowdlab_engine.crowds import Crowd, one_coins
from tests.crowdlab_engine.problems import Problem, problems

SCORES = np.array([0.9, 0.4, 0.6, 0.4, 0.1])
COUNTS = np.array([3, 2, 1, 1, 0])


def test_the_lowest_score_comes_first_then_the_fewest_labels() -> None:
    assert choose_tasks(SCORES, COUNTS).tolist() == [4, 3, 1, 2, 0]
    assert choose_tasks(SCORES, COUNTS, budget=2).tolist() == [4, 3]
    assert choose_tasks(SCORES, COUNTS, budget=0).tolist() == []
    assert choose_tasks(SCORES, COUNTS, budget=9).tolist() == [4, 3, 1, 2, 0]


def test_only_scores_below_the_threshold() -> None:
    assert choose_tasks(SCORES, COUNTS, threshold=0.4).tolist() == [4]
    assert choose_tasks(SCORES, COUNTS, threshold=0.61, budget=3).tolist() == [4, 3, 1]


def test_tasks_that_have_got_enough_or_are_closed_are_left_out() -> None:
    extra = [0, 1, 0, 2, 5]
    assert choose_tasks(SCORES, COUNTS, most_extra=2, num_extra=extra).tolist() == [1, 2, 0]
    assert choose_tasks(SCORES, COUNTS, most_extra=0, num_extra=extra).tolist() == []
    is_open = np.array([True, False, True, True, False])
    assert choose_tasks(SCORES, COUNTS, is_open=is_open).tolist() == [3, 2, 0]


def test_scores_within_the_resolution_are_equal() -> None:
    scores, counts = [0.500, 0.503], [2, 1]
    assert choose_tasks(scores, counts).tolist() == [1, 0]
    assert choose_tasks(scores, counts, resolution=0).tolist() == [0, 1]


def test_chance_decides_between_equals_and_the_seed_fixes_it() -> None:
    scores, counts = np.full(200, 0.5), np.ones(200, dtype=int)
    chosen = choose_tasks(scores, counts, budget=50)
    assert chosen.tolist() == choose_tasks(scores, counts, budget=50).tolist()
    assert chosen.tolist() != choose_tasks(scores, counts, budget=50, random_state=1).tolist()
    assert 60 < chosen.mean() < 140


def test_a_larger_budget_only_adds() -> None:
    rng = np.random.RandomState(0)
    scores, counts = rng.randint(8, size=300) / 8, rng.randint(3, size=300)
    every = choose_tasks(scores, counts)
    assert sorted(every.tolist()) == list(range(300))
    for budget in (1, 17, 299):
        assert choose_tasks(scores, counts, budget=budget).tolist() == every[:budget].tolist()


def test_labelled_and_unlabelled_tasks_are_ranked_together() -> None:
    labels = MultiannotatorLabels.from_codes(
        [0, 0, 0, 1, 1, 2], [0, 1, 2, 0, 1, 2], [0, 0, 0, 1, 0, 1], num_tasks=4
    )
    scores = active_learning_scores(labels).labeled
    chosen = choose_tasks(scores, labels.num_annotations)
    assert chosen[[0, 3]].tolist() == [3, 0]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"scores": [[0.5]]}, ValueError, r"scores have shape \(1, 1\)"),
        ({"scores": [0.5, np.nan]}, ValueError, "score of task 1 is nan"),
        ({"num_annotations": [1]}, ValueError, r"num_annotations has shape \(1,\) but there are 2"),
        ({"num_annotations": [1.0, 2.0]}, ValueError, "num_annotations holds float64"),
        ({"num_annotations": [1, -1]}, ValueError, "num_annotations of task 1 is -1"),
        ({"budget": -1}, ValueError, "budget is -1"),
        ({"budget": 1.5}, TypeError, "budget is 1.5: pass an integer"),
        ({"threshold": np.nan}, ValueError, "threshold is nan"),
        ({"most_extra": 2}, ValueError, "num_extra is missing"),
        ({"num_extra": [0, 0]}, ValueError, "without most_extra"),
        ({"most_extra": -1, "num_extra": [0, 0]}, ValueError, "most_extra is -1"),
        ({"most_extra": 1, "num_extra": [0]}, ValueError, r"num_extra has shape \(1,\)"),
        ({"is_open": [1, 0]}, ValueError, "is_open is int64"),
        ({"is_open": [True]}, ValueError, r"is_open is bool of shape \(1,\)"),
        ({"resolution": -0.1}, ValueError, "resolution is -0.1"),
        ({"random_state": "x"}, TypeError, "random_state is 'x'"),
    ],
)
def test_choosing_refuses(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments = {"scores": [0.5, 0.6], "num_annotations": [1, 1], **changes}
    with pytest.raises(error, match=message):
        choose_tasks(**arguments)


CROWD = Crowd(one_coins([0.6, 0.7, 0.8, 0.9] * 5, 3), num_tasks=3000, labels_per_task=2, seed=1)


def test_the_expected_gain_is_what_independent_annotators_bring() -> None:
    """Labels beyond the first two are revealed as the campaign buys them."""
    whole = Crowd(one_coins([0.75] * 20, 3), num_tasks=3000, labels_per_task=12, seed=1)
    order = np.argsort(np.random.RandomState(0).uniform(size=(3000, 12)), axis=1)
    cells = whole.labels.annotator.reshape(3000, 12), whole.labels.label.reshape(3000, 12)
    annotator, label = (np.take_along_axis(cell, order, axis=1) for cell in cells)

    def first(counts: np.ndarray) -> MultiannotatorLabels:
        kept = np.arange(12) < counts[:, None]
        return MultiannotatorLabels.from_codes(
            np.nonzero(kept)[0],
            annotator[kept],
            label[kept],
            num_tasks=3000,
            num_annotators=20,
            num_classes=3,
        )

    def exact_posterior(labels: MultiannotatorLabels) -> np.ndarray:
        votes = np.zeros((3000, 3))
        np.add.at(votes, (labels.task, labels.label), 1)
        posterior = (0.75 / 0.125) ** votes
        return posterior / posterior.sum(axis=1, keepdims=True)

    counts = np.full(3000, 2)
    before = exact_posterior(first(counts))
    predicted = expected_gain(first(counts), before, horizon=3000, num_steps=10)
    for _ in range(10):
        scores = active_learning_scores(first(counts)).labeled
        counts[choose_tasks(scores, counts, budget=300, is_open=counts < 12)] += 1
    after = exact_posterior(first(counts))
    start, end = (whole.accuracy(one.argmax(axis=1)) for one in (before, after))
    assert end - start > 0.1
    np.testing.assert_allclose(predicted.accuracy[[0, -1]], [start, end], atol=0.02)
    assert predicted.num_labels.tolist() == list(range(0, 3001, 300))


def test_one_label_by_hand() -> None:
    """Two classes, one task: the label either confirms or overturns."""
    labels = MultiannotatorLabels.from_codes([0], [0], [0], num_classes=2)
    posterior = np.array([[0.6, 0.4]])
    future = _Future(labels, posterior.copy(), 0.0, np.array([np.inf]))
    right, wrong = future._if_right, future._if_wrong
    total = right + wrong + 1
    for_0 = [0.6 * (right + 1), 0.4 * (wrong + 1)]
    for_1 = [0.6 * wrong, 0.4 * right]
    expected = (max(for_0) + max(for_1)) / total
    found = expected_gain(labels, posterior, horizon=1)
    assert found.num_labels.tolist() == [0, 1]
    np.testing.assert_allclose(found.accuracy, [0.6, expected], rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.per_100_labels, [100 * (expected - 0.6)], atol=1e-12)


def test_a_crowd_that_is_split_on_every_task_promises_less() -> None:
    """Hard tasks, whose labels are a coin's, against independent errors of the same accuracy."""
    rng = np.random.RandomState(0)
    task, annotator = np.divmod(np.arange(6000), 6)
    is_hard = np.arange(1000) < 500
    right = np.where(is_hard, 0.5, 1.0)
    hard = (rng.uniform(size=6000) > right[task]).astype(int)
    even = (rng.uniform(size=6000) > 0.75).astype(int)
    gains = []
    for label in (hard, even):
        labels = MultiannotatorLabels.from_codes(task, annotator, label, num_classes=2)
        posterior = Fusion().fit(labels).posterior_
        future = _Future(labels, posterior.copy(), 0.0, np.full(1000, np.inf))
        gains.append(future._if_right + future._if_wrong)
    assert gains[0] < gains[1] / 3


def test_later_labels_bring_less_and_caps_end_it() -> None:
    posterior = Fusion().fit(CROWD.labels).posterior_
    found = expected_gain(CROWD.labels, posterior, horizon=6000, num_steps=6)
    assert (np.diff(found.accuracy) > 0).all()
    assert found.per_100_labels[0] > 2 * found.per_100_labels[-1]
    capped = expected_gain(
        CROWD.labels,
        posterior,
        horizon=6000,
        num_steps=6,
        most_extra=1,
        num_extra=np.zeros(3000, dtype=int),
        is_open=np.arange(3000) < 1500,
    )
    assert capped.num_labels.tolist() == [0, 1000, 1500]


def test_without_open_tasks_there_is_nothing_to_gain() -> None:
    posterior = Fusion().fit(CROWD.labels).posterior_
    found = expected_gain(CROWD.labels, posterior, horizon=10, is_open=np.zeros(3000, dtype=bool))
    assert found.num_labels.tolist() == [0]
    assert found.per_100_labels.shape == (0,)
    assert found.accuracy[0] == pytest.approx(posterior.max(axis=1).mean())


LABELS = MultiannotatorLabels.from_codes([0, 0, 1], [0, 1, 0], [0, 1, 1])


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"labels": np.zeros((2, 2))}, TypeError, "labels is a ndarray"),
        (
            {"labels": MultiannotatorLabels.from_codes([], [], [], num_tasks=2, num_classes=2)},
            ValueError,
            "none of the 2 tasks has a label",
        ),
        ({"posterior": np.ones((2, 3)) / 3}, ValueError, r"posterior has shape \(2, 3\)"),
        ({"posterior": [[0.5, 0.5], [0.9, 0.9]]}, ValueError, "posterior of task 1 is"),
        ({"posterior": [[0.5, 0.5], [np.nan, 1]]}, ValueError, "posterior of task 1 is"),
        ({"horizon": 0}, ValueError, "horizon is 0: it must be 1 or more"),
        ({"horizon": 2.0}, TypeError, "horizon is 2.0"),
        ({"num_steps": 0}, ValueError, "num_steps is 0"),
        ({"model_weight": np.inf}, ValueError, "model_weight is inf"),
        ({"most_extra": 1}, ValueError, "num_extra is missing"),
    ],
)
def test_the_estimate_refuses(
    changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    arguments = {"labels": LABELS, "posterior": np.full((2, 2), 0.5), "horizon": 5, **changes}
    with pytest.raises(error, match=message):
        expected_gain(**arguments)


@given(problems)
@settings(deadline=None, max_examples=60)
def test_the_estimate_never_falls_and_inputs_are_left_alone(problem: Problem) -> None:
    posterior = Fusion().fit(problem.labels).posterior_
    posterior.setflags(write=False)
    found = expected_gain(problem.labels, posterior, horizon=50, num_steps=7)
    assert (np.diff(found.accuracy) >= -1e-12).all()
    assert found.accuracy[-1] <= 1 + 1e-12
    assert found.num_labels[-1] == 50


@pytest.mark.parametrize("function", [choose_tasks, expected_gain])
def test_documented_defaults(function: Callable[..., Any]) -> None:
    documented = dict(re.findall(r"(\w+) : .*, default (\S+)$", str(function.__doc__), re.M))
    parameters = inspect.signature(function).parameters
    assert {name: ast.literal_eval(default) for name, default in documented.items()} == {
        name: parameter.default
        for name, parameter in parameters.items()
        if parameter.default not in (None, inspect.Parameter.empty)
    }
