"""Why a consensus is what it is: what each classifier and each annotator adds to it.

CROWDLAB's posterior is a weighted mean of what classifiers predict and annotators say (Goh,
Tkachenko and Mueller, arXiv 2210.06812, section 3); so it divides exactly into their shares.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crowdlab_engine._typing import BoolArray, FloatArray, IntArray
from crowdlab_engine.posterior import model_shares
from crowdlab_engine.weights import Weights


@dataclass(frozen=True, eq=False)
class Contributions:
    """What everyone adds to the probability of each class of one task.

    Attributes
    ----------
    models : ndarray of float64, shape (P, K)
        Of each classifier, in [0, 1].
    annotators : ndarray of float64, shape (n, K)
        Of each annotator who labelled the task, in [0, 1].
    """

    models: FloatArray
    annotators: FloatArray

    @property
    def rows(self) -> FloatArray:
        """All of them, the classifiers' first, shape (P + n, K)."""
        return np.concatenate([self.models, self.annotators])

    @property
    def posterior(self) -> FloatArray:
        """Probability of each class, shape (K,): their sum; NaN if nothing is known."""
        rows = self.rows
        total: FloatArray = rows.sum(axis=0) if len(rows) else np.full(rows.shape[1], np.nan)
        return total


def contributions(
    weights: Weights, predicted: FloatArray, annotator: IntArray, label: IntArray
) -> Contributions:
    """Divide the posterior of one task into the shares of those who speak of it.

    Parameters
    ----------
    weights : Weights
        Weights of P classifiers and M annotators.
    predicted : ndarray of float64, shape (P, K)
        Class probabilities that each classifier predicts for the task; NaN where one says
        nothing of it, and adds nothing.
    annotator : ndarray of int64, shape (n,)
        Codes of the annotators who labelled the task, in [0, M); none if nobody did.
    label : ndarray of int64, shape (n,)
        Their labels, as class codes.

    Returns
    -------
    Contributions
        They add up to the posterior of `crowdlab_engine.posterior`.

    Raises
    ------
    ValueError
        There is another number of classifiers than of their weights.

    Examples
    --------
    >>> weights = Weights(np.array([2.0]), np.array([1.0, 1.0]), 0.9, 0.1)
    >>> shares = contributions(weights, np.array([[0.5, 0.5]]), np.array([1]), np.array([0]))
    >>> shares.posterior.round(4).tolist()
    [0.6333, 0.3667]
    """
    if len(predicted) != len(weights.model):
        raise ValueError(
            f"predicted is of {len(predicted)} models and the weights of {len(weights.model)}: "
            "pass one row of class probabilities for each model that has a weight"
        )
    is_heard: BoolArray = np.isfinite(predicted[:, 0])
    predicted = np.where(is_heard[:, None], predicted, 0.0)
    if not len(annotator):
        shares = np.where(is_heard, model_shares(weights), 0.0)
        if not is_heard.all():
            shares = shares / shares.sum() if shares.any() else np.full_like(shares, np.nan)
        shares = shares[:, None] * predicted
        return Contributions(shares, np.empty((0, predicted.shape[1])))
    is_said = label[:, None] == np.arange(predicted.shape[1])
    votes = np.where(is_said, weights.agreement, weights.disagreement)
    of_annotators = weights.annotator[annotator]
    of_models = np.where(is_heard, weights.model, 0.0)
    total = of_models.sum() + of_annotators.sum()
    return Contributions(
        of_models[:, None] * predicted / total, of_annotators[:, None] * votes / total
    )
