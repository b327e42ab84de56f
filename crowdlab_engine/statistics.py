"""The sums over tasks that CROWDLAB's weights are ratios of.

Blocks of tasks add up to the whole, and subtract from it, in any order: the same sums
serve a data set in one block, streamed in many, spread over a cluster, or changed one
annotation at a time. All are integers, hence exact, except one, which is exact to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from operator import add, sub
from typing import TYPE_CHECKING, Any

import numpy as np

from crowdlab_engine.block import Block, count_true

if TYPE_CHECKING:
    from collections.abc import Callable

    from crowdlab_engine._typing import AnyArray, IntArray


@dataclass(frozen=True, eq=False)
class Statistics:
    """Sums over the labelled tasks of a block, given a consensus label for each.

    "Shared" tasks have two labels or more, or a label and a known truth; only they tell how
    annotators agree. Blocks of the same annotators, classes and models add and subtract,
    field by field.

    Attributes
    ----------
    num_tasks : int
        Tasks with a label.
    num_labels : int
        Their labels.
    num_predicted : int
        Tasks with a label and pred_probs.
    model_errors : ndarray of int64, shape (P,)
        Of each model, shared tasks whose largest of pred_probs is not the consensus.
    model_shared : ndarray of int64, shape (P,)
        Shared tasks of which each model says something; all of them unless it may abstain.
    agreement : float
        Sum over shared tasks of the share of labels that equal the consensus.
    consensus_counts : ndarray of int64, shape (K,)
        Shared tasks whose consensus is each class.
    peers : ndarray of int64, shape (M,)
        Labels by others on the tasks of each annotator. On a task whose truth is known, the
        truth stands in for all of them: it counts as often as they would, at least once.
    peers_agreeing : ndarray of int64, shape (M,)
        Of these, labels equal to the annotator's own.
    """

    num_tasks: int
    num_labels: int
    num_predicted: int
    model_errors: IntArray
    model_shared: IntArray
    agreement: float
    consensus_counts: IntArray
    peers: IntArray
    peers_agreeing: IntArray

    @property
    def num_shared(self) -> int:
        """Number of shared tasks."""
        return int(self.consensus_counts.sum())

    @property
    def labels_per_task(self) -> float:
        """Mean number of labels of a labelled task."""
        return self.num_labels / self.num_tasks

    def __add__(self, other: Statistics) -> Statistics:
        """Statistics of two blocks together."""
        return self._combine(other, add)

    def __sub__(self, other: Statistics) -> Statistics:
        """Statistics without a block that they include."""
        return self._combine(other, sub)

    def _combine(
        self, other: Statistics, operation: Callable[[AnyArray, AnyArray], AnyArray]
    ) -> Statistics:
        if not isinstance(other, Statistics):
            return NotImplemented
        ours, theirs = self._sizes, other._sizes
        if ours != theirs:
            raise ValueError(
                "blocks have {} annotators, {} classes and {} models, and {}, {} and {}: build "
                "them from the same vocabularies and models".format(*ours, *theirs)
            )
        sums: dict[str, Any] = {
            field.name: operation(getattr(self, field.name), getattr(other, field.name))
            for field in fields(self)
        }
        return Statistics(**sums)

    @property
    def _sizes(self) -> tuple[int, int, int]:
        return len(self.peers), len(self.consensus_counts), len(self.model_errors)


def statistics(block: Block, consensus: IntArray) -> Statistics:
    """Sum up a block of tasks.

    Parameters
    ----------
    block : Block
        Labels of N tasks by M annotators, and predictions of P models. Tasks without labels
        count nowhere.
    consensus : ndarray of int64, shape (N,)
        Consensus label of each task, as class codes; the truth where it is known.

    Returns
    -------
    Statistics
    """
    labels, is_shared = block.labels, block.is_shared
    votes = np.zeros(labels.num_tasks, dtype=np.int64)
    silent = block.pred_probs.silent
    model_errors = np.zeros(block.pred_probs.num_models, dtype=np.int64)
    for part in block.parts:
        said = consensus[part.place].astype(part.label.dtype)
        votes[part.place] = count_true(part.label == said)
        shared = is_shared[part.place]
        for model, guess in enumerate(part.guess):
            heard = shared if silent is None else shared & ~silent[model, part.place]
            model_errors[model] += np.count_nonzero((guess != said) & heard)
    which = slice(None) if is_shared.all() else is_shared
    num_tasks = int(np.count_nonzero(labels.num_annotations))
    peers, peers_agreeing = block.peers
    return Statistics(
        num_tasks=num_tasks,
        num_labels=labels.num_labels,
        num_predicted=num_tasks if block.pred_probs.num_models else 0,
        model_errors=model_errors,
        model_shared=(
            np.full(len(model_errors), np.count_nonzero(is_shared))
            if silent is None
            else np.count_nonzero(is_shared & ~silent, axis=1)
        ),
        # Added up over tasks as they come: exact ties of the posterior hang on the last bit.
        agreement=float((votes[which] / labels.num_annotations[which]).sum()),
        consensus_counts=np.bincount(consensus[which], minlength=labels.num_classes),
        peers=peers,
        peers_agreeing=peers_agreeing,
    )
