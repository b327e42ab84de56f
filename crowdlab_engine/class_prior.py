"""What is believed of a task's class before its labels are seen."""

from __future__ import annotations

from copy import copy
from typing import Protocol

import numpy as np
from scipy.special import logsumexp

from crowdlab_engine._typing import FloatArray

MIN_PROB = 1e-6
"""No classifier is surer than this: one 0 must not outvote every annotator."""

NEWTON_STEPS = 3
"""Steps per update; each update starts where the one before ended."""

MIN_STEP = 1e-4
"""A Newton step that must be cut to less than this has nothing left to gain."""


class ClassPrior(Protocol):
    """Log-probability of each class of each task, learnt from posteriors."""

    def log_probs(self) -> FloatArray:
        """Return log-probabilities, shape (N, K) or, the same for every task, (1, K)."""

    def updated(self, posterior: FloatArray, weight: FloatArray) -> ClassPrior:
        """Return a prior fitted to class probabilities of N tasks, each with a weight."""


class UniformPrior:
    """All classes are equally likely, whatever the labels say.

    Parameters
    ----------
    num_classes : int
        Number of classes K.
    """

    def __init__(self, num_classes: int) -> None:
        self.probs = np.full(num_classes, 1 / num_classes)

    def log_probs(self) -> FloatArray:
        """Return log-probabilities, shape (1, K)."""
        log_probs: FloatArray = np.log(self.probs)[None, :]
        return log_probs

    def updated(self, posterior: FloatArray, weight: FloatArray) -> UniformPrior:
        """Return itself: there is nothing to learn."""
        return self


class PrevalencePrior:
    """Each class is as likely as it is frequent; uniform at first.

    Parameters
    ----------
    counts : ndarray of float64, shape (K,)
        How many tasks of each class there are.
    """

    def __init__(self, counts: FloatArray) -> None:
        self.probs: FloatArray = counts / counts.sum()

    def log_probs(self) -> FloatArray:
        """Return log-probabilities, shape (1, K)."""
        log_probs: FloatArray = np.log(self.probs)[None, :]
        return log_probs

    def updated(self, posterior: FloatArray, weight: FloatArray) -> PrevalencePrior:
        """Return the frequencies, with one task of each class added."""
        return PrevalencePrior(weight @ posterior + 1)


class ClassifierPrior:
    """A classifier's probabilities, sharpened and shifted to fit the posteriors.

    The probabilities are proportional to exp(sharpness * log p + bias): multinomial
    logistic regression on the classifier's log-probabilities ("vector scaling" with one
    scale; Guo et al., "On calibration of modern neural networks", ICML 2017), which also
    undoes what a classifier has learnt of the annotators' preference for a class. Sharpness
    and biases have standard normal priors around 1 and 0.

    Parameters
    ----------
    pred_probs : ndarray of float64, shape (N, K)
        Predicted class probabilities.

    Attributes
    ----------
    sharpness : float
        Above 1 if the classifier is surer than it says.
    bias : ndarray of float64, shape (K,)
        Added to the log-probability of each class.
    """

    def __init__(self, pred_probs: FloatArray) -> None:
        logits = np.log(np.maximum(pred_probs, MIN_PROB))
        self._logits: FloatArray = logits - logits.mean(axis=1, keepdims=True)
        self.sharpness = 1.0
        self.bias: FloatArray = np.zeros(pred_probs.shape[1])

    def log_probs(self) -> FloatArray:
        """Return log-probabilities, shape (N, K)."""
        scores = self.sharpness * self._logits + self.bias
        log_probs: FloatArray = scores - logsumexp(scores, axis=1, keepdims=True)
        return log_probs

    def updated(self, posterior: FloatArray, weight: FloatArray) -> ClassifierPrior:
        """Return the prior a few Newton steps on, each cut until it is an improvement."""
        counts = np.flatnonzero(weight)
        logits, target, weight = self._logits[counts], posterior[counts], weight[counts]
        parameters: FloatArray = np.concatenate([[self.sharpness], self.bias])
        loss, gradient, hessian = _loss(parameters, logits, target, weight)
        for _ in range(NEWTON_STEPS):
            direction = np.linalg.solve(hessian, gradient)
            step = 1.0
            while step >= MIN_STEP:
                trial = _loss(parameters - step * direction, logits, target, weight)
                if trial[0] <= loss:
                    break
                step /= 2
            else:
                break
            parameters = parameters - step * direction
            loss, gradient, hessian = trial
        prior = copy(self)
        prior.sharpness = float(parameters[0])
        prior.bias = parameters[1:]
        return prior


def _loss(
    parameters: FloatArray, logits: FloatArray, target: FloatArray, weight: FloatArray
) -> tuple[float, FloatArray, FloatArray]:
    """Return cross-entropy plus penalty, its gradient and its Hessian.

    Parameters are the sharpness and the biases.
    """
    scores = parameters[0] * logits + parameters[1:]
    log_probs = scores - logsumexp(scores, axis=1, keepdims=True)
    probs = np.exp(log_probs)
    off_centre = parameters.copy()
    off_centre[0] -= 1
    loss = -float(weight @ (target * log_probs).sum(axis=1)) + float(off_centre @ off_centre) / 2

    excess = weight[:, None] * (probs - target)
    gradient = np.append((excess * logits).sum(), excess.sum(axis=0)) + off_centre

    weighted = weight[:, None] * probs
    centred = logits - (probs * logits).sum(axis=1, keepdims=True)
    hessian = np.eye(len(parameters))
    hessian[0, 0] += (weighted * centred**2).sum()
    hessian[0, 1:] = hessian[1:, 0] = (weighted * centred).sum(axis=0)
    hessian[1:, 1:] += np.diag(weighted.sum(axis=0)) - weighted.T @ probs
    return loss, gradient, hessian
