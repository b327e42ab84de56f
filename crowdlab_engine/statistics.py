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

from crowdlab_engine.labels import MultiannotatorLabels
from crowdlab_engine.majority import vote_counts
from crowdlab_engine.pred_probs import each_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from crowdlab_engine._typing import AnyArray, BoolArray, FloatArray, IntArray


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
    num_predicted : int
        Tasks with a label and pred_probs.
    model_errors : ndarray of int64, shape (P,)
        Of each model, shared tasks whose largest of pred_probs is not the consensus.
    agreement : float
        Sum over shared tasks of the share of labels that equal the consensus.
    consensus_counts : ndarray of int64, shape (K,)
        Shared tasks whose consensus is each class.
    labels_given : ndarray of int64, shape (M,)
        Labels of each annotator.
    labels_agreeing : ndarray of int64, shape (M,)
        Of these, labels equal to the consensus.
    shared_given, shared_agreeing : ndarray of int64, shape (M,)
        The same, in shared tasks only.
    peers : ndarray of int64, shape (M,)
        Labels by others on the tasks of each annotator. On a task whose truth is known, the
        truth stands in for all of them: it counts as often as they would, at least once.
    peers_agreeing : ndarray of int64, shape (M,)
        Of these, labels equal to the annotator's own.
    """

    num_tasks: int
    num_predicted: int
    model_errors: IntArray
    agreement: float
    consensus_counts: IntArray
    labels_given: IntArray
    labels_agreeing: IntArray
    shared_given: IntArray
    shared_agreeing: IntArray
    peers: IntArray
    peers_agreeing: IntArray

    @property
    def num_labels(self) -> int:
        """Number of labels."""
        return int(self.labels_given.sum())

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
        return len(self.labels_given), len(self.consensus_counts), len(self.model_errors)


def statistics(
    labels: MultiannotatorLabels,
    consensus: IntArray,
    pred_probs: FloatArray | None = None,
    is_known: BoolArray | None = None,
) -> Statistics:
    """Sum up a block of tasks.

    Parameters
    ----------
    labels : MultiannotatorLabels
        Labels of N tasks by M annotators. Tasks without labels count nowhere.
    consensus : ndarray of int64, shape (N,)
        Consensus label of each task, as class codes.
    pred_probs : ndarray of float64, shape (N, K) or (P, N, K), optional
        Class probabilities predicted by one model, or by P models.
    is_known : ndarray of bool, shape (N,), optional
        Tasks whose consensus is an expert's label, the truth. Default: none.

    Returns
    -------
    Statistics
    """
    num_annotators = labels.num_annotators
    task, annotator = labels.task, labels.annotator
    task_size = labels.num_annotations
    known = np.zeros(labels.num_tasks, dtype=np.bool_) if is_known is None else is_known
    is_shared = (task_size > 1) | (known & (task_size > 0))
    in_shared = is_shared[task]
    agrees = labels.label == consensus[task]
    votes = np.bincount(task[agrees], minlength=labels.num_tasks)
    peers = task_size[task] - 1
    peers_agreeing = vote_counts(labels)[task, labels.label] - 1
    if is_known is not None:
        peers = np.where(known[task], np.maximum(peers, 1), peers)
        peers_agreeing = np.where(known[task], peers * agrees, peers_agreeing)

    def by_annotator(selection: AnyArray) -> IntArray:
        return np.bincount(annotator[selection], minlength=num_annotators)

    num_tasks = int(np.count_nonzero(task_size))
    model_errors = [
        np.count_nonzero((model.argmax(axis=1) != consensus) & is_shared)
        for model in each_model(pred_probs)
    ]
    return Statistics(
        num_tasks=num_tasks,
        num_predicted=0 if pred_probs is None else num_tasks,
        model_errors=np.array(model_errors, dtype=np.int64),
        # Added up over tasks as they come: exact ties of the posterior hang on the last bit.
        agreement=float((votes[is_shared] / task_size[is_shared]).sum()),
        consensus_counts=np.bincount(consensus[is_shared], minlength=labels.num_classes),
        labels_given=by_annotator(np.ones_like(agrees)),
        labels_agreeing=by_annotator(agrees),
        shared_given=by_annotator(in_shared),
        shared_agreeing=by_annotator(agrees & in_shared),
        peers=_sums(annotator, peers, num_annotators),
        peers_agreeing=_sums(annotator, peers_agreeing, num_annotators),
    )


def _sums(group: IntArray, values: IntArray, num_groups: int) -> IntArray:
    """Integer sums by group; exact, as float64 holds every sum below 2**53."""
    return np.bincount(group, weights=values, minlength=num_groups).astype(np.int64)
