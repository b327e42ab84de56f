"""Qualities of ancestors."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from crowdlab_engine.taxonomy import ancestor_codes, level_quality

NODE = st.sampled_from("abc")
PATHS = st.lists(
    st.lists(NODE, min_size=1, max_size=4).map(tuple), min_size=1, max_size=8, unique=True
)


@given(PATHS, st.data())
def test_levels_are_sums_over_all_that_is_below(paths: list[tuple[str, ...]], data: Any) -> None:
    shape = (5, len(paths))
    probs = data.draw(arrays(np.float64, shape, elements=st.floats(0.01, 1)))
    probs /= probs.sum(axis=1, keepdims=True)
    codes = data.draw(arrays(np.int64, 5, elements=st.integers(-1, len(paths) - 1)))
    found = level_quality(probs, codes, paths)
    for row, code in enumerate(codes.tolist()):
        for level in range(found.shape[1]):
            if code < 0 or len(paths[code]) <= level:
                assert np.isnan(found[row, level])
                continue
            head = paths[code][: level + 1]
            below = [place for place, path in enumerate(paths) if path[: level + 1] == head]
            assert found[row, level] == pytest.approx(probs[row, below].sum())
    steps = np.diff(found, axis=1)
    assert (steps[~np.isnan(steps)] <= 1e-12).all()


def test_equal_nodes_below_others_are_different_ancestors() -> None:
    assert ancestor_codes([["a", "x"], ["b", "x"], ["a", "x", "y"]]).tolist() == [
        [0, 1, 0],
        [0, 1, 0],
        [-1, -1, 0],
    ]


@pytest.mark.parametrize(
    ("posterior", "paths", "message"),
    [
        ([[1.0]], [["a"], ["b"]], r"posterior has shape \(1, 1\), expected \(1, 2\)"),
        ([[1.0]], [[]], "the path of class 0 is empty"),
    ],
)
def test_what_does_not_fit_is_refused(posterior: Any, paths: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        level_quality(posterior, [0], paths)
