import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crowdlab_engine import MultiannotatorLabels, majority_vote
from crowdlab_engine import block as block_module
from crowdlab_engine.annotators import annotator_sums
from crowdlab_engine.block import Block
from crowdlab_engine.posterior import (
    best_quality,
    most_probable,
    posterior,
    posterior_of,
    scores,
)
from crowdlab_engine.statistics import statistics
from crowdlab_engine.weights import Weights, weights
from tests.crowdlab_engine.golden import Golden
from tests.crowdlab_engine.problems import Problem, problems


def test_equal_maxima_go_to_the_majority() -> None:
    probs = np.array([[0.4, 0.4, 0.2], [0.1, 0.2, 0.7]])
    assert best_quality(probs, np.array([2, 0])).tolist() == [2, 2]


def test_posterior_is_the_weighted_mean_of_the_paper() -> None:
    golden = Golden("g02_k3_sparse")
    labels, probs = golden.labels(), golden.pred_probs
    fitted = weights(statistics(Block.of(labels, probs), majority_vote(labels, probs)))
    expected = np.empty_like(probs)
    for task in range(labels.num_tasks):
        mine = np.flatnonzero(labels.task == task)
        votes = np.where(
            labels.label[mine, None] == np.arange(3), fitted.agreement, fitted.disagreement
        )
        expected[task] = np.average(
            np.vstack([probs[task], votes]),
            axis=0,
            weights=[*fitted.model, *fitted.annotator[labels.annotator[mine]]],
        )
    np.testing.assert_allclose(
        posterior(labels, Block.of(labels, probs).pred_probs, fitted), expected, rtol=0, atol=1e-14
    )


def coarse(problem: Problem, num_models: int) -> np.ndarray | None:
    """Predictions with many exact ties, of so many models."""
    if not num_models:
        return None
    rounded = np.round(problem.pred_probs * 4) + 0.5
    models = np.stack([np.roll(rounded, shift, axis=1) for shift in range(num_models)])
    models /= models.sum(axis=2, keepdims=True)
    return models[0] if num_models == 1 else models


@pytest.mark.parametrize("few_labels", [12, 0])
@given(
    problem=problems,
    num_models=st.integers(0, 3),
    is_coarse=st.booleans(),
    agreement=st.floats(0, 1),
    seed=st.integers(0, 2**31 - 1),
)
@settings(deadline=None, max_examples=80)
def test_shortcuts_equal_the_whole_posterior(
    few_labels: int, problem: Problem, num_models: int, is_coarse: bool, agreement: float, seed: int
) -> None:
    labels = problem.labels
    rng = np.random.RandomState(seed)
    probs = coarse(problem, num_models)
    if not is_coarse and num_models == 1:
        probs = problem.pred_probs
    num_classes = labels.num_classes
    given_weights = Weights(
        model=rng.choice([1e-6, 0.5, 1.0, 2.0], num_models),
        annotator=rng.choice([1e-6, 0.25, 0.5, 1.0], labels.num_annotators),
        agreement=agreement,
        disagreement=(1 - agreement) / max(1, num_classes - 1),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(block_module, "FEW_LABELS", few_labels)
        patch.setattr("crowdlab_engine.posterior.FEW_LABELS", few_labels)
        block = Block.of(labels, probs)
        majority = majority_vote(labels)
        whole = posterior(labels, block.pred_probs, given_weights)
        labelled = labels.num_annotations > 0

        probable = most_probable(block, given_weights, majority)
        expected = best_quality(whole[labelled], majority[labelled])
        np.testing.assert_array_equal(probable[labelled], expected)
        np.testing.assert_array_equal(probable[~labelled], majority[~labelled])

        consensus = np.where(labelled, rng.randint(num_classes, size=labels.num_tasks), -1)
        found = scores(block, given_weights, consensus)
        rows = np.arange(labels.num_tasks)
        np.testing.assert_array_equal(
            found.consensus_quality[labelled], whole[rows, consensus][labelled]
        )
        np.testing.assert_array_equal(found.label_quality, whole[labels.task, labels.label])
        assert np.isnan(found.consensus_quality[~labelled]).all()
        agrees = labels.label == consensus[labels.task]
        np.testing.assert_array_equal(
            found.num_agreeing, np.bincount(labels.task[agrees], minlength=labels.num_tasks)
        )
        sums = annotator_sums(block, consensus, found.label_quality)
        np.testing.assert_array_equal(found.annotators.agreeing, sums.agreeing)
        np.testing.assert_allclose(found.annotators.label_quality, sums.label_quality)


def test_a_favourite_that_nobody_chose_can_win() -> None:
    labels = MultiannotatorLabels.from_codes([0, 0, 1], [0, 1, 0], [0, 1, 0], num_classes=4)
    probs = np.array([[0.0, 0.0, 1.0, 0.0], [0.1, 0.1, 0.4, 0.4]])
    heavy = Weights(np.array([5.0]), np.array([0.5, 0.5]), 0.7, 0.1)
    probable = most_probable(Block.of(labels, probs), heavy, np.array([0, 0]))
    # Of two equal favourites neither is the most probable one: the majority label is.
    assert probable.tolist() == [2, 0]


@given(problems)
def test_the_posterior_of_some_tasks_is_that_of_all(problem: Problem) -> None:
    block = Block.of(problem.labels, problem.pred_probs)
    fitted = weights(statistics(block, majority_vote(problem.labels, problem.pred_probs)))
    whole = posterior(block.labels, block.pred_probs, fitted)
    some = np.arange(0, block.labels.num_tasks, 2)
    np.testing.assert_array_equal(posterior_of(block, fitted, some), whole[some])
