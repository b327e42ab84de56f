"""Which drawings of several annotators are of the same object.

Drawings are merged by average linkage: the two groups whose members are on average most
alike first, never two drawings of the same annotator, as long as they are alike enough.
Sokal and Michener, "A statistical method for evaluating systematic relationships", 1958.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from crowdlab_engine._typing import FloatArray, IntArray
from crowdlab_engine.shapes import Shape

_PAIRS_AT_ONCE = 2**18
_DECIMALS = 9

OTHER_LABEL = 0.9
"""What the likeness of drawings counts if their labels differ."""


def match(
    task: IntArray,
    annotator: IntArray,
    label: IntArray,
    coordinates: FloatArray,
    diagonal: FloatArray,
    shape: Shape,
) -> IntArray:
    """Group the drawings of each task, at most one of each annotator in a group.

    The outcome does not depend on the order of tasks, annotators or drawings. Of two
    drawings that are equally alike to a third, the one with the same label is preferred.

    Parameters
    ----------
    task, annotator, label : ndarray of int64, shape (n,)
        Codes of each drawing.
    coordinates : ndarray of float64, shape (n, D)
        Drawings, as `shape` describes them.
    diagonal : ndarray of float64, shape (n,)
        Length of the diagonal of each drawing's image.
    shape : Shape
        Tells how alike drawings are, and how alike those of an object must be.

    Returns
    -------
    ndarray of int64, shape (n,)
        Group of each drawing, from 0, ascending by task.
    """
    order = np.lexsort((annotator, label, *coordinates.T[::-1], task))
    task, annotator, label = task[order], annotator[order], label[order]
    first, second, likeness = _similar_pairs(
        task, annotator, label, coordinates[order], diagonal[order], shape
    )
    merged = _merge(len(task), annotator, first, second, likeness, shape.threshold)
    group = np.empty(len(task), dtype=np.int64)
    group[order] = np.unique(merged, return_inverse=True)[1]
    return group


def _similar_pairs(
    task: IntArray,
    annotator: IntArray,
    label: IntArray,
    coordinates: FloatArray,
    diagonal: FloatArray,
    shape: Shape,
) -> tuple[IntArray, IntArray, FloatArray]:
    """Return pairs of drawings of a task by different annotators, and how alike they are."""
    extents = shape.extents(coordinates, diagonal)
    found: list[tuple[IntArray, IntArray, FloatArray]] = []
    for first, second in _touching_pairs(task, extents):
        is_other = annotator[first] != annotator[second]
        first, second = first[is_other], second[is_other]
        likeness = shape.similarity(coordinates[first], coordinates[second], diagonal[first])
        likeness *= np.where(label[first] == label[second], 1.0, OTHER_LABEL)
        is_like = likeness > 0
        found.append((first[is_like], second[is_like], likeness[is_like]))
    if not found:
        nothing = np.empty(0, dtype=np.int64)
        return nothing, nothing, np.empty(0)
    first, second, likeness = (np.concatenate(part) for part in zip(*found, strict=True))
    return np.minimum(first, second), np.maximum(first, second), likeness


def _touching_pairs(task: IntArray, extents: FloatArray) -> Iterator[tuple[IntArray, IntArray]]:
    """Walk over pairs of drawings of a task whose extents touch, some at a time.

    Sorted by their left sides, those that begin before another one ends follow it at once.
    """
    left, top, right, bottom = extents.T
    order = np.lexsort((left, task))
    size = np.bincount(task)
    task_end = np.cumsum(size)[task[order]]
    end = _bisect(left[order], right[order], np.arange(len(order)) + 1, task_end)
    number = end - np.arange(len(order)) - 1
    total = np.cumsum(number)
    start = 0
    while start < len(order):
        before = total[start - 1] if start else 0
        stop = int(np.searchsorted(total, before + _PAIRS_AT_ONCE, side="right"))
        stop = max(stop, start + 1)
        rows = np.arange(start, stop)
        first, second = _with_followers(rows, number[rows])
        first, second = order[first], order[second]
        touches = (top[first] <= bottom[second]) & (top[second] <= bottom[first])
        yield first[touches], second[touches]
        start = stop


def _bisect(values: FloatArray, bound: FloatArray, low: IntArray, high: IntArray) -> IntArray:
    """Return where values, ascending from `low` to `high`, first exceed a bound, for each."""
    low, high = low.copy(), high.copy()
    while True:
        is_open = np.flatnonzero(low < high)
        if not is_open.size:
            return low
        middle = (low[is_open] + high[is_open]) // 2
        is_below = values[middle] <= bound[is_open]
        low[is_open[is_below]] = middle[is_below] + 1
        high[is_open[~is_below]] = middle[~is_below]


def _with_followers(rows: IntArray, number: IntArray) -> tuple[IntArray, IntArray]:
    """Pair each row with as many rows that follow it as told."""
    first = np.repeat(rows, number)
    place = np.arange(len(first)) - np.repeat(np.cumsum(number) - number, number)
    return first, first + place + 1


def _merge(
    num_drawings: int,
    annotator: IntArray,
    first: IntArray,
    second: IntArray,
    likeness: FloatArray,
    threshold: float,
) -> IntArray:
    """Merge drawings, and return the lowest number in the group of each.

    In each round the groups that are most alike to each other are merged, everywhere at
    once. As merging two groups never makes the mean likeness to a third one exceed both of
    theirs, that leads to where merging the best pair of all, one by one, leads.

    Parameters
    ----------
    num_drawings : int
        Number of drawings n.
    annotator : ndarray of int64, shape (n,)
        Who made each.
    first, second : ndarray of int64, shape (p,)
        Pairs of drawings, the lower number first; none twice.
    likeness : ndarray of float64, shape (p,)
        How alike they are; pairs that are not told are not alike at all.
    threshold : float
        Least mean likeness of groups that are merged.
    """
    group = np.arange(num_drawings)
    size = np.ones(num_drawings, dtype=np.int64)
    first, second, total = _linked(annotator, first, second, likeness, threshold)
    while True:
        mean = np.round(total / (size[first] * size[second]), _DECIMALS)
        is_candidate = mean >= threshold - 10.0**-_DECIMALS
        chosen = _mutually_best(first, second, np.where(is_candidate, mean, -np.inf), num_drawings)
        if not chosen.size:
            return _roots(group)
        kept, gone = first[chosen], second[chosen]
        group[gone] = kept
        size[kept] += size[gone]
        first, second, total = _combined(group[first], group[second], total, num_drawings)


def _linked(
    annotator: IntArray,
    first: IntArray,
    second: IntArray,
    likeness: FloatArray,
    threshold: float,
) -> tuple[IntArray, IntArray, FloatArray]:
    """Return the pairs that can matter, and those of one annotator, which are never alike.

    Groups that are alike enough on average have a pair that is; so what no chain of such
    pairs connects is not merged.
    """
    is_link = likeness >= threshold
    links = coo_array(
        (np.ones(int(is_link.sum()), dtype=np.int8), (first[is_link], second[is_link])),
        shape=(len(annotator), len(annotator)),
    )
    _, component = connected_components(links, directed=False)
    is_within = component[first] == component[second]
    owner = np.unique(np.stack([component, annotator]), axis=1, return_inverse=True)[1].reshape(-1)
    one, other = _pairs_within(owner)
    return (
        np.concatenate([first[is_within], one]),
        np.concatenate([second[is_within], other]),
        np.concatenate([likeness[is_within], np.full(len(one), -np.inf)]),
    )


def _pairs_within(group: IntArray) -> tuple[IntArray, IntArray]:
    """Return all pairs of members of the same group, the lower number first."""
    order = np.argsort(group, kind="stable")
    ordered = group[order]
    end = np.searchsorted(ordered, ordered, side="right")
    rows = np.arange(len(order))
    first, second = _with_followers(rows, end - rows - 1)
    return order[first], order[second]


def _mutually_best(
    first: IntArray, second: IntArray, mean: FloatArray, num_groups: int
) -> IntArray:
    """Return the pairs that both sides prefer to all others; of equals, the lowest numbers."""
    pairs = np.flatnonzero(mean > -np.inf)
    pairs = pairs[np.lexsort((second[pairs], first[pairs], -mean[pairs]))]
    rank = np.arange(len(pairs))
    best = np.full(num_groups, len(pairs))
    # The last one written stays.
    best[first[pairs][::-1]] = rank[::-1]
    theirs = np.full(num_groups, len(pairs))
    theirs[second[pairs][::-1]] = rank[::-1]
    best = np.minimum(best, theirs)
    is_mutual = (best[first[pairs]] == rank) & (best[second[pairs]] == rank)
    mutual: IntArray = pairs[is_mutual]
    return mutual


def _combined(
    first: IntArray, second: IntArray, total: FloatArray, num_groups: int
) -> tuple[IntArray, IntArray, FloatArray]:
    """Add up the pairs that have become pairs of the same groups."""
    is_between = first != second
    first, second = first[is_between], second[is_between]
    key = np.minimum(first, second) * num_groups + np.maximum(first, second)
    unique, place = np.unique(key, return_inverse=True)
    sums: FloatArray = np.bincount(place, total[is_between], len(unique)).astype(np.float64)
    low, high = np.divmod(unique, num_groups)
    return low, high, sums


def _roots(group: IntArray) -> IntArray:
    """Follow each drawing to the group that its group was merged into, to the end."""
    while True:
        further = group[group]
        if np.array_equal(further, group):
            return group
        group = further
