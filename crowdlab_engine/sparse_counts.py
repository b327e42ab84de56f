"""Counts of the few codes that occur, out of very many that could; blocks add and subtract."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from crowdlab_engine._typing import IntArray

_CODES_AT_ONCE = 2**21


@dataclass(frozen=True, eq=False)
class SparseCounts:
    """How often each code occurs.

    Attributes
    ----------
    code : ndarray of int64, shape (C,)
        Codes that occur, ascending.
    count : ndarray of int64, shape (C,)
        How often, above 0.
    """

    code: IntArray
    count: IntArray

    @classmethod
    def of(cls, codes: Iterable[IntArray]) -> SparseCounts:
        """Count codes that come in pieces.

        Memory grows with the number of different codes, not with that of all.
        """
        total = cls(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
        waiting: list[IntArray] = []
        num_waiting = 0
        for piece in codes:
            waiting.append(piece)
            num_waiting += len(piece)
            # As many wait as are known, so that each code is merged a few times only.
            if num_waiting >= max(_CODES_AT_ONCE, len(total.code)):
                total += cls._of_all(waiting)
                waiting, num_waiting = [], 0
        return total + cls._of_all(waiting) if waiting else total

    @classmethod
    def _of_all(cls, pieces: list[IntArray]) -> SparseCounts:
        code = np.sort(np.concatenate(pieces))
        first = np.flatnonzero(np.diff(code, prepend=-1))
        return cls(code[first], np.diff(first, append=len(code)))

    @classmethod
    def weighted(cls, code: IntArray, count: IntArray) -> SparseCounts:
        """Add up counts by code, shape (L,) both, in any order; codes of sum 0 are left out."""
        order = np.argsort(code, kind="stable")
        code, count = code[order], count[order]
        first = np.flatnonzero(np.diff(code, prepend=-1))
        sums = np.add.reduceat(count, first) if len(first) else count
        is_left = sums != 0
        return cls(code[first][is_left], sums[is_left])

    def at(self, code: IntArray) -> IntArray:
        """Return how often some codes occur; 0 if they do not."""
        if not len(self.code):
            return np.zeros(len(code), dtype=np.int64)
        place = np.minimum(np.searchsorted(self.code, code), len(self.code) - 1)
        return np.where(self.code[place] == code, self.count[place], 0)

    def __add__(self, other: SparseCounts) -> SparseCounts:
        """Counts of two blocks together."""
        if not len(self.code):
            return other
        return self._merged(other, 1)

    def __sub__(self, other: SparseCounts) -> SparseCounts:
        """Counts without a block that they include.

        Raises
        ------
        ValueError
            They do not include it.
        """
        difference = self._merged(other, -1)
        if (difference.count < 0).any():
            raise ValueError(
                "the block to be taken away holds counts that are not in these: subtract only "
                "what was added"
            )
        return difference

    def _merged(self, other: SparseCounts, sign: int) -> SparseCounts:
        code = np.concatenate([self.code, other.code])
        return self.weighted(code, np.concatenate([self.count, sign * other.count]))
