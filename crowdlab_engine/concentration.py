"""How alike annotators are: the strength of a Dirichlet prior, learnt from counts."""

from __future__ import annotations

import numpy as np
from scipy.special import digamma

from crowdlab_engine._typing import FloatArray

BOUNDS = (1e-2, 1e4)
"""Below, a prior says nothing; above, it leaves nothing to the data."""


def concentration_step(
    concentration: float, counts: FloatArray, means: FloatArray, totals: FloatArray
) -> float:
    """Take one fixed-point step towards the most likely strength of a Dirichlet prior.

    Rows of counts are draws from multinomials whose probabilities are drawn around `means`,
    the more closely the larger the concentration. T. Minka, "Estimating a Dirichlet
    distribution", 2000, section 4.

    Parameters
    ----------
    concentration : float
        Where to step from, above 0.
    counts : ndarray of float64
        Counts, which need not be whole; those equal to 0 may be left out.
    means : ndarray of float64
        Prior mean of the probability of each count, above 0.
    totals : ndarray of float64
        Sum of each row of counts.

    Returns
    -------
    float
        The prior counts as much as this many observations.
    """
    prior = concentration * means
    explained = (digamma(totals + concentration) - digamma(concentration)).sum()
    if explained <= 0:
        return concentration
    ratio = (means * (digamma(counts + prior) - digamma(prior))).sum() / explained
    return float(np.clip(concentration * ratio, *BOUNDS))
