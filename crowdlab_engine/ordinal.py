"""Classes that stand for numbers: what annotators and classifiers say of the number together.

CROWDLAB's posterior leaves each class that an annotator did not choose the same small
probability, be it near to what they said or far. That is right for classes without an order; the
mean of the posterior would be drawn to the middle by it, and be worse than the plain mean of the
labels (`benchmarks/ordinal.py`). So everyone is taken by their word here, and weights decide.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from crowdlab_engine._typing import FloatArray
from crowdlab_engine.labels import shown
from crowdlab_engine.weights import Weights


def literal(weights: Weights) -> Weights:
    """Return the same weights of annotators who mean exactly what they say.

    With them, the posterior of `crowdlab_engine.posterior` is the share of the weight that
    speaks for each class, and its mean the weighted mean of labels and predictions.
    """
    return replace(weights, agreement=1.0, disagreement=0.0)


def expected_values(posterior: ArrayLike, values: ArrayLike) -> FloatArray:
    """Return the mean number of each task.

    Parameters
    ----------
    posterior : array_like of float, shape (N, K)
        Probability of each class, by `literal` weights; rows sum to 1.
    values : array_like of float, shape (K,)
        Number that each class stands for.

    Returns
    -------
    ndarray of float64, shape (N,)
        Between the smallest and the largest of `values`, whatever the order of the classes; NaN
        where the posterior is.

    Raises
    ------
    ValueError
        `values` are not K finite numbers.

    Examples
    --------
    >>> expected_values([[0.5, 0.25, 0.25], [0.0, 0.0, 1.0]], [1, 2, 5]).tolist()
    [2.25, 5.0]
    """
    probs = np.asarray(posterior, dtype=np.float64)
    numbers = np.asarray(values, dtype=np.float64)
    if probs.ndim != 2 or numbers.shape != probs.shape[1:]:
        raise ValueError(
            f"values has shape {numbers.shape} and posterior {probs.shape}: pass one number for "
            "each class"
        )
    wrong = np.flatnonzero(~np.isfinite(numbers))
    if wrong.size:
        raise ValueError(
            f"values holds {shown(numbers, int(wrong[0]))} for class {wrong[0]}: pass a finite "
            "number"
        )
    expected: FloatArray = probs @ numbers
    return expected
