import inspect
import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from crowdlab_engine import cleanlab_api
from crowdlab_engine.cleanlab_api import (
    convert_long_to_wide_dataset,
    format_multiannotator_labels,
    get_active_learning_scores,
    get_active_learning_scores_ensemble,
    get_label_quality_multiannotator,
    get_label_quality_multiannotator_ensemble,
    get_majority_vote_label,
)
from tests.crowdlab_engine.golden import FOLDER, NAMES, Golden, cases

QUALITY_CALLS = (
    "best_quality",
    "best_quality_intinput",
    "majority",
    "calibrated",
    "calibrated_intinput",
    "agreement",
    "agreement_intinput",
    "agreement_mv",
    "list_mv_bq",
    "list_bq_mv",
    "margin",
    "margin_no_detail",
    "entropy",
    "adjusted",
    "ens",
    "ens_calibrated",
)
STATS = ["annotator_quality", "agreement_with_consensus", "worst_class", "num_examples_labeled"]
RANDOM_TIES = pytest.mark.filterwarnings("ignore:the majority vote of rows")


def call_quality(golden: Golden, call: str, labels: Any = None) -> dict[str, Any]:
    parameters = dict(golden.calls[call]["params"])
    dtype = parameters.pop("labels_dtype", "float64")
    function: Callable[..., dict[str, Any]] = getattr(cleanlab_api, golden.calls[call]["function"])
    return function(
        golden.wide(dtype) if labels is None else labels, golden.pred_probs, **parameters
    )


@RANDOM_TIES
@pytest.mark.parametrize(("name", "call"), cases(*QUALITY_CALLS))
def test_label_quality_equals_the_reference(
    name: str, call: str, capsys: pytest.CaptureFixture[str]
) -> None:
    golden = Golden(name)
    recorded = golden.calls.get(f"{call}_intcounts", golden.calls[call])
    parameters = recorded["params"]
    answer = call_quality(golden, call)
    tolerance = 1e-8 if call == "entropy" else 1e-9

    notes = recorded.get("note_classes_lost", False) or recorded.get("note_no_overlap", False)
    assert bool(capsys.readouterr().out) == notes

    wants_details = parameters.get("return_detailed_quality", True)
    wants_stats = parameters.get("return_annotator_stats", True)
    wants_weights = parameters.get("return_weights", False)
    assert list(answer) == (
        ["label_quality"]
        + ["detailed_label_quality"] * wants_details
        + ["annotator_stats"] * wants_stats
        + ["model_weight", "annotator_weight"] * wants_weights
    )
    quality = answer["label_quality"]
    methods = parameters.get("consensus_method", "best_quality")
    others = methods[1:] if isinstance(methods, list) else []
    per_method = ["consensus_label", "consensus_quality_score", "annotator_agreement"]
    assert quality.columns.tolist() == [
        *per_method,
        "num_annotations",
        *[f"{column}_{method}" for method in others for column in per_method],
    ]
    assert quality.index.equals(pd.RangeIndex(len(quality)))
    for column in quality:
        is_count = column.startswith("consensus_label") or column == "num_annotations"
        assert quality[column].dtype == (np.int64 if is_count else np.float64)
        expected = (
            golden.arrays["num_annotations"]
            if column == "num_annotations"
            else golden.field(call, column)
        )
        np.testing.assert_allclose(
            quality[column], expected, rtol=0, atol=0 if is_count else tolerance, err_msg=column
        )
    if wants_details:
        details = answer["detailed_label_quality"]
        num_annotators = int(golden.arrays["num_annotators"])
        assert details.columns.tolist() == [
            f"quality_annotator_{number}" for number in range(num_annotators)
        ]
        given = golden.arrays["task_idx"], golden.arrays["annotator_idx"]
        np.testing.assert_allclose(
            details.to_numpy()[given], golden.field(call, "detailed"), rtol=0, atol=tolerance
        )
        assert details.count().sum() == len(given[0])
    if wants_stats:
        stats = answer["annotator_stats"]
        assert stats.columns.tolist() == STATS
        is_overruled = call == "margin_no_detail"  # there, options are lost without details
        if not is_overruled:
            np.testing.assert_array_equal(stats.index, golden.field(call, "stats_order"))
        by_index = stats.sort_index()
        for column in STATS[is_overruled:]:
            np.testing.assert_allclose(
                by_index[column],
                golden.field("margin" if is_overruled else call, column),
                rtol=0,
                atol=tolerance,
                err_msg=column,
            )
        assert stats["worst_class"].dtype == stats["num_examples_labeled"].dtype == np.int64
    if wants_weights and not others:
        np.testing.assert_allclose(
            answer["model_weight"], golden.field(call, "model_weight"), rtol=0, atol=1e-9
        )
        assert isinstance(answer["model_weight"], np.ndarray if golden.is_ensemble else np.float64)
        np.testing.assert_allclose(
            answer["annotator_weight"], golden.field(call, "annotator_weight"), rtol=0, atol=1e-9
        )


