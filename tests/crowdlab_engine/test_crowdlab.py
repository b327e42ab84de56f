import ast
import inspect
import json
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from crowdlab_engine import Crowdlab, MultiannotatorLabels, majority_vote
from crowdlab_engine.weights import MIN_WEIGHT
from tests.crowdlab_engine.abstaining import partly_predicted
from tests.crowdlab_engine.golden import FOLDER, Golden, cases
from tests.crowdlab_engine.problems import Problem, problems

CALLS: dict[str, dict[str, Any]] = {
    "best_quality": {},
    "majority": {"consensus_method": "majority_vote"},
    "calibrated": {"calibrate_probs": True},
    "agreement": {"quality_method": "agreement"},
    "agreement_mv": {"quality_method": "agreement", "consensus_method": "majority_vote"},
    "margin": {"label_score": "normalized_margin"},
    "entropy": {"label_score": "confidence_weighted_entropy"},
    "adjusted": {"adjust_pred_probs": True},
    "ens": {},
    "ens_calibrated": {"calibrate_probs": True},
}


@pytest.mark.parametrize(("name", "call"), cases(*CALLS))
def test_equals_the_reference(name: str, call: str) -> None:
    golden = Golden(name)
    fitted = Crowdlab(
        **CALLS[call],
        ties="rare",
        row_sum_tolerance=np.inf if name == "g30_unnormalised_probs" else 1e-3,
    ).fit(golden.labels(), golden.pred_probs)
    stats = fitted.annotator_stats_
    by_index = stats.sort_index()
    has_data = by_index["enough_data"].to_numpy()
    tolerance = 1e-8 if call == "entropy" else 1e-9

    np.testing.assert_array_equal(fitted.consensus_label_, golden.field(call, "consensus_label"))
    np.testing.assert_array_equal(fitted.num_annotations_, golden.arrays["num_annotations"])
    for ours, field in [
        (fitted.consensus_quality_score_, "consensus_quality_score"),
        (fitted.annotator_agreement_, "annotator_agreement"),
        (fitted.label_quality_, "detailed"),
        (by_index["agreement_with_consensus"], "agreement_with_consensus"),
    ]:
        np.testing.assert_allclose(
            ours, golden.field(call, field), rtol=0, atol=tolerance, err_msg=field
        )
    if golden.calls[call]["params"].get("return_weights"):
        expected = golden.field(call, "model_weight")
        assert np.shape(fitted.model_weight_) == expected.shape
        np.testing.assert_allclose(fitted.model_weight_, expected, rtol=0, atol=1e-9)
        np.testing.assert_allclose(
            fitted.annotator_weight_, golden.field(call, "annotator_weight"), rtol=0, atol=1e-9
        )
    for field in ("worst_class", "num_examples_labeled"):
        np.testing.assert_array_equal(by_index[field], golden.field(call, field))

    # Where the reference has no number, we have one, and say that it rests on too little.
    expected = golden.field(call, "annotator_quality")
    np.testing.assert_array_equal(~has_data, np.isnan(expected))
    assert by_index["annotator_quality"].notna().all()
    np.testing.assert_allclose(
        by_index["annotator_quality"][has_data], expected[has_data], rtol=0, atol=tolerance
    )
    order = golden.field(call, "stats_order")
    np.testing.assert_array_equal(stats.index[stats["enough_data"]], order[has_data[order]])


@pytest.mark.parametrize(("name", "_"), cases("calibrated", "ens_calibrated"))
def test_temperature_equals_the_reference(name: str, _: str) -> None:
    golden = Golden(name)
    fitted = Crowdlab(calibrate_probs=True, ties="rare", row_sum_tolerance=np.inf).fit(
        golden.labels(), golden.pred_probs
    )
    np.testing.assert_array_equal(
        np.atleast_1d(fitted.temperature_), golden.arrays["temperature_intcounts"]
    )


def test_some_reference_case_has_annotators_without_enough_data() -> None:
    assert np.isnan(Golden("g08_isolated_annotators").field("majority", "annotator_quality")).any()


