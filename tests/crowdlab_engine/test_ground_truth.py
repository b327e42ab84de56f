from typing import Any

import numpy as np
import pytest

from crowdlab_engine import MultiannotatorLabels
from crowdlab_engine.ground_truth import check_ground_truth

LABELS = MultiannotatorLabels.from_codes([0, 1], [0, 0], [0, 1], task_ids=["x", "y"])


def test_nothing_is_known_without_any() -> None:
    assert check_ground_truth(None, LABELS).tolist() == [-1, -1]


def test_codes_are_copied() -> None:
    given = np.array([1, -1])
    known = check_ground_truth(given, LABELS)
    given[0] = 0
    assert known.tolist() == [1, -1]
    assert known.dtype == np.int64


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        ([0], r"ground_truth has shape \(1,\) but the labels have 2 tasks"),
        ([[0, 1]], r"ground_truth has shape \(1, 2\)"),
        ([0.0, np.nan], "ground_truth holds float64"),
        ([0, 2], "ground_truth of task 'y' is 2: pass class codes from 0 to 1"),
        ([-2, 0], "ground_truth of task 'x' is -2"),
    ],
)
def test_refuses(truth: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_ground_truth(truth, LABELS)
