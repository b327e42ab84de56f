"""Fusion: annotators and classifier together, as sure as they deserve to be.

Every model of independent annotators is too sure of itself where people err together:
ten labels that repeat one misunderstanding count for one. How far they do cannot be read
from the labels, since a misunderstanding that all share looks like the truth. So it is
averaged over: n labels are worth between 1 and n independent ones, on a logarithmic scale,
and the posterior is the mean over that range. Tasks of which the truth is known tell which
part of the range is right, and count as soon as there are some.
"""

from __future__ import annotations

import numpy as np
from scipy.special import softmax

from crowdlab_engine._typing import FloatArray
from crowdlab_engine.class_prior import MIN_PROB
from crowdlab_engine.dawid_skene import ConfusionEstimator, explain
from crowdlab_engine.latent_class import (
    UNKNOWN,
    Problem,
    normalise,
)

REDUNDANCIES = (np.arange(10) + 0.5) / 10
"""Of n labels, n ** (1 - redundancy) are worth counting: midpoints of ten equal parts."""


class Fusion(ConfusionEstimator):
    """Consensus by shrunken Dawid-Skene, with a posterior that allows for shared errors.

    The consensus label is that of `DawidSkene`: each annotator's confusion matrix shrunk
    towards what annotators share, a classifier's probabilities sharpened or blunted to what
    they are worth. The posterior p of n labels (the classifier's included) is replaced by
    the mean of p ** (1 / d), normalised, over design effects d from 1 (labels are
    independent) to n (they are one label), d = n ** redundancy with redundancy uniform on
    [0, 1]. Kish, "Survey sampling", 1965, for the design effect: n answers of people who
    are alike are worth n / d answers. For `fit` and the other attributes see
    `LatentClassEstimator` and `ConfusionEstimator`. Tasks of known truth also calibrate
    the posterior of the others: redundancy is then weighted by how well it predicts them.

    Parameters
    ----------
    max_iter : int, default 100
        Most updates of the model.
    min_gain : float, default 1.0
        It is done when an update makes the labels more probable by less than this, in nats.

    Attributes
    ----------
    redundancy_ : float
        Mean redundancy in [0, 1]: 0.5 unless ground truth tells; 0 for independent errors.

    Examples
    --------
    >>> labels = MultiannotatorLabels.from_codes(
    ...     task=[0, 0, 0, 1, 1, 2], annotator=[0, 1, 2, 0, 1, 2], label=[1, 1, 0, 0, 0, 1]
    ... )
    >>> Fusion().fit(labels).consensus_label_
    array([1, 0, 1])
    """

    def _fit_posterior(self, problem: Problem) -> FloatArray:
        found = explain(problem, max_iter=self.max_iter, min_gain=self.min_gain)
        share = self._shares(problem)
        self.redundancy_ = float(share @ REDUNDANCIES)
        self._set_annotators(found)
        posterior = sum(
            part * tempered(problem, found.log_joint, redundancy)
            for part, redundancy in zip(share, REDUNDANCIES, strict=True)
        )
        return np.asarray(posterior)

    def _shares(self, problem: Problem) -> FloatArray:
        """Probability of each redundancy, by how well it predicts the ground truth."""
        known = np.flatnonzero(problem.is_known & (problem.num_sources > 0))
        log_share = np.zeros(len(REDUNDANCIES))
        if known.size:
            blind = Problem(
                problem.labels, problem.pred_probs, np.full_like(problem.ground_truth, UNKNOWN)
            )
            found = explain(blind, max_iter=self.max_iter, min_gain=self.min_gain)
            truth = problem.ground_truth[known]
            for position, redundancy in enumerate(REDUNDANCIES):
                probs = tempered(problem, found.log_joint, redundancy)[known, truth]
                log_share[position] = np.log(np.maximum(probs, MIN_PROB)).sum()
        share: FloatArray = softmax(log_share)
        return share


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
