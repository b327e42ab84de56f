from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdlab_engine import sparse_counts
from crowdlab_engine.sparse_counts import SparseCounts

codes = st.lists(st.integers(0, 8), max_size=30)


def counts_of(codes: list[int]) -> SparseCounts:
    return SparseCounts.of([np.array(codes, dtype=np.int64)])


def as_dict(counts: SparseCounts) -> dict[int, int]:
    assert (np.diff(counts.code) > 0).all()
    return dict(zip(counts.code.tolist(), counts.count.tolist(), strict=True))


@given(codes, codes)
def test_counts_add_and_subtract(one: list[int], other: list[int]) -> None:
    ours, theirs = counts_of(one), counts_of(other)
    assert as_dict(ours) == Counter(one)
    assert as_dict(ours + theirs) == Counter(one + other)
    assert as_dict(ours + theirs - theirs) == as_dict(ours)


def test_pieces_are_merged_as_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparse_counts, "_CODES_AT_ONCE", 3)
    pieces = [[1, 2], [2, 7], [1], [], [7, 7, 9, 9], [0]]
    counts = SparseCounts.of(np.array(piece, dtype=np.int64) for piece in pieces)
    assert as_dict(counts) == Counter({1: 2, 2: 2, 7: 3, 9: 2, 0: 1})


def test_nothing() -> None:
    assert as_dict(SparseCounts.of([])) == {}
    assert SparseCounts.of([]).at(np.array([3])).tolist() == [0]


def test_at() -> None:
    assert counts_of([2, 5, 5]).at(np.array([5, 0, 2, 9])).tolist() == [2, 0, 1, 0]


def test_what_was_not_added_is_not_subtracted() -> None:
    with pytest.raises(ValueError, match="subtract only what was added"):
        counts_of([1]) - counts_of([1, 1])
