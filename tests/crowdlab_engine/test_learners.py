import numpy as np
import pytest
from scipy.sparse import csr_array, issparse
from sklearn.base import clone

from crowdlab_engine.learners import CANDIDATES, Columns, Situation, WeightedNeighbours

RNG = np.random.RandomState(0)
TRUTH = np.arange(200) % 2
COUNTS = RNG.poisson(0.2 + 0.5 * (np.arange(10) % 2 == TRUTH[:, None])).astype(float)
NUMBERS = 50 + 3 * (TRUTH[:, None] + RNG.normal(scale=0.5, size=(200, 4)))
BOTH = csr_array(np.hstack([COUNTS, NUMBERS]))
IS_COUNT = np.arange(14) < 10


def test_counts_and_numbers_are_weighed_apart() -> None:
    weighed = Columns(IS_COUNT).fit(BOTH).transform(BOTH)
    assert issparse(weighed)
    dense = weighed.toarray()
    np.testing.assert_allclose(dense[:, 10:].mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(dense[:, 10:].std(axis=0), 0.1)
    norms = np.linalg.norm(dense[:, :10], axis=1)
    np.testing.assert_allclose(norms[COUNTS.any(axis=1)], 1)


def test_only_some_columns() -> None:
    counts = Columns(IS_COUNT, use_numbers=False).fit(BOTH).transform(BOTH)
    numbers = Columns(IS_COUNT, use_counts=False).fit(BOTH).transform(BOTH)
    assert counts.shape == (200, 10)
    assert isinstance(numbers, np.ndarray)
    np.testing.assert_allclose(numbers.std(axis=0), 1)


def test_neighbours_count_by_weight_and_nothing_is_impossible() -> None:
    features = np.array([[0.0], [0.1], [0.2], [9.0]])
    labels = np.array([0, 1, 1, 2])
    even = WeightedNeighbours(3).fit(features, labels).predict_proba(features[:1])
    np.testing.assert_allclose(even, [[1.25 / 4, 2.5 / 4, 0.25 / 4]])
    heavy = WeightedNeighbours(3).fit(features, labels, [8.0, 1.0, 1.0, 1.0])
    assert heavy.predict_proba(features[:1])[0].argmax() == 0


def test_fewer_tasks_than_neighbours() -> None:
    found = WeightedNeighbours().fit(NUMBERS[:5], TRUTH[:5]).predict_proba(NUMBERS[5:])
    np.testing.assert_allclose(found.sum(axis=1), 1)


@pytest.mark.parametrize("candidate", CANDIDATES, ids=lambda one: one.name)
def test_each_candidate_learns_with_weights(candidate: object) -> None:
    situation = Situation(200, 2, IS_COUNT)
    classifier = candidate.build(situation)  # type: ignore[attr-defined]
    name = f"{classifier.steps[-1][0]}__sample_weight"
    weight = np.where(np.arange(200) < 150, 1.0, 0.5)
    fitted = clone(classifier).fit(BOTH[:150], TRUTH[:150], **{name: weight[:150]})
    probs = fitted.predict_proba(BOTH[150:])
    assert (probs.argmax(axis=1) == TRUTH[150:]).mean() > 0.8
    np.testing.assert_allclose(probs.sum(axis=1), 1)
