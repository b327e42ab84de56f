import ast
import inspect
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from crowdlab_engine import Crowdlab, MultiannotatorLabels, active_learning_scores
from crowdlab_engine.active_learning import BlockScorer, fit_consensus
from crowdlab_engine.block import Block
from crowdlab_engine.calibration import scale
from crowdlab_engine.statistics import statistics
from tests.crowdlab_engine.abstaining import partly_predicted
from tests.crowdlab_engine.golden import Golden, cases
from tests.crowdlab_engine.problems import Problem, problems


@pytest.mark.parametrize(("name", "call"), cases("al", "al_pool"))
def test_equals_the_reference(name: str, call: str) -> None:
    golden = Golden(name)
    pool = golden.arrays["pred_probs_unlabeled"] if call == "al_pool" else None
    scores = active_learning_scores(
        golden.labels(), golden.pred_probs, pool, ties="rare", row_sum_tolerance=np.inf
    )
    np.testing.assert_allclose(scores.labeled, golden.field(call, "labeled"), rtol=0, atol=1e-9)
    if pool is None:
        assert scores.unlabeled.shape == (0,)
    else:
        np.testing.assert_allclose(
            scores.unlabeled, golden.field(call, "unlabeled"), rtol=0, atol=1e-9
        )


@pytest.mark.parametrize(("name", "call"), cases("al_only_unlabeled"))
def test_a_pool_alone_equals_the_reference(name: str, call: str) -> None:
    golden = Golden(name)
    scores = active_learning_scores(
        None, pred_probs_unlabeled=golden.arrays["pred_probs_unlabeled"], ties="rare"
    )
    assert scores.labeled.shape == (0,)
    np.testing.assert_allclose(scores.unlabeled, golden.field(call, "unlabeled"), rtol=0, atol=1e-9)


LABELS = MultiannotatorLabels.from_codes([0, 0, 1, 1], [0, 1, 0, 1], [0, 0, 1, 0])
PROBS = np.array([[0.7, 0.3], [0.4, 0.6]])


def test_an_ensemble_of_one_model_is_that_model() -> None:
    pool = np.array([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]])
    alone = active_learning_scores(LABELS, PROBS, pool)
    ensemble = active_learning_scores(LABELS, PROBS[None], pool[None])
    np.testing.assert_allclose(ensemble.labeled, alone.labeled, rtol=0, atol=1e-12)
    np.testing.assert_allclose(ensemble.unlabeled, alone.unlabeled, rtol=0, atol=1e-12)


def test_tasks_without_labels_score_as_in_the_pool() -> None:
    golden = Golden("g21_al_unlabeled")
    labels, pool = golden.labels(), golden.arrays["pred_probs_unlabeled"]
    with_pool = active_learning_scores(labels, golden.pred_probs, pool)
    together = MultiannotatorLabels.from_codes(
        labels.task,
        labels.annotator,
        labels.label,
        num_tasks=labels.num_tasks + len(pool),
        num_classes=labels.num_classes,
    )
    scores = active_learning_scores(together, np.vstack([golden.pred_probs, pool]))
    np.testing.assert_allclose(scores.labeled, np.concatenate(with_pool), rtol=0, atol=1e-12)


def test_without_pred_probs_annotators_count_alone() -> None:
    labels = MultiannotatorLabels.from_codes([0, 0, 0, 1], [0, 1, 2, 0], [0, 0, 0, 1], num_tasks=3)
    scores = active_learning_scores(labels).labeled
    assert scores[0] > scores[1] > scores[2]
    assert scores[2] == 1 / 2


