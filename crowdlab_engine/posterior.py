"""The probability of each class of a task: what classifiers and annotators say, weighed.

It is a weighted mean (arXiv 2210.06812, section 3). Exact ties between classes occur in
practice and rounding decides them, so the order of additions is fixed, to be the same as
cleanlab 2.9.0's: classifier, annotators ascending, then one division.

`posterior` is all of it, N times K numbers. `most_probable` and `scores` give what is
mostly wanted, and compute only that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crowdlab_engine._typing import BoolArray, FloatArray, IntArray
from crowdlab_engine.annotators import AnnotatorSums, AnnotatorTally
from crowdlab_engine.block import (
    FEW_LABELS,
    Block,
    Part,
    at_labels,
    count_true,
    pick,
    sum_equal,
)
from crowdlab_engine.labels import MultiannotatorLabels
from crowdlab_engine.pred_probs import PredProbs
from crowdlab_engine.weights import Weights

_CLOSE = 1e-12
"""Classes closer than this, relative to all weight there can be, are weighed again exactly."""

_MIN_MARGIN = 1e-3
"""Below this, a label hardly speaks for its class, and every task is weighed exactly."""

_NUMBERS_AT_ONCE = 2**21
"""How many numbers the posterior of tasks that are weighed at once may have."""


def posterior(labels: MultiannotatorLabels, pred_probs: PredProbs, weights: Weights) -> FloatArray:
    """Return the probability of each class.

    Parameters
    ----------
    labels : MultiannotatorLabels
        Labels of N tasks by M annotators.
    pred_probs : PredProbs
        Predictions of P models.
    weights : Weights
        Weights of the classifiers and the annotators.

    Returns
    -------
    ndarray of float64, shape (N, K)
        In [0, 1]; rows sum to 1 as far as those of `pred_probs` do. A task without labels
        has the classifiers' mean, or NaN without any.
    """
    probs = np.empty((labels.num_tasks, labels.num_classes))
    labelled = np.flatnonzero(labels.num_annotations)
    unlabelled = np.flatnonzero(labels.num_annotations == 0)
    probs[labelled] = _of_labelled(labels, pred_probs, weights, labelled)
    probs[unlabelled] = prediction(pred_probs, weights, unlabelled)
    return probs


def posterior_of(block: Block, weights: Weights, tasks: IntArray) -> FloatArray:
    """Return the probability of each class of some tasks.

    Parameters
    ----------
    block, weights
        See `most_probable`.
    tasks : ndarray of int64, shape (B,)
        Which tasks, ascending.

    Returns
    -------
    ndarray of float64, shape (B, K)
        As of `posterior`; 1 for the class that is known to be right.
    """
    probs = np.empty((len(tasks), block.labels.num_classes))
    has_label = block.labels.num_annotations[tasks] > 0
    labelled, unlabelled = tasks[has_label], tasks[~has_label]
    if labelled.size:
        probs[has_label] = _of_labelled(block.labels, block.pred_probs, weights, labelled)
    probs[~has_label] = prediction(block.pred_probs, weights, unlabelled)
    if block.truth is not None:
        is_known = block.is_known[tasks]
        probs[is_known] = np.eye(probs.shape[1])[block.truth[tasks[is_known]]]
    return probs


def prediction(pred_probs: PredProbs, weights: Weights, tasks: IntArray) -> FloatArray | float:
    """Return what the classifiers alone say of some tasks: their weighted mean.

    Parameters
    ----------
    pred_probs, weights
        See `posterior`.
    tasks : ndarray of int64, shape (B,)
        Which tasks, ascending.

    Returns
    -------
    ndarray of float64, shape (B, K), or float
        Class probabilities; NaN without a classifier, and where all of them are silent.
    """
    if not pred_probs.num_models:
        return np.nan
    shares = model_shares(weights)
    rows = pred_probs.weighted_rows(shares, tasks)
    if pred_probs.silent is not None:
        heard = np.asarray(pred_probs.heard_weight(shares, tasks))[:, None]
        rows = np.divide(rows, heard, out=np.full_like(rows, np.nan), where=heard > 0)
    return np.clip(rows, 0.0, 1.0)


def with_predictions(block: Block, weights: Weights, consensus: IntArray) -> IntArray:
    """Return the consensus, with the classifiers' where there are no labels and no truth.

    Parameters
    ----------
    block, weights
        See `most_probable`.
    consensus : ndarray of int64, shape (N,)
        Class codes; -1 for these tasks.

    Returns
    -------
    ndarray of int64, shape (N,)
        Class codes; -1 where there is no classifier either.
    """
    unlabelled = np.flatnonzero(consensus < 0)
    if not block.pred_probs.num_models or not unlabelled.size:
        return consensus
    complete = consensus.copy()
    rows = np.asarray(prediction(block.pred_probs, weights, unlabelled))
    is_silent = np.isnan(rows[:, 0])
    complete[unlabelled] = np.where(is_silent, -1, rows.argmax(axis=1))
    return complete


def model_shares(weights: Weights) -> FloatArray:
    """Return the weights of the classifiers among themselves, shape (P,), of sum 1."""
    total = weights.model.sum()
    if total == 0:  # the classifiers do not count, but are all there is
        return np.full_like(weights.model, 1 / max(1, len(weights.model)))
    shares: FloatArray = weights.model / total
    return shares


def best_quality(posterior: FloatArray, majority: IntArray) -> IntArray:
    """Return the class of largest posterior, or the majority label if several are largest.

    Parameters
    ----------
    posterior : ndarray of float64, shape (N, K)
        Class probabilities of each task.
    majority : ndarray of int64, shape (N,)
        Majority label of each task, as class codes.

    Returns
    -------
    ndarray of int64, shape (N,)
        Class codes.
    """
    is_largest = posterior == posterior.max(axis=1, keepdims=True)
    return np.where(is_largest.sum(axis=1) == 1, is_largest.argmax(axis=1), majority)


def most_probable(block: Block, weights: Weights, majority: IntArray) -> IntArray:
    """Return the class of largest posterior of each task, see `best_quality`.

    Parameters
    ----------
    block : Block
        Labels of N tasks and their predictions.
    weights : Weights
        Weights of the classifiers and the annotators.
    majority : ndarray of int64, shape (N,)
        Majority label of each task, as class codes.

    Returns
    -------
    ndarray of int64, shape (N,)
        Class codes; the majority label for tasks without labels.
    """
    probable = majority.copy()
    unsure: list[IntArray] = [np.empty(0, dtype=np.int64)]
    for part in block.parts:
        winner, is_unsure = _probable_in(block, part, weights)
        probable[part.place] = winner
        unsure.append(part.tasks[is_unsure])
    tasks = np.sort(np.concatenate(unsure))
    step = max(1, _NUMBERS_AT_ONCE // block.labels.num_classes)
    for start in range(0, len(tasks), step):
        some = tasks[start : start + step]
        probs = _of_labelled(block.labels, block.pred_probs, weights, some)
        probable[some] = best_quality(probs, majority[some])
    return probable


def _probable_in(block: Block, part: Part, weights: Weights) -> tuple[IntArray, BoolArray]:
    """Most probable class of each task of a part, and whether exact sums have to tell."""
    margin = weights.agreement - weights.disagreement
    if margin < _MIN_MARGIN:
        nothing = np.zeros(len(part.tasks), dtype=np.int64)
        return nothing, np.ones(len(part.tasks), dtype=np.bool_)
    support = sum_equal(part.label, weights.annotator.take(part.annotator))
    support *= margin
    favourite = np.zeros(len(part.tasks))
    if block.pred_probs.num_models == 1:
        support += weights.model[0] * part.prob[0]
        favourite = weights.model[0] * part.largest[0]
    elif block.pred_probs.num_models:
        rows = block.pred_probs.weighted_rows(weights.model, part.tasks)
        support += at_labels(rows, part.label, np.empty(part.label.shape))
        favourite = rows.max(axis=1)
    best = support.max(axis=0)
    tolerance = _CLOSE * (weights.model.sum() + part.num_labels)
    is_best = support >= best - tolerance
    winner = pick(part.label, is_best)
    is_unsure = count_true(is_best) != pick(part.equal, is_best)
    # A class that nobody chose can be the most probable one, if classifiers are for it.
    rivalled = np.flatnonzero(favourite >= best - tolerance)
    if rivalled.size:
        rows = _said_by_models(block, weights, part.tasks[rivalled])
        most = favourite[rivalled]
        is_alone = (rows >= most[:, None] - tolerance).sum(axis=1) == 1
        is_clear = is_alone & (most > best[rivalled] + tolerance)
        winner[rivalled[is_clear]] = rows[is_clear].argmax(axis=1)
        is_unsure[rivalled] = ~is_clear
    return winner, is_unsure


def _said_by_models(block: Block, weights: Weights, tasks: IntArray) -> FloatArray:
    """Weighted sum of the predictions of some tasks, shape (B, K)."""
    if not block.pred_probs.num_models:
        return np.zeros((len(tasks), block.labels.num_classes))
    return block.pred_probs.weighted_rows(weights.model, tasks)


@dataclass(frozen=True, eq=False)
class Scores:
    """Qualities of a block of tasks, given their consensus.

    Attributes
    ----------
    consensus_quality : ndarray of float64, shape (N,)
        Probability of the consensus label; NaN where there is no consensus.
    label_quality : ndarray of float64, shape (L,)
        Probability of each label, in the order of the block's labels.
    num_agreeing : ndarray of int64, shape (N,)
        Number of the task's labels that equal the consensus.
    annotators : AnnotatorSums
        Sums over these labels.
    """

    consensus_quality: FloatArray
    label_quality: FloatArray
    num_agreeing: IntArray
    annotators: AnnotatorSums

    def agreement(self, labels: MultiannotatorLabels) -> FloatArray:
        """Share of the labels of each task that equal the consensus, shape (N,); NaN without."""
        share = np.full(labels.num_tasks, np.nan)
        num_annotations = labels.num_annotations
        np.divide(self.num_agreeing, num_annotations, out=share, where=num_annotations > 0)
        return share


def scores(block: Block, weights: Weights, consensus: IntArray) -> Scores:
    """Score the consensus and every label by their posterior; known truths score 1.

    Parameters
    ----------
    block : Block
        Labels of N tasks and their predictions.
    weights : Weights
        Weights of the classifiers and the annotators.
    consensus : ndarray of int64, shape (N,)
        Consensus labels, as class codes; -1 for none.

    Returns
    -------
    Scores
    """
    labels = block.labels
    tally = AnnotatorTally(labels.num_annotators, labels.num_classes)
    consensus_quality = np.full(labels.num_tasks, np.nan)
    label_quality = np.empty(labels.num_labels)
    num_agreeing = np.zeros(labels.num_tasks, dtype=np.int64)
    for part in block.parts:
        place = part.place
        said = consensus[place].astype(part.label.dtype)
        agrees = part.label == said
        votes = count_true(agrees)
        probs, quality = _probabilities_in(block, part, weights, said, agrees, votes == 0)
        if block.truth is not None:
            is_known = block.is_known[place]
            quality[is_known] = 1.0
            probs[:, is_known] = agrees[:, is_known]
        consensus_quality[place] = quality
        num_agreeing[place] = votes
        labels.set_columns(label_quality, part.tasks, probs)
        tally.add(part, agrees, probs, block.is_shared[place])
    unlabelled = np.flatnonzero((labels.num_annotations == 0) & (consensus >= 0))
    if unlabelled.size:
        quality = np.ones(len(unlabelled))
        if block.pred_probs.num_models:
            rows = np.asarray(prediction(block.pred_probs, weights, unlabelled))
            quality = rows[np.arange(len(unlabelled)), consensus[unlabelled]]
        consensus_quality[unlabelled] = np.where(block.is_known[unlabelled], 1.0, quality)
    return Scores(consensus_quality, label_quality, num_agreeing, tally.sums())


def _probabilities_in(
    block: Block,
    part: Part,
    weights: Weights,
    said: IntArray,
    agrees: BoolArray,
    is_unvoted: BoolArray,
) -> tuple[FloatArray, FloatArray]:
    """Posterior of each label of a part, shape (n, m), and of each consensus, shape (m,)."""
    every = np.arange(len(part.tasks))
    if block.pred_probs.is_ensemble or part.num_labels > FEW_LABELS:
        rows = _of_labelled(block.labels, block.pred_probs, weights, part.tasks)
        return at_labels(rows, part.label, np.empty(part.label.shape)), rows[every, said]
    if block.pred_probs.num_models:
        probs: FloatArray = weights.model[0] * part.prob[0]
    else:
        probs = np.zeros(part.label.shape)
    label_weight = weights.annotator.take(part.annotator)
    total = label_weight.sum(axis=0)
    total += block.pred_probs.heard_weight(weights.model, part.tasks)
    _add_votes(probs, part, label_weight, weights)
    probs /= total
    np.clip(probs, 0.0, 1.0, out=probs)
    quality = pick(probs, agrees)
    unvoted = np.flatnonzero(is_unvoted)
    if unvoted.size:
        rows = _of_labelled(block.labels, block.pred_probs, weights, part.tasks[unvoted])
        quality[unvoted] = rows[every[: len(unvoted)], said[unvoted]]
    return probs, quality


def _add_votes(probs: FloatArray, part: Part, label_weight: FloatArray, weights: Weights) -> None:
    """Add to the class of each label, shape (n, m), what every annotator of the task says of it.

    The annotators' shares are added in ascending order. A share is one of two numbers; it is
    selected by arithmetic on their bits, as masks without a pattern are slow.
    """
    if_given = label_weight * weights.agreement
    if_other = label_weight * weights.disagreement
    other_bits = if_other.view(np.int64)
    difference = if_given.view(np.int64) ^ other_bits
    share = np.empty(len(part.tasks), dtype=np.int64)
    for one in range(part.num_labels):
        for earlier in range(one):
            is_equal = (part.label[earlier] == part.label[one]).astype(np.int64)
            for adder, sum_of in ((earlier, one), (one, earlier)):
                np.multiply(difference[adder], is_equal, out=share)
                share ^= other_bits[adder]
                probs[sum_of] += share.view(np.float64)
        probs[one] += if_given[one]


def _of_labelled(
    labels: MultiannotatorLabels, pred_probs: PredProbs, weights: Weights, tasks: IntArray
) -> FloatArray:
    """Posterior of some labelled tasks, ascending, shape (B, K)."""
    chosen = labels.take(tasks)
    if pred_probs.is_ensemble:
        probs = _from_ensemble(chosen, pred_probs, tasks, weights)
    else:
        probs = _from_model(chosen, pred_probs, tasks, weights)
    return np.clip(probs, 0.0, 1.0, out=probs)


def _from_model(
    labels: MultiannotatorLabels, pred_probs: PredProbs, tasks: IntArray, weights: Weights
) -> FloatArray:
    """Posterior of labelled tasks from one classifier or none."""
    if pred_probs.num_models:
        probs: FloatArray = weights.model[0] * pred_probs.rows(0, tasks)
    else:
        probs = np.zeros((labels.num_tasks, labels.num_classes))
    label_weight = weights.annotator[labels.annotator]
    if_given = label_weight * weights.agreement
    if_other = label_weight * weights.disagreement
    for some, positions in labels.slots():
        given = labels.label[positions]
        voted = probs[some, given] + if_given[positions]
        probs[some] += if_other[positions, None]
        probs[some, given] = voted
    by_annotators = np.bincount(labels.task, weights=label_weight, minlength=labels.num_tasks)
    total = by_annotators + pred_probs.heard_weight(weights.model, tasks)
    probs /= total[:, None]
    return probs


def _from_ensemble(
    labels: MultiannotatorLabels, pred_probs: PredProbs, tasks: IntArray, weights: Weights
) -> FloatArray:
    """Posterior of labelled tasks from several classifiers.

    All that is said of a class, by models and then annotators, is one array added up by
    numpy, as the reference does: then exact ties are ties here too.
    """
    num_models, num_classes = pred_probs.num_models, labels.num_classes
    probs = np.empty((labels.num_tasks, num_classes))
    classes = np.arange(num_classes)[:, None]
    for size in np.unique(labels.num_annotations):
        of_size = np.flatnonzero(labels.num_annotations == size)
        num_chunks = 1 + of_size.size * num_classes * (num_models + size) // _NUMBERS_AT_ONCE
        for some in np.array_split(of_size, num_chunks):
            chunk = labels.take(some)
            said = np.empty((len(some), num_classes, num_models + size))
            for model in range(num_models):
                said[:, :, model] = pred_probs.rows(model, tasks[some])
            is_chosen = chunk.label.reshape(-1, 1, size) == classes
            said[:, :, num_models:] = np.where(is_chosen, weights.agreement, weights.disagreement)
            models = np.broadcast_to(weights.model, (len(some), num_models))
            if pred_probs.silent is not None:
                models = np.where(pred_probs.silent[:, tasks[some]].T, 0.0, models)
            weight = np.hstack([models, weights.annotator[chunk.annotator].reshape(-1, size)])
            said *= weight[:, None]
            probs[some] = said.sum(axis=2) / weight.sum(axis=1, keepdims=True)
    return probs
