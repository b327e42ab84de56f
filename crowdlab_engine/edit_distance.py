"""Edit distances of many pairs of texts at once, by bit-parallel arithmetic.

A column of the table of edit distances is kept in the bits of one machine word: bit i says
whether the distance grows, or shrinks, from sign i to the next. Myers, "A fast bit-vector
algorithm for approximate string matching based on dynamic programming", JACM 46(3), 1999,
in the form of Hyyrö, "A bit-vector algorithm for computing Levenshtein and Damerau edit
distances", Nordic Journal of Computing 10, 2003. Here NumPy runs it for many pairs side by
side; longer texts take several words each, with carries between them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from crowdlab_engine._typing import AnyArray, IntArray

_BITS = 64
_PAIRS_AT_ONCE = 2**13
_ONE = np.uint64(1)
_LAST = np.uint64(_BITS - 1)

Words = NDArray[np.uint64]


def edit_distances(first: Sequence[str], second: Sequence[str]) -> IntArray:
    """Return the fewest insertions, deletions and substitutions that turn texts into others.

    Parameters
    ----------
    first, second : sequence of str, length Q
        The texts of each pair.

    Returns
    -------
    ndarray of int64, shape (Q,)
        From 0 (equal) to the length of the longer text, in characters.

    Raises
    ------
    ValueError
        There are not as many texts in both.
    """
    if len(first) != len(second):
        raise ValueError(
            f"first holds {len(first)} texts but second {len(second)}: pass pairs of texts"
        )
    # The shorter text is the pattern, whose bits stand in words; it is never empty below.
    pairs = [
        (one, other) if len(one) <= len(other) else (other, one)
        for one, other in zip(first, second, strict=True)
    ]
    lengths = np.array([(len(one), len(other)) for one, other in pairs], dtype=np.int64)
    distances = np.zeros(len(pairs), dtype=np.int64)
    if not pairs:
        return distances
    is_empty = lengths[:, 0] == 0
    distances[is_empty] = lengths[is_empty, 1]
    num_words = -(-lengths[:, 0] // _BITS)
    # Pairs of like lengths are worked on together, so that few wait for the longest.
    left = np.flatnonzero(~is_empty)
    order = left[np.lexsort((lengths[left, 1], num_words[left]))]
    starts = np.flatnonzero(np.diff(num_words[order], prepend=-1))
    for group in np.split(order, starts[1:]):
        for start in range(0, len(group), _PAIRS_AT_ONCE):
            some = group[start : start + _PAIRS_AT_ONCE]
            if len(some):
                chosen = [pairs[place] for place in some.tolist()]
                distances[some] = _distances(chosen, lengths[some], int(num_words[some[0]]))
    return distances


def _distances(pairs: Sequence[tuple[str, str]], lengths: IntArray, num_words: int) -> IntArray:
    """Distances of pairs whose patterns take the same number of words."""
    masks, sign = _masks(pairs, lengths, num_words)
    num_pairs = len(pairs)
    every = np.arange(num_pairs)
    grows = np.full((num_words, num_pairs), ~np.uint64(0))
    shrinks = np.zeros((num_words, num_pairs), dtype=np.uint64)
    last_bit = ((lengths[:, 0] - 1) % _BITS).astype(np.uint64)
    distance = lengths[:, 0].copy()
    for step in range(sign.shape[1]):
        active = every[lengths[:, 1] > step]
        # Above the table's first row the distance grows by one with each sign of the text.
        carry_grows = np.ones(len(active), dtype=np.uint64)
        carry_shrinks = np.zeros(len(active), dtype=np.uint64)
        row = sign[active, step]
        for word in range(num_words):
            equal = masks[word, row]
            up, down = grows[word, active], shrinks[word, active]
            vertical = equal | down
            equal = equal | carry_shrinks
            horizontal = (((equal & up) + up) ^ up) | equal
            more = down | ~(horizontal | up)
            less = up & horizontal
            if word == num_words - 1:
                bit = last_bit[active]
                distance[active] += ((more >> bit) & _ONE).astype(np.int64)
                distance[active] -= ((less >> bit) & _ONE).astype(np.int64)
            next_grows, next_shrinks = more >> _LAST, less >> _LAST
            more = (more << _ONE) | carry_grows
            less = (less << _ONE) | carry_shrinks
            carry_grows, carry_shrinks = next_grows, next_shrinks
            grows[word, active] = less | ~(vertical | more)
            shrinks[word, active] = more & vertical
    return distance


def _masks(
    pairs: Sequence[tuple[str, str]], lengths: IntArray, num_words: int
) -> tuple[Words, IntArray]:
    """Where each sign stands in the patterns.

    Returns
    -------
    masks : ndarray of uint64, shape (num_words, S)
        For each of S pairs of a pattern and a sign, the bits of its places in the pattern.
    sign : ndarray of int64, shape (Q, longest text)
        Which of them each sign of each text is; that of a sign that its pattern lacks has no
        bit. Beyond a text's end it means nothing.
    """
    pattern_owner, pattern_place, pattern_code = _signs([one for one, _ in pairs], lengths[:, 0])
    text_owner, text_place, text_code = _signs([other for _, other in pairs], lengths[:, 1])
    size = int(max(pattern_code.max(), text_code.max())) + 1
    known, code = np.unique(pattern_owner * size + pattern_code, return_inverse=True)
    masks = np.zeros((num_words, len(known) + 1), dtype=np.uint64)
    bits = _ONE << (pattern_place % _BITS).astype(np.uint64)
    np.bitwise_or.at(masks, (pattern_place // _BITS, code), bits)
    wanted = text_owner * size + text_code
    found = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    sign = np.zeros((len(pairs), int(lengths[:, 1].max())), dtype=np.int64)
    sign[text_owner, text_place] = np.where(known[found] == wanted, found, len(known))
    return masks, sign


def _signs(texts: Sequence[str], lengths: IntArray) -> tuple[IntArray, IntArray, AnyArray]:
    """Return owner, place and code point of each sign of some texts."""
    joined = "".join(texts).encode("utf-32-le", "surrogatepass")
    codes = np.frombuffer(joined, dtype=np.uint32).astype(np.int64)
    owner = np.repeat(np.arange(len(texts)), lengths)
    starts = np.cumsum(lengths) - lengths
    return owner, np.arange(len(codes)) - starts[owner], codes
