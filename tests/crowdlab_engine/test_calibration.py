import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crowdlab_engine import MultiannotatorLabels
from crowdlab_engine.block import Block
from crowdlab_engine.calibration import COARSE_GRID, best_temperatures, scale
from tests.crowdlab_engine.problems import Problem, problems


def crowd(votes_for_0: int, votes_for_1: int, num_tasks: int = 1) -> MultiannotatorLabels:
    """Tasks on which so many annotators choose class 0 and class 1."""
    votes = [0] * votes_for_0 + [1] * votes_for_1
    return MultiannotatorLabels.from_codes(
        np.repeat(np.arange(num_tasks), len(votes)),
        np.tile(np.arange(len(votes)), num_tasks),
        votes * num_tasks,
        num_classes=2,
    )


def best_temperature(labels: MultiannotatorLabels, pred_probs: np.ndarray) -> float:
    block = Block.of(labels, pred_probs, row_sum_tolerance=np.inf)
    (temperature,) = best_temperatures([block])
    return float(temperature)


@pytest.mark.parametrize("temperature", [0.3, 0.65, 1.0, 1.75, 4.0, 6.5])
def test_finds_the_temperature_at_which_predictions_are_the_shares(temperature: float) -> None:
    # Three of four annotators: odds of 3. A prediction of odds 3**T is right at temperature T.
    odds = 3.0**temperature
    probs = np.array([[odds, 1.0]]) / (odds + 1)
    assert best_temperature(crowd(3, 1), probs) == pytest.approx(temperature, rel=0.13)


def test_grid_has_a_floor_and_a_cap() -> None:
    assert best_temperature(crowd(4, 0), np.array([[0.6, 0.4]])) == 0.1
    assert best_temperature(crowd(2, 2), np.array([[0.999, 0.001]])) == 7.25


def test_the_first_of_equals_wins() -> None:
    assert best_temperature(crowd(2, 2), np.array([[0.5, 0.5]])) == COARSE_GRID[0]


def test_one_class_has_nothing_to_calibrate() -> None:
    labels = MultiannotatorLabels.from_codes([0, 0], [0, 1], [0, 0])
    assert best_temperature(labels, np.ones((1, 1))) == 1.0


def test_tasks_without_labels_do_not_count() -> None:
    labels = crowd(3, 1)
    more = MultiannotatorLabels.from_codes(
        labels.task, labels.annotator, labels.label, num_tasks=3, num_classes=2
    )
    probs = np.array([[0.9, 0.1], [0.001, 0.999], [0.0, 0.0]])
    assert best_temperature(more, probs) == best_temperature(labels, probs[:1])


def test_impossible_classes_are_survived() -> None:
    probs = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    assert 0.1 <= best_temperature(crowd(3, 1, num_tasks=3), probs) <= 7.25
    scaled = scale(probs, 2.0)
    assert np.isfinite(scaled).all()
    np.testing.assert_allclose(scaled.sum(axis=1), 1)
    np.testing.assert_allclose(scaled[2], 0.5)


def test_scale_sharpens_and_flattens() -> None:
    probs = np.array([[0.8, 0.2]])
    np.testing.assert_allclose(scale(probs, 1.0), probs)
    np.testing.assert_allclose(scale(probs, 2.0), [[2 / 3, 1 / 3]])
    np.testing.assert_allclose(scale(probs, 0.5), [[16 / 17, 1 / 17]])
    np.testing.assert_allclose(scale(probs / 2, 1.0), probs)


@given(problems, st.floats(0.1, 8))
@settings(deadline=None, max_examples=40)
def test_scale_keeps_the_order_of_classes(problem: Problem, temperature: float) -> None:
    probs = problem.pred_probs
    probs.setflags(write=False)
    scaled = scale(probs, temperature)
    np.testing.assert_array_equal(scaled.argmax(axis=1), probs.argmax(axis=1))
    np.testing.assert_allclose(scaled.sum(axis=1), 1)
