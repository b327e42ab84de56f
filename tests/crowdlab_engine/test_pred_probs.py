from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from crowdlab_engine import MultiannotatorLabels
from crowdlab_engine.pred_probs import PredProbs

LABELS = MultiannotatorLabels.from_codes([0, 1], [0, 0], [0, 1], task_ids=["t0", "t1"])
EVERY = np.arange(2)


def of_tasks(pred_probs: Any, row_sum_tolerance: float = 1e-3) -> PredProbs:
    return PredProbs.of_tasks(pred_probs, LABELS, row_sum_tolerance=row_sum_tolerance)


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
        of_tasks(pred_probs).check()


@pytest.mark.parametrize("tolerance", [1e-3, np.inf])
def test_faults_are_found_when_rows_are_read(tolerance: float) -> None:
    probs = of_tasks([[0.5, 0.5], [np.nan, 1.0]], tolerance)
    np.testing.assert_array_equal(probs.checked_rows(0, np.array([0])), [[0.5, 0.5]])
    with pytest.raises(ValueError, match=r"row 1 \(task 't1'\) are not finite"):
        probs.checked_rows(0, np.array([0, 1]))


def test_accepts_rounding() -> None:
    rounded = np.array([[1 + 1e-7, -1e-7], [0.4995, 0.5]], dtype=np.float32)
    rows = of_tasks(rounded).checked_rows(0, EVERY)
    assert rows.dtype == np.float64
    np.testing.assert_allclose(rows, rounded)


def test_infinite_tolerance_accepts_any_sum_but_no_impossible_value() -> None:
    of_tasks([[0.1, 0.1], [0.9, 0.9]], np.inf).check()
    with pytest.raises(ValueError, match="not within"):
        of_tasks([[2.0, 0.1], [0.9, 0.9]], np.inf).checked_rows(0, EVERY)


def test_rows_of_doubles_are_the_callers() -> None:
    array = np.array([[0.5, 0.5], [0.2, 0.8]])
    assert np.shares_memory(of_tasks(array).rows(0, EVERY), array)


def test_sparse_rows() -> None:
    array = np.array([[0.0, 1.0], [0.25, 0.75]])
    probs = of_tasks(csr_array(array))
    np.testing.assert_array_equal(probs.checked_rows(0, EVERY), array)
    np.testing.assert_array_equal(probs.rows(0, np.array([1])), array[1:])


def test_ensembles() -> None:
    models = np.array([[[0.5, 0.5], [0.2, 0.8]], [[0.1, 0.9], [0.4, 0.6]]])
    probs = of_tasks(models)
    assert (probs.num_models, probs.num_tasks, probs.num_classes) == (2, 2, 2)
    np.testing.assert_array_equal(probs.rows(1, EVERY), models[1])
    np.testing.assert_allclose(probs.mean_rows(EVERY), [[0.3, 0.7], [0.3, 0.7]])
    np.testing.assert_allclose(
        probs.weighted_rows(np.array([1.0, 2.0]), EVERY), models[0] + 2 * models[1]
    )
    np.testing.assert_array_equal(probs.at(np.array([1, 0])), [[0.5, 0.2], [0.9, 0.4]])
    np.testing.assert_array_equal(probs.guesses(), [[0, 1], [1, 1]])


def test_an_ensemble_of_one_is_an_ensemble() -> None:
    assert of_tasks(np.full((1, 2, 2), 0.5)).is_ensemble
    assert not of_tasks(np.full((2, 2), 0.5)).is_ensemble
    assert of_tasks(None).num_models == 0


def test_scaled_rows() -> None:
    probs = of_tasks([[0.8, 0.2], [0.5, 0.5]]).scaled(np.array([2.0]))
    np.testing.assert_allclose(probs.rows(0, EVERY), [[2 / 3, 1 / 3], [0.5, 0.5]])
    np.testing.assert_allclose(probs.checked_rows(0, EVERY), [[2 / 3, 1 / 3], [0.5, 0.5]])


def test_pool() -> None:
    pool = [[0.5, 0.5]] * 3
    assert PredProbs.of_pool(pool, num_classes=2, row_sum_tolerance=1e-3).num_tasks == 3
    with pytest.raises(ValueError, match=r"pred_probs_unlabeled has 2 classes but .* have 3"):
        PredProbs.of_pool(pool, num_classes=3, row_sum_tolerance=1e-3)
    with pytest.raises(ValueError, match="pred_probs_unlabeled of row 1 do not sum to 1"):
        PredProbs.of_pool([[0.5, 0.5], [0.5, 0.6]], num_classes=None, row_sum_tolerance=1e-3)
