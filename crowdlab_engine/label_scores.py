"""Scores of labels from class probabilities, as in "confident learning".

Northcutt, Jiang and Chuang, "Confident Learning: Estimating uncertainty in dataset labels",
arXiv 1911.00068; Kuan and Mueller, "Model-agnostic label quality scoring to detect
real-world label errors", ICML DataPerf 2022.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import numpy as np

from crowdlab_engine._typing import FloatArray, IntArray

LabelScore: TypeAlias = Literal[
    "self_confidence", "normalized_margin", "confidence_weighted_entropy"
]

FLOOR = 1e-6
"""Smallest number that a score is divided by."""

NO_LABEL_THRESHOLD = 2.0
"""Threshold of a class that no label has: above any probability."""


def check_label_score(method: LabelScore, *, adjust_pred_probs: bool) -> None:
    """Refuse an unknown score, or one that cannot be adjusted.

    Raises
    ------
    ValueError
        `method` is unknown, or is "confidence_weighted_entropy" with `adjust_pred_probs`.
    """
    if method not in get_args(LabelScore):
        raise ValueError(
            f"the label score is {method!r}: choose one of {list(get_args(LabelScore))}"
        )
    if adjust_pred_probs and method == "confidence_weighted_entropy":
        raise ValueError(
            "adjust_pred_probs is not defined for the label score 'confidence_weighted_entropy': "
            "choose 'self_confidence' or 'normalized_margin'"
        )


def label_scores(
    probs: FloatArray,
    row: IntArray,
    label: IntArray,
    *,
    method: LabelScore = "self_confidence",
    thresholds: FloatArray | None = None,
    group: IntArray | None = None,
) -> FloatArray:
    """Score labels by the class probabilities of their tasks.

    For a label l and the probabilities x of its task:

    - "self_confidence": x_l;
    - "normalized_margin": (x_l - max of the others + 1) / 2;
    - "confidence_weighted_entropy": log(r + 1) / r, where r is the entropy of x, divided by
      log K and by x_l. All divisors are at least 1e-6, as in cleanlab 2.9.0; hence where r
      is smaller, at probabilities that are 1 to six digits, the score falls to 0.

    Of a single class, every score is x_l.

    Parameters
    ----------
    probs : ndarray of float64, shape (N, K)
        Class probabilities of each task.
    row, label : ndarray of int64, shape (L,)
        Task and class code of each label.
    method : {"self_confidence", "normalized_margin", "confidence_weighted_entropy"}, default \
"self_confidence"
        Which score.
    thresholds : ndarray of float64, shape (G, K), optional
        See `class_thresholds`. If given, x is replaced by x - threshold + the largest
        threshold, made to sum to 1: classes that are hard to be sure of are helped.
    group : ndarray of int64, shape (L,), optional
        Which row of `thresholds` counts for each label. Default: the first.

    Returns
    -------
    ndarray of float64, shape (L,)
        In [0, 1]; higher is better.
    """
    if thresholds is not None:
        own = np.zeros_like(row) if group is None else group
        probs = probs[row] - thresholds[own] + thresholds.max(axis=1)[own, None]
        probs /= probs.sum(axis=1, keepdims=True)
        row = np.arange(len(row))
    confidence = probs[row, label]
    if probs.shape[1] == 1:
        return confidence
    if method == "normalized_margin":
        margin: FloatArray = (confidence - _best_other(probs, row, label) + 1) / 2
        return margin
    if method == "confidence_weighted_entropy":
        ratio = _normalized_entropy(probs)[row] / np.maximum(confidence, FLOOR)
        score: FloatArray = np.log(ratio + 1) / np.maximum(ratio, FLOOR)
        return score
    return confidence


def class_thresholds(
    probs: FloatArray, row: IntArray, label: IntArray, group: IntArray, num_groups: int
) -> FloatArray:
    """Return how sure one typically is of each class, where it is the label.

    Parameters
    ----------
    probs, row, label
        See `label_scores`.
    group : ndarray of int64, shape (L,)
        Labels of a group are judged together: one annotator's, or all.
    num_groups : int
        Number of groups G.

    Returns
    -------
    ndarray of float64, shape (G, K)
        Mean probability of the class over the group's labels of that class, at least 2e-6;
        2 where there is none.
    """
    num_classes = probs.shape[1]
    cell = group * num_classes + label
    num_cells = num_groups * num_classes
    count = np.bincount(cell, minlength=num_cells)
    total = np.bincount(cell, weights=probs[row, label], minlength=num_cells)
    mean = np.full(num_cells, NO_LABEL_THRESHOLD)
    np.divide(total, count, out=mean, where=count > 0)
    thresholds: FloatArray = np.maximum(mean, 2 * FLOOR)
    return thresholds.reshape(num_groups, num_classes)


def _best_other(probs: FloatArray, row: IntArray, label: IntArray) -> FloatArray:
    """Largest probability of another class than the label."""
    best = probs.argmax(axis=1)
    second, largest = np.partition(probs, -2, axis=1)[:, -2:].T
    other: FloatArray = np.where(label == best[row], second[row], largest[row])
    return other


def _normalized_entropy(probs: FloatArray) -> FloatArray:
    """Entropy of each row, divided by that of a uniform one."""
    terms = np.zeros_like(probs)
    np.log(probs, out=terms, where=probs > 0)
    entropy: FloatArray = -(probs * terms).sum(axis=1) / np.log(probs.shape[1])
    return entropy
