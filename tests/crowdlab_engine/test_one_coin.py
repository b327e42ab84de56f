import numpy as np
import pytest
from hypothesis import given, settings

from crowdlab_engine import MultiannotatorLabels
from crowdlab_engine.one_coin import Accuracies, OneCoin
from tests.crowdlab_engine.crowds import Crowd, one_coins
from tests.crowdlab_engine.problems import Problem, problems

ACCURACIES = [0.9, 0.85, 0.8, 0.75, 0.6, 0.55, 0.5, 0.4]


def test_finds_the_accuracies() -> None:
    crowd = Crowd(one_coins(ACCURACIES, 3), num_tasks=2000, labels_per_task=5)
    fitted = OneCoin().fit(crowd.labels)
    np.testing.assert_allclose(fitted.annotator_accuracy_, ACCURACIES, atol=0.06)
    assert crowd.accuracy(fitted.consensus_label_) > 0.89


def test_few_labels_are_shrunk_towards_the_mean() -> None:
    crowd = Crowd(one_coins([0.8] * 10, 2), num_tasks=300, labels_per_task=4)
    labels = crowd.labels
    extended = MultiannotatorLabels.from_codes(
        np.append(labels.task, 0),
        np.append(labels.annotator, 10),
        np.append(labels.label, 1 - crowd.truth[0]),
    )
    fitted = OneCoin().fit(extended)
    newcomer, others = fitted.annotator_accuracy_[10], fitted.annotator_accuracy_[:10].mean()
    assert 0.3 < newcomer < others


@given(problems)
@settings(deadline=None, max_examples=40)
def test_log_likelihood_equals_a_loop_over_labels(problem: Problem) -> None:
    labels = problem.labels
    rng = np.random.RandomState(0)
    posterior = rng.dirichlet(np.ones(labels.num_classes), size=labels.num_tasks)
    model = Accuracies(labels).updated(posterior, rng.uniform(size=labels.num_tasks))
    expected = np.zeros((labels.num_tasks, labels.num_classes))
    for task, annotator, label in zip(labels.task, labels.annotator, labels.label, strict=True):
        right = min(model.accuracy[annotator], 1 - 1e-9)
        for code in range(labels.num_classes):
            wrong = (1 - right) / max(labels.num_classes - 1, 1)
            expected[task, code] += np.log(right if code == label else wrong)
    np.testing.assert_allclose(model.log_likelihood(), expected, rtol=1e-9, atol=1e-9)


@given(problems)
@settings(deadline=None, max_examples=40)
def test_accuracies_are_probabilities_whoever_labels(problem: Problem) -> None:
    for probs in (None, problem.pred_probs):
        fitted = OneCoin().fit(problem.labels, probs)
        assert ((fitted.annotator_accuracy_ > 0) & (fitted.annotator_accuracy_ < 1)).all()
        with_labels = fitted.num_annotations_ > 0
        assert np.isfinite(fitted.posterior_[with_labels]).all()


def test_does_not_learn_that_a_class_is_rare() -> None:
    """One label each: the label is the consensus, however rare."""
    labels = MultiannotatorLabels.from_codes(range(50), [0] * 50, [0] * 49 + [1])
    assert OneCoin().fit(labels).consensus_label_.tolist() == [0] * 49 + [1]


def test_ground_truth_outvotes_everybody() -> None:
    crowd = Crowd(one_coins([0.95] * 4, 2), num_tasks=50, labels_per_task=4)
    agreed = OneCoin().fit(crowd.labels).consensus_label_
    known = np.where(np.arange(50) == 7, 1 - agreed, -1)
    fitted = OneCoin().fit(crowd.labels, ground_truth=known)
    assert fitted.consensus_label_[7] == 1 - agreed[7]
    assert fitted.consensus_quality_score_[7] == 1
    np.testing.assert_array_equal(np.delete(fitted.consensus_label_, 7), np.delete(agreed, 7))
    is_right = (crowd.labels.label == known[7]).astype(float)
    in_task = crowd.labels.in_callers_order(crowd.labels.task == 7)
    np.testing.assert_array_equal(
        fitted.label_quality_[in_task], crowd.labels.in_callers_order(is_right)[in_task]
    )


def test_refuses_what_is_not_labels() -> None:
    with pytest.raises(TypeError, match="labels is a ndarray"):
        OneCoin().fit(np.zeros((3, 2)))  # type: ignore[arg-type]
