"""Fusion: annotators and classifier together, as sure as they deserve to be.

Every model of independent annotators is too sure of itself where people err together:
ten labels that repeat one misunderstanding count for one. How far they do cannot be read
from the labels, since a misunderstanding that all share looks like the truth. So it is
averaged over: n labels are worth between 1 and n independent ones, on a logarithmic scale,
and the posterior is the mean over that range. Where the truth of some tasks is known, it
tells how much surer or less sure to be.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar

from crowdlab_engine._typing import FloatArray
from crowdlab_engine.class_prior import MIN_PROB
from crowdlab_engine.dawid_skene import ConfusionEstimator, explain
from crowdlab_engine.ground_truth import UNKNOWN
from crowdlab_engine.latent_class import Problem, normalise

REDUNDANCIES = (np.arange(10) + 0.5) / 10
"""Of n labels, n ** (1 - redundancy) are worth counting: midpoints of ten equal parts."""

SHARPNESS_BOUNDS = (0.05, 20.0)
"""Powers of a posterior between no opinion and certainty."""


class Fusion(ConfusionEstimator):
    """Consensus by shrunken Dawid-Skene, with a posterior that allows for shared errors.

    The consensus label is that of `DawidSkene`: each annotator's confusion matrix shrunk
    towards what annotators share, a classifier's probabilities sharpened or blunted to what
    they are worth. The posterior p of n labels (the classifier's included) is replaced by
    the mean of p ** (1 / d), normalised, over design effects d from 1 (labels are
    independent) to n (they are one label), d = n ** redundancy with redundancy uniform on
    [0, 1]. Kish, "Survey sampling", 1965, for the design effect: n answers of people who
    are alike are worth n / d answers. For `fit` and the other attributes see
    `LatentClassEstimator` and `ConfusionEstimator`.

    Tasks of known truth also calibrate the posterior of the others: it is raised to the
    power that predicts them best, when they are fitted as if nobody knew. The power has a
    normal prior around 1 with standard deviation 1.

    Parameters
    ----------
    max_iter : int, default 100
        Most updates of the model.
    min_gain : float, default 1.0
        It is done when an update makes the labels more probable by less than this, in nats.

    Attributes
    ----------
    sharpness_ : float
        Power of the posterior, learnt from ground truth; 1 without any.

    Examples
    --------
    >>> from crowdlab_engine import MultiannotatorLabels
    >>> labels = MultiannotatorLabels.from_codes(
    ...     task=[0, 0, 0, 1, 1, 2], annotator=[0, 1, 2, 0, 1, 2], label=[1, 1, 0, 0, 0, 1]
    ... )
    >>> Fusion().fit(labels).consensus_label_
    array([1, 0, 1])
    """

    def _fit_posterior(self, problem: Problem) -> FloatArray:
        found = explain(problem, max_iter=self.max_iter, min_gain=self.min_gain)
        self._set_annotators(found)
        self.sharpness_ = self._find_sharpness(problem)
        posterior = averaged(problem, found.log_joint)
        return _sharpened(posterior, self.sharpness_)

    def _find_sharpness(self, problem: Problem) -> float:
        known = np.flatnonzero(problem.is_known & (problem.num_sources > 0))
        if not known.size:
            return 1.0
        nothing = np.full_like(problem.ground_truth, UNKNOWN)
        blind = Problem(problem.labels, problem.pred_probs, nothing)
        found = explain(blind, max_iter=self.max_iter, min_gain=self.min_gain)
        posterior = averaged(blind, found.log_joint)[known]
        truth = problem.ground_truth[known]

        def loss(sharpness: float) -> float:
            probs = _sharpened(posterior, sharpness)[np.arange(len(known)), truth]
            return -float(np.log(np.maximum(probs, MIN_PROB)).sum()) + (sharpness - 1) ** 2 / 2

        return float(minimize_scalar(loss, bounds=SHARPNESS_BOUNDS, method="bounded").x)


def averaged(problem: Problem, log_joint: FloatArray) -> FloatArray:
    """Return the mean of `tempered` over `REDUNDANCIES`, shape (N, K)."""
    posterior = np.zeros_like(log_joint)
    for redundancy in REDUNDANCIES:
        posterior += tempered(problem, log_joint, redundancy)
    return posterior / len(REDUNDANCIES)


def _sharpened(posterior: FloatArray, power: float) -> FloatArray:
    if power == 1:
        return posterior
    return normalise(np.log(np.maximum(posterior, MIN_PROB)), power)


def tempered(problem: Problem, log_joint: FloatArray, redundancy: float) -> FloatArray:
    """Return class probabilities if n labels are worth n ** (1 - redundancy).

    Parameters
    ----------
    problem : Problem
        Tells the number n of labels of each task, the classifier's included.
    log_joint : ndarray of float64, shape (N, K)
        Log-probability of each class together with the labels, were they independent.
    redundancy : float
        In [0, 1].

    Returns
    -------
    ndarray of float64, shape (N, K)
        Rows sum to 1.
    """
    sources = np.maximum(problem.num_sources, 1).astype(np.float64)
    exponent: FloatArray = sources**-redundancy
    return normalise(log_joint, exponent[:, None])
