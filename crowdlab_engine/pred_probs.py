"""Checks of predicted class probabilities on entry."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from crowdlab_engine._typing import AnyArray, FloatArray
from crowdlab_engine.labels import MultiannotatorLabels, shown

ROUNDING = 1e-6
"""How far outside [0, 1] a probability may be, as float32 softmax leaves it."""


def check_pred_probs(
    pred_probs: ArrayLike, labels: MultiannotatorLabels, *, row_sum_tolerance: float
) -> FloatArray:
    """Return `pred_probs` as float64, or say which row is wrong.

    Parameters
    ----------
    pred_probs : array_like, shape (N, K)
        Predicted probability of each class for each task of `labels`.
    labels : MultiannotatorLabels
        The labels that the probabilities belong to.
    row_sum_tolerance : float
        How far the sum of a row may be from 1; `numpy.inf` accepts any sum.

    Returns
    -------
    ndarray of float64, shape (N, K)
        The caller's array itself if it is float64 already.

    Raises
    ------
    ValueError
        The shape is not (N, K), a value is not finite or not within [0, 1], or a row does
        not sum to 1.
    """
    try:
        probs: FloatArray = np.asarray(pred_probs, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"pred_probs is not an array of numbers: {error}") from error
    expected = (labels.num_tasks, labels.num_classes)
    if probs.shape != expected:
        raise ValueError(
            f"pred_probs has shape {probs.shape} but the labels have {expected[0]} tasks and "
            f"{expected[1]} classes: pass one row per task and one column per class"
        )
    _refuse_rows(
        ~np.isfinite(probs).all(axis=1), probs, labels, "are not finite", "predict every task"
    )
    _refuse_rows(
        ((probs < -ROUNDING) | (probs > 1 + ROUNDING)).any(axis=1),
        probs,
        labels,
        "are not within [0, 1]",
        "pass probabilities, not scores or logits",
    )
    _refuse_rows(
        np.abs(probs.sum(axis=1) - 1) > row_sum_tolerance,
        probs,
        labels,
        "do not sum to 1",
        "divide every row by its sum",
    )
    return probs


def _refuse_rows(
    is_wrong: AnyArray | np.bool_,
    probs: AnyArray,
    labels: MultiannotatorLabels,
    fault: str,
    remedy: str,
) -> None:
    rows = np.flatnonzero(is_wrong)
    if rows.size:
        row = rows[0]
        raise ValueError(
            f"pred_probs of row {row} (task {shown(labels.task_ids, row)}) {fault}: "
            f"{np.array2string(probs[row], precision=6, threshold=10)}; {remedy}"
        )
