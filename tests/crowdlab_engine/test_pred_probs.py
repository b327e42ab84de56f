from typing import Any

import numpy as np
import pytest

from crowdlab_engine import MultiannotatorLabels
from crowdlab_engine.pred_probs import check_pool, check_pred_probs, each_model, mean_model

LABELS = MultiannotatorLabels.from_codes([0, 1], [0, 0], [0, 1], task_ids=["t0", "t1"])


@pytest.mark.parametrize(
    ("pred_probs", "message"),
    [
        ([0.5, 0.5], r"shape \(2,\) but the labels have 2 tasks and 2 classes"),
        ([[0.5, 0.5]], r"shape \(1, 2\)"),
        ([[0.5, 0.5, 0.0], [0.5, 0.5, 0.0]], r"shape \(2, 3\)"),
        ([[0.5, 0.5], [np.nan, 1.0]], r"row 1 \(task 't1'\) are not finite"),
        ([[0.5, 0.5], [np.inf, 0.0]], "row 1 .* are not finite"),
        ([[1.5, -0.5], [0.5, 0.5]], r"row 0 \(task 't0'\) are not within \[0, 1\]"),
        ([[0.5, 0.5], [0.5, 0.498]], "row 1 .* do not sum to 1"),
        (np.full((2, 2, 2), 0.4), r"of model 0, row 0 \(task 't0'\) do not sum to 1"),
        (np.empty((0, 2, 2)), r"shape \(0, 2, 2\) .* the stacked arrays of several models"),
        (np.ones((1, 1, 2, 2)), r"shape \(1, 1, 2, 2\)"),
        ([["a", "b"], ["c", "d"]], "not an array of numbers"),
        ([[0.5, 0.5], [1.0]], "not an array of numbers"),
    ],
)
def test_refuses(pred_probs: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_pred_probs(pred_probs, LABELS, row_sum_tolerance=1e-3)


def test_accepts_rounding() -> None:
    rounded = np.array([[1 + 1e-7, -1e-7], [0.4995, 0.5]], dtype=np.float32)
    checked = check_pred_probs(rounded, LABELS, row_sum_tolerance=1e-3)
    assert checked.dtype == np.float64
    np.testing.assert_allclose(checked, rounded)


def test_infinite_tolerance_accepts_any_sum_but_no_impossible_value() -> None:
    check_pred_probs([[0.1, 0.1], [0.9, 0.9]], LABELS, row_sum_tolerance=np.inf)
    with pytest.raises(ValueError, match="not within"):
        check_pred_probs([[2.0, 0.1], [0.9, 0.9]], LABELS, row_sum_tolerance=np.inf)


def test_ensembles() -> None:
    models = np.array([[[0.5, 0.5], [0.2, 0.8]], [[0.1, 0.9], [0.4, 0.6]]])
    checked = check_pred_probs(models, LABELS, row_sum_tolerance=1e-3)
    assert checked is models
    assert each_model(models) is models
    np.testing.assert_allclose(mean_model(models), [[0.3, 0.7], [0.3, 0.7]])
    assert mean_model(models[0]) is not models
    np.testing.assert_array_equal(each_model(models[0]), models[:1])
    assert len(each_model(None)) == 0


def test_pool() -> None:
    pool = [[0.5, 0.5]] * 3
    assert check_pool(pool, num_classes=2, row_sum_tolerance=1e-3).shape == (3, 2)
    with pytest.raises(ValueError, match=r"pred_probs_unlabeled has 2 classes but .* have 3"):
        check_pool(pool, num_classes=3, row_sum_tolerance=1e-3)
    with pytest.raises(ValueError, match="pred_probs_unlabeled of row 1 do not sum to 1"):
        check_pool([[0.5, 0.5], [0.5, 0.6]], num_classes=None, row_sum_tolerance=1e-3)
