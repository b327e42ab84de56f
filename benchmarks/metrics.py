"""How good a consensus is, given the truth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, spearmanr
from sklearn.metrics import roc_auc_score

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

ECE_BINS = 15


def standard_error(accuracy: float, num_tasks: int) -> float:
    """Return the standard error of a share."""
    return float(np.sqrt(accuracy * (1 - accuracy) / num_tasks))


def auroc(is_wrong: BoolArray, score: FloatArray) -> float:
    """Probability that a wrong label scores lower than a right one; NaN without either."""
    if is_wrong.all() or not is_wrong.any():
        return float("nan")
    return float(roc_auc_score(is_wrong, -score))


def lift(is_wrong: BoolArray, score: FloatArray) -> float:
    """Precision among as many lowest scores as there are wrong labels, over chance."""
    number = int(is_wrong.sum())
    if number == 0:
        return float("nan")
    lowest = np.argsort(score, kind="stable")[:number]
    return float(is_wrong[lowest].mean() / is_wrong.mean())


def calibration_error(is_right: BoolArray, score: FloatArray, bins: int = ECE_BINS) -> float:
    """Expected calibration error over bins of equal width; 0 is best."""
    bin_of = np.clip((score * bins).astype(int), 0, bins - 1)
    gap = np.bincount(bin_of, weights=is_right - score, minlength=bins)
    return float(np.abs(gap).sum() / len(score))


def rank_correlation(estimated: FloatArray, true: FloatArray) -> float:
    """Spearman's rank correlation, where both are known."""
    known = np.isfinite(estimated) & np.isfinite(true)
    if known.sum() < 3 or np.ptp(estimated[known]) == 0 or np.ptp(true[known]) == 0:
        return float("nan")
    return float(spearmanr(estimated[known], true[known]).statistic)


def mcnemar(ours: BoolArray, theirs: BoolArray) -> tuple[int, int, float]:
    """Exact paired test of two methods' right answers.

    Returns
    -------
    only_ours, only_theirs : int
        Tasks that one of them alone gets right.
    p : float
        Two-sided.
    """
    only_ours, only_theirs = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    if only_ours + only_theirs == 0:
        return 0, 0, 1.0
    return only_ours, only_theirs, float(binomtest(only_ours, only_ours + only_theirs).pvalue)
