"""Temperature scaling: make a classifier as sure of its predictions as annotators agree."""

from __future__ import annotations

import numpy as np

from crowdlab_engine._typing import FloatArray
from crowdlab_engine.labels import MultiannotatorLabels
from crowdlab_engine.majority import vote_counts

COARSE_GRID = (0.1, 0.2, 0.5, 0.8, 1.0, 2.0, 3.0, 5.0, 8.0)
"""Temperatures tried first. The best one is refined between its neighbours."""

FINE_STEPS = 4
"""Steps between two temperatures of the coarse grid."""

MIN_PROB = 1e-30
"""Smallest probability of which a logarithm is taken."""


def best_temperature(labels: MultiannotatorLabels, pred_probs: FloatArray) -> float:
    """Find the temperature at which predictions look most like the annotators' labels.

    It minimises the mean cross entropy between the share of annotators who chose each class
    and the scaled prediction, over labelled tasks, on a grid: first a coarse one, then
    between the neighbours of the best. The first of equals wins.

    The range is that of cleanlab 2.9.0, from 0.1 up to but without 8: where the coarse grid
    says 8, the answer is 7.25. The shares are counted rightly, unlike there.

    Parameters
    ----------
    labels : MultiannotatorLabels
        Labels of N tasks, at least one.
    pred_probs : ndarray of float64, shape (N, K)
        Predicted class probabilities; rows need not sum to 1.

    Returns
    -------
    float
        In [0.1, 7.25]; above 1, predictions are made less sure. 1 if there is one class.
    """
    if labels.num_classes == 1:
        return 1.0
    labelled = np.flatnonzero(labels.num_annotations)
    shares = vote_counts(labels)[labelled] / labels.num_annotations[labelled, None]
    with np.errstate(divide="ignore"):
        log_probs = np.log(np.maximum(pred_probs[labelled], 0.0))

    def cross_entropy(temperature: float) -> float:
        log_scaled = np.log(np.maximum(_softmax(log_probs, temperature), MIN_PROB))
        by_task = -(shares * log_scaled).sum(axis=1) / np.log(labels.num_classes)
        return float(by_task.mean())

    coarse = int(np.argmin([cross_entropy(temperature) for temperature in COARSE_GRID]))
    fine = _fine_grid(coarse)
    return float(fine[np.argmin([cross_entropy(temperature) for temperature in fine])])


def scale(pred_probs: FloatArray, temperature: float) -> FloatArray:
    """Return probabilities at another temperature.

    Parameters
    ----------
    pred_probs : ndarray of float64, shape (N, K)
        Class probabilities; rows need not sum to 1.
    temperature : float
        Above 0. At 1 rows are only made to sum to 1; above, they become flatter.

    Returns
    -------
    ndarray of float64, shape (N, K)
        In [0, 1]; rows sum to 1.
    """
    probs = np.maximum(pred_probs, MIN_PROB)
    probs /= probs.sum(axis=1, keepdims=True)
    scaled = _softmax(np.log(probs), temperature)
    scaled /= scaled.sum(axis=1, keepdims=True)
    return scaled


def _softmax(log_probs: FloatArray, temperature: float) -> FloatArray:
    """Softmax of each row; a row in which nothing is possible becomes a uniform one."""
    scaled: FloatArray = np.exp(log_probs / temperature)
    total = scaled.sum(axis=1, keepdims=True)
    probs = np.full_like(scaled, 1 / scaled.shape[1])
    np.divide(scaled, total, out=probs, where=total > 0)
    return probs


def _fine_grid(coarse: int) -> FloatArray:
    """Temperatures around one of the coarse grid, the last of that grid excluded."""
    grids = []
    if coarse > 0:
        below, here = COARSE_GRID[coarse - 1 : coarse + 1]
        grids.append(np.linspace(below, here, FINE_STEPS, endpoint=False))
    if coarse < len(COARSE_GRID) - 1:
        here, above = COARSE_GRID[coarse : coarse + 2]
        grids.append(np.linspace(here, above, FINE_STEPS + 1))
    return np.concatenate(grids)
