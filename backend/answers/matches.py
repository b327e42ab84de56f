"""How alike two answers are whose parts cannot be told to be the same by being equal."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment


def f1_of_matches(similarity: NDArray[np.float64], least: float) -> float:
    """Twice the parts that two answers share, by the number of all; 1 if neither has any.

    Each part is matched with at most one of the other answer, so that as many as possible are.

    Parameters
    ----------
    similarity
        Of every part of the one answer to every part of the other, shape (n, m); 0 where
        they cannot be the same.
    least
        Least similarity, above 0, of parts that are the same.
    """
    number = sum(similarity.shape)
    if not number:
        return 1.0
    fits = similarity >= least
    one, other = linear_sum_assignment(-(fits * (1 + similarity)))
    return 2 * float(fits[one, other].sum()) / number