@RANDOM_TIES
@pytest.mark.parametrize(("name", "_"), cases("margin_no_detail"))
def test_score_options_count_without_details_too(name: str, _: str) -> None:
    golden = Golden(name)
    pd.testing.assert_frame_equal(
        call_quality(golden, "margin_no_detail")["annotator_stats"],
        call_quality(golden, "margin")["annotator_stats"],
    )


@RANDOM_TIES
@pytest.mark.parametrize(
    ("call", "main"), [("list_mv_bq", "majority"), ("list_bq_mv", "best_quality")]
)
def test_weights_are_those_of_the_first_method(call: str, main: str) -> None:
    golden = Golden("g02_k3_sparse")
    answer = call_quality(golden, call)
    np.testing.assert_allclose(
        answer["model_weight"], golden.field(main, "model_weight"), rtol=0, atol=1e-9
    )
    np.testing.assert_allclose(
        answer["annotator_weight"], golden.field(main, "annotator_weight"), rtol=0, atol=1e-9
    )


@RANDOM_TIES
@pytest.mark.parametrize("name", NAMES)
def test_majority_vote_equals_the_reference(name: str) -> None:
    golden = Golden(name)
    probs = golden.pred_probs.mean(axis=0) if golden.is_ensemble else golden.pred_probs
    vote = get_majority_vote_label(golden.wide(), probs, verbose=False)
    assert vote.dtype == np.int64
    np.testing.assert_array_equal(vote, golden.field("mv", "label"))
    np.testing.assert_array_equal(
        get_majority_vote_label(golden.wide(), verbose=False), golden.field("mv_no_probs", "label")
    )


@RANDOM_TIES
@pytest.mark.parametrize(("name", "call"), cases("al", "al_pool", "al_only_unlabeled"))
def test_active_learning_equals_the_reference(name: str, call: str) -> None:
    golden = Golden(name)
    function = getattr(cleanlab_api, golden.calls[call]["function"])
    pool = None if call == "al" else golden.arrays["pred_probs_unlabeled"]
    given = (None, None) if call == "al_only_unlabeled" else (golden.wide(), golden.pred_probs)
    labeled, unlabeled = function(*given, pool)
    for ours, field in ((labeled, "labeled"), (unlabeled, "unlabeled")):
        expected = golden.field(call, field) if f"{call}/{field}" in golden.arrays else np.empty(0)
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-9)


def test_random_ties_are_named() -> None:
    golden = Golden("g31_random_ties")
    with pytest.warns(UserWarning, match=r"the majority vote of rows \[0, 1, .* 48 in all\]"):
        call_quality(golden, "best_quality")
    with pytest.warns(UserWarning, match="tied by every rule"):
        get_active_learning_scores(golden.wide(), golden.pred_probs)


def test_tutorial_as_written() -> None:
    expected = json.loads((FOLDER / "tutorial_expected.json").read_text())
    with np.load(FOLDER / "tutorial.npz") as stored:
        tutorial = dict(stored)
    wide = pd.DataFrame(tutorial["labels"], columns=tutorial["annotator_ids"])
    wide = wide.where(wide >= 0)
    answer = get_label_quality_multiannotator(wide, tutorial["pred_probs"], verbose=False)
    for column in ("consensus_label", "consensus_quality_score", "annotator_agreement"):
        np.testing.assert_allclose(
            answer["label_quality"][column], tutorial[column], rtol=0, atol=1e-9
        )
    np.testing.assert_allclose(
        answer["detailed_label_quality"], tutorial["detailed_label_quality"], rtol=0, atol=1e-9
    )
    stats = answer["annotator_stats"]
    assert stats.index.tolist() == tutorial["annotator_stats_order"].tolist()
    for column in STATS:
        np.testing.assert_allclose(
            stats.loc[tutorial["annotator_ids"], column], tutorial[column], rtol=0, atol=1e-9
        )
    accuracy = (answer["label_quality"]["consensus_label"] == tutorial["true_labels"]).mean()
    assert accuracy == expected["acc_cleanlab"]


