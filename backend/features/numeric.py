"""Features of numbers: scalars, lists of numbers, and text that says a number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.sparse import csr_array

LONGEST = 4096
"""Numbers of a list that are used; the rest is left out."""

WIDTH = LONGEST + 1
"""Number of features: one more than numbers, as the first says that there are some."""

_LARGEST = 1e30
_MOST_CHARACTERS = 40


def number_features(values: Sequence[Any]) -> csr_array:
    """Put numbers into columns.

    Parameters
    ----------
    values
        N values of tasks' data. Numbers, text such as `"3.5"`, and lists of these count;
        booleans count as 0 and 1. Anything else is no number, nor is what is not finite.

    Returns
    -------
    csr_array of shape (N, WIDTH)
        Column 0 is 1 where there is at least one number, columns from 1 on hold the numbers in
        their order. A row without entries for what holds no number.
    """
    rows: list[int] = []
    columns: list[int] = []
    numbers: list[float] = []
    for row, value in enumerate(values):
        listed = value[:LONGEST] if isinstance(value, list) else [value]
        found = [
            (column, number)
            for column, one in enumerate(listed, start=1)
            if (number := number_of(one)) is not None
        ]
        if not found:
            continue
        rows += [row] * (1 + len(found))
        columns += [0, *(column for column, _ in found)]
        numbers += [1.0, *(number for _, number in found)]
    entries = (np.asarray(numbers), (np.asarray(rows, dtype=int), np.asarray(columns, dtype=int)))
    return csr_array(entries, shape=(len(values), WIDTH))


def number_of(value: Any) -> float | None:
    """Return a value as a finite number of usual size; None if it is none."""
    if isinstance(value, str) and len(value) > _MOST_CHARACTERS:
        return None
    if not isinstance(value, bool | int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and abs(number) < _LARGEST else None