def test_tutorial() -> None:
    expected = json.loads((FOLDER / "tutorial_expected.json").read_text())
    with np.load(FOLDER / "tutorial.npz") as stored:
        tutorial = dict(stored)
    wide = pd.DataFrame(tutorial["labels"], columns=tutorial["annotator_ids"])
    labels = MultiannotatorLabels.from_wide(wide.where(wide >= 0))
    truth = tutorial["true_labels"]
    fitted = Crowdlab(ties="rare").fit(labels, tutorial["pred_probs"])
    majority = majority_vote(labels, ties="rare")

    assert (majority == truth).mean() == pytest.approx(0.8581, abs=5e-5)
    assert (majority == truth).mean() == expected["acc_majority"]
    assert (fitted.consensus_label_ == truth).mean() == pytest.approx(0.9797, abs=5e-5)
    assert (fitted.consensus_label_ == truth).mean() == expected["acc_cleanlab"]
    assert fitted.annotator_stats_.index.tolist() == tutorial["annotator_stats_order"].tolist()
    assert (majority_vote(labels) == truth).mean() == pytest.approx(0.9054, abs=5e-5)


@pytest.mark.parametrize(
    ("ties", "of_majority", "of_consensus"),
    [("frequent", 0.9054, 0.9764), ("rare", 0.8581, 0.9797)],
)
def test_tutorial_from_features_to_consensus(
    ties: Any, of_majority: float, of_consensus: float
) -> None:
    with np.load(FOLDER / "tutorial.npz") as stored:
        tutorial = dict(stored)
    wide = pd.DataFrame(tutorial["labels"], columns=tutorial["annotator_ids"])
    labels = MultiannotatorLabels.from_wide(wide.where(wide >= 0))
    truth = tutorial["true_labels"]
    majority = majority_vote(labels, ties=ties)
    probs = cross_val_predict(
        LogisticRegression(), tutorial["X"], majority, cv=5, method="predict_proba"
    )
    fitted = Crowdlab(ties=ties).fit(labels, probs)
    assert (majority == truth).mean() == pytest.approx(of_majority, abs=5e-5)
    assert (fitted.consensus_label_ == truth).mean() == pytest.approx(of_consensus, abs=5e-5)
    worst = ["A0050", "A0047", "A0049", "A0046", "A0048"]
    assert fitted.annotator_stats_.index[:5].tolist() == worst


def test_documented_defaults() -> None:
    documented = re.findall(r"(\w+) : .*, default (\S+)$", str(Crowdlab.__doc__), re.M)
    parameters = inspect.signature(Crowdlab).parameters
    assert [name for name, _ in documented] == list(parameters)
    for name, default in documented:
        assert ast.literal_eval(default) == parameters[name].default


def test_is_a_scikit_learn_estimator() -> None:
    copy = clone(Crowdlab("majority_vote", ties="rare", random_state=3))
    assert copy.get_params() == {
        "consensus_method": "majority_vote",
        "quality_method": "crowdlab",
        "calibrate_probs": False,
        "label_score": "self_confidence",
        "adjust_pred_probs": False,
        "ties": "rare",
        "random_state": 3,
        "row_sum_tolerance": 1e-3,
        "may_abstain": False,
        "keep_posterior": False,
    }


LABELS = MultiannotatorLabels.from_codes([0, 0, 1, 1], [0, 1, 0, 1], [0, 0, 1, 0])
PROBS = np.array([[0.7, 0.3], [0.4, 0.6]])