GOOD = np.array([[0, 1, np.nan], [2, 2, 1], [np.nan, 0, 0], [1, 1, 1], [0, 2, 2]], dtype=float)
GOOD_PROBS = np.random.RandomState(0).dirichlet(np.ones(3), size=5)


def bad_labels(kind: str) -> Any:
    match kind:
        case "ok":
            return GOOD
        case "none":
            return None
        case "list":
            return GOOD.tolist()
        case "1d":
            return GOOD[:, 1]
        case "nan_row":
            return np.vstack([GOOD[:4], np.full(3, np.nan)])
        case "nan_col":
            return np.column_stack([GOOD, np.full(5, np.nan)])
        case "nan_col_df":
            return pd.DataFrame(np.column_stack([GOOD, np.full(5, np.nan)]), columns=list("abcd"))
        case "one_col":
            return GOOD[:, [1]]
        case "single":
            return np.array([[0, np.nan], [np.nan, 1], [2, np.nan], [np.nan, 1], [0, np.nan]])
        case "negative":
            return np.where(GOOD == 2, -1, GOOD)
        case "fraction":
            return np.where(GOOD == 2, 1.5, GOOD)
        case "strings_obj":
            return np.where(np.isnan(GOOD), "", "cat").astype(object)
        case "strings_df":
            return pd.DataFrame(np.full((5, 3), "cat"))
        case "obj_none":
            return np.where(np.isnan(GOOD), None, GOOD.astype(object))
    raise AssertionError(kind)


def bad_probs(kind: str) -> Any:
    return {
        "ok": GOOD_PROBS,
        "none": None,
        "list": GOOD_PROBS.tolist(),
        "3d": GOOD_PROBS[None],
        "short": GOOD_PROBS[:4],
        "few_cols": GOOD_PROBS[:, :2],
        "above1": GOOD_PROBS * 5,
    }[kind]


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "labels": get_label_quality_multiannotator,
    "ensemble": get_label_quality_multiannotator_ensemble,
    "al": get_active_learning_scores,
    "al_ensemble": get_active_learning_scores_ensemble,
}
# Two inputs that the reference fails on, and we do not; one of its accidental exceptions.
ACCEPTED = {
    "any score option in the ensemble function",
    "ensemble of ONE model with an unlabelled pool",
}
OTHER_ERROR = {"UnboundLocalError": "ValueError"}
ERRORS = json.loads((FOLDER / "golden" / "errors.json").read_text())


@pytest.mark.parametrize("case", ERRORS, ids=lambda case: case["meaning"])
def test_refuses_what_the_reference_refuses(case: dict[str, Any]) -> None:
    options = dict(case["kwargs"])
    if "pred_probs_unlabeled" in options:
        options["pred_probs_unlabeled"] = bad_probs(options["pred_probs_unlabeled"])
    arguments = (bad_labels(case["labels"]), bad_probs(case["pred_probs"]))
    function = FUNCTIONS[case["function"]]
    if case["meaning"] in ACCEPTED:
        function(*arguments, **options)
        return
    expected = OTHER_ERROR.get(case["oracle"], case["oracle"])
    with pytest.raises((ValueError, TypeError)) as caught:
        function(*arguments, **options)
    assert type(caught.value).__name__ == expected
    assert len(str(caught.value)) > 30


