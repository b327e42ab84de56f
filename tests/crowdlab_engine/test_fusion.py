import ast
import doctest
import inspect
import re
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from crowdlab_engine import Crowdlab, MultiannotatorLabels, majority_vote
from crowdlab_engine.dawid_skene import DawidSkene
from crowdlab_engine.fusion import REDUNDANCIES, Fusion
from crowdlab_engine.one_coin import OneCoin
from tests.crowdlab_engine.crowds import Crowd, one_coins
from tests.crowdlab_engine.problems import Problem, problems

METHODS = [Fusion, DawidSkene, OneCoin]
INDEPENDENT = Crowd(one_coins([0.75] * 12, 3), num_tasks=600, labels_per_task=6)


def copied(crowd: Crowd) -> Crowd:
    """The crowd, each label repeated by two copycats of its annotator."""
    labels = crowd.labels
    copycats = [labels.annotator + labels.num_annotators * i for i in range(3)]
    crowd.labels = MultiannotatorLabels.from_codes(
        np.tile(labels.task, 3), np.concatenate(copycats), np.tile(labels.label, 3)
    )
    return crowd


@given(problems, st.booleans())
@settings(deadline=None, max_examples=40)
def test_is_dawid_skene_but_less_sure(problem: Problem, with_classifier: bool) -> None:
    probs = problem.pred_probs if with_classifier else None
    fused = Fusion().fit(problem.labels, probs)
    plain = DawidSkene().fit(problem.labels, probs)
    margin = np.sort(plain.posterior_, axis=1)[:, -2:]
    clear = (margin[:, -1] - margin[:, 0] > 1e-6) & (fused.num_annotations_ > 0)
    np.testing.assert_array_equal(fused.consensus_label_[clear], plain.consensus_label_[clear])
    known = fused.num_annotations_ > 0
    difference = fused.consensus_quality_score_[known] - plain.consensus_quality_score_[known]
    assert (difference <= 1e-9).all()
    alone = fused.num_annotations_ + with_classifier == 1
    np.testing.assert_allclose(fused.posterior_[alone], plain.posterior_[alone], atol=1e-12)


def test_copied_labels_make_it_less_wrongly_sure() -> None:
    crowd = copied(Crowd(one_coins([0.7] * 8, 3), num_tasks=500, labels_per_task=3))
    gaps = []
    for method in (Fusion, DawidSkene):
        fitted = method().fit(crowd.labels)
        gaps.append(
            fitted.consensus_quality_score_.mean() - crowd.accuracy(fitted.consensus_label_)
        )
    assert abs(gaps[0]) < 0.05
    assert gaps[1] > 0.12


def test_ground_truth_tells_how_sure_to_be() -> None:
    assert Fusion().fit(INDEPENDENT.labels).sharpness_ == 1
    truth = np.where(np.arange(600) < 150, INDEPENDENT.truth, -1)
    assert Fusion().fit(INDEPENDENT.labels, ground_truth=truth).sharpness_ > 1.2
    rng = np.random.RandomState(0)
    shuffled = np.where(truth >= 0, rng.permutation(INDEPENDENT.truth), -1)
    assert Fusion().fit(INDEPENDENT.labels, ground_truth=shuffled).sharpness_ < 0.3


def test_a_single_known_task_changes_little() -> None:
    blind = Fusion().fit(INDEPENDENT.labels)
    truth = np.where(np.arange(600) == 0, INDEPENDENT.truth, -1)
    fitted = Fusion().fit(INDEPENDENT.labels, ground_truth=truth)
    np.testing.assert_allclose(fitted.posterior_[1:], blind.posterior_[1:], atol=0.1)


def test_ground_truth_calibrates_the_others() -> None:
    truth = np.where(np.arange(600) < 200, INDEPENDENT.truth, -1)
    rest = slice(200, None)
    gaps = []
    for known in (None, truth):
        fitted = Fusion().fit(INDEPENDENT.labels, ground_truth=known)
        accuracy = (fitted.consensus_label_ == INDEPENDENT.truth)[rest].mean()
        gaps.append(abs(fitted.consensus_quality_score_[rest].mean() - accuracy))
    assert gaps[1] < gaps[0] / 2


