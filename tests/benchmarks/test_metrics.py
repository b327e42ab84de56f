import numpy as np
import pytest

from benchmarks import metrics


def test_auroc_by_hand() -> None:
    is_wrong = np.array([True, True, False, False])
    assert metrics.auroc(is_wrong, np.array([0.1, 0.5, 0.5, 0.9])) == pytest.approx(3.5 / 4)
    assert np.isnan(metrics.auroc(np.zeros(3, dtype=bool), np.ones(3)))


def test_lift_by_hand() -> None:
    is_wrong = np.array([True, False, True, False])
    assert metrics.lift(is_wrong, np.array([0.1, 0.2, 0.3, 0.4])) == pytest.approx(1.0)
    assert metrics.lift(is_wrong, np.array([0.1, 0.9, 0.2, 0.8])) == pytest.approx(2.0)


def test_calibration_error_by_hand() -> None:
    is_right = np.array([True, False, True, True])
    score = np.array([0.6, 0.6, 0.95, 1.0])
    assert metrics.calibration_error(is_right, score, bins=10) == pytest.approx(
        (2 * 0.1 + 1 * 0.05) / 4
    )
    assert metrics.calibration_error(np.array([True]), np.array([1.0])) == 0


def test_a_calibrated_score_has_little_error_and_a_boastful_one_much() -> None:
    rng = np.random.RandomState(0)
    score = rng.uniform(0.5, 1, size=20000)
    is_right = rng.uniform(size=20000) < score
    assert metrics.calibration_error(is_right, score) < 0.02
    assert metrics.calibration_error(is_right, np.ones(20000)) == pytest.approx(0.25, abs=0.01)


def test_mcnemar_is_the_binomial_test_of_what_differs() -> None:
    ours = np.array([True] * 5 + [False] + [True] * 4)
    theirs = np.array([False] * 5 + [True] + [True] * 4)
    assert metrics.mcnemar(ours, theirs) == (5, 1, pytest.approx(2 * 7 / 64))
    assert metrics.mcnemar(ours, ours) == (0, 0, 1.0)


def test_rank_correlation_uses_what_both_know() -> None:
    known = np.array([1.0, 2.0, 3.0, np.nan])
    assert metrics.rank_correlation(known, np.array([9.0, 8.0, 7.0, 1.0])) == pytest.approx(-1)
    assert np.isnan(metrics.rank_correlation(np.ones(4), known))
