import numpy as np
import pytest
from hypothesis import given, settings

from crowdlab_engine.block import Block
from crowdlab_engine.explanation import contributions
from crowdlab_engine.majority import vote
from crowdlab_engine.posterior import posterior
from crowdlab_engine.statistics import statistics
from crowdlab_engine.weights import Weights, weights
from tests.crowdlab_engine.problems import Problem, problems

TRUSTED = Weights(np.array([2.0]), np.array([1.0, 0.5]), agreement=0.9, disagreement=0.1)
NOBODY = np.empty(0, dtype=np.int64)


@given(problems)
@settings(deadline=None, max_examples=60)
def test_contributions_add_up_to_the_posterior(problem: Problem) -> None:
    labels, probs = problem.labels, problem.pred_probs
    block = Block.of(labels, probs)
    found = weights(statistics(block, vote(block, ties="frequent", random_state=0).label))
    expected = posterior(labels, block.pred_probs, found)
    for task in range(labels.num_tasks):
        given_ = np.flatnonzero(labels.task == task)
        shares = contributions(found, probs[[task]], labels.annotator[given_], labels.label[given_])
        assert shares.rows.shape == (1 + len(given_), labels.num_classes)
        assert (shares.rows >= 0).all()
        np.testing.assert_allclose(shares.posterior, expected[task], rtol=0, atol=1e-12)


def test_a_heavier_annotator_adds_more() -> None:
    shares = contributions(TRUSTED, np.array([[0.5, 0.5]]), np.array([0, 1]), np.array([0, 1]))
    np.testing.assert_allclose(shares.models, [[1 / 3.5, 1 / 3.5]])
    np.testing.assert_allclose(
        shares.annotators, [[0.9 / 3.5, 0.1 / 3.5], [0.05 / 3.5, 0.45 / 3.5]]
    )


def test_without_labels_the_classifiers_speak_alone() -> None:
    both = Weights(np.array([3.0, 1.0]), np.ones(1), agreement=0.9, disagreement=0.1)
    shares = contributions(both, np.array([[1.0, 0.0], [0.0, 1.0]]), NOBODY, NOBODY)
    assert shares.annotators.shape == (0, 2)
    assert shares.posterior.tolist() == [0.75, 0.25]


def test_a_silent_classifier_adds_nothing() -> None:
    both = Weights(np.array([3.0, 1.0]), np.ones(1), agreement=0.9, disagreement=0.1)
    predicted = np.array([[np.nan, np.nan], [0.0, 1.0]])
    assert contributions(both, predicted, NOBODY, NOBODY).posterior.tolist() == [0.0, 1.0]
    said = contributions(both, predicted, np.array([0]), np.array([0]))
    assert said.models.tolist() == [[0.0, 0.0], [0.0, 0.5]]
    np.testing.assert_allclose(said.posterior, [0.45, 0.55])
    silent = contributions(both, np.full((2, 2), np.nan), NOBODY, NOBODY)
    assert np.isnan(silent.posterior).all()


def test_nothing_known_is_nan() -> None:
    alone = Weights(np.empty(0), np.ones(1), agreement=0.9, disagreement=0.1)
    assert np.isnan(contributions(alone, np.empty((0, 3)), NOBODY, NOBODY).posterior).all()


def test_a_prediction_without_a_weight_is_refused() -> None:
    with pytest.raises(ValueError, match="predicted is of 2 models and the weights of 1"):
        contributions(TRUSTED, np.full((2, 2), 0.5), NOBODY, NOBODY)
