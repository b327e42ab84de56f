"""How many labels are right, estimated without the truth."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from backend.jobs.accuracy import estimate_accuracy
from backend.jobs.recompute import recompute_project
from backend.store.project import ProjectStore
from tests.backend.jobs.test_recompute import FIRST, fill, raw_task, region

SKILL = {1: 0.95, 2: 0.9, 3: 0.85, 4: 0.7, 5: 0.6}
NAMES = ("good", "bad")


def crowd(seed: int, num_known: int) -> tuple[list[dict[str, Any]], NDArray[Any], NDArray[Any]]:
    """Tasks of people who err independently, the truth, and how often each class was said."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(2, size=1200)
    votes = np.zeros((1200, 2))
    tasks = []
    for number, right in enumerate(truth.tolist()):
        people = generator.choice(list(SKILL), size=3, replace=False).tolist()
        errs = generator.random(3) > [SKILL[who] for who in people]
        said = np.where(errs, 1 - right, right)
        np.add.at(votes[number], said, 1)
        task = raw_task(number + 1, dict(zip(people, np.take(NAMES, said), strict=True)), {})
        if number < num_known:
            result = [region(FIRST, NAMES[right])]
            known = {"id": number + 500_000, "completed_by": 9, "result": result}
            task["annotations"].append(known | {"ground_truth": True})
        tasks.append(task)
    return tasks, truth, votes


@pytest.mark.parametrize(("num_known", "within"), [(0, 0.1), (200, 0.04)])
@pytest.mark.parametrize("seed", range(3))
def test_the_estimate_is_near_the_truth_and_nearer_with_ground_truth(
    store: ProjectStore, seed: int, num_known: int, within: float
) -> None:
    tasks, truth, votes = crowd(seed, num_known)
    info = fill(store, tasks, FIRST)
    recompute_project(store)
    estimate = estimate_accuracy(store, info, 0)
    assert estimate is not None
    right = store.consensus(1).read()["label"][:, 0] == truth
    majority = votes.argmax(axis=1) == truth
    assert estimate.consensus == pytest.approx(right.mean(), abs=within)
    assert estimate.majority == pytest.approx(majority.mean(), abs=within)
    assert estimate.consensus > estimate.majority
    one, two, three = estimate.majority_by_labels
    assert one == pytest.approx(two, abs=0.02)  # a tie of two is broken by lot
    assert three == estimate.majority
    assert three > one
    assert estimate.num_further[0] == 0
    assert estimate.num_further[-1] == 1200
    assert estimate.further_accuracy[0] == pytest.approx(estimate.consensus)
    assert (np.diff(estimate.further_accuracy) >= 0).all()
    assert estimate.further_accuracy[-1] > estimate.consensus


def test_without_labels_there_is_no_estimate(store: ProjectStore) -> None:
    info = fill(store, [raw_task(1, {}, {})], FIRST)
    assert estimate_accuracy(store, info, 0) is None