@pytest.mark.parametrize("method", METHODS)
def test_ground_truth_teaches_what_labels_mean(method: type[Fusion]) -> None:
    """Most annotators name the wrong class most often; only the truth can tell."""
    crowd = Crowd(one_coins([0.9, 0.1, 0.1], 2), num_tasks=200, labels_per_task=3)
    truth = crowd.truth
    known = np.where(np.arange(200) < 60, truth, -1)
    assert crowd.accuracy(method().fit(crowd.labels).consensus_label_) < 0.1
    fitted = method().fit(crowd.labels, ground_truth=known)
    assert (fitted.consensus_label_ == truth)[60:].mean() > 0.9
    assert (fitted.consensus_label_[:60] == truth[:60]).all()
    assert (fitted.consensus_quality_score_[:60] == 1).all()
    assert fitted.annotator_quality_.argmax() == 0


@pytest.mark.parametrize("method", METHODS)
def test_a_classifier_helps(method: type[Fusion]) -> None:
    crowd = Crowd(one_coins([0.65] * 10, 3), num_tasks=600, labels_per_task=2)
    rng = np.random.RandomState(0)
    probs = np.exp(1.5 * np.eye(3)[crowd.truth] + rng.normal(size=(600, 3)))
    probs /= probs.sum(axis=1, keepdims=True)
    alone = crowd.accuracy(method().fit(crowd.labels).consensus_label_)
    together = crowd.accuracy(method().fit(crowd.labels, probs).consensus_label_)
    classifier = crowd.accuracy(probs.argmax(axis=1))
    assert together > max(alone, classifier) + 0.03


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "crowd",
    [
        pytest.param(([0, 1, 2], [0, 0, 0], [0, 1, 0], {}), id="one annotator"),
        pytest.param(([0, 1, 2], [0, 1, 2], [0, 1, 2], {}), id="single labels"),
        pytest.param(([0, 0, 2], [0, 1, 1], [0, 1, 1], {"num_tasks": 4}), id="empty tasks"),
        pytest.param(
            ([0, 0, 1], [0, 2, 2], [0, 1, 1], {"num_annotators": 4}), id="idle annotators"
        ),
        pytest.param(([0, 0, 1, 1], [0, 1, 0, 1], [0, 0, 0, 0], {}), id="one class"),
        pytest.param(([0, 0, 1, 1], [0, 1, 0, 1], [0, 0, 1, 1], {}), id="agreement"),
        pytest.param(([0, 0, 1, 1], [0, 1, 0, 1], [0, 1, 1, 0], {}), id="disagreement"),
        pytest.param(([0, 0, 1, 1], [0, 1, 0, 1], [0, 0, 1, 1], {"num_classes": 9}), id="unused"),
        pytest.param(([0], [0], [0], {}), id="one label"),
    ],
)
@pytest.mark.parametrize("with_classifier", [False, True])
def test_edge_cases(method: type[Fusion], crowd: Any, with_classifier: bool) -> None:
    task, annotator, label, sizes = crowd
    labels = MultiannotatorLabels.from_codes(task, annotator, label, **sizes)
    shape = (labels.num_tasks, labels.num_classes)
    probs = np.full(shape, 1 / shape[1]) if with_classifier else None
    fitted = method().fit(labels, probs)
    has_label = labels.num_annotations > 0
    is_known = has_label | with_classifier
    np.testing.assert_allclose(fitted.posterior_[is_known].sum(axis=1), 1)
    assert np.isnan(fitted.posterior_[~is_known]).all()
    assert (fitted.consensus_label_[~is_known] == -1).all()
    assert (fitted.consensus_label_[is_known] >= 0).all()
    quality = fitted.consensus_quality_score_
    assert ((quality[is_known] >= 1 / shape[1] - 1e-9) & (quality[is_known] <= 1)).all()
    assert np.isnan(quality[~is_known]).all()
    given_labels = np.bincount(labels.annotator, minlength=labels.num_annotators) > 0
    np.testing.assert_array_equal(np.isfinite(fitted.annotator_quality_), given_labels)
    unanimous = has_label.copy()
    unanimous[labels.task[labels.label != majority_vote(labels)[labels.task]]] = False
    np.testing.assert_array_equal(
        fitted.consensus_label_[unanimous], majority_vote(labels)[unanimous]
    )


