"""Expected values."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from crowdlab_engine import MultiannotatorLabels
from crowdlab_engine.ordinal import expected_values, literal
from crowdlab_engine.posterior import posterior
from crowdlab_engine.pred_probs import PredProbs
from crowdlab_engine.weights import Weights

FINITE = st.floats(-1e6, 1e6)


@given(
    arrays(np.float64, (4, 3), elements=st.floats(0.01, 1)), arrays(np.float64, 3, elements=FINITE)
)
def test_the_mean_lies_between_the_values(weights: Any, values: Any) -> None:
    posterior = weights / weights.sum(axis=1, keepdims=True)
    expected = expected_values(posterior, values)
    assert (expected >= values.min() - 1e-6).all()
    assert (expected <= values.max() + 1e-6).all()
    order = [2, 0, 1]
    np.testing.assert_allclose(
        expected_values(posterior[:, order], values[order]), expected, atol=1e-6
    )


def test_what_is_not_known_has_no_value() -> None:
    assert np.isnan(expected_values([[np.nan, np.nan]], [1, 2])).all()


@pytest.mark.parametrize(
    ("posterior", "values", "message"),
    [
        ([[0.5, 0.5]], [1], r"values has shape \(1,\) and posterior \(1, 2\): pass one number"),
        ([0.5, 0.5], [1, 2], "pass one number for each class"),
        ([[0.5, 0.5]], [1, np.inf], "values holds inf for class 1: pass a finite number"),
    ],
)
def test_values_that_do_not_fit_are_refused(posterior: Any, values: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        expected_values(posterior, values)


def test_the_mean_by_literal_weights_is_the_weighted_mean_of_what_is_said() -> None:
    labels = MultiannotatorLabels.from_codes([0, 0, 1], [0, 1, 1], [2, 0, 1], num_classes=3)
    pred_probs = np.array([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]])
    predictions = PredProbs.of_tasks(pred_probs, labels, row_sum_tolerance=1e-3)
    weights = Weights(np.array([0.5]), np.array([1.0, 0.25]), 0.8, 0.1)
    values = np.array([1.0, 3.0, 7.0])
    found = expected_values(posterior(labels, predictions, literal(weights)), values)
    predicted = pred_probs @ values
    first = (0.5 * predicted[0] + 1.0 * 7.0 + 0.25 * 1.0) / 1.75
    second = (0.5 * predicted[1] + 0.25 * 3.0) / 0.75
    np.testing.assert_allclose(found, [first, second])
