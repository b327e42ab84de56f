"""Features of numbers."""

import numpy as np
import pytest

from backend.features.numeric import LONGEST, WIDTH, number_features, number_of


def test_numbers_stand_in_their_order() -> None:
    rows = number_features([3, [1.5, 0, "-2"], None, [None, 4]]).toarray()[:, :5]
    np.testing.assert_array_equal(
        rows, [[1, 3, 0, 0, 0], [1, 1.5, 0, -2, 0], [0, 0, 0, 0, 0], [1, 0, 4, 0, 0]]
    )


def test_a_zero_is_a_number_and_a_gap_is_none() -> None:
    assert number_features([[0, None]]).nnz == 2


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (True, 1.0),
        (" 3.5 ", 3.5),
        ("1e3", 1000.0),
        ("", None),
        ("three", None),
        (float("nan"), None),
        ("inf", None),
        (10**400, None),
        (1e31, None),
        ({"a": 1}, None),
        ("1" * 41, None),
    ],
)
def test_what_counts_as_a_number(value: object, number: float | None) -> None:
    assert number_of(value) == number


def test_a_long_list_is_cut() -> None:
    assert number_features([[1] * 10_000]).nnz == LONGEST + 1 == WIDTH


def test_none_of_none() -> None:
    assert number_features([]).shape == (0, WIDTH)