@pytest.mark.parametrize(
    ("labels", "probs", "options", "error", "message"),
    [
        (bad_labels("nan_row"), GOOD_PROBS, {}, ValueError, r"rows without any label, \[4\]"),
        (bad_labels("nan_col_df"), GOOD_PROBS, {}, ValueError, r"without any label, \['d'\]"),
        (GOOD, GOOD_PROBS, {"consensus_method": ("best_quality",)}, ValueError, "consensus_meth"),
        (GOOD, GOOD_PROBS, {"consensus_method": []}, ValueError, "an empty list"),
        (GOOD, GOOD_PROBS, {"label_quality_score_kwargs": {"x": 1}}, TypeError, "'x'"),
        (GOOD, np.where(GOOD_PROBS > 0.5, np.nan, GOOD_PROBS), {}, ValueError, "not finite"),
        (GOOD, pd.DataFrame(GOOD_PROBS), {}, TypeError, "pred_probs is a DataFrame"),
        (np.where(GOOD == 2, np.inf, GOOD), GOOD_PROBS, {}, ValueError, "holds the label inf"),
    ],
)
def test_errors_say_what_and_where(
    labels: Any, probs: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        get_label_quality_multiannotator(labels, probs, **options)


@pytest.mark.parametrize(
    "labels",
    [
        pd.DataFrame(GOOD).astype("Int64"),
        pd.DataFrame(GOOD).astype(object).where(~np.isnan(GOOD), None),
        pd.DataFrame(GOOD).astype(object).where(~np.isnan(GOOD), pd.NA),
        pd.DataFrame(GOOD).astype("Int64").astype("string"),
        pd.DataFrame(np.where(np.isnan(GOOD), None, GOOD.astype(str))),
        GOOD.astype(np.float32),
        np.asfortranarray(GOOD),
    ],
    ids=["Int64", "None", "NA", "string", "object strings", "float32", "fortran"],
)
def test_labels_of_any_type(labels: Any) -> None:
    expected = get_label_quality_multiannotator(GOOD, GOOD_PROBS)
    answer = get_label_quality_multiannotator(labels, np.asfortranarray(GOOD_PROBS))
    for key, frame in expected.items():
        pd.testing.assert_frame_equal(answer[key], frame)


def test_integer_and_boolean_labels() -> None:
    labels = np.array([[0, 1], [1, 1], [0, 0]])
    expected = get_label_quality_multiannotator(labels.astype(float), GOOD_PROBS[:3])
    for kind in (np.int8, np.uint16, bool):
        answer = get_label_quality_multiannotator(labels.astype(kind), GOOD_PROBS[:3])
        for key, frame in expected.items():
            pd.testing.assert_frame_equal(answer[key], frame)


def test_names_of_tasks_and_annotators_are_kept_even_twice() -> None:
    frame = pd.DataFrame(
        GOOD,
        index=pd.Index(list("vwxyz"), name="task"),
        columns=pd.Index(["ann", "bob", "ann"], name="who"),
    )
    answer = get_label_quality_multiannotator(frame, GOOD_PROBS)
    assert answer["label_quality"].index.equals(frame.index)
    assert answer["detailed_label_quality"].index.equals(frame.index)
    assert answer["detailed_label_quality"].columns.tolist() == [
        "quality_annotator_ann",
        "quality_annotator_bob",
        "quality_annotator_ann",
    ]
    assert sorted(answer["annotator_stats"].index) == ["ann", "ann", "bob"]
    assert answer["annotator_stats"].index.name == "who"


def test_nothing_of_the_caller_is_changed() -> None:
    probs = np.stack([GOOD_PROBS, GOOD_PROBS[::-1]])
    labels, pool = GOOD.copy(), probs.copy()
    for array in (labels, probs, pool):
        array.setflags(write=False)
    options = {"method": "normalized_margin", "adjust_pred_probs": True}
    get_label_quality_multiannotator_ensemble(
        labels, probs, calibrate_probs=True, label_quality_score_kwargs=options
    )
    get_active_learning_scores_ensemble(labels, probs, pool)
    get_label_quality_multiannotator(labels, probs[0], calibrate_probs=True)
    get_active_learning_scores(labels, probs[0], pool[0])
    frame = pd.DataFrame(GOOD).astype(object).where(~np.isnan(GOOD), None)
    copy = frame.copy()
    get_label_quality_multiannotator(frame, probs[0])
    pd.testing.assert_frame_equal(frame, copy)


def test_the_global_generator_is_left_alone() -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    tied = np.array([[0, 1], [1, 0]])
    with pytest.warns(UserWarning, match="tied by every rule"):
        get_majority_vote_label(tied, verbose=False)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_every_task_tied() -> None:
    tied, probs = np.array([[0, 1], [1, 0]]), np.full((2, 2), 0.5)
    with (
        pytest.warns(UserWarning, match="tied by every rule"),
        pytest.warns(UserWarning, match="no two annotators agree"),
    ):
        answer = get_label_quality_multiannotator(tied, probs)
    assert answer["label_quality"]["consensus_quality_score"].notna().all()


def test_verbose_majority_vote_wants_several_labels() -> None:
    single = bad_labels("single")
    with pytest.raises(ValueError, match="has a single label"):
        get_majority_vote_label(single)
    assert get_majority_vote_label(single, verbose=False).tolist() == [0, 1, 2, 1, 0]


def test_classes_without_consensus_are_noted(capsys: pytest.CaptureFixture[str]) -> None:
    labels = np.array([[0, 0, 1], [0, 0, 0]])
    get_majority_vote_label(labels)
    assert "classes [1]" in capsys.readouterr().out
    get_majority_vote_label(labels, verbose=False)
    assert capsys.readouterr().out == ""


def test_convert_long_to_wide() -> None:
    long = pd.DataFrame(
        {"task": [2, 1, 1], "annotator": ["b", "b", "a"], "label": [0, 1, 1], "note": "x"}
    )
    wide = convert_long_to_wide_dataset(long)
    expected = pd.DataFrame({"a": [1, np.nan], "b": [1.0, 0.0]}, index=[1, 2])
    pd.testing.assert_frame_equal(wide, expected)
    assert wide.index.name is wide.columns.name is None
    with pytest.raises(KeyError, match="no column 'label'"):
        convert_long_to_wide_dataset(long.drop(columns="label"))
    with pytest.raises(ValueError, match="annotator 'b' labelled task 2 more than once"):
        convert_long_to_wide_dataset(pd.concat([long, long]))
    with pytest.raises(TypeError, match="is a list"):
        convert_long_to_wide_dataset([1])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("labels", "codes", "classes"),
    [
        (
            pd.DataFrame({"a": ["cat", None], "b": ["dog", "emu"]}),
            [[0, 1], [None, 2]],
            ["cat", "dog", "emu"],
        ),
        (np.array([["b", "a"], ["nan", "c"]]), [[1, 0], [None, 2]], ["a", "b", "c"]),
        (np.array([["b", "a"], [None, "c"]], dtype=object), [[1, 0], [None, 2]], ["a", "b", "c"]),
        (pd.DataFrame({"a": [3, np.nan], "b": [9, 5]}), [[0, 2], [None, 1]], [3, 5, 9]),
        (
            pd.DataFrame({"a": pd.array([3, None], dtype="Int64"), "b": [9, 5]}),
            [[0, 2], [None, 1]],
            [3, 5, 9],
        ),
        (np.array([[1.5, 0.5], [0.5, 1.5]]), [[1, 0], [0, 1]], [0.5, 1.5]),
        (np.array([[True, False]]), [[1, 0]], [False, True]),
    ],
)
def test_format_labels(labels: Any, codes: list[list[Any]], classes: list[Any]) -> None:
    formatted, mapping = format_multiannotator_labels(labels)
    pd.testing.assert_frame_equal(
        formatted.reset_index(drop=True).set_axis(["a", "b"], axis=1),
        pd.DataFrame(codes, columns=["a", "b"]),
    )
    assert mapping == dict(enumerate(classes))


