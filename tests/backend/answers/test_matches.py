"""Parts of two answers, matched one to one."""

import numpy as np
import pytest

from backend.answers.matches import f1_of_matches


@pytest.mark.parametrize(
    ("similarity", "f1"),
    [
        (np.empty((0, 0)), 1.0),
        (np.empty((0, 2)), 0.0),
        (np.eye(3), 1.0),
        # The second part could be either; the first one can only be the first.
        (np.array([[0.6, 0.0], [0.9, 0.5]]), 1.0),
        (np.array([[0.9, 0.9]]), 2 / 3),
        (np.array([[0.49]]), 0.0),
        (np.array([[0.5]]), 1.0),
    ],
)
def test_f1_of_matches(similarity: np.ndarray, f1: float) -> None:
    assert f1_of_matches(similarity, 0.5) == pytest.approx(f1)
    assert f1_of_matches(similarity.T, 0.5) == pytest.approx(f1)
