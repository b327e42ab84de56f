from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crowdlab_engine import MultiannotatorLabels, majority_vote
from crowdlab_engine.block import Block
from crowdlab_engine.statistics import Statistics, statistics
from tests.crowdlab_engine.problems import Problem, problems


def assert_same(one: Statistics, other: Statistics) -> None:
    for field in fields(Statistics):
        ours, theirs = getattr(one, field.name), getattr(other, field.name)
        if field.name == "agreement":
            assert ours == pytest.approx(theirs, rel=1e-12, abs=1e-12)
        else:
            np.testing.assert_array_equal(ours, theirs, err_msg=field.name)


def test_sums() -> None:
    # Task 0: 0, 0, 1 and consensus 0; task 1: a single 1; task 2: 1, 0 and consensus 1;
    # task 3: no label.
    labels = MultiannotatorLabels.from_codes(
        [0, 0, 0, 1, 2, 2], [0, 1, 2, 0, 1, 2], [0, 0, 1, 1, 1, 0], num_tasks=4
    )
    consensus = np.array([0, 1, 1, -1])
    pred_probs = np.array([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.9, 0.1]])
    sums = statistics(Block.of(labels, pred_probs), consensus)
    assert (sums.num_tasks, sums.num_labels, sums.num_shared, sums.num_predicted) == (3, 6, 2, 3)
    assert sums.labels_per_task == 2
    assert sums.model_errors.tolist() == [1]
    assert sums.agreement == pytest.approx(2 / 3 + 1 / 2)
    assert sums.consensus_counts.tolist() == [1, 1]
    assert sums.peers.tolist() == [2, 3, 3]
    assert sums.peers_agreeing.tolist() == [1, 1, 0]


def test_without_pred_probs_nothing_is_predicted() -> None:
    labels = MultiannotatorLabels.from_codes([0, 0], [0, 1], [0, 1])
    sums = statistics(Block.of(labels), np.array([0]))
    assert (sums.num_predicted, sums.model_errors.tolist()) == (0, [])


def test_each_model_has_its_errors() -> None:
    labels = MultiannotatorLabels.from_codes([0, 0, 1, 1], [0, 1, 0, 1], [0, 0, 1, 1])
    right = np.array([[0.9, 0.1], [0.1, 0.9]])
    sums = statistics(Block.of(labels, np.stack([right, 1 - right])), np.array([0, 1]))
    assert sums.model_errors.tolist() == [0, 2]


def test_a_known_truth_stands_in_for_the_peers() -> None:
    # Task 0: labels 0, 0, 1 and truth 1; task 1: a single 1, truth 1; task 2: 1, 1, unknown.
    labels = MultiannotatorLabels.from_codes(
        [0, 0, 0, 1, 2, 2], [0, 1, 2, 0, 1, 2], [0, 0, 1, 1, 1, 1]
    )
    sums = statistics(Block.of(labels, truth=np.array([1, 1, -1])), np.array([1, 1, 1]))
    assert sums.num_shared == 3
    assert sums.agreement == pytest.approx(1 / 3 + 1 + 1)
    assert sums.peers.tolist() == [2 + 1, 2 + 1, 2 + 1]
    assert sums.peers_agreeing.tolist() == [0 + 1, 0 + 1, 2 + 1]


def test_other_vocabularies_do_not_add() -> None:
    one = statistics(Block.of(MultiannotatorLabels.from_codes([0], [0], [0])), np.array([0]))
    two = statistics(Block.of(MultiannotatorLabels.from_codes([0], [1], [0])), np.array([0]))
    with pytest.raises(ValueError, match="1 annotators, 1 classes and 0 models, and 2, 1 and 0"):
        one + two
    with pytest.raises(TypeError):
        one + 1  # type: ignore[operator]


@given(problems, st.integers(0, 2**31 - 1), st.integers(1, 4))
@settings(deadline=None, max_examples=60)
def test_blocks_add_up_to_the_whole_and_subtract(
    problem: Problem, seed: int, num_blocks: int
) -> None:
    labels, probs = problem.labels, problem.pred_probs
    consensus = majority_vote(labels, probs)
    whole = statistics(Block.of(labels, probs), consensus)
    tasks = np.random.RandomState(seed).permutation(labels.num_tasks)
    blocks = [
        statistics(Block.of(labels.take(part), probs[part]), consensus[part])
        for part in np.array_split(tasks, num_blocks)
    ]
    merged = blocks[0]
    for block in blocks[1:]:
        merged = block + merged
    assert_same(merged, whole)
    assert_same(whole - blocks[-1] + blocks[-1], whole)
    if num_blocks > 1:
        rest = blocks[0]
        for block in blocks[1:-1]:
            rest = rest + block
        assert_same(whole - blocks[-1], rest)
