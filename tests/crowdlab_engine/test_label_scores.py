import inspect
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crowdlab_engine.label_scores import check_label_score, class_thresholds, label_scores

PROBS = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
ROW = np.array([0, 0, 1])
LABEL = np.array([0, 1, 2])


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("self_confidence", [0.7, 0.2, 0.6]),
        ("normalized_margin", [0.75, 0.25, 0.65]),
    ],
)
def test_scores(method: Any, expected: list[float]) -> None:
    np.testing.assert_allclose(label_scores(PROBS, ROW, LABEL, method=method), expected)


def test_entropy_score() -> None:
    entropy = -(PROBS * np.log(PROBS)).sum(axis=1) / np.log(3)
    ratio = entropy[ROW] / [0.7, 0.2, 0.6]
    np.testing.assert_allclose(
        label_scores(PROBS, ROW, LABEL, method="confidence_weighted_entropy"),
        np.log1p(ratio) / ratio,
    )


def test_entropy_of_a_certain_label_is_0_as_in_the_reference() -> None:
    scores = label_scores(
        np.array([[1.0, 0.0]]),
        np.array([0, 0]),
        np.array([0, 1]),
        method="confidence_weighted_entropy",
    )
    assert scores.tolist() == [0, 0]


@pytest.mark.parametrize(
    "method", ["self_confidence", "normalized_margin", "confidence_weighted_entropy"]
)
def test_of_one_class_the_score_is_its_probability(method: Any) -> None:
    row = np.array([0])
    assert label_scores(np.ones((1, 1)), row, row, method=method).tolist() == [1]


def test_thresholds_are_means_within_groups() -> None:
    thresholds = class_thresholds(PROBS, ROW, LABEL, np.array([0, 1, 0]), 2)
    np.testing.assert_allclose(thresholds, [[0.7, 2, 0.6], [2, 0.2, 2]])
    again = class_thresholds(PROBS, np.array([0, 1]), np.array([1, 1]), np.array([0, 0]), 1)
    np.testing.assert_allclose(again, [[2, 0.25, 2]])


def test_a_threshold_is_never_0() -> None:
    zero = np.array([[0.0, 1.0]])
    one = np.array([0])
    assert class_thresholds(zero, one, one, one, 1)[0, 0] == 2e-6


def test_adjusted_scores_help_hard_classes() -> None:
    thresholds = np.array([[0.9, 0.3, 0.5]])
    scores = label_scores(PROBS, ROW, LABEL, thresholds=thresholds)
    shifted = PROBS - thresholds + 0.9
    shifted /= shifted.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(scores, shifted[ROW, LABEL])
    assert scores[1] > scores[0]


def test_each_group_has_its_thresholds() -> None:
    thresholds = np.array([[0.9, 0.3, 0.5], [0.5, 0.5, 0.5]])
    scores = label_scores(PROBS, ROW, LABEL, thresholds=thresholds, group=np.array([1, 0, 1]))
    alone = label_scores(PROBS, ROW[:1], LABEL[:1], thresholds=thresholds[1:])
    assert scores[0] == alone[0]


@pytest.mark.parametrize(
    ("method", "adjust", "message"),
    [
        ("entropy", False, "the label score is 'entropy': choose one of"),
        ("confidence_weighted_entropy", True, "adjust_pred_probs is not defined"),
    ],
)
def test_refuses(method: Any, adjust: bool, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_label_score(method, adjust_pred_probs=adjust)


def test_documented_default() -> None:
    documented = re.search(r"method : .*, default (\S+)$", str(label_scores.__doc__), re.M)
    assert documented is not None
    default = inspect.signature(label_scores).parameters["method"].default
    assert documented[1] == f'"{default}"'


@given(st.integers(2, 6), st.integers(0, 2**31 - 1))
@settings(deadline=None, max_examples=40)
def test_scores_are_within_bounds(num_classes: int, seed: int) -> None:
    rng = np.random.RandomState(seed)
    probs = rng.dirichlet(np.full(num_classes, 0.3), size=20)
    row = np.arange(20)
    label = rng.randint(num_classes, size=20)
    copy = probs.copy()
    for method in ("self_confidence", "normalized_margin", "confidence_weighted_entropy"):
        scores = label_scores(probs, row, label, method=method)  # type: ignore[arg-type]
        assert ((scores >= 0) & (scores <= 1)).all()
    np.testing.assert_array_equal(probs, copy)