@pytest.mark.parametrize(
    ("parameters", "labels", "pred_probs", "error", "message"),
    [
        ({}, np.zeros((2, 2)), None, TypeError, "labels is a ndarray: build it with"),
        ({"consensus_method": "mean"}, LABELS, None, ValueError, "consensus_method is 'mean'"),
        ({"quality_method": "votes"}, LABELS, None, ValueError, "quality_method is 'votes'"),
        ({"label_score": "margin"}, LABELS, None, ValueError, "the label score is 'margin'"),
        ({"ties": "none"}, LABELS, None, ValueError, "ties is 'none'"),
        ({"random_state": None}, LABELS, None, TypeError, "random_state is None"),
        (
            {},
            MultiannotatorLabels.from_codes([], [], [], num_tasks=4, num_classes=2),
            None,
            ValueError,
            "none of the 4 tasks has a label",
        ),
        ({}, LABELS, PROBS[:1], ValueError, r"pred_probs has shape \(1, 2\)"),
        ({}, LABELS, PROBS * 0.99, ValueError, "row 0 .* do not sum to 1"),
        ({}, LABELS, PROBS * np.nan, ValueError, "row 0 .* are not finite"),
    ],
)
def test_refuses(
    parameters: dict[str, Any],
    labels: Any,
    pred_probs: Any,
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        Crowdlab(**parameters).fit(labels, pred_probs)


def test_unlabelled_tasks_have_the_prediction_of_the_classifier() -> None:
    labels = MultiannotatorLabels.from_codes([1, 1], [0, 1], [0, 0], num_tasks=3, num_classes=2)
    probs = np.array([[0.3, 0.7], [0.6, 0.4], [0.5, 0.5]])
    fitted = Crowdlab(keep_posterior=True).fit(labels, probs)
    assert fitted.consensus_label_.tolist() == [1, 0, 0]
    np.testing.assert_array_equal(fitted.consensus_quality_score_[[0, 2]], [0.7, 0.5])
    np.testing.assert_array_equal(fitted.posterior_[[0, 2]], probs[[0, 2]])
    np.testing.assert_array_equal(fitted.annotator_agreement_, [np.nan, 1, np.nan])
    assert fitted.num_annotations_.tolist() == [0, 2, 0]


def test_unlabelled_tasks_do_not_change_the_others() -> None:
    golden = Golden("g02_k3_sparse")
    labels = golden.labels()
    alone = Crowdlab(keep_posterior=True).fit(labels, golden.pred_probs)
    more = MultiannotatorLabels.from_codes(
        labels.task, labels.annotator, labels.label, num_tasks=labels.num_tasks + 50
    )
    probs = np.vstack([golden.pred_probs, np.full((50, 3), 1 / 3)])
    with_pool = Crowdlab(keep_posterior=True).fit(more, probs)
    assert with_pool.model_weight_ == alone.model_weight_
    np.testing.assert_array_equal(with_pool.posterior_[: labels.num_tasks], alone.posterior_)
    pd.testing.assert_frame_equal(with_pool.annotator_stats_, alone.annotator_stats_)


def test_without_pred_probs_annotators_decide_alone() -> None:
    labels = MultiannotatorLabels.from_codes(
        [0, 0, 0, 1, 1, 2, 2, 2], [0, 1, 2, 0, 1, 0, 1, 2], [0, 0, 1, 1, 1, 2, 2, 2], num_tasks=4
    )
    fitted = Crowdlab(keep_posterior=True).fit(labels)
    assert fitted.model_weight_ == 0
    assert fitted.consensus_label_.tolist() == [0, 1, 2, -1]
    np.testing.assert_array_equal(np.isnan(fitted.consensus_quality_score_), [0, 0, 0, 1])
    assert np.isnan(fitted.posterior_[3]).all()
    quality = fitted.annotator_stats_["annotator_quality"]
    assert quality.to_dict() == {2: 0.5, 0: 1.0, 1: 1.0}


def test_annotators_without_labels_change_nothing() -> None:
    golden = Golden("g02_k3_sparse")
    labels = golden.labels()
    alone = Crowdlab(keep_posterior=True).fit(labels, golden.pred_probs)
    more = MultiannotatorLabels.from_codes(
        labels.task, labels.annotator, labels.label, num_annotators=labels.num_annotators + 9
    )
    fitted = Crowdlab(keep_posterior=True).fit(more, golden.pred_probs)
    np.testing.assert_array_equal(fitted.posterior_, alone.posterior_)
    pd.testing.assert_frame_equal(fitted.annotator_stats_[:-9], alone.annotator_stats_)
    idle = fitted.annotator_stats_[-9:]
    assert idle["annotator_quality"].isna().all()
    assert (idle["worst_class"] == -1).all()
    assert not idle["enough_data"].any()


@pytest.mark.parametrize("probs", [None, np.array([[0.7, 0.3], [0.4, 0.6], [0.2, 0.8]])])
def test_single_labels_are_taken_at_their_word(probs: np.ndarray | None) -> None:
    labels = MultiannotatorLabels.from_codes([0, 1, 2], [0, 0, 1], [0, 0, 1])
    fitted = Crowdlab().fit(labels, probs)
    assert fitted.consensus_label_.tolist() == [0, 0, 1]
    assert fitted.annotator_weight_.tolist() == [1, 1]
    assert fitted.model_weight_ == (0 if probs is None else 1)
    expected = [1, 1, 1] if probs is None else [(0.7 + 1) / 2, (0.4 + 1) / 2, (0.8 + 1) / 2]
    np.testing.assert_allclose(fitted.consensus_quality_score_, expected)
    stats = fitted.annotator_stats_
    assert not stats["enough_data"].any()
    np.testing.assert_allclose(
        stats.sort_index()["annotator_quality"], [np.mean(expected[:2]), expected[2]]
    )


def test_one_annotator() -> None:
    fitted = Crowdlab().fit(MultiannotatorLabels.from_codes([0, 1], [0, 0], [0, 1]), PROBS)
    assert fitted.consensus_label_.tolist() == [0, 1]
    assert fitted.annotator_stats_["annotator_quality"].notna().all()


@pytest.mark.parametrize("probs", [None, np.ones((2, 1))])
def test_one_class(probs: np.ndarray | None) -> None:
    fitted = Crowdlab().fit(MultiannotatorLabels.from_codes([0, 0, 1], [0, 1, 0], [0] * 3), probs)
    assert fitted.consensus_label_.tolist() == [0, 0]
    assert fitted.consensus_quality_score_.tolist() == [1, 1]


def test_every_task_tied() -> None:
    labels = MultiannotatorLabels.from_codes([0, 0, 1, 1], [0, 1, 0, 1], [0, 1, 1, 0])
    fitted = Crowdlab().fit(labels)
    np.testing.assert_array_equal(fitted.consensus_label_, majority_vote(labels))
    np.testing.assert_allclose(fitted.annotator_weight_, MIN_WEIGHT)


def test_rounding_of_pred_probs_does_not_lead_out_of_bounds() -> None:
    probs = np.array([[1 + 1e-7, -1e-7], [1 + 1e-7, -1e-7]])
    labels = MultiannotatorLabels.from_codes([0, 0], [0, 1], [0, 0], num_tasks=2, num_classes=2)
    fitted = Crowdlab(keep_posterior=True).fit(labels, probs)
    assert fitted.posterior_.tolist() == [[1, 0], [1, 0]]


@given(problems, st.booleans())
@settings(deadline=None, max_examples=60)
def test_scores_are_defined_and_within_bounds(problem: Problem, has_probs: bool) -> None:
    labels = problem.labels
    fitted = Crowdlab().fit(labels, problem.pred_probs if has_probs else None)
    has_consensus = (labels.num_annotations > 0) | has_probs
    np.testing.assert_array_equal(fitted.consensus_label_ >= 0, has_consensus)
    np.testing.assert_array_equal(~np.isnan(fitted.consensus_quality_score_), has_consensus)
    np.testing.assert_array_equal(
        ~np.isnan(fitted.annotator_agreement_), labels.num_annotations > 0
    )
    stats = fitted.annotator_stats_
    assert stats["annotator_quality"][stats["num_examples_labeled"] > 0].notna().all()
    for scores in (
        fitted.consensus_quality_score_[has_consensus],
        fitted.label_quality_,
        stats["annotator_quality"].dropna(),
    ):
        assert ((scores >= 0) & (scores <= 1 + 1e-12)).all()
    assert fitted.consensus_label_.dtype == np.int64
    assert ((fitted.annotator_weight_ >= MIN_WEIGHT) & (fitted.annotator_weight_ <= 1)).all()


@given(problems)
@settings(deadline=None, max_examples=40)
def test_label_quality_is_in_the_order_of_the_caller(problem: Problem) -> None:
    fitted = Crowdlab(keep_posterior=True).fit(problem.labels, problem.pred_probs)
    np.testing.assert_array_equal(
        fitted.label_quality_, fitted.posterior_[problem.task, problem.label]
    )


@given(problems)
@settings(deadline=None, max_examples=40)
def test_inputs_are_left_alone(problem: Problem) -> None:
    inputs = (problem.task, problem.annotator, problem.label, problem.pred_probs)
    copies = [array.copy() for array in inputs]
    for array in inputs:
        array.setflags(write=False)
    Crowdlab().fit(problem.labels, problem.pred_probs)
    for array, copy in zip(inputs, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


@given(problems, st.integers(0, 2**31 - 1))
@settings(deadline=None, max_examples=60)
def test_renumbered_tasks_annotators_and_classes_give_the_same_results(
    problem: Problem, seed: int
) -> None:
    rng = np.random.RandomState(seed)
    new_task = rng.permutation(problem.sizes["num_tasks"])
    new_annotator = rng.permutation(problem.sizes["num_annotators"])
    new_class = rng.permutation(problem.sizes["num_classes"])
    labels, probs = problem.labels, problem.pred_probs
    probs_permuted = np.empty_like(probs)
    probs_permuted[new_task[:, None], new_class] = probs
    permuted = MultiannotatorLabels.from_codes(
        new_task[problem.task],
        new_annotator[problem.annotator],
        new_class[problem.label],
        **problem.sizes,
    )
    one = Crowdlab(keep_posterior=True).fit(labels, probs)
    two = Crowdlab(keep_posterior=True).fit(permuted, probs_permuted)
    # Where the best two classes differ by rounding only, the order of additions decides.
    best = np.sort(one.posterior_, axis=1)[:, -2:]
    assume(best.shape[1] == 1 or (best[:, 1] - best[:, 0] > 1e-9).all())

    np.testing.assert_array_equal(new_class[one.consensus_label_], two.consensus_label_[new_task])
    np.testing.assert_allclose(
        one.posterior_, two.posterior_[new_task[:, None], new_class], atol=1e-9
    )
    np.testing.assert_allclose(one.label_quality_, two.label_quality_, atol=1e-9)
    np.testing.assert_allclose(one.model_weight_, two.model_weight_, atol=1e-9)
    np.testing.assert_allclose(
        one.annotator_weight_, two.annotator_weight_[new_annotator], atol=1e-9
    )
    np.testing.assert_allclose(
        one.annotator_stats_.sort_index()["annotator_quality"],
        two.annotator_stats_.sort_index()["annotator_quality"].to_numpy()[new_annotator],
        atol=1e-9,
    )


def ensemble_of(problem: Problem) -> np.ndarray:
    return np.stack([problem.pred_probs, problem.pred_probs[::-1]])


@given(problems, st.sampled_from(["crowdlab", "agreement"]), st.integers(0, 2), st.booleans())
@settings(deadline=None, max_examples=80)
def test_explanations_add_up_to_the_posterior(
    problem: Problem, quality_method: Any, num_models: int, calibrate: bool
) -> None:
    labels = problem.labels
    probs = [None, problem.pred_probs, ensemble_of(problem)][num_models]
    truth = np.where(np.arange(labels.num_tasks) % 3 == 2, 0, -1)
    fitted = Crowdlab(
        quality_method=quality_method, calibrate_probs=calibrate, keep_posterior=True
    ).fit(labels, probs, ground_truth=truth)
    without = Crowdlab(quality_method=quality_method, calibrate_probs=calibrate).fit(
        labels, probs, ground_truth=truth
    )
    np.testing.assert_allclose(without.label_quality_, fitted.label_quality_, rtol=0, atol=1e-12)
    for task in range(labels.num_tasks):
        parts = without.explain(task)
        if len(parts):
            np.testing.assert_allclose(parts.sum(), fitted.posterior_[task], rtol=0, atol=1e-12)
            assert (parts >= 0).all().all()
        else:
            assert np.isnan(fitted.posterior_[task]).all()


def test_explain_names_models_annotators_and_classes() -> None:
    frame = pd.DataFrame(
        {"task": ["t", "t", "u", "u"], "annotator": ["bob", "ann", "ann", "bob"]}
    ).assign(label=["cat", "dog", "dog", "dog"])
    labels = MultiannotatorLabels.from_long(frame)
    fitted = Crowdlab().fit(labels, np.stack([PROBS, PROBS]))
    parts = fitted.explain("t")
    assert parts.index.tolist() == [
        ("model", 0),
        ("model", 1),
        ("annotator", "ann"),
        ("annotator", "bob"),
    ]
    assert parts.index.names == ["source", "id"]
    assert parts.columns.tolist() == ["cat", "dog"]
    with pytest.raises(KeyError, match="no task 'v'"):
        fitted.explain("v")
    with pytest.raises(NotFittedError):
        Crowdlab().explain("t")


def test_the_posterior_is_kept_on_request_only() -> None:
    assert not hasattr(Crowdlab().fit(LABELS, PROBS), "posterior_")
    estimator = Crowdlab(keep_posterior=True).fit(LABELS, PROBS)
    assert estimator.posterior_.shape == (2, 2)
    assert not hasattr(estimator.set_params(keep_posterior=False).fit(LABELS, PROBS), "posterior_")


def test_an_ensemble_averages_its_models() -> None:
    golden = Golden("g02_k3_sparse")
    labels, probs = golden.labels(), golden.pred_probs
    alone = Crowdlab(keep_posterior=True).fit(labels, probs)
    one = Crowdlab(keep_posterior=True).fit(labels, probs[None])
    np.testing.assert_allclose(one.posterior_, alone.posterior_, rtol=0, atol=1e-12)
    assert one.model_weight_.tolist() == [alone.model_weight_]
    assert one.temperature_.tolist() == [1.0]
    pool = MultiannotatorLabels.from_codes(
        labels.task, labels.annotator, labels.label, num_tasks=labels.num_tasks + 1
    )
    with_unlabelled = np.concatenate([probs, [[0.2, 0.5, 0.3]]])
    two = Crowdlab(keep_posterior=True).fit(pool, np.stack([with_unlabelled] * 2))
    np.testing.assert_allclose(two.posterior_[-1], [0.2, 0.5, 0.3], rtol=0, atol=1e-12)
    assert two.consensus_label_[-1] == 1


def test_agreement_is_the_share_of_annotators() -> None:
    labels = MultiannotatorLabels.from_codes([0, 0, 0, 1], [0, 1, 2, 0], [1, 1, 0, 0], num_tasks=3)
    probs = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]])
    fitted = Crowdlab(quality_method="agreement", keep_posterior=True).fit(labels, probs)
    np.testing.assert_allclose(fitted.posterior_, [[1 / 3, 2 / 3], [1, 0], [0.3, 0.7]])
    np.testing.assert_allclose(fitted.consensus_quality_score_, [2 / 3, 1, 0.7])
    assert fitted.model_weight_ == 0
    assert fitted.annotator_weight_.tolist() == [1, 1, 1]
    quality = fitted.annotator_stats_["annotator_quality"]
    assert quality.to_dict() == {0: 1, 1: 1, 2: 0}


