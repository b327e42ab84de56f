"""Vote counts and majority vote, with its tie-breaks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike

from crowdlab_engine._random import RandomState, random_generator
from crowdlab_engine._typing import FloatArray, IntArray
from crowdlab_engine.labels import MultiannotatorLabels
from crowdlab_engine.pred_probs import check_pred_probs, mean_model

Ties: TypeAlias = Literal["frequent", "rare"]

NO_CONSENSUS = -1
"""Class code of a task about which nothing is known."""


def vote_counts(labels: MultiannotatorLabels) -> IntArray:
    """Count how many annotators chose each class on each task.

    Returns
    -------
    ndarray of int64, shape (N, K)
    """
    shape = (labels.num_tasks, labels.num_classes)
    cell = labels.task * labels.num_classes + labels.label
    return np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape)


@dataclass(frozen=True, eq=False)
class MajorityVote:
    """Outcome of a majority vote.

    Attributes
    ----------
    label : ndarray of int64, shape (N,)
        Class codes; -1 for tasks without labels.
    drawn : ndarray of int64
        Tasks whose label is a random one among equals, ascending.
    """

    label: IntArray
    drawn: IntArray


def majority_vote(
    labels: MultiannotatorLabels,
    pred_probs: ArrayLike | None = None,
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
    probs = None
    if pred_probs is not None:
        probs = check_pred_probs(pred_probs, labels, row_sum_tolerance=np.inf)
    return vote(labels, probs, ties=ties, random_state=random_state).label


def vote(
    labels: MultiannotatorLabels,
    pred_probs: FloatArray | None,
    *,
    ties: Ties,
    random_state: RandomState,
) -> MajorityVote:
    """Vote as `majority_vote` does, on checked `pred_probs`, and tell what chance decided."""
    if ties not in get_args(Ties):
        raise ValueError(f"ties is {ties!r}: choose one of {list(get_args(Ties))}")
    generator = random_generator(random_state)
    if labels.num_labels == 0:
        nobody = np.full(labels.num_tasks, NO_CONSENSUS, dtype=np.int64)
        return MajorityVote(label=nobody, drawn=np.empty(0, dtype=np.int64))

    counts = vote_counts(labels)
    has_label = labels.num_annotations > 0
    candidates = counts == counts.max(axis=1, keepdims=True)
    is_clear = (candidates.sum(axis=1) == 1) & has_label
    winner = np.where(is_clear, counts.argmax(axis=1), NO_CONSENSUS)
    clear_winner = winner.copy()

    rules: list[Callable[[IntArray], FloatArray | IntArray]] = []
    if pred_probs is not None:
        probs = mean_model(pred_probs)
        rules.append(lambda tasks: probs[tasks])
    totals = counts.sum(axis=0)[None, :]
    rules.append(lambda tasks: totals if ties == "frequent" else -totals)
    if is_clear[labels.task].any():
        rules.append(lambda tasks: _voters_agreement(labels, counts, clear_winner, tasks))

    tied = np.flatnonzero(~is_clear & has_label)
    candidates = candidates[tied]
    for rule in rules:
        if not tied.size:
            break
        scores = np.where(candidates, rule(tied), -np.inf)
        candidates = scores == scores.max(axis=1, keepdims=True)
        is_settled = candidates.sum(axis=1) == 1
        winner[tied[is_settled]] = candidates[is_settled].argmax(axis=1)
        tied, candidates = tied[~is_settled], candidates[~is_settled]
    # An array of bounds draws the same numbers as one `choice` per task.
    drawn = generator.randint(0, candidates.sum(axis=1))
    winner[tied] = (candidates.cumsum(axis=1) == drawn[:, None] + 1).argmax(axis=1)
    return MajorityVote(label=winner, drawn=tied)


def _voters_agreement(
    labels: MultiannotatorLabels, counts: IntArray, clear_winner: IntArray, tasks: IntArray
) -> FloatArray:
    """Mean agreement with the untied majority, over those who chose a class on a task.

    Returns shape (len(tasks), K), right for classes with the most votes of their task.
    """
    is_clear = clear_winner[labels.task] != NO_CONSENSUS
    agrees = is_clear & (labels.label == clear_winner[labels.task])
    num_annotators = labels.num_annotators
    judged = np.bincount(labels.annotator[is_clear], minlength=num_annotators)
    agreed = np.bincount(labels.annotator[agrees], minlength=num_annotators)
    is_judged = judged > 0
    agreement = np.divide(agreed, judged, out=np.zeros(num_annotators), where=is_judged)
    agreement[~is_judged] = agreement[is_judged].mean()

    row_of_task = np.full(labels.num_tasks, -1)
    row_of_task[tasks] = np.arange(len(tasks))
    row = row_of_task[labels.task]
    voted = row >= 0
    sums = np.bincount(
        row[voted] * labels.num_classes + labels.label[voted],
        weights=agreement[labels.annotator[voted]],
        minlength=len(tasks) * labels.num_classes,
    ).reshape(len(tasks), labels.num_classes)
    mean: FloatArray = sums / counts[tasks].max(axis=1, keepdims=True)
    return mean
