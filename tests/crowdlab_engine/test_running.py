"""Following changes of a few tasks by sums over all of them."""

import numpy as np
import pytest

from crowdlab_engine import Crowdlab, MultiannotatorLabels
from crowdlab_engine.block import Block
from crowdlab_engine.blockwise import BlockwiseCrowdlab, array_blocks
from crowdlab_engine.running import RunningSums

NUM_TASKS, NUM_ANNOTATORS, NUM_CLASSES = 300, 9, 4


def crowd(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels (N, M), -1 for none, and pred_probs (N, K)."""
    random = np.random.default_rng(seed)
    truth = random.integers(NUM_CLASSES, size=NUM_TASKS)
    labels = np.where(
        random.random((NUM_TASKS, NUM_ANNOTATORS)) < 0.7,
        truth[:, None],
        random.integers(NUM_CLASSES, size=(NUM_TASKS, NUM_ANNOTATORS)),
    )
    labels[random.random(labels.shape) < 0.5] = -1
    probs = random.dirichlet(np.ones(NUM_CLASSES), NUM_TASKS)
    return labels, probs


def in_long_form(labels: np.ndarray) -> MultiannotatorLabels:
    task, annotator = np.nonzero(labels >= 0)
    return MultiannotatorLabels.from_codes(
        task,
        annotator,
        labels[task, annotator],
        num_tasks=len(labels),
        num_annotators=labels.shape[1],
        num_classes=NUM_CLASSES,
    )


def fitted_sums(labels: np.ndarray, probs: np.ndarray | None) -> RunningSums:
    blocks = array_blocks(in_long_form(labels), probs, tasks_per_block=64)
    return BlockwiseCrowdlab().fit(blocks).sums_


def block(labels: np.ndarray, probs: np.ndarray | None, tasks: np.ndarray) -> Block:
    return Block.of(in_long_form(labels[tasks]), None if probs is None else probs[tasks])


@pytest.mark.parametrize("has_model", [True, False])
def test_the_changed_tasks_get_the_consensus_of_a_fresh_fit(has_model: bool) -> None:
    """Other tasks' consensus hardly moves, so the weights are those of a fresh fit, nearly."""
    labels, probs = crowd(1)
    given = probs if has_model else None
    sums = fitted_sums(labels, given)
    before = Crowdlab().fit(in_long_form(labels), given)
    changed = labels.copy()
    tasks = np.array([3, 70, 71, 299])
    changed[3, :] = -1
    changed[3, [0, 4]] = 2
    changed[70] = np.roll(labels[70], 1)
    changed[71, :3] = 1
    changed[299, :] = -1
    old_consensus = np.where(before.num_annotations_[tasks] > 0, before.consensus_label_[tasks], -1)
    change = sums.change(block(labels, given, tasks), old_consensus, block(changed, given, tasks))
    after = Crowdlab().fit(in_long_form(changed), given)
    labelled = after.num_annotations_[tasks] > 0
    assert labelled.tolist() == [True, True, True, False]
    np.testing.assert_array_equal(
        change.consensus[labelled], after.consensus_label_[tasks][labelled]
    )
    np.testing.assert_allclose(
        change.scores.consensus_quality[labelled],
        after.consensus_quality_score_[tasks][labelled],
        atol=0.01,
    )
    assert change.consensus[3] == -1


def test_a_change_and_its_reverse_lead_back() -> None:
    labels, probs = crowd(2)
    sums = fitted_sums(labels, probs)
    fitted = Crowdlab().fit(in_long_form(labels), probs)
    tasks = np.arange(40, 60)
    changed = labels.copy()
    changed[tasks] = np.roll(labels[tasks], 1, axis=1)
    as_was = block(labels, probs, tasks)
    there = sums.change(as_was, fitted.consensus_label_[tasks], block(changed, probs, tasks))
    back = there.sums.change(block(changed, probs, tasks), there.consensus, as_was)
    np.testing.assert_array_equal(back.consensus, fitted.consensus_label_[tasks])
    for name in ("num_tasks", "num_labels", "model_errors", "consensus_counts", "peers"):
        np.testing.assert_array_equal(
            getattr(back.sums.statistics, name), getattr(sums.statistics, name)
        )
    assert back.sums.statistics.agreement == pytest.approx(sums.statistics.agreement, abs=1e-9)
    np.testing.assert_array_equal(back.sums.totals.judged, sums.totals.judged)


def test_new_annotators_count() -> None:
    labels, probs = crowd(3)
    sums = fitted_sums(labels, probs)
    fitted = Crowdlab().fit(in_long_form(labels), probs)
    tasks = np.array([5])
    wide = np.hstack([labels, np.full((NUM_TASKS, 1), -1)])
    changed = wide.copy()
    changed[5, -1] = 3
    change = sums.spread(NUM_ANNOTATORS + 1, np.arange(NUM_ANNOTATORS)).change(
        block(wide, probs, tasks), fitted.consensus_label_[tasks], block(changed, probs, tasks)
    )
    assert change.sums.statistics.num_labels == sums.statistics.num_labels + 1
    assert change.sums.statistics.peers[-1] == (labels[5] >= 0).sum()
    assert change.sums.totals.class_counts[3] == sums.totals.class_counts[3] + 1