# Annotators 0 and 1 are wrong together wherever annotator 2 is right.
TRUTH = np.array([0, 1, 0, 1, 0, 1])
OUTVOTED = MultiannotatorLabels.from_codes(
    np.repeat(range(6), 3), np.tile(range(3), 6), np.column_stack([1 - TRUTH] * 2 + [TRUTH]).ravel()
)


def test_ground_truth_is_certain() -> None:
    known = np.where(np.arange(6) < 4, TRUTH, -1)
    fitted = Crowdlab(keep_posterior=True).fit(OUTVOTED, ground_truth=known)
    assert fitted.consensus_label_[:4].tolist() == TRUTH[:4].tolist()
    assert fitted.consensus_quality_score_[:4].tolist() == [1] * 4
    np.testing.assert_array_equal(fitted.posterior_[:4], np.eye(2)[TRUTH[:4]])
    np.testing.assert_array_equal(
        fitted.label_quality_[:12], (OUTVOTED.label == TRUTH[OUTVOTED.task])[:12]
    )
    parts = fitted.explain(0)
    assert parts.index.tolist() == [("ground truth", 0)]
    assert parts.to_numpy().tolist() == [[1, 0]]


def test_ground_truth_overrules_the_majority_on_other_tasks() -> None:
    # All agree on six tasks; on the other five, annotators 0 and 1 are wrong together.
    truth = np.array([0, 1] * 3 + [0, 1, 0, 1, 0])
    wrong = np.where(np.arange(11) < 6, truth, 1 - truth)
    labels = MultiannotatorLabels.from_codes(
        np.repeat(range(11), 3),
        np.tile(range(3), 11),
        np.column_stack([wrong, wrong, truth]).ravel(),
    )
    known = np.where(np.arange(11) < 10, truth, -1)
    assert Crowdlab().fit(labels).consensus_label_.tolist() == wrong.tolist()
    fitted = Crowdlab().fit(labels, ground_truth=known)
    assert fitted.annotator_weight_[2] > 2 * fitted.annotator_weight_[:2].max()
    assert fitted.annotator_stats_.index[-1] == 2
    assert fitted.consensus_label_.tolist() == truth.tolist()


