"""Checks of what the caller passes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crowdlab_engine.labels import MultiannotatorLabels

_SUM_TOLERANCE = 1e-3


def check_pred_probs(
    pred_probs: ArrayLike, labels: MultiannotatorLabels, *, require_normalized: bool = True
) -> NDArray[np.float64]:
    """Class probabilities as an array, after a check that they can be used.

    Parameters
    ----------
    pred_probs : array-like of shape (N, K)
        Probability of each class for each task.
    labels : MultiannotatorLabels
        The labels that they go with.
    require_normalized : bool
        Whether each value must lie within [0, 1] and each row sum to 1 within 1e-3.

    Returns
    -------
    ndarray of shape (N, K), float64
        Not a copy if it need not be one.

    Raises
    ------
    ValueError
        The shape is another one, or a row is not a probability distribution; the message names
        the task.
    """
    checked = np.asarray(pred_probs, dtype=np.float64)
    expected = (labels.num_tasks, labels.num_classes)
    if checked.shape != expected:
        raise ValueError(
            f"pred_probs has shape {checked.shape}; {expected[0]} tasks and {expected[1]} classes "
            f"need {expected}"
        )
    _refuse(~np.isfinite(checked).all(axis=1), checked, labels, "a value that is not finite")
    if require_normalized:
        outside = ((checked < 0) | (checked > 1)).any(axis=1)
        _refuse(outside, checked, labels, "a value outside [0, 1]")
        uneven = np.abs(checked.sum(axis=1) - 1.0) > _SUM_TOLERANCE
        _refuse(uneven, checked, labels, "values that do not sum to 1")
    return checked


def _refuse(
    wrong: Any, values: NDArray[np.float64], labels: MultiannotatorLabels, what: str
) -> None:
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(
            f"pred_probs has {what} in row {row} (task {labels.task_ids[row]}): "
            f"{np.array2string(values[row], threshold=10)}"
        )
