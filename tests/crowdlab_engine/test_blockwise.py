import inspect
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from crowdlab_engine import Crowdlab, MultiannotatorLabels
from crowdlab_engine.blockwise import (
    BlockScores,
    BlockwiseCrowdlab,
    TaskBlock,
    array_blocks,
    parquet_blocks,
)
from tests.crowdlab_engine.abstaining import partly_predicted
from tests.crowdlab_engine.problems import Problem, problems


def assert_same(fitted: BlockwiseCrowdlab, found: list[BlockScores], whole: Crowdlab) -> None:
    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(block, name) for block in found])

    np.testing.assert_array_equal(joined("consensus_label"), whole.consensus_label_)
    np.testing.assert_array_equal(joined("num_annotations"), whole.num_annotations_)
    for name in ("consensus_quality_score", "annotator_agreement"):
        ours, theirs = joined(name), getattr(whole, f"{name}_")
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)
    stats, expected = fitted.annotator_stats_, whole.annotator_stats_
    pd.testing.assert_frame_equal(
        stats.sort_index(), expected.sort_index(), check_exact=False, rtol=0, atol=1e-12
    )
    np.testing.assert_allclose(fitted.model_weight_, whole.model_weight_, rtol=1e-12)
    np.testing.assert_allclose(fitted.annotator_weight_, whole.annotator_weight_, rtol=1e-12)
    np.testing.assert_array_equal(fitted.temperature_, whole.temperature_)


@given(
    problem=problems,
    tasks_per_block=st.integers(1, 40),
    num_models=st.integers(0, 2),
    options=st.fixed_dictionaries(
        {
            "consensus_method": st.sampled_from(["best_quality", "majority_vote"]),
            "quality_method": st.sampled_from(["crowdlab", "agreement"]),
            "calibrate_probs": st.booleans(),
            "ties": st.sampled_from(["frequent", "rare"]),
        }
    ),
    knows_truth=st.booleans(),
)
@settings(deadline=None, max_examples=80)
def test_blocks_give_the_results_of_the_whole(
    problem: Problem,
    tasks_per_block: int,
    num_models: int,
    options: dict[str, Any],
    knows_truth: bool,
) -> None:
    labels = problem.labels
    order = np.random.RandomState(0).permutation(labels.num_tasks)
    models = np.stack([problem.pred_probs, problem.pred_probs[order]])
    probs = (None, models[0], models)[num_models]
    truth = None
    if knows_truth:
        truth = np.where(np.arange(labels.num_tasks) % 3, -1, 0)
    found: list[BlockScores] = []
    blocks = array_blocks(labels, probs, truth, tasks_per_block=tasks_per_block)
    fitted = BlockwiseCrowdlab(**options).fit(blocks, found.append)
    assert_same(fitted, found, Crowdlab(**options).fit(labels, probs, truth))
    assert fitted.num_labels_ == labels.num_labels
    assert fitted.num_tasks_ == np.count_nonzero(labels.num_annotations)


def test_label_qualities_are_in_the_order_of_each_block() -> None:
    problem = Problem(3, 20, 5, 3)
    labels = problem.labels
    found: list[BlockScores] = []
    BlockwiseCrowdlab().fit(
        array_blocks(labels, problem.pred_probs, tasks_per_block=7), found.append
    )
    whole = Crowdlab().fit(labels, problem.pred_probs)
    by_label = np.concatenate([block.label_quality for block in found])
    expected = whole.label_quality_[labels.sorting]
    np.testing.assert_allclose(by_label, expected, rtol=0, atol=1e-12)


def test_sparse_and_single_precision_predictions() -> None:
    problem = Problem(4, 30, 5, 3)
    single = problem.pred_probs.astype(np.float32)
    whole = Crowdlab().fit(problem.labels, single)
    for probs in (single, csr_array(single.astype(np.float64))):
        found: list[BlockScores] = []
        fitted = BlockwiseCrowdlab().fit(
            array_blocks(problem.labels, probs, tasks_per_block=8), found.append
        )
        assert_same(fitted, found, whole)
        np.testing.assert_array_equal(
            Crowdlab().fit(problem.labels, probs).consensus_label_, whole.consensus_label_
        )


def test_table_of_a_block() -> None:
    labels = MultiannotatorLabels.from_long(
        pd.DataFrame(
            {"task": ["x", "x", "y"], "annotator": [1, 2, 1], "label": ["no", "no", "yes"]}
        )
    )
    found: list[BlockScores] = []
    BlockwiseCrowdlab().fit(array_blocks(labels), found.append)
    table = found[0].to_frame()
    assert table.index.tolist() == ["x", "y"]
    assert table["consensus_label"].tolist() == ["no", "yes"]
    assert table["num_annotations"].tolist() == [2, 1]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Problem, Path, Path]:
    problem = Problem(5, 50, 6, 3)
    labels = problem.labels
    table = {"task": labels.task, "annotator": labels.annotator, "label": labels.label}
    pd.DataFrame(table).to_parquet(tmp_path / "labels.parquet", row_group_size=17)
    probs = pd.DataFrame(problem.pred_probs, columns=["p0", "p1", "p2"])
    probs.to_parquet(tmp_path / "probs.parquet", row_group_size=7)
    return problem, tmp_path / "labels.parquet", tmp_path / "probs.parquet"