def test_ground_truth_judges_the_classifier() -> None:
    known = TRUTH
    good = np.where(np.arange(2) == TRUTH[:, None], 0.9, 0.1)
    right = Crowdlab().fit(OUTVOTED, good, ground_truth=known)
    wrong = Crowdlab().fit(OUTVOTED, 1 - good, ground_truth=known)
    assert right.model_weight_ == pytest.approx(np.sqrt(3))
    assert wrong.model_weight_ == pytest.approx(MIN_WEIGHT * np.sqrt(3))


def test_ground_truth_makes_single_labels_enough_data() -> None:
    labels = MultiannotatorLabels.from_codes([0, 1, 2, 3], [0, 0, 1, 1], [0, 1, 1, 0])
    fitted = Crowdlab().fit(labels, ground_truth=[0, 1, 0, 1])
    stats = fitted.annotator_stats_.sort_index()
    assert stats["enough_data"].all()
    assert stats["annotator_quality"].tolist() == [1, 0]
    assert fitted.annotator_weight_.tolist() == [1, MIN_WEIGHT]


@pytest.mark.parametrize("score", ["normalized_margin", "confidence_weighted_entropy"])
def test_ground_truth_is_certain_by_any_score(score: Any) -> None:
    fitted = Crowdlab(label_score=score).fit(OUTVOTED, ground_truth=TRUTH)
    assert fitted.consensus_quality_score_.tolist() == [1] * 6
    assert set(fitted.label_quality_) == {0, 1}


