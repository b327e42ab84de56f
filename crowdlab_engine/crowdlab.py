"""CROWDLAB: consensus labels, their quality, and the quality of labels and annotators.

A classifier and the annotators vote with weights that follow from how often they agree
with the consensus and with each other. Goh, Tkachenko and Mueller, "CROWDLAB: Supervised
learning to infer consensus labels and quality scores for data with multiple annotators",
arXiv 2210.06812. Where this differs from the paper, it follows cleanlab 2.9.0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self, TypeAlias, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from crowdlab_engine._random import RandomState
from crowdlab_engine._typing import FloatArray, IntArray
from crowdlab_engine.annotators import annotator_stats
from crowdlab_engine.labels import MultiannotatorLabels
from crowdlab_engine.majority import NO_CONSENSUS, Ties, majority_vote
from crowdlab_engine.pred_probs import check_pred_probs
from crowdlab_engine.statistics import Statistics, statistics

ConsensusMethod: TypeAlias = Literal["best_quality", "majority_vote"]

MIN_WEIGHT = 1e-6
"""Lower bound of weights and of the baseline error: nobody counts for nothing."""


@dataclass(frozen=True, eq=False)
class Weights:
    """How much the classifier and each annotator count.

    Attributes
    ----------
    model : float
        Weight of the classifier, larger is better; 0 without one.
    annotator : ndarray of float64, shape (M,)
        Weight of each annotator, in [1e-6, 1], larger is better. One who shares no task
        with others counts as the mean of those who do.
    agreement : float
        Probability that an annotator gives the consensus label (P in the paper).
    disagreement : float
        Probability that an annotator gives any one of the other labels.
    """

    model: float
    annotator: FloatArray
    agreement: float
    disagreement: float


def weights(statistics: Statistics) -> Weights:
    """Derive weights from statistics (arXiv 2210.06812, section 3).

    If no task has two labels, nothing tells good from bad: classifier and annotators then
    weigh the same, 1, and a label is taken at its word (agreement 1).

    Parameters
    ----------
    statistics : Statistics
        Of all tasks, with at least one label.

    Returns
    -------
    Weights
    """
    has_model = statistics.num_predicted > 0
    num_annotators = len(statistics.labels_given)
    num_shared = statistics.num_shared
    if num_shared == 0:
        return Weights(
            model=float(has_model),
            annotator=np.ones(num_annotators),
            agreement=1.0,
            disagreement=0.0,
        )
    agreement = statistics.agreement / num_shared
    other_classes = len(statistics.consensus_counts) - 1
    baseline_errors = num_shared - int(statistics.consensus_counts.max())
    baseline = max(MIN_WEIGHT, baseline_errors / num_shared)

    has_peers = statistics.peers > 0
    peer_agreement = np.divide(
        statistics.peers_agreeing, statistics.peers, out=np.zeros(num_annotators), where=has_peers
    )
    peer_agreement[~has_peers] = peer_agreement[has_peers].mean()
    model = 0.0
    if has_model:
        model_error = statistics.model_errors / num_shared
        model = max(MIN_WEIGHT, 1 - model_error / baseline) * float(
            np.sqrt(statistics.labels_per_task)
        )
    return Weights(
        model=model,
        annotator=np.maximum(MIN_WEIGHT, 1 - (1 - peer_agreement) / baseline),
        agreement=agreement,
        disagreement=(1 - agreement) / other_classes if other_classes else 0.0,
    )


def posterior(
    labels: MultiannotatorLabels, pred_probs: FloatArray | None, weights: Weights
) -> FloatArray:
    """Return the probability of each class: a weighted mean of classifier and annotators.

    Exact ties between classes occur in practice, and rounding decides them, so the order
    of additions is fixed: classifier, annotators ascending, then one division.

    Parameters
    ----------
    labels : MultiannotatorLabels
        Labels of N tasks by M annotators.
    pred_probs : ndarray of float64, shape (N, K), or None
        Predicted class probabilities; None for the annotators alone.
    weights : Weights
        Weights of the classifier and the annotators.

    Returns
    -------
    ndarray of float64, shape (N, K)
        In [0, 1]; rows sum to 1 as far as those of `pred_probs` do. A task without labels
        has its `pred_probs`, or NaN without any.
    """
    shape = (labels.num_tasks, labels.num_classes)
    probs = np.zeros(shape) if pred_probs is None else weights.model * pred_probs
    label_weight = weights.annotator[labels.annotator]
    if_given = label_weight * weights.agreement
    if_other = label_weight * weights.disagreement
    for tasks, positions in labels.slots():
        given = labels.label[positions]
        voted = probs[tasks, given] + if_given[positions]
        probs[tasks] += if_other[positions, None]
        probs[tasks, given] = voted
    total = np.bincount(labels.task, weights=label_weight, minlength=shape[0]) + weights.model
    unlabelled = labels.num_annotations == 0
    total[unlabelled] = 1.0
    probs /= total[:, None]
    probs[unlabelled] = np.nan if pred_probs is None else pred_probs[unlabelled]
    return np.clip(probs, 0.0, 1.0, out=probs)


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


class Crowdlab(BaseEstimator):  # type: ignore[misc]
    """Consensus labels and quality scores from several annotators and a classifier.

    Parameters
    ----------
    consensus_method : {"best_quality", "majority_vote"}, default "best_quality"
        Which label is the consensus: the most probable one given annotators and
        classifier, or the majority vote.
    ties : {"frequent", "rare"}, default "frequent"
        Which class a tied majority vote prefers, see `majority_vote`.
    random_state : int or numpy.random.RandomState, default 0
        Decides what no other tie-break can.
    row_sum_tolerance : float, default 1e-3
        How far a row of `pred_probs` may be from a sum of 1; `numpy.inf` accepts
        probabilities that are not normalised.

    Attributes
    ----------
    consensus_label_ : ndarray of int64, shape (N,)
        Class codes. A task without labels has the class of its largest `pred_probs`, or -1
        without any.
    consensus_quality_score_ : ndarray of float64, shape (N,)
        Probability that the consensus label is right, in [0, 1]; higher is better. NaN
        where there is no consensus.
    annotator_agreement_ : ndarray of float64, shape (N,)
        Share of the task's labels that equal the consensus, in [0, 1]; NaN without labels.
    num_annotations_ : ndarray of int64, shape (N,)
        Number of labels of each task.
    label_quality_ : ndarray of float64, shape (L,)
        Probability that each label is right, in [0, 1], higher is better; in the order in
        which the caller gave the labels.
    posterior_ : ndarray of float64, shape (N, K)
        Probability of each class. After a second round of weights the consensus label need
        not be the largest one.
    annotator_stats_ : DataFrame
        One row per annotator, see `crowdlab_engine.annotators.annotator_stats`.
    model_weight_ : float
        Weight of the classifier; 0 without `pred_probs`.
    annotator_weight_ : ndarray of float64, shape (M,)
        Weight of each annotator, in [1e-6, 1]; larger is better.

    Examples
    --------
    >>> labels = MultiannotatorLabels.from_codes(
    ...     task=[0, 0, 0, 1, 1, 2], annotator=[0, 1, 2, 0, 1, 2], label=[1, 1, 0, 0, 0, 1]
    ... )
    >>> Crowdlab().fit(labels).consensus_label_
    array([1, 0, 1])
    """

    def __init__(
        self,
        consensus_method: ConsensusMethod = "best_quality",
        ties: Ties = "frequent",
        random_state: RandomState = 0,
        row_sum_tolerance: float = 1e-3,
    ) -> None:
        self.consensus_method = consensus_method
        self.ties = ties
        self.random_state = random_state
        self.row_sum_tolerance = row_sum_tolerance

    def fit(self, labels: MultiannotatorLabels, pred_probs: ArrayLike | None = None) -> Self:
        """Find the consensus of each task, and score it, every label and every annotator.

        Parameters
        ----------
        labels : MultiannotatorLabels
            Labels of N tasks by M annotators; neither need all have labels.
        pred_probs : array_like, shape (N, K), optional
            Out-of-sample class probabilities, one column per class of `labels`. Without
            them the annotators decide alone: the classifier has weight 0, and the quality
            of an annotator is the agreement with the consensus.

        Returns
        -------
        Crowdlab
            Itself, fitted.

        Raises
        ------
        TypeError
            `labels` is not a `MultiannotatorLabels`, or `random_state` is neither an
            integer nor a `RandomState`.
        ValueError
            There is no label; `pred_probs` has another shape or impossible values; a
            parameter of the estimator is unknown.
        """
        if not isinstance(labels, MultiannotatorLabels):
            raise TypeError(
                f"labels is a {type(labels).__name__}: build it with "
                "MultiannotatorLabels.from_long, from_wide or from_codes"
            )
        if self.consensus_method not in get_args(ConsensusMethod):
            raise ValueError(
                f"consensus_method is {self.consensus_method!r}: choose one of "
                f"{list(get_args(ConsensusMethod))}"
            )
        if labels.num_labels == 0:
            raise ValueError(
                f"none of the {labels.num_tasks} tasks has a label: a consensus needs at least one"
            )
        probs = None
        if pred_probs is not None:
            probs = check_pred_probs(pred_probs, labels, row_sum_tolerance=self.row_sum_tolerance)

        consensus = majority_vote(labels, probs, ties=self.ties, random_state=self.random_state)
        if self.consensus_method == "best_quality":
            first = weights(statistics(labels, consensus, probs))
            consensus = best_quality(posterior(labels, probs, first), consensus)
        if probs is not None:
            consensus = np.where(consensus == NO_CONSENSUS, probs.argmax(axis=1), consensus)
        sums = statistics(labels, consensus, probs)
        self._score(labels, probs, consensus, sums, weights(sums))
        return self

    def _score(
        self,
        labels: MultiannotatorLabels,
        pred_probs: FloatArray | None,
        consensus: IntArray,
        sums: Statistics,
        fitted: Weights,
    ) -> None:
        """Set the fitted attributes from the consensus and the weights that follow from it."""
        probs = posterior(labels, pred_probs, fitted)
        # The posterior is NaN wherever the code -1 picks the last class.
        quality = probs[np.arange(labels.num_tasks), consensus]
        label_quality = probs[labels.task, labels.label]
        votes = np.bincount(
            labels.task[labels.label == consensus[labels.task]], minlength=labels.num_tasks
        )
        num_annotations = labels.num_annotations

        self.consensus_label_ = consensus
        self.consensus_quality_score_ = quality
        self.annotator_agreement_ = np.divide(
            votes,
            num_annotations,
            out=np.full(labels.num_tasks, np.nan),
            where=num_annotations > 0,
        )
        self.num_annotations_ = num_annotations.copy()
        self.label_quality_ = np.empty(labels.num_labels)
        self.label_quality_[labels.order] = label_quality
        self.posterior_ = probs
        self.annotator_stats_: pd.DataFrame = annotator_stats(
            labels, sums, consensus, quality, label_quality, _model_share(sums, fitted)
        )
        self.model_weight_ = fitted.model
        self.annotator_weight_ = fitted.annotator


def _model_share(statistics: Statistics, weights: Weights) -> float:
    """Share of the classifier in the total weight of a typical task."""
    has_label = statistics.labels_given > 0
    annotators = statistics.labels_per_task * float(weights.annotator[has_label].mean())
    return weights.model / (weights.model + annotators)
