"""Predicted class probabilities: checks on entry, and ensembles of models."""

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
    pred_probs : array_like, shape (N, K) or (P, N, K)
        Probability of each class for each task of `labels`, predicted by one model, or by
        each of P models.
    labels : MultiannotatorLabels
        The labels that the probabilities belong to.
    row_sum_tolerance : float
        How far the sum of a row may be from 1; `numpy.inf` accepts any sum.

    Returns
    -------
    ndarray of float64, shape (N, K) or (P, N, K)
        The caller's array itself if it is float64 already.

    Raises
    ------
    ValueError
        The shape is another one, a value is not finite or not within [0, 1], or a row does
        not sum to 1.
    """
    probs = _as_numbers("pred_probs", pred_probs)
    expected = (labels.num_tasks, labels.num_classes)
    if probs.shape[-2:] != expected or not _has_models(probs):
        raise ValueError(
            f"pred_probs has shape {probs.shape} but the labels have {expected[0]} tasks and "
            f"{expected[1]} classes: pass one row per task and one column per class, or the "
            "stacked arrays of several models"
        )
    _check_rows("pred_probs", probs, row_sum_tolerance, labels.task_ids)
    return probs


def check_pool(
    pred_probs: ArrayLike, *, num_classes: int | None, row_sum_tolerance: float
) -> FloatArray:
    """Return `pred_probs` of tasks that nobody has labelled, checked like those of others.

    Parameters
    ----------
    pred_probs : array_like, shape (N', K) or (P, N', K)
        Class probabilities predicted by one model, or by each of P models.
    num_classes : int or None
        Number of classes K; None accepts any from 1.
    row_sum_tolerance : float
        See `check_pred_probs`.

    Returns
    -------
    ndarray of float64, shape (N', K) or (P, N', K)

    Raises
    ------
    ValueError
        As `check_pred_probs`.
    """
    probs = _as_numbers("pred_probs_unlabeled", pred_probs)
    if probs.shape[-1:] == (0,) or not _has_models(probs):
        raise ValueError(
            f"pred_probs_unlabeled has shape {probs.shape}: pass one row per task and one column "
            "per class, or the stacked arrays of several models"
        )
    if num_classes not in (None, probs.shape[-1]):
        raise ValueError(
            f"pred_probs_unlabeled has {probs.shape[-1]} classes but the labelled tasks have "
            f"{num_classes}: predict both with the same classes"
        )
    _check_rows("pred_probs_unlabeled", probs, row_sum_tolerance)
    return probs


def each_model(pred_probs: FloatArray | None) -> FloatArray:
    """Return the models' probabilities as shape (P, N, K); P is 0 for None."""
    if pred_probs is None:
        return np.empty((0, 0, 0))
    return pred_probs if pred_probs.ndim == 3 else pred_probs[None]


def mean_model(pred_probs: FloatArray) -> FloatArray:
    """Return the plain mean of the models, shape (N, K); that of a single one is itself."""
    mean: FloatArray = pred_probs.mean(axis=0) if pred_probs.ndim == 3 else pred_probs
    return mean


def _as_numbers(name: str, pred_probs: ArrayLike) -> FloatArray:
    try:
        probs: FloatArray = np.asarray(pred_probs, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is not an array of numbers: {error}") from error
    return probs


def _has_models(probs: FloatArray) -> bool:
    return probs.ndim == 2 or (probs.ndim == 3 and len(probs) > 0)


def _check_rows(
    name: str, probs: FloatArray, row_sum_tolerance: float, task_ids: AnyArray | None = None
) -> None:
    """Refuse rows that cannot be probabilities, model by model."""
    for number, model in enumerate(each_model(probs)):
        whose = f"{name} of model {number}," if probs.ndim == 3 else f"{name} of"
        # One check after the other: sums of infinite values are not worth a warning.
        fault = _fault(~np.isfinite(model).all(axis=1), "are not finite", "predict every task")
        fault = fault or _fault(
            ((model < -ROUNDING) | (model > 1 + ROUNDING)).any(axis=1),
            "are not within [0, 1]",
            "pass probabilities, not scores or logits",
        )
        fault = fault or _fault(
            np.abs(model.sum(axis=1) - 1) > row_sum_tolerance,
            "do not sum to 1",
            "divide every row by its sum",
        )
        if fault:
            row, what, remedy = fault
            task = "" if task_ids is None else f" (task {shown(task_ids, row)})"
            values = np.array2string(model[row], precision=6, threshold=10)
            raise ValueError(f"{whose} row {row}{task} {what}: {values}; {remedy}")


def _fault(is_wrong: AnyArray | np.bool_, what: str, remedy: str) -> tuple[int, str, str] | None:
    """Return the first wrong row, with what is wrong and what to do."""
    rows = np.flatnonzero(is_wrong)
    return (int(rows[0]), what, remedy) if rows.size else None