def test_ground_truth_of_a_task_without_labels() -> None:
    labels = MultiannotatorLabels.from_codes([0, 0], [0, 1], [0, 0], num_tasks=3, num_classes=2)
    fitted = Crowdlab().fit(labels, ground_truth=[-1, 1, -1])
    assert fitted.consensus_label_.tolist() == [0, 1, -1]
    np.testing.assert_array_equal(fitted.consensus_quality_score_, [1, 1, np.nan])


def test_no_ground_truth_changes_nothing() -> None:
    golden = Golden("g02_k3_sparse")
    unknown = np.full(int(golden.arrays["num_tasks"]), -1)
    one = Crowdlab().fit(golden.labels(), golden.pred_probs)
    two = Crowdlab().fit(golden.labels(), golden.pred_probs, ground_truth=unknown)
    np.testing.assert_array_equal(one.label_quality_, two.label_quality_)
    pd.testing.assert_frame_equal(one.annotator_stats_, two.annotator_stats_)


def test_random_ties_are_told() -> None:
    golden = Golden("g31_random_ties")
    fitted = Crowdlab(ties="rare").fit(golden.labels(), golden.pred_probs)
    assert len(fitted.random_ties_) == golden.calls["best_quality"]["random_ties"]
    clear = Golden("g02_k3_sparse")
    assert not len(Crowdlab().fit(clear.labels(), clear.pred_probs).random_ties_)