SIZES = {"num_tasks": 50, "num_annotators": 6, "num_classes": 3}


@pytest.mark.parametrize("tasks_per_block", [9, 50, 1000])
def test_parquet_files(files: tuple[Problem, Path, Path], tasks_per_block: int) -> None:
    problem, labels, probs = files
    for predicted in (probs, None):
        blocks = parquet_blocks(labels, predicted, **SIZES, tasks_per_block=tasks_per_block)
        found: list[BlockScores] = []
        fitted = BlockwiseCrowdlab().fit(blocks, found.append)
        given_probs = None if predicted is None else problem.pred_probs
        assert_same(fitted, found, Crowdlab().fit(problem.labels, given_probs))
        ids = np.concatenate([block.labels.task_ids for block in found])
        np.testing.assert_array_equal(ids, np.arange(50))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_tasks": 49}, "holds a label of task 49, but num_tasks is 49"),
        ({"num_tasks": 60}, r"has 3 columns and 50 rows: it needs 3 columns and 60 rows"),
        ({"num_classes": 4}, r"has 3 columns and 9 rows: it needs 4 columns"),
        ({"num_classes": 2}, "has 3 columns and 9 rows: it needs 2 columns"),
        ({"num_annotators": 2}, r"annotator code \d .* is outside 0\.\.1"),
    ],
)
def test_files_that_do_not_fit(
    files: tuple[Problem, Path, Path], changes: dict[str, int], message: str
) -> None:
    _, labels, probs = files
    with pytest.raises(ValueError, match=message):
        BlockwiseCrowdlab().fit(parquet_blocks(labels, probs, **SIZES | changes, tasks_per_block=9))


def test_labels_that_are_not_sorted(files: tuple[Problem, Path, Path]) -> None:
    _, labels, probs = files
    pd.read_parquet(labels).iloc[::-1].to_parquet(labels)
    with pytest.raises(ValueError, match="is not sorted by task"):
        BlockwiseCrowdlab().fit(parquet_blocks(labels, probs, **SIZES, tasks_per_block=9))


def test_refusals() -> None:
    labels = MultiannotatorLabels.from_codes([0, 0], [0, 1], [0, 1])
    more = MultiannotatorLabels.from_codes([0, 0], [0, 2], [0, 1])
    nothing = MultiannotatorLabels.from_codes([], [], [], num_tasks=3, num_classes=2)
    with pytest.raises(TypeError, match="which gives its blocks only once"):
        BlockwiseCrowdlab().fit(iter([TaskBlock(labels)]))
    with pytest.raises(ValueError, match="block 1 has 3 annotators, 2 classes and 0 models"):
        BlockwiseCrowdlab().fit([TaskBlock(labels), TaskBlock(more)])
    for blocks in ([TaskBlock(nothing)], []):
        with pytest.raises(ValueError, match="no block has a label"):
            BlockwiseCrowdlab().fit(blocks)
    with pytest.raises(ValueError, match="consensus_method is 'mean'"):
        BlockwiseCrowdlab("mean").fit([TaskBlock(labels)])  # type: ignore[arg-type]


def test_parameters_are_those_of_the_estimator_in_memory() -> None:
    ours = inspect.signature(BlockwiseCrowdlab).parameters
    theirs = inspect.signature(Crowdlab).parameters
    for name, parameter in ours.items():
        assert parameter.default == theirs[name].default
    documented = re.findall(r"(\w+) : .*, default \S+$", str(BlockwiseCrowdlab.__doc__), re.M)
    assert documented == list(ours)


@pytest.mark.parametrize("calibrate_probs", [False, True])
def test_classifiers_may_abstain_in_blocks(calibrate_probs: bool) -> None:
    crowd = partly_predicted()
    whole = Crowdlab(may_abstain=True, calibrate_probs=calibrate_probs).fit(
        crowd.labels, crowd.partial
    )
    received: list[BlockScores] = []
    fitted = BlockwiseCrowdlab(may_abstain=True, calibrate_probs=calibrate_probs).fit(
        array_blocks(crowd.labels, crowd.partial, tasks_per_block=7), received.append
    )
    np.testing.assert_allclose(fitted.model_weight_, whole.model_weight_)
    np.testing.assert_allclose(fitted.temperature_, whole.temperature_)
    np.testing.assert_array_equal(
        np.concatenate([one.consensus_label for one in received]), whole.consensus_label_
    )
    np.testing.assert_allclose(
        np.concatenate([one.consensus_quality_score for one in received]),
        whole.consensus_quality_score_,
    )
    pd.testing.assert_frame_equal(fitted.annotator_stats_, whole.annotator_stats_)
