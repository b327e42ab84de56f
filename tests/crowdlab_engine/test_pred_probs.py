from typing import Any

import numpy as np
import pytest

from crowdlab_engine import MultiannotatorLabels
from crowdlab_engine.pred_probs import check_pred_probs

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