PROBLEM = Problem(0, 30, 6, 3)


def test_labels_are_predicted_as_the_method_assumes() -> None:
    labels, probs = PROBLEM.labels, PROBLEM.pred_probs
    fitted = Crowdlab(keep_posterior=True).fit(labels, probs)
    task, label = np.array([3, 0, 3]), np.array([1, 0, 2])
    found = np.exp(fitted.label_log_likelihood(task, np.zeros(3, dtype=int), label))
    every = [
        np.exp(fitted.label_log_likelihood([5], [0], [code])) for code in range(labels.num_classes)
    ]
    assert np.sum(every) == pytest.approx(1)
    right = [np.exp(fitted.label_log_likelihood([5], [0], [0]))]
    assert (found[0] < found[2]) == (fitted.posterior_[3, 1] < fitted.posterior_[3, 2])
    assert np.isfinite(right).all()


def test_what_is_known_for_certain_predicts_labels() -> None:
    labels = PROBLEM.labels
    truth = np.full(labels.num_tasks, -1)
    truth[4] = 1
    fitted = Crowdlab().fit(labels, PROBLEM.pred_probs, truth)
    each = [fitted.label_log_likelihood([4], [0], [code])[0] for code in range(labels.num_classes)]
    assert np.argmax(each) == 1
    assert np.ptp(np.delete(each, 1)) < 1e-12


