"""Majority vote, with its tie-breaks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from crowdlab_engine._random import RandomState, random_generator
from crowdlab_engine._typing import AnyArray, BoolArray, FloatArray, IntArray
from crowdlab_engine.block import Block, Part, count_true, pick
from crowdlab_engine.labels import MultiannotatorLabels

Ties: TypeAlias = Literal["frequent", "rare"]

NO_CONSENSUS = -1
"""Class code of a task about which nothing is known."""


@dataclass(frozen=True, eq=False)
class MajorityVote:
    """Outcome of a majority vote.

    Attributes
    ----------
    label : ndarray of int64, shape (N,)
        Class codes; -1 for tasks without labels.
    drawn : ndarray of int64
        Tasks whose label is a random one among equals, ascending.
    choices : ndarray of int64
        Among how many classes each of them was drawn.
    """

    label: IntArray
    drawn: IntArray
    choices: IntArray


def majority_vote(
    labels: MultiannotatorLabels,
    pred_probs: Any = None,
    *,
    ties: Ties = "frequent",
    random_state: RandomState = 0,
) -> IntArray:
    """Return the class that most annotators of each task chose.

    Ties are broken by these rules, each among the classes that the one before left equal:

    1. the largest `pred_probs` of the task, if given (of several models, their mean);
    2. the class with the most labels over all tasks (`ties="frequent"`), or the fewest
       (`ties="rare"`, as cleanlab 2.9.0 does);
    3. the class whose annotators on this task agree best, on average, with the majority
       vote of the tasks that are not tied; an annotator without such a task counts as the
       mean of the others, and the rule is skipped if every task is tied;
    4. a random one.

    Parameters
    ----------
    labels : MultiannotatorLabels
        Labels of N tasks.
    pred_probs : array_like, shape (N, K) or (P, N, K), optional
        Class probabilities predicted by one model, or by P models, within [0, 1]; rows need
        not sum to 1.
    ties : {"frequent", "rare"}, default "frequent"
        Which class rule 2 prefers.
    random_state : int or numpy.random.RandomState, default 0
        Source of rule 4: one draw for each task still tied, in the order of tasks.

    Returns
    -------
    ndarray of int64, shape (N,)
        Class codes; -1 for tasks without labels.

    Raises
    ------
    ValueError
        `ties` is unknown, or `pred_probs` has another shape or impossible values.
    TypeError
        `random_state` is neither an integer nor a `RandomState`.
    """
    block = Block.of(labels, pred_probs, row_sum_tolerance=np.inf)
    return vote(block, ties=ties, random_state=random_state).label


@dataclass(frozen=True, eq=False)
class VoteTotals:
    """Sums over all tasks that tie-breaks ask for; those of blocks add up.

    Attributes
    ----------
    class_counts : ndarray of int64, shape (K,)
        Labels of each class.
    judged : ndarray of int64, shape (M,)
        Labels of each annotator on tasks where one class has most votes.
    agreed : ndarray of int64, shape (M,)
        Of these, labels for that class.
    """

    class_counts: IntArray
    judged: IntArray
    agreed: IntArray

    def __add__(self, other: VoteTotals) -> VoteTotals:
        """Totals of two blocks together."""
        return VoteTotals(
            self.class_counts + other.class_counts,
            self.judged + other.judged,
            self.agreed + other.agreed,
        )

    def __sub__(self, other: VoteTotals) -> VoteTotals:
        """Totals without a block that they include."""
        return VoteTotals(
            self.class_counts - other.class_counts,
            self.judged - other.judged,
            self.agreed - other.agreed,
        )


def vote_totals(block: Block) -> VoteTotals:
    """Sum up the votes of a block."""
    labels = block.labels
    judged = np.zeros(labels.num_annotators, dtype=np.int64)
    agreed = np.zeros(labels.num_annotators, dtype=np.int64)
    for part in block.parts:
        is_top, is_tied = _leading(part)
        of_winner = part.annotator[is_top & ~is_tied]
        agreed += np.bincount(of_winner, minlength=labels.num_annotators)
        clear = part.annotator[:, ~is_tied].reshape(-1)
        judged += np.bincount(clear, minlength=labels.num_annotators)
    counts = np.bincount(labels.label, minlength=labels.num_classes)
    return VoteTotals(counts, judged, agreed)


def vote(
    block: Block, *, ties: Ties, random_state: RandomState, totals: VoteTotals | None = None
) -> MajorityVote:
    """Vote as `majority_vote` does, and tell what chance decided.

    Parameters
    ----------
    block : Block
        Labels, and predictions that break ties.
    ties, random_state
        See `majority_vote`.
    totals : VoteTotals, optional
        Of all tasks. Default: of the block's.
    """
    if ties not in get_args(Ties):
        raise ValueError(f"ties is {ties!r}: choose one of {list(get_args(Ties))}")
    generator = random_generator(random_state)
    winner = np.full(block.labels.num_tasks, NO_CONSENSUS, dtype=np.int64)
    undecided: list[IntArray] = [np.empty(0, dtype=np.int64)]
    for part in block.parts:
        is_top, is_tied = _leading(part)
        winner[part.place] = pick(part.label, is_top)
        tied = np.flatnonzero(is_tied)
        if tied.size and block.pred_probs.num_models:
            chosen, is_settled = _most_predicted(part, tied, is_top[:, tied])
            winner[part.tasks[tied]] = chosen
            tied = tied[~is_settled]
        undecided.append(part.tasks[tied])
    tied = np.sort(np.concatenate(undecided))
    if not tied.size:
        return MajorityVote(label=winner, drawn=tied, choices=tied)
    totals = vote_totals(block) if totals is None else totals
    winner[tied], num_left = _break_ties(block, tied, totals, ties, generator)
    is_drawn = num_left > 1
    return MajorityVote(label=winner, drawn=tied[is_drawn], choices=num_left[is_drawn])


def _leading(part: Part) -> tuple[BoolArray, BoolArray]:
    """Labels that have most votes of their task, shape (n, m), and ties among them, (m,)."""
    most = part.equal.max(axis=0)
    is_top = part.equal == most
    return is_top, count_true(is_top) != most


def _most_predicted(part: Part, tied: IntArray, is_top: BoolArray) -> tuple[AnyArray, BoolArray]:
    """Of the leading classes of tied tasks, the one predicted most, and whether it is one.

    Where rounding has left negative probabilities there may be none.
    """
    label = part.label[:, tied]
    prob = part.prob[:, :, tied]
    mean = prob[0] if len(prob) == 1 else prob.mean(axis=0)
    is_best = is_top & (mean == pick(mean, is_top))
    chosen = pick(label, is_best)
    return chosen, is_best.any(axis=0) & ~(is_best & (label != chosen)).any(axis=0)


def _break_ties(
    block: Block,
    tied: IntArray,
    totals: VoteTotals,
    ties: Ties,
    generator: np.random.RandomState,
) -> tuple[IntArray, IntArray]:
    """Apply the rules, one after the other, to the classes of tied tasks.

    Returns
    -------
    winner : ndarray of int64, shape (len(tied),)
        Class codes.
    num_left : ndarray of int64, shape (len(tied),)
        Among how many classes chance decided; 1 where the rules did.
    """
    labels = block.labels.take(tied)
    key = labels.task * labels.num_classes + labels.label
    chosen, cell, votes = np.unique(key, return_inverse=True, return_counts=True)
    task, label = np.divmod(chosen, labels.num_classes)
    first = np.flatnonzero(np.diff(task, prepend=-1))

    def keep_best(is_left: BoolArray, score: AnyArray) -> BoolArray:
        left = np.where(is_left, score, -np.inf)
        is_best: BoolArray = is_left & (left == np.maximum.reduceat(left, first)[task])
        return is_best

    is_left = keep_best(np.ones(len(chosen), dtype=np.bool_), votes)
    if block.pred_probs.num_models:
        is_left = keep_best(is_left, block.pred_probs.mean_rows(tied)[task, label])
    counts = totals.class_counts[label]
    is_left = keep_best(is_left, counts if ties == "frequent" else -counts)
    if totals.judged.any():
        agreement = _agreement(totals)[labels.annotator]
        is_left = keep_best(is_left, np.bincount(cell, weights=agreement) / votes)

    num_left = np.add.reduceat(is_left.astype(np.int64), first)
    is_drawn = num_left > 1
    # An array of bounds draws the same numbers as one `choice` per task.
    place = np.zeros(len(tied), dtype=np.int64)
    place[is_drawn] = generator.randint(0, num_left[is_drawn])
    left = np.flatnonzero(is_left)
    return label[left[np.cumsum(num_left) - num_left + place]], num_left


def _agreement(totals: VoteTotals) -> FloatArray:
    """How often each annotator agrees with the untied majority, shape (M,)."""
    is_judged = totals.judged > 0
    agreement = np.zeros(len(totals.judged))
    np.divide(totals.agreed, totals.judged, out=agreement, where=is_judged)
    agreement[~is_judged] = agreement[is_judged].mean()
    return agreement
