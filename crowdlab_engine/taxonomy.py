"""Classes that are paths through a tree: what a posterior says of their ancestors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_array

from crowdlab_engine._typing import FloatArray, IntArray


def ancestor_codes(paths: Sequence[Sequence[str]]) -> IntArray:
    """Return codes of the ancestors of each class, level by level.

    A class is its own ancestor on its own level.

    Parameters
    ----------
    paths : sequence of sequences of str, length K
        From the root down, at least one node each.

    Returns
    -------
    ndarray of int64, shape (D, K)
        On each of the D levels, the same code for classes of the same ancestor; -1 for classes
        that end above.

    Raises
    ------
    ValueError
        A path is empty.

    Examples
    --------
    >>> ancestor_codes([["Animal"], ["Animal", "Cat"], ["Plant"]]).tolist()
    [[0, 0, 1], [-1, 0, -1]]
    """
    empty = [place for place, path in enumerate(paths) if not len(path)]
    if empty:
        raise ValueError(f"the path of class {empty[0]} is empty: pass at least one node")
    depth = max((len(path) for path in paths), default=0)
    codes = np.full((depth, len(paths)), -1, dtype=np.int64)
    for level in range(depth):
        known: dict[tuple[str, ...], int] = {}
        for place, path in enumerate(paths):
            if len(path) > level:
                codes[level, place] = known.setdefault(tuple(path[: level + 1]), len(known))
    return codes


def level_quality(
    posterior: ArrayLike, consensus: ArrayLike, paths: Sequence[Sequence[str]]
) -> FloatArray:
    """Return the probability that the ancestor of the consensus is right, level by level.

    It is the sum of the posterior over the ancestor and all that is below it, so it does not
    rise from the root down.

    Parameters
    ----------
    posterior : array_like of float, shape (N, K)
        Probability of each class; rows sum to 1.
    consensus : array_like of int, shape (N,)
        Class codes; -1 for none.
    paths : sequence of sequences of str, length K
        Path of each class, from the root down.

    Returns
    -------
    ndarray of float64, shape (N, D)
        In [0, 1] on each of D levels; NaN below the consensus, and without one.

    Raises
    ------
    ValueError
        Shapes do not fit, or a path is empty.

    Examples
    --------
    >>> paths = [["Animal", "Dog"], ["Animal", "Cat"], ["Plant"]]
    >>> level_quality([[0.5, 0.25, 0.25]], [0], paths).tolist()
    [[0.75, 0.5]]
    """
    probs = np.asarray(posterior, dtype=np.float64)
    chosen = np.asarray(consensus, dtype=np.int64)
    if probs.shape != (len(chosen), len(paths)):
        raise ValueError(
            f"posterior has shape {probs.shape}, expected {(len(chosen), len(paths))}: one row "
            "for each consensus, one column for each path"
        )
    codes = ancestor_codes(paths)
    quality = np.full((len(chosen), len(codes)), np.nan)
    for level, of_class in enumerate(codes):
        below = np.flatnonzero(of_class >= 0)
        places = (below, of_class[below])
        shape = (len(paths), int(of_class.max()) + 1)
        joined = probs @ csr_array((np.ones(len(below)), places), shape=shape)
        ancestor = np.where(chosen >= 0, of_class[chosen], -1)
        reaches = np.flatnonzero(ancestor >= 0)
        quality[reaches, level] = joined[reaches, ancestor[reaches]]
    return np.clip(quality, 0.0, 1.0)