def test_nothing_is_predicted_of_a_task_of_which_nothing_is_known() -> None:
    labels = MultiannotatorLabels.from_codes([0, 0], [0, 1], [1, 1], num_tasks=2)
    assert np.isnan(Crowdlab().fit(labels).label_log_likelihood([1], [0], [0])).all()


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"calibrate_probs": True},
        {"keep_posterior": True},
        {"consensus_method": "majority_vote"},
    ],
)
def test_classifiers_that_do_not_abstain_count_as_ever(parameters: dict[str, Any]) -> None:
    crowd = partly_predicted()
    for probs in (crowd.complete, crowd.complete[0]):
        one = Crowdlab(**parameters).fit(crowd.labels, probs)
        other = Crowdlab(**parameters, may_abstain=True).fit(crowd.labels, probs)
        for name, values in vars(one).items():
            if name.endswith("_") and not isinstance(values, pd.DataFrame):
                np.testing.assert_array_equal(values, getattr(other, name), err_msg=name)
        pd.testing.assert_frame_equal(one.annotator_stats_, other.annotator_stats_)


def test_a_silent_classifier_counts_where_it_speaks_alone() -> None:
    crowd = partly_predicted()
    silent = crowd.is_silent
    fitted = Crowdlab(may_abstain=True, keep_posterior=True).fit(crowd.labels, crowd.partial)
    weight = np.asarray(fitted.model_weight_)
    votes = np.zeros((crowd.labels.num_tasks, 3))
    by_annotators = np.zeros(crowd.labels.num_tasks)
    shared = crowd.labels.num_annotations > 1
    agreement = fitted.annotator_agreement_[shared].mean()
    for task, annotator, label in zip(
        crowd.labels.task, crowd.labels.annotator, crowd.labels.label, strict=True
    ):
        said = np.full(3, (1 - agreement) / 2)
        said[label] = agreement
        votes[task] += fitted.annotator_weight_[annotator] * said
        by_annotators[task] += fitted.annotator_weight_[annotator]
    heard = np.stack([np.ones(len(silent)), ~silent]) * weight[:, None]
    said_by_models = (heard[:, :, None] * np.nan_to_num(crowd.partial)).sum(axis=0)
    expected = (votes + said_by_models) / (by_annotators + heard.sum(axis=0))[:, None]
    np.testing.assert_allclose(fitted.posterior_, expected, atol=1e-12)

    wrong = (crowd.complete[1].argmax(axis=1) != fitted.consensus_label_) & shared
    error = wrong[~silent].sum() / shared[~silent].sum()
    most = np.bincount(fitted.consensus_label_[shared]).max()
    baseline = 1 - most / shared.sum()
    labelled = crowd.labels.num_annotations > 0
    mean_labels = crowd.labels.num_labels / labelled.sum()
    assert weight[1] == pytest.approx((1 - error / baseline) * np.sqrt(mean_labels))


@pytest.mark.parametrize("task", [0, 1])
def test_what_a_silent_classifier_adds_is_nothing(task: int) -> None:
    crowd = partly_predicted()
    probs = crowd.complete.copy()
    probs[0, task] = np.nan
    fitted = Crowdlab(may_abstain=True, keep_posterior=True).fit(crowd.labels, probs)
    shares = fitted.explain(task)
    assert (shares.loc[("model", 0)] == 0).all()
    np.testing.assert_allclose(shares.sum(), fitted.posterior_[task])
    np.testing.assert_allclose(shares.to_numpy().sum(), 1)


def test_nothing_is_known_where_all_are_silent() -> None:
    crowd = partly_predicted()
    probs = crowd.complete[0].copy()
    probs[[0, 1]] = np.nan
    fitted = Crowdlab(may_abstain=True).fit(crowd.labels, probs)
    alone = Crowdlab(may_abstain=True).fit(crowd.labels, np.full_like(probs, np.nan))
    assert fitted.consensus_label_[0] == -1
    assert np.isnan(fitted.consensus_quality_score_[0])
    assert fitted.consensus_label_[1] >= 0
    size = crowd.labels.num_annotations
    assert alone.model_weight_ == pytest.approx(MIN_WEIGHT * np.sqrt(size[size > 0].mean()))
    np.testing.assert_array_equal(
        alone.consensus_quality_score_, Crowdlab().fit(crowd.labels).consensus_quality_score_
    )


def test_half_a_row_of_nan_is_refused() -> None:
    crowd = partly_predicted()
    probs = crowd.complete[0].copy()
    probs[3, 1] = np.nan
    with pytest.raises(ValueError, match=r"row 3 .* are not finite"):
        Crowdlab(may_abstain=True).fit(crowd.labels, probs)
    with pytest.raises(ValueError, match="are not finite"):
        Crowdlab().fit(crowd.labels, crowd.partial)