def test_format_keeps_names() -> None:
    frame = pd.DataFrame([["x", "y"]], index=[7], columns=["ann", "ann"])
    formatted, _ = format_multiannotator_labels(frame)
    assert formatted.index.tolist() == [7]
    assert formatted.columns.tolist() == ["ann", "ann"]


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        ([[1, 2]], TypeError, "labels is a list"),
        (np.array([1, 2]), ValueError, "must be two-dimensional"),
    ],
)
def test_format_refuses(labels: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        format_multiannotator_labels(labels)


def test_strings_of_the_reference_case() -> None:
    golden = Golden("g13_strings_ids")
    frame = pd.DataFrame(golden.arrays["strings"], columns=golden.arrays["ids"])
    formatted, classes = format_multiannotator_labels(frame.where(frame != ""))
    np.testing.assert_array_equal(formatted, golden.wide())
    assert list(classes.values()) == golden.arrays["class_names"].tolist()


@pytest.mark.parametrize("name", [n for n in cleanlab_api.__all__ if n.startswith("get")])
def test_documented_defaults(name: str) -> None:
    function = getattr(cleanlab_api, name)
    # From Python 3.13 on docstrings have no common indentation; getdoc removes it anywhere.
    documented = re.findall(r"^(\w+) : .*, default (\S+)$", str(inspect.getdoc(function)), re.M)
    parameters = inspect.signature(function).parameters
    assert documented
    for parameter, default in documented:
        assert repr(parameters[parameter].default) == default.replace('"', "'")