@given(problems, st.integers(0, 2**31 - 1), st.sampled_from(METHODS), st.booleans())
@settings(deadline=None, max_examples=60)
def test_tasks_annotators_and_classes_may_be_renumbered(
    problem: Problem, seed: int, method: type[Fusion], with_classifier: bool
) -> None:
    rng = np.random.RandomState(seed)
    new_task = rng.permutation(problem.sizes["num_tasks"])
    new_annotator = rng.permutation(problem.sizes["num_annotators"])
    new_class = rng.permutation(problem.sizes["num_classes"])
    renumbered = MultiannotatorLabels.from_codes(
        new_task[problem.task],
        new_annotator[problem.annotator],
        new_class[problem.label],
        **problem.sizes,
    )
    probs = np.empty_like(problem.pred_probs)
    probs[np.ix_(new_task, new_class)] = problem.pred_probs
    one = method().fit(problem.labels, problem.pred_probs if with_classifier else None)
    two = method().fit(renumbered, probs if with_classifier else None)
    # An update that gains just about a nat may be one too many for the other.
    assume(one.num_iterations_ == two.num_iterations_)
    assert one.log_likelihood_ == pytest.approx(two.log_likelihood_)
    np.testing.assert_allclose(
        one.posterior_, two.posterior_[np.ix_(new_task, new_class)], atol=1e-7
    )
    np.testing.assert_allclose(one.label_quality_, two.label_quality_, atol=1e-7)
    np.testing.assert_allclose(
        one.annotator_quality_, two.annotator_quality_[new_annotator], atol=1e-7
    )


@given(problems, st.sampled_from(METHODS))
@settings(deadline=None, max_examples=40)
def test_what_follows_from_the_posterior(problem: Problem, method: type[Fusion]) -> None:
    labels = problem.labels
    fitted = method().fit(labels)
    np.testing.assert_array_equal(
        fitted.label_quality_, fitted.posterior_[problem.task, problem.label]
    )
    rows = fitted.num_annotations_ > 0
    largest = fitted.posterior_[rows].max(axis=1)
    np.testing.assert_allclose(fitted.consensus_quality_score_[rows], largest, atol=1e-9)
    for annotator in range(labels.num_annotators):
        mine = fitted.label_quality_[problem.annotator == annotator]
        if mine.size:
            assert fitted.annotator_quality_[annotator] == pytest.approx(mine.mean())
    stats = fitted.annotator_stats_
    assert stats.columns.tolist() == Crowdlab().fit(labels).annotator_stats_.columns.tolist()
    assert stats["annotator_quality"].dropna().is_monotonic_increasing


def test_equal_evidence_is_decided_by_majority_vote() -> None:
    """Two against two of the same skill: the frequent class, whatever rounding says."""
    labels = MultiannotatorLabels.from_codes(
        [0, 0, 1, 1, 2, 2], [0, 1, 0, 1, 0, 1], [1, 0, 0, 1, 1, 1]
    )
    fitted = OneCoin().fit(labels)
    assert fitted.posterior_[0, 0] == pytest.approx(0.5)
    assert fitted.consensus_label_[:2].tolist() == majority_vote(labels)[:2].tolist() == [1, 1]


@pytest.mark.parametrize("method", METHODS)
def test_is_deterministic_and_leaves_inputs_alone(method: type[Fusion]) -> None:
    probs = np.random.RandomState(0).dirichlet(np.ones(3), size=600)
    truth = np.where(np.arange(600) < 50, INDEPENDENT.truth, -1)
    kept = probs.copy(), truth.copy()
    one = method().fit(INDEPENDENT.labels, probs, truth)
    two = method().fit(INDEPENDENT.labels, probs, truth)
    np.testing.assert_array_equal(one.posterior_, two.posterior_)
    np.testing.assert_array_equal(probs, kept[0])
    np.testing.assert_array_equal(truth, kept[1])


@pytest.mark.parametrize("method", METHODS)
def test_is_a_scikit_learn_estimator(method: type[Fusion]) -> None:
    copy = clone(method(max_iter=7))
    assert copy.get_params() == {"max_iter": 7, "min_gain": 1.0}


@pytest.mark.parametrize("method", METHODS)
def test_documented_defaults(method: type[Fusion]) -> None:
    documented = re.findall(r"(\w+) : .*, default (\S+)$", str(method.__doc__), re.M)
    parameters = inspect.signature(method).parameters
    assert [name for name, _ in documented] == list(parameters)
    for name, default in documented:
        assert ast.literal_eval(default) == parameters[name].default


@pytest.mark.parametrize("method", METHODS)
def test_example(method: type[Fusion]) -> None:
    results = doctest.testmod(sys.modules[method.__module__])
    assert results.attempted > 0
    assert results.failed == 0


def test_redundancies_are_midpoints() -> None:
    assert REDUNDANCIES.mean() == pytest.approx(0.5)
    np.testing.assert_allclose(np.diff(REDUNDANCIES), 0.1)
