from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crowdlab_engine import MultiannotatorLabels, annotators, majority_vote
from crowdlab_engine.annotators import (
    AnnotatorSums,
    annotator_quality,
    annotator_stats,
    annotator_sums,
    contested_quality,
    worst_class,
)
from crowdlab_engine.block import Block
from tests.crowdlab_engine.problems import Problem, problems


def worst_class_of(
    labels: list[int], consensus: list[int], quality: list[float] | None = None
) -> int:
    """Worst class of one annotator who labels every task."""
    num_tasks = len(labels)
    crowd = MultiannotatorLabels.from_codes(
        range(num_tasks), [0] * num_tasks, labels, num_classes=4
    )
    scores = np.ones(num_tasks) if quality is None else np.array(quality)
    sums = annotator_sums(Block.of(crowd), np.array(consensus), np.ones(num_tasks))
    return int(worst_class(sums, lambda cells: contested_quality(crowd, scores, cells))[0])


@pytest.mark.parametrize(
    ("labels", "consensus", "quality", "expected"),
    [
        pytest.param([0, 0, 1, 1], [0, 0, 1, 0], None, 1, id="least agreement"),
        pytest.param([1, 2], [3, 3], None, 1, id="lowest class"),
        pytest.param([1, 2, 2], [3, 3, 3], None, 2, id="most labels"),
        pytest.param([1, 2], [3, 3], [0.4, 0.6], 2, id="highest consensus quality"),
        pytest.param([1, 1, 2, 2], [3, 3, 3, 3], [0.9, 0.9, 0.4, 0.4], 1, id="mean, not lowest"),
        pytest.param([3], [3], None, 3, id="only classes used"),
    ],
)
def test_worst_class(
    labels: list[int], consensus: list[int], quality: list[float] | None, expected: int
) -> None:
    assert worst_class_of(labels, consensus, quality) == expected


# Annotators 0 and 1 share task 0, annotator 2 labels task 1 alone, annotator 3 nothing.
LABELS = MultiannotatorLabels.from_codes(
    [0, 0, 1],
    [0, 1, 2],
    [0, 1, 1],
    num_annotators=4,
    annotator_ids=["ann", "bob", "cy", "dee"],
)
CONSENSUS = np.array([0, 1])
LABEL_QUALITY = np.array([0.8, 0.2, 0.6])
SUMS = annotator_sums(Block.of(LABELS), CONSENSUS, LABEL_QUALITY)


def not_asked(cells: np.ndarray) -> np.ndarray:
    raise AssertionError(f"nothing is contested, least of all {cells}")


def test_quality_mixes_label_quality_and_agreement() -> None:
    quality = annotator_quality(SUMS, 0.25)
    np.testing.assert_allclose(
        quality, [0.25 * 0.8 + 0.75, 0.25 * 0.2, 0.6, np.nan], rtol=0, atol=1e-15
    )


def test_table() -> None:
    stats = annotator_stats(LABELS.annotator_ids, SUMS, 0.0, not_asked)
    assert stats.index.name == "annotator"
    assert stats.index.tolist() == ["bob", "cy", "ann", "dee"]
    assert stats.columns.tolist() == [
        "annotator_quality",
        "agreement_with_consensus",
        "worst_class",
        "num_examples_labeled",
        "enough_data",
    ]
    np.testing.assert_array_equal(stats["annotator_quality"], [0, 0.6, 1, np.nan])
    np.testing.assert_array_equal(stats["agreement_with_consensus"], [0, 1, 1, np.nan])
    assert stats["worst_class"].tolist() == [1, 1, 0, -1]
    assert stats["num_examples_labeled"].tolist() == [1, 1, 1, 0]
    assert stats["enough_data"].tolist() == [True, False, True, False]
    assert stats["worst_class"].dtype == np.int64
    assert stats["enough_data"].dtype == np.bool_


def test_equal_quality_is_sorted_by_agreement() -> None:
    labels = MultiannotatorLabels.from_codes([0, 0], [0, 1], [0, 1])
    consensus = np.array([0])
    sums = annotator_sums(Block.of(labels), consensus, np.array([0.5, 0.5]))
    stats = annotator_stats(labels.annotator_ids, sums, 1.0, not_asked)
    assert stats["annotator_quality"].tolist() == [0.5, 0.5]
    assert stats.index.tolist() == [1, 0]


def assert_same(one: AnnotatorSums, other: AnnotatorSums) -> None:
    for field in fields(AnnotatorSums):
        ours, theirs = getattr(one, field.name), getattr(other, field.name)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12, err_msg=field.name)


@pytest.mark.parametrize("dense", [(2**18, 2**26), (0, 2**26), (0, 0)])
@given(problem=problems, seed=st.integers(0, 2**31 - 1))
@settings(deadline=None, max_examples=25)
def test_sums_of_blocks_add_up(dense: tuple[int, int], problem: Problem, seed: int) -> None:
    labels = problem.labels
    consensus = majority_vote(labels)
    quality = np.random.RandomState(seed).uniform(size=labels.num_labels)
    whole = annotator_sums(Block.of(labels), consensus, quality)
    np.testing.assert_array_equal(
        whole.labels_given, np.bincount(labels.annotator, minlength=labels.num_annotators)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(annotators, "_DENSE_CELLS", dense[0])
        patch.setattr(annotators, "_MOST_DENSE_CELLS", dense[1])
        blocks = []
        for tasks in np.array_split(np.arange(labels.num_tasks), 2):
            mine = np.isin(labels.task, tasks)
            blocks.append(
                annotator_sums(Block.of(labels.take(tasks)), consensus[tasks], quality[mine])
            )
    assert_same(blocks[0] + blocks[1], whole)


def test_sums_of_a_small_example() -> None:
    assert SUMS.labels_given.tolist() == [1, 1, 1, 0]
    assert SUMS.labels_agreeing.tolist() == [1, 0, 1, 0]
    assert SUMS.shared_given.tolist() == [1, 1, 0, 0]
    assert SUMS.shared_agreeing.tolist() == [1, 0, 0, 0]
    assert SUMS.cell.tolist() == [0, 3, 5]