@pytest.mark.parametrize(
    ("labels", "pred_probs", "pool", "error", "message"),
    [
        (None, None, None, ValueError, "nothing to score"),
        (None, PROBS, None, ValueError, "pred_probs are given without labels"),
        (LABELS, None, PROBS, ValueError, "without pred_probs of the labelled tasks"),
        (LABELS, PROBS, np.ones((3, 1)), ValueError, "1 classes but the labelled tasks have 2"),
        (LABELS, PROBS, PROBS[None].repeat(2, 0), ValueError, "of 1 models .* of 2"),
        (LABELS, PROBS, PROBS * 2, ValueError, "pred_probs_unlabeled of row 0 are not within"),
        (LABELS, PROBS[None], np.ones((1, 1)) * np.nan, ValueError, "1 classes"),
        (None, None, [0.5, 0.5], ValueError, r"pred_probs_unlabeled has shape \(2,\)"),
        (None, None, np.empty((0, 3, 2)), ValueError, r"has shape \(0, 3, 2\)"),
        (np.zeros((2, 2)), PROBS, None, TypeError, "labels is a ndarray"),
    ],
)
def test_refuses(
    labels: Any, pred_probs: Any, pool: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        active_learning_scores(labels, pred_probs, pool)


def test_documented_defaults() -> None:
    documented = dict(
        re.findall(r"(\w+) : .*, default (\S+)$", str(active_learning_scores.__doc__), re.M)
    )
    parameters = inspect.signature(active_learning_scores).parameters
    assert {name: ast.literal_eval(default) for name, default in documented.items()} == {
        name: parameter.default
        for name, parameter in parameters.items()
        if parameter.default not in (None, inspect.Parameter.empty)
    }


@given(problems)
@settings(deadline=None, max_examples=60)
def test_scores_are_probabilities_and_inputs_are_left_alone(problem: Problem) -> None:
    probs = problem.pred_probs.copy()
    probs.setflags(write=False)
    for scores in (
        *active_learning_scores(problem.labels, probs, probs),
        *active_learning_scores(problem.labels, np.stack([probs, probs[::-1]]), probs[[[0], [0]]]),
        active_learning_scores(problem.labels).labeled,
    ):
        assert ((scores >= 0) & (scores <= 1 + 1e-12)).all()


@given(problems)
@settings(deadline=None, max_examples=60)
def test_scores_of_blocks_are_those_of_all_tasks(problem: Problem) -> None:
    labels = problem.labels
    fitted = fit_consensus(
        labels, problem.pred_probs, ties="frequent", random_state=0, row_sum_tolerance=np.inf
    )
    probs = problem.pred_probs
    if fitted.calibrate_probs:
        probs = scale(probs, float(np.atleast_1d(fitted.temperature_)[0]))
    expected = active_learning_scores(labels, problem.pred_probs, row_sum_tolerance=np.inf).labeled
    consensus = fitted.consensus_label_
    scorer = BlockScorer.of(statistics(Block.of(labels, probs), consensus))
    has_label = np.bincount(labels.annotator, minlength=labels.num_annotators) > 0
    if not has_label.all():
        return  # the sums of the service hold only annotators who have labelled
    parts = []
    for start in range(0, labels.num_tasks, 3):
        some = slice(start, start + 3)
        is_in = (labels.task >= start) & (labels.task < start + 3)
        block = MultiannotatorLabels.from_codes(
            labels.task[is_in] - start,
            labels.annotator[is_in],
            labels.label[is_in],
            num_tasks=len(consensus[some]),
            num_annotators=labels.num_annotators,
            num_classes=labels.num_classes,
        )
        quality = fitted.consensus_quality_score_[some]
        parts.append(scorer.scores(block, consensus[some], quality, probs[some]))
    np.testing.assert_allclose(np.concatenate(parts), expected, rtol=0, atol=1e-12)


def test_labels_that_are_not_heard_are_asked_for_once_more() -> None:
    labels = MultiannotatorLabels.from_codes(
        [0, 0, 1, 1, 2, 2, 3, 3], [0, 1, 0, 2, 0, 1, 1, 2], [0, 0, 1, 0, 1, 1, 0, 1]
    )
    fitted = Crowdlab().fit(labels)
    scorer = BlockScorer.of(statistics(Block.of(labels), fitted.consensus_label_))
    given_ = (labels, fitted.consensus_label_, fitted.consensus_quality_score_)
    all_heard = scorer.scores(*given_)
    without_1 = scorer.scores(*given_, is_heard=np.array([True, False, True]))
    np.testing.assert_array_equal(without_1[1], all_heard[1])
    assert (without_1[[0, 2]] < all_heard[[0, 2]]).all()


def test_block_scores_refuse_other_models() -> None:
    scorer = BlockScorer.of(statistics(Block.of(LABELS, PROBS), np.array([0, 0])))
    with pytest.raises(ValueError, match="the weights are of 1 models and pred_probs of 0"):
        scorer.scores(LABELS, np.array([0, 0]), np.array([0.9, 0.9]))
    with pytest.raises(ValueError, match=r"row 0 .* do not sum to 1"):
        scorer.scores(LABELS, np.array([0, 0]), np.array([0.9, 0.9]), PROBS * 0.5)


def test_block_scores_where_classifiers_are_silent() -> None:
    crowd = partly_predicted()
    fitted = Crowdlab(may_abstain=True).fit(crowd.labels, crowd.partial)
    block = Block.of(crowd.labels, crowd.partial, may_abstain=True)
    scorer = BlockScorer.of(statistics(block, fitted.consensus_label_))
    quality = fitted.consensus_quality_score_
    scores = scorer.scores(crowd.labels, fitted.consensus_label_, quality, crowd.partial)
    # A task of which the second classifier says nothing: what was said comes from the others.
    task = int(np.flatnonzero(crowd.is_silent & (crowd.labels.num_annotations == 0))[0])
    weight = fitted.model_weight_[0]
    largest = crowd.partial[0, task].max()
    expected = (largest * weight + scorer.newcomer / 3) / (weight + scorer.newcomer)
    assert scores[task] == pytest.approx(expected)
    unknown = np.full_like(crowd.partial, np.nan)
    assert scorer.scores(crowd.labels, fitted.consensus_label_, quality, unknown)[
        task
    ] == pytest.approx(1 / 3)
