import numpy as np
import pytest

from crowdlab_engine import MultiannotatorLabels
from crowdlab_engine.block import Block
from crowdlab_engine.statistics import statistics
from crowdlab_engine.weights import MIN_WEIGHT, equal_weights, weights


def test_weights_of_a_small_example() -> None:
    # Consensus 0, 1, 1. Shared agreement 1, 1, 1/2; baseline error 1/3; classifier errs once.
    labels = MultiannotatorLabels.from_codes(
        [0, 0, 1, 1, 2, 2], [0, 1, 0, 1, 0, 1], [0, 0, 1, 1, 1, 0]
    )
    probs = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9]])
    fitted = weights(statistics(Block.of(labels, probs), np.array([0, 1, 1])))
    assert fitted.agreement == pytest.approx(5 / 6)
    assert fitted.disagreement == pytest.approx(1 / 6)
    assert fitted.model == pytest.approx(MIN_WEIGHT * np.sqrt(2))
    np.testing.assert_allclose(fitted.annotator, [MIN_WEIGHT, MIN_WEIGHT])


def test_without_shared_tasks_all_weigh_the_same() -> None:
    labels = MultiannotatorLabels.from_codes([0, 1], [0, 1], [0, 1])
    fitted = weights(statistics(Block.of(labels, np.eye(2)), np.array([0, 1])))
    assert fitted.annotator.tolist() == [1, 1]
    assert fitted.model.tolist() == [1]
    assert (fitted.agreement, fitted.disagreement) == (1, 0)


def test_who_shares_no_task_weighs_as_the_others_do() -> None:
    labels = MultiannotatorLabels.from_codes(
        [0, 0, 1, 1, 2, 2, 3], [0, 1, 0, 1, 0, 1, 2], [0, 0, 1, 1, 0, 1, 1]
    )
    fitted = weights(statistics(Block.of(labels), np.array([0, 1, 0, 1])))
    assert fitted.annotator[2] == pytest.approx(fitted.annotator[:2].mean())
    assert len(fitted.model) == 0


def test_equal_weights_make_the_posterior_a_share() -> None:
    labels = MultiannotatorLabels.from_codes([0, 0, 0], [0, 1, 2], [0, 1, 1])
    models = np.full((2, 1, 2), 0.5)
    fitted = equal_weights(statistics(Block.of(labels, models), np.array([1])))
    assert fitted.model.tolist() == [0, 0]
    assert fitted.annotator.tolist() == [1, 1, 1]
    assert (fitted.agreement, fitted.disagreement) == (1, 0)
