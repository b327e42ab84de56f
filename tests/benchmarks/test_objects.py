from dataclasses import replace

import numpy as np
import pytest

from benchmarks import objects
from benchmarks.object_crowds import REGIMES, Found, check, draw


def test_the_truth_is_right() -> None:
    crowd = draw(replace(REGIMES["turned"], num_tasks=30), 0)
    nothing = np.ones(len(crowd.task))
    found = Found(crowd.task, crowd.label, crowd.coordinates, nothing, np.ones(30))
    checked = check(crowd, found)
    assert checked.f1 == 1
    assert checked.is_task_right.all()
    np.testing.assert_allclose(checked.similarity, 1)
    fewer = Found(
        *(part[1:] for part in (crowd.task, crowd.label, crowd.coordinates, nothing)), nothing
    )
    assert check(crowd, fewer).is_task_right.sum() == 29


@pytest.mark.parametrize("regime", ["five answers", "points"])
def test_ours_beats_the_majority(regime: str) -> None:
    crowd = draw(replace(REGIMES[regime], num_tasks=150), 1)
    found = {name: method(crowd) for name, method in objects.METHODS.items()}
    row = objects.scores(crowd, found)
    assert row["F1", "ours"] > row["F1", "majority"]
    assert row["similarity", "ours"] > row["similarity", "majority"]
