"""Labels of tasks that are known for certain, as from an expert."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from crowdlab_engine._typing import IntArray
from crowdlab_engine.labels import MultiannotatorLabels, shown

UNKNOWN = -1
"""Ground truth of a task of which nobody knows it."""


def check_ground_truth(ground_truth: ArrayLike | None, labels: MultiannotatorLabels) -> IntArray:
    """Return the known class of each task, or say what is wrong.

    Parameters
    ----------
    ground_truth : array_like of int, shape (N,), or None
        Class codes, -1 where the truth is not known; None for nowhere.
    labels : MultiannotatorLabels
        Labels of these tasks.

    Returns
    -------
    ndarray of int64, shape (N,)
        A copy.

    Raises
    ------
    ValueError
        The shape is not (N,), or a value is no class code.
    """
    if ground_truth is None:
        return np.full(labels.num_tasks, UNKNOWN, dtype=np.int64)
    truth = np.asarray(ground_truth)
    if truth.shape != (labels.num_tasks,):
        raise ValueError(
            f"ground_truth has shape {truth.shape} but the labels have {labels.num_tasks} tasks: "
            "pass one class code per task, -1 for unknown"
        )
    if truth.size and truth.dtype.kind not in "iu":
        raise ValueError(
            f"ground_truth holds {truth.dtype} values: pass integer class codes, -1 for unknown"
        )
    wrong = np.flatnonzero((truth < UNKNOWN) | (truth >= labels.num_classes))
    if wrong.size:
        raise ValueError(
            f"ground_truth of task {shown(labels.task_ids, wrong[0])} is {truth[wrong[0]]}: pass "
            f"class codes from 0 to {labels.num_classes - 1}, -1 for unknown"
        )
    return truth.astype(np.int64)
