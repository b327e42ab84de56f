from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crowdlab_engine import MultiannotatorLabels
from crowdlab_engine.class_prior import UniformPrior
from crowdlab_engine.dawid_skene import DawidSkene
from crowdlab_engine.latent_class import (
    certain,
    check_problem,
    expectation_maximisation,
    normalise,
    one_per_label,
    pairwise_accuracy,
)
from tests.crowdlab_engine.crowds import Crowd, one_coins

if TYPE_CHECKING:
    from typing import Self

LABELS = MultiannotatorLabels.from_codes([0, 0, 1], [0, 1, 0], [0, 1, 1], num_tasks=4)


@pytest.mark.parametrize("num_classes", [2, 3, 10])
def test_pairwise_accuracy_is_that_of_a_one_coin_crowd(num_classes: int) -> None:
    crowd = Crowd(one_coins([0.75] * 30, num_classes), num_tasks=4000, labels_per_task=4)
    assert pairwise_accuracy(crowd.labels) == pytest.approx(0.75, abs=0.02)


def test_pairwise_accuracy_does_not_depend_on_prevalence() -> None:
    crowd = Crowd(
        one_coins([0.75] * 30, 2), 4000, labels_per_task=4, prevalence=np.array([0.95, 0.05])
    )
    assert pairwise_accuracy(crowd.labels) == pytest.approx(0.75, abs=0.02)


@pytest.mark.parametrize("num_classes", [2, 5])
def test_pairwise_accuracy_of_single_labels_is_halfway(num_classes: int) -> None:
    labels = MultiannotatorLabels.from_codes([0, 1], [0, 1], [0, 1], num_classes=num_classes)
    assert pairwise_accuracy(labels) == pytest.approx((1 + 1 / num_classes) / 2)


def test_pairwise_accuracy_without_agreement_is_above_chance() -> None:
    labels = MultiannotatorLabels.from_codes([0, 0] * 1, [0, 1], [0, 1])
    many = MultiannotatorLabels.from_codes(
        np.repeat(np.arange(99), 2), np.tile([0, 1], 99), np.tile([0, 1], 99)
    )
    assert 0.5 < pairwise_accuracy(many) <= pairwise_accuracy(labels) < 1


def test_weights_are_what_a_task_tells_of_its_annotators() -> None:
    np.testing.assert_allclose(check_problem(LABELS, None, None).weight, [1 / 2, 0, 0, 0])
    probs = np.full((4, 2), 0.5)
    np.testing.assert_allclose(check_problem(LABELS, probs, None).weight, [2 / 3, 1 / 2, 0, 0])
    truth = [-1, 1, 0, -1]
    np.testing.assert_allclose(check_problem(LABELS, None, truth).weight, [1 / 2, 1, 0, 0])


@given(st.integers(0, 10**6), st.floats(0.01, 1))
@settings(deadline=None, max_examples=30)
def test_normalise_is_a_power_of_the_probabilities(seed: int, exponent: float) -> None:
    probs = np.random.RandomState(seed).dirichlet(np.ones(4), size=6)
    np.testing.assert_allclose(normalise(np.log(probs) - 800), probs, rtol=1e-9)
    power = probs**exponent
    np.testing.assert_allclose(
        normalise(np.log(probs) + 800, exponent),
        power / power.sum(axis=1, keepdims=True),
        rtol=1e-9,
    )


def test_certain_leaves_the_original_alone() -> None:
    posterior = np.full((2, 2), 0.5)
    np.testing.assert_array_equal(certain(posterior, np.array([-1, 1])), [[0.5, 0.5], [0, 1]])
    assert (posterior == 0.5).all()


def test_one_per_label_adds_up() -> None:
    matrix = one_per_label(np.array([0, 0, 1]), np.array([1, 1, 0]), (2, 2))
    np.testing.assert_array_equal(matrix.toarray(), [[0, 2], [1, 0]])


@dataclass(frozen=True)
class Scripted:
    """A model whose likelihood follows a script, to see where the loop ends."""

    script: tuple[float, ...]
    step: int = 0

    def log_likelihood(self) -> np.ndarray:
        return np.full((4, 2), self.script[self.step] / 4)

    def updated(self, posterior: np.ndarray, weight: np.ndarray) -> "Self":
        return type(self)(self.script, self.step + 1)


@pytest.mark.parametrize(
    ("script", "max_iter", "expected"),
    [
        pytest.param((0, 5, 9, 9.5, 20), 9, 2, id="gains less than a nat"),
        pytest.param((0, 5, 9, 3, 20), 9, 2, id="loses"),
        pytest.param((0, -7, -5, -5), 9, 2, id="the first may lose"),
        pytest.param((0, 5, 9, 20), 2, 2, id="max_iter"),
        pytest.param((0, 5), 0, 0, id="no update"),
    ],
)
def test_ends_with_the_last_update_that_gained(
    script: tuple[float, ...], max_iter: int, expected: int
) -> None:
    problem = check_problem(LABELS, None, None)
    found = expectation_maximisation(
        problem, Scripted(script), UniformPrior(2), max_iter=max_iter, min_gain=1.0
    )
    assert found.num_iterations == found.annotators.step == expected
    assert found.log_likelihood == pytest.approx(script[expected])


def test_known_tasks_count_with_their_true_class() -> None:
    problem = check_problem(LABELS, None, [0, -1, -1, -1])
    found = expectation_maximisation(
        problem, Scripted((0.0,)), UniformPrior(2), max_iter=0, min_gain=1.0
    )
    assert found.log_likelihood == pytest.approx(np.log(0.5))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([[0, 1]], None, None), TypeError, "labels is a list: build it with"),
        (
            (MultiannotatorLabels.from_codes([], [], [], num_tasks=3), None, None),
            ValueError,
            "none of the 3 tasks has a label",
        ),
        ((LABELS, np.ones((4, 3)) / 3, None), ValueError, r"pred_probs has shape \(4, 3\)"),
        ((LABELS, np.ones((4, 2)), None), ValueError, "do not sum to 1"),
        ((LABELS, None, [0, 1]), ValueError, r"ground_truth has shape \(2,\)"),
    ],
)
def test_refuses(arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        check_problem(*arguments)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"max_iter": -1}, "max_iter is -1"),
        ({"min_gain": -0.5}, "min_gain is -0.5"),
        ({"min_gain": float("nan")}, "min_gain is nan"),
    ],
)
def test_refuses_parameters(parameters: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DawidSkene(**parameters).fit(LABELS)
