import numpy as np
import pytest
from hypothesis import given, settings
from sklearn.exceptions import NotFittedError

from crowdlab_engine import MultiannotatorLabels, majority_vote
from crowdlab_engine.dawid_skene import Confusions, DawidSkene
from crowdlab_engine.one_coin import OneCoin
from tests.crowdlab_engine.crowds import Crowd, one_coins
from tests.crowdlab_engine.problems import Problem, problems

BIASED = np.array([[[0.95, 0.05], [0.6, 0.4]]] * 6 + [[[0.4, 0.6], [0.05, 0.95]]] * 2)


def updated(labels: MultiannotatorLabels, rounds: int = 2) -> tuple[Confusions, np.ndarray]:
    """A model after some updates, and the weighted posteriors of the last."""
    rng = np.random.RandomState(1)
    model = Confusions(labels)
    for _ in range(rounds):
        posterior = rng.dirichlet(np.ones(labels.num_classes), size=labels.num_tasks)
        weight = rng.uniform(size=labels.num_tasks)
        model = model.updated(posterior, weight)
    return model, weight[:, None] * posterior


def matrices(model: Confusions, labels: MultiannotatorLabels) -> np.ndarray:
    """All confusion matrices, shape (M, K, K), through the public query."""
    annotator, label = np.divmod(
        np.arange(labels.num_annotators * labels.num_classes), labels.num_classes
    )
    probs = model.label_probs(annotator, label)
    return probs.reshape(labels.num_annotators, labels.num_classes, -1).transpose(0, 2, 1)


@given(problems)
@settings(deadline=None, max_examples=40)
def test_update_equals_loops_over_labels(problem: Problem) -> None:
    labels = problem.labels
    num_classes = labels.num_classes
    model, weighted = updated(labels)
    counts = np.zeros((labels.num_annotators, num_classes, num_classes))
    for task, annotator, label in zip(labels.task, labels.annotator, labels.label, strict=True):
        for code in range(num_classes):
            counts[annotator, code, label] += weighted[task, code]
    expected = np.empty_like(counts)
    for annotator in range(labels.num_annotators):
        for code in range(num_classes):
            errors = np.delete(model.population[code], code)
            right = model.right[annotator, code]
            mean = np.insert((1 - right) * errors / max(errors.sum(), 1e-9), code, right)
            row = counts[annotator, code] + model.concentration * np.maximum(mean, 1e-9)
            expected[annotator, code] = row / (counts[annotator, code].sum() + model.concentration)
    np.testing.assert_allclose(matrices(model, labels), expected, rtol=1e-8)

    log_likelihood = np.zeros((labels.num_tasks, num_classes))
    for task, annotator, label in zip(labels.task, labels.annotator, labels.label, strict=True):
        log_likelihood[task] += np.log(expected[annotator, :, label])
    np.testing.assert_allclose(model.log_likelihood(), log_likelihood, rtol=1e-8, atol=1e-8)


@given(problems)
@settings(deadline=None, max_examples=30)
def test_confusion_matrices_are_stochastic(problem: Problem) -> None:
    fitted = DawidSkene().fit(problem.labels, problem.pred_probs)
    for annotator in range(problem.labels.num_annotators):
        matrix = fitted.confusion_matrix(annotator)
        assert (matrix > 0).all()
        np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-6)


def test_finds_the_confusions_of_a_biased_crowd() -> None:
    crowd = Crowd(BIASED, num_tasks=1500, labels_per_task=8)
    fitted = DawidSkene().fit(crowd.labels)
    for annotator, true in enumerate(BIASED):
        np.testing.assert_allclose(fitted.confusion_matrix(annotator), true, atol=0.08)
    assert crowd.accuracy(fitted.consensus_label_) > (
        crowd.accuracy(majority_vote(crowd.labels)) + 0.05
    )


def test_equals_one_coin_where_annotators_are_one_coins() -> None:
    crowd = Crowd(one_coins([0.9, 0.8, 0.8, 0.7, 0.6, 0.5], 4), 1000, labels_per_task=4)
    general = crowd.accuracy(DawidSkene().fit(crowd.labels).consensus_label_)
    special = crowd.accuracy(OneCoin().fit(crowd.labels).consensus_label_)
    assert general == pytest.approx(special, abs=0.02)


def test_an_annotator_with_one_label_is_like_the_population() -> None:
    crowd = Crowd(BIASED[:6], num_tasks=400, labels_per_task=5)
    labels = MultiannotatorLabels.from_codes(
        np.append(crowd.labels.task, 0),
        np.append(crowd.labels.annotator, 6),
        np.append(crowd.labels.label, 0),
    )
    fitted = DawidSkene().fit(labels)
    np.testing.assert_allclose(fitted.confusion_matrix(6), fitted.population_confusion_, atol=0.1)


def test_single_labels_are_the_consensus() -> None:
    labels = MultiannotatorLabels.from_codes(range(30), np.arange(30) % 4, np.arange(30) % 3)
    fitted = DawidSkene().fit(labels)
    assert fitted.consensus_label_.tolist() == (np.arange(30) % 3).tolist()
    np.testing.assert_allclose(fitted.consensus_quality_score_, 2 / 3)


def test_held_out_labels_are_predicted_through_the_confusions() -> None:
    crowd = Crowd(BIASED, num_tasks=300, labels_per_task=5)
    fitted = DawidSkene().fit(crowd.labels)
    score = fitted.label_log_likelihood([3, 3], [0, 0], [0, 1])
    expected = np.log(fitted.posterior_[3] @ fitted.confusion_matrix(0))
    np.testing.assert_allclose(score, expected)
    assert np.exp(score).sum() == pytest.approx(1)


def test_is_not_fitted_at_first() -> None:
    with pytest.raises(NotFittedError):
        DawidSkene().confusion_matrix(0)


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (([60], [0], [0]), r"task is 60 but the labels fitted have codes 0\.\.59"),
        (([0], [-1], [0]), "annotator is -1"),
        (([0], [8], [0]), "annotator is 8"),
        (([0], [0], [2]), "label is 2"),
    ],
)
def test_refuses_codes_that_were_not_fitted(
    codes: tuple[list[int], list[int], list[int]], message: str
) -> None:
    fitted = DawidSkene().fit(Crowd(BIASED, num_tasks=60, labels_per_task=5).labels)
    with pytest.raises(ValueError, match=message):
        fitted.label_log_likelihood(*codes)


def test_refuses_an_annotator_that_does_not_exist() -> None:
    fitted = DawidSkene().fit(Crowd(BIASED, num_tasks=60, labels_per_task=5).labels)
    with pytest.raises(ValueError, match="annotator is 8"):
        fitted.confusion_matrix(8)
