import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crowdlab_engine import MultiannotatorLabels
from crowdlab_engine import block as block_module
from crowdlab_engine.block import (
    Block,
    at_labels,
    count_equal,
    count_true,
    largest_of,
    pick,
    sum_equal,
)
from tests.crowdlab_engine.problems import Problem, problems


@given(problems, st.booleans())
@settings(deadline=None, max_examples=60)
def test_parts_hold_every_label_once(problem: Problem, is_many: bool) -> None:
    labels, probs = problem.labels, problem.pred_probs
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(block_module, "_PART_TASKS", 3 if is_many else 2**14)
        patch.setattr(block_module, "_PART_CELLS", 1 if is_many else 2**19)
        block = Block.of(labels, probs)
    seen = np.zeros(labels.num_labels, dtype=int)
    for part in block.parts:
        for column, task in enumerate(part.tasks.tolist()):
            mine = np.flatnonzero(labels.task == task)
            seen[mine] += 1
            label = labels.label[mine]
            np.testing.assert_array_equal(part.label[:, column], label)
            np.testing.assert_array_equal(part.annotator[:, column], labels.annotator[mine])
            np.testing.assert_array_equal(part.equal[:, column], np.bincount(label)[label])
            np.testing.assert_array_equal(part.prob[0, :, column], probs[task, label])
            assert part.largest[0, column] == probs[task].max()
            assert part.guess[0, column] == probs[task].argmax()
    assert (seen == 1).all()


@pytest.mark.parametrize("num_labels", [1, 2, 5, 13, 40])
@pytest.mark.parametrize("num_classes", [1, 3, 5000])
def test_equal_labels_are_counted_and_added_up(num_labels: int, num_classes: int) -> None:
    rng = np.random.RandomState(num_labels)
    label = rng.randint(num_classes, size=(num_labels, 20)).astype(np.int16)
    values = rng.uniform(size=label.shape)
    is_equal = label[:, None] == label[None]
    counts = count_equal(label, np.empty(label.shape, dtype=np.uint8))
    np.testing.assert_array_equal(counts, is_equal.sum(axis=1))
    sums = sum_equal(label, values)
    np.testing.assert_allclose(sums, (is_equal * values[None]).sum(axis=1), rtol=1e-13)


@pytest.mark.parametrize("num_classes", [1, 3, 64, 65])
def test_largest_entries(num_classes: int) -> None:
    rows = np.random.RandomState(0).randint(3, size=(50, num_classes)) / 4
    largest, first = np.empty(50), np.empty(50, dtype=np.int16)
    largest_of(rows, largest, first)
    np.testing.assert_array_equal(largest, rows.max(axis=1))
    np.testing.assert_array_equal(first, rows.argmax(axis=1))


def test_entries_at_labels() -> None:
    rows = np.array([[0.1, 0.9], [0.8, 0.2], [0.5, 0.5]])
    label = np.array([[0, 1, 0], [1, 1, 0]], dtype=np.int16)
    for order in ("C", "F"):
        found = at_labels(np.array(rows, order=order), label, np.empty(label.shape))
        assert found.tolist() == [[0.1, 0.2, 0.5], [0.9, 0.2, 0.5]]


def test_pick_and_count() -> None:
    is_picked = np.array([[True, False, False], [True, True, False]])
    assert pick(np.array([[3, 9, 9], [2, 5, 9]]), is_picked).tolist() == [3, 5, 0]
    assert count_true(is_picked).tolist() == [2, 1, 0]
    assert count_true(np.ones((300, 2), dtype=np.bool_)).tolist() == [300, 300]


def test_peers() -> None:
    labels = MultiannotatorLabels.from_codes(
        [0, 0, 0, 1, 2, 2], [0, 1, 2, 0, 1, 2], [0, 0, 1, 1, 1, 0], num_tasks=4
    )
    peers, agreeing = Block.of(labels).peers
    assert peers.tolist() == [2, 3, 3]
    assert agreeing.tolist() == [1, 1, 0]


def test_known_truths() -> None:
    labels = MultiannotatorLabels.from_codes([0, 0, 1], [0, 1, 0], [0, 1, 1], num_tasks=3)
    block = Block.of(labels, truth=np.array([-1, 0, 1]))
    assert block.is_known.tolist() == [False, True, True]
    assert block.is_shared.tolist() == [True, True, False]
    assert block.with_truth(np.array([1, 1, 0])).tolist() == [1, 0, 1]
    nothing = Block.of(labels, truth=np.array([-1, -1, -1]))
    assert nothing.truth is None
    assert not nothing.is_known.any()


def test_faults_of_tasks_without_labels_are_found() -> None:
    labels = MultiannotatorLabels.from_codes([0], [0], [1], num_tasks=2)
    with pytest.raises(ValueError, match=r"row 1 .* do not sum to 1"):
        Block.of(labels, [[0.5, 0.5], [0.5, 0.6]])
