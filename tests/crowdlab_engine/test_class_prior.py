import numpy as np
import pytest

from crowdlab_engine.class_prior import ClassifierPrior, ClassPrior, PrevalencePrior, UniformPrior


def settled(prior: ClassPrior, posterior: np.ndarray, weight: np.ndarray) -> ClassPrior:
    for _ in range(30):
        prior = prior.updated(posterior, weight)
    return prior


def posterior_and_probs(size: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Certain classes, and probabilities of a classifier that is right 9 times in 10."""
    rng = np.random.RandomState(0)
    posterior = np.eye(3)[rng.randint(3, size=size)]
    logits = 2 * posterior + rng.normal(size=(size, 3))
    probs = np.exp(logits)
    return posterior, probs / probs.sum(axis=1, keepdims=True)


def test_uniform_learns_nothing() -> None:
    prior = UniformPrior(4)
    updated = prior.updated(np.eye(4)[[0, 0]], np.ones(2))
    np.testing.assert_allclose(np.exp(updated.log_probs()), np.full((1, 4), 0.25))


def test_prevalence_is_the_weighted_share_with_one_task_added_to_each_class() -> None:
    prior = PrevalencePrior(np.ones(2))
    np.testing.assert_allclose(np.exp(prior.log_probs()), [[0.5, 0.5]])
    updated = prior.updated(np.array([[1.0, 0.0], [0.25, 0.75]]), np.array([2.0, 4.0]))
    np.testing.assert_allclose(np.exp(updated.log_probs()), [[4 / 8, 4 / 8]])
    updated = prior.updated(np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([1.0, 0.5]))
    np.testing.assert_allclose(np.exp(updated.log_probs()), [[2.5 / 3.5, 1 / 3.5]])


def test_classifier_starts_with_what_it_says() -> None:
    _, probs = posterior_and_probs()
    np.testing.assert_allclose(np.exp(ClassifierPrior(probs).log_probs()), probs, atol=1e-12)


@pytest.mark.parametrize("power", [0.5, 3.0])
def test_sharpness_undoes_a_temperature(power: float) -> None:
    posterior, probs = posterior_and_probs(4000)
    distorted = probs**power
    distorted /= distorted.sum(axis=1, keepdims=True)
    weight = np.ones(len(posterior))
    plain = settled(ClassifierPrior(probs), posterior, weight)
    undone = settled(ClassifierPrior(distorted), posterior, weight)
    assert isinstance(plain, ClassifierPrior)
    assert isinstance(undone, ClassifierPrior)
    assert undone.sharpness * power == pytest.approx(plain.sharpness, rel=0.02)
    np.testing.assert_allclose(np.exp(undone.log_probs()), np.exp(plain.log_probs()), atol=0.01)


def test_bias_undoes_a_preference() -> None:
    posterior, probs = posterior_and_probs(4000)
    biased = probs * [5.0, 1.0, 1.0]
    biased /= biased.sum(axis=1, keepdims=True)
    prior = settled(ClassifierPrior(biased), posterior, np.ones(len(posterior)))
    assert np.abs(np.exp(prior.log_probs()).mean(axis=0) - posterior.mean(axis=0)).max() < 0.01
    assert np.abs(biased.mean(axis=0) - posterior.mean(axis=0)).max() > 0.1


def test_a_classifier_that_guesses_is_ignored() -> None:
    rng = np.random.RandomState(0)
    posterior = np.eye(3)[rng.randint(3, size=3000)]
    guess = rng.dirichlet(np.full(3, 0.3), size=3000)
    prior = settled(ClassifierPrior(guess), posterior, np.ones(3000))
    np.testing.assert_allclose(np.exp(prior.log_probs()), 1 / 3, atol=0.08)


def test_tasks_of_weight_0_do_not_matter() -> None:
    posterior, probs = posterior_and_probs()
    weight = np.where(np.arange(len(probs)) < 200, 1.0, 0.0)
    changed = posterior.copy()
    changed[200:] = changed[200:, [1, 2, 0]]
    np.testing.assert_array_equal(
        settled(ClassifierPrior(probs), posterior, weight).log_probs(),
        settled(ClassifierPrior(probs), changed, weight).log_probs(),
    )


def test_classes_may_be_renumbered() -> None:
    posterior, probs = posterior_and_probs()
    order = [2, 0, 1]
    weight = np.ones(len(probs))
    np.testing.assert_allclose(
        settled(ClassifierPrior(probs), posterior, weight).log_probs()[:, order],
        settled(ClassifierPrior(probs[:, order]), posterior[:, order], weight).log_probs(),
        atol=1e-9,
    )


def test_certain_and_wrong_is_survivable() -> None:
    prior = ClassifierPrior(np.array([[1.0, 0.0], [1.0, 0.0]]))
    prior = prior.updated(np.array([[0.0, 1.0], [0.0, 1.0]]), np.ones(2))
    assert np.isfinite(prior.log_probs()).all()


def test_one_class() -> None:
    prior = ClassifierPrior(np.ones((3, 1))).updated(np.ones((3, 1)), np.ones(3))
    np.testing.assert_array_equal(prior.log_probs(), np.zeros((3, 1)))
