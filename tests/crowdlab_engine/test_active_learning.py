import ast
import inspect
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from crowdlab_engine import MultiannotatorLabels, active_learning_scores
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
