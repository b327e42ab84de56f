"""CROWDLAB: consensus labels, their quality, and the quality of labels and annotators.

A classifier and the annotators vote with weights that follow from how often they agree
with the consensus and with each other. Goh, Tkachenko and Mueller, "CROWDLAB: Supervised
learning to infer consensus labels and quality scores for data with multiple annotators",
arXiv 2210.06812. Where this differs from the paper, it follows cleanlab 2.9.0.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal, Self, TypeAlias, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from crowdlab_engine._random import RandomState
from crowdlab_engine._typing import FloatArray, IntArray
from crowdlab_engine.annotators import annotator_stats
from crowdlab_engine.calibration import best_temperature, scale
from crowdlab_engine.label_scores import (
    LabelScore,
    check_label_score,
    class_thresholds,
    label_scores,
)
from crowdlab_engine.labels import MultiannotatorLabels, shown
from crowdlab_engine.majority import NO_CONSENSUS, Ties, vote
from crowdlab_engine.pred_probs import check_pred_probs, each_model
from crowdlab_engine.statistics import Statistics, statistics

ConsensusMethod: TypeAlias = Literal["best_quality", "majority_vote"]
QualityMethod: TypeAlias = Literal["crowdlab", "agreement"]

MIN_WEIGHT = 1e-6
"""Lower bound of weights and of the baseline error: nobody counts for nothing."""

BLOCK_CELLS = 2**22
"""How many numbers an ensemble's posterior holds at a time."""


@dataclass(frozen=True, eq=False)
class Weights:
    """How much each classifier and each annotator count.

    Attributes
    ----------
    model : ndarray of float64, shape (P,)
        Weight of each classifier, larger is better; P is 0 without one.
    annotator : ndarray of float64, shape (M,)
        Weight of each annotator, in [1e-6, 1], larger is better. One who shares no task
        with others counts as the mean of those who do.
    agreement : float
        Probability that an annotator gives the consensus label (P in the paper).
    disagreement : float
        Probability that an annotator gives any one of the other labels.
    """

    model: FloatArray
    annotator: FloatArray
    agreement: float
    disagreement: float


def weights(statistics: Statistics) -> Weights:
    """Derive weights from statistics (arXiv 2210.06812, section 3).

    If no task is shared, nothing tells good from bad: classifiers and annotators then weigh
    the same, 1, and a label is taken at its word (agreement 1).

    Parameters
    ----------
    statistics : Statistics
        Of all tasks, with at least one label.

    Returns
    -------
    Weights
    """
    num_models = len(statistics.model_errors) if statistics.num_predicted else 0
    num_annotators = len(statistics.labels_given)
    num_shared = statistics.num_shared
    if num_shared == 0:
        return Weights(
            model=np.ones(num_models),
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
    model_error = statistics.model_errors[:num_models] / num_shared
    return Weights(
        model=np.maximum(MIN_WEIGHT, 1 - model_error / baseline)
        * np.sqrt(statistics.labels_per_task),
        annotator=np.maximum(MIN_WEIGHT, 1 - (1 - peer_agreement) / baseline),
        agreement=agreement,
        disagreement=(1 - agreement) / other_classes if other_classes else 0.0,
    )


def equal_weights(num_models: int, num_annotators: int) -> Weights:
    """Return the weights by which the posterior is the share of annotators who chose a class."""
    return Weights(
        model=np.zeros(num_models),
        annotator=np.ones(num_annotators),
        agreement=1.0,
        disagreement=0.0,
    )


def posterior(
    labels: MultiannotatorLabels, pred_probs: FloatArray | None, weights: Weights
) -> FloatArray:
    """Return the probability of each class: a weighted mean of classifiers and annotators.

    Exact ties between classes occur in practice, and rounding decides them, so the order
    of additions is fixed: classifiers, annotators ascending, then one division.

    Parameters
    ----------
    labels : MultiannotatorLabels
        Labels of N tasks by M annotators.
    pred_probs : ndarray of float64, shape (N, K) or (P, N, K), or None
        Class probabilities predicted by one classifier, or by P of them; None for the
        annotators alone.
    weights : Weights
        Weights of the classifiers and the annotators.

    Returns
    -------
    ndarray of float64, shape (N, K)
        In [0, 1]; rows sum to 1 as far as those of `pred_probs` do. A task without labels
        has the classifiers' mean, or NaN without any.
    """
    if pred_probs is not None and pred_probs.ndim == 3:
        probs = _posterior_of_ensemble(labels, pred_probs, weights)
    else:
        probs = _posterior_of_model(labels, pred_probs, weights)
    unlabelled = np.flatnonzero(labels.num_annotations == 0)
    probs[unlabelled] = prediction(pred_probs, weights, unlabelled)
    return np.clip(probs, 0.0, 1.0, out=probs)


def _posterior_of_model(
    labels: MultiannotatorLabels, pred_probs: FloatArray | None, weights: Weights
) -> FloatArray:
    """Posterior of labelled tasks, from one classifier or none; other rows mean nothing."""
    shape = (labels.num_tasks, labels.num_classes)
    probs = np.zeros(shape) if pred_probs is None else weights.model[0] * pred_probs
    label_weight = weights.annotator[labels.annotator]
    if_given = label_weight * weights.agreement
    if_other = label_weight * weights.disagreement
    for tasks, positions in labels.slots():
        given = labels.label[positions]
        voted = probs[tasks, given] + if_given[positions]
        probs[tasks] += if_other[positions, None]
        probs[tasks, given] = voted
    total = np.bincount(labels.task, weights=label_weight, minlength=shape[0])
    total += weights.model.sum()
    total[labels.num_annotations == 0] = 1.0
    probs /= total[:, None]
    return probs


def _posterior_of_ensemble(
    labels: MultiannotatorLabels, pred_probs: FloatArray, weights: Weights
) -> FloatArray:
    """Posterior of labelled tasks, from several classifiers; other rows mean nothing.

    All that is said of a class, by models and then annotators, is one array added up by
    numpy, as the reference does: then exact ties are ties here too.
    """
    num_models, num_tasks, num_classes = pred_probs.shape
    probs = np.zeros((num_tasks, num_classes))
    classes = np.arange(num_classes)[:, None]
    for size in np.unique(labels.num_annotations[labels.num_annotations > 0]):
        of_size = np.flatnonzero(labels.num_annotations == size)
        num_blocks = 1 + of_size.size * num_classes * (num_models + size) // BLOCK_CELLS
        for tasks in np.array_split(of_size, num_blocks):
            block = labels.take(tasks)
            votes = block.label.reshape(-1, 1, size) == classes
            said = np.concatenate(
                [
                    pred_probs[:, tasks].transpose(1, 2, 0),
                    np.where(votes, weights.agreement, weights.disagreement),
                ],
                axis=2,
            )
            models = np.broadcast_to(weights.model, (len(tasks), num_models))
            weight = np.hstack([models, weights.annotator[block.annotator].reshape(-1, size)])
            said *= weight[:, None]
            probs[tasks] = said.sum(axis=2) / weight.sum(axis=1, keepdims=True)
    return probs


def prediction(
    pred_probs: FloatArray | None, weights: Weights, tasks: IntArray
) -> FloatArray | float:
    """Return what the classifiers alone say of some tasks: their weighted mean.

    Parameters
    ----------
    pred_probs, weights
        See `posterior`.
    tasks : ndarray of int64, shape (B,)
        Which tasks.

    Returns
    -------
    ndarray of float64, shape (B, K), or float
        Class probabilities; NaN without a classifier.
    """
    if pred_probs is None:
        return np.nan
    shares = model_shares(weights)
    mean: FloatArray = (shares[:, None, None] * each_model(pred_probs)[:, tasks]).sum(axis=0)
    return mean


def model_shares(weights: Weights) -> FloatArray:
    """Return the weights of the classifiers among themselves, shape (P,), of sum 1."""
    total = weights.model.sum()
    if total == 0:  # the classifiers do not count, but are all there is
        return np.full_like(weights.model, 1 / max(1, len(weights.model)))
    shares: FloatArray = weights.model / total
    return shares


def most_probable(
    labels: MultiannotatorLabels,
    pred_probs: FloatArray | None,
    weights: Weights,
    majority: IntArray,
) -> IntArray:
    """Return the class of largest posterior of each task, see `best_quality`."""
    return best_quality(posterior(labels, pred_probs, weights), majority)


def probability_of(
    labels: MultiannotatorLabels,
    pred_probs: FloatArray | None,
    weights: Weights,
    consensus: IntArray,
) -> tuple[FloatArray, FloatArray]:
    """Return the posterior where it is asked for: at the consensus, and at each label.

    Parameters
    ----------
    labels, pred_probs, weights
        See `posterior`.
    consensus : ndarray of int64, shape (N,)
        Consensus labels, as class codes; -1 for none.

    Returns
    -------
    consensus_quality : ndarray of float64, shape (N,)
        NaN where there is no consensus.
    label_quality : ndarray of float64, shape (L,)
        In the order of `labels`.
    """
    probs = posterior(labels, pred_probs, weights)
    # The posterior is NaN wherever the code -1 picks the last class.
    return probs[np.arange(labels.num_tasks), consensus], probs[labels.task, labels.label]


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


@dataclass(frozen=True, eq=False)
class _Fitted:
    """What a fit has started from and come to; arrays are not copied."""

    labels: MultiannotatorLabels
    pred_probs: FloatArray | None
    weights: Weights
    truth: IntArray

    def contributions(self, task: int) -> tuple[list[tuple[str, object]], FloatArray]:
        """Return who adds to the posterior of a task, and what: one row each, (…, K)."""
        labels, weights = self.labels, self.weights
        if self.truth[task] != NO_CONSENSUS:
            return [("ground truth", 0)], np.eye(labels.num_classes)[self.truth[[task]]]
        predicted = np.empty((0, labels.num_classes))
        if self.pred_probs is not None:
            predicted = each_model(self.pred_probs)[:, task]
        models: list[tuple[str, object]] = [("model", number) for number in range(len(predicted))]
        given = np.flatnonzero(labels.task == task)
        if not given.size:
            return models, model_shares(weights)[:, None] * predicted
        annotators = labels.annotator[given]
        votes = np.where(
            labels.label[given, None] == np.arange(labels.num_classes),
            weights.agreement,
            weights.disagreement,
        )
        weight = np.concatenate([weights.model, weights.annotator[annotators]])
        said = np.concatenate([predicted, votes])
        names = labels.annotator_ids[annotators].tolist()
        return (
            models + [("annotator", name) for name in names],
            weight[:, None] * said / weight.sum(),
        )


class Crowdlab(BaseEstimator):  # type: ignore[misc]
    """Consensus labels and quality scores from several annotators and a classifier.

    Parameters
    ----------
    consensus_method : {"best_quality", "majority_vote"}, default "best_quality"
        Which label is the consensus: the most probable one given annotators and
        classifier, or the majority vote.
    quality_method : {"crowdlab", "agreement"}, default "crowdlab"
        What the probability of a class is: CROWDLAB's weighted mean of classifier and
        annotators, or the share of annotators who chose it. Under "agreement" the
        classifier has weight 0 and every annotator 1; `pred_probs` only break ties and
        stand in for tasks without labels.
    calibrate_probs : bool, default False
        Whether to scale `pred_probs` to the temperature at which they are about as sure as
        annotators agree, see `crowdlab_engine.calibration`. Each model has its own.
    label_score : {"self_confidence", "normalized_margin", "confidence_weighted_entropy"}, \
default "self_confidence"
        How the quality of labels, those of the consensus included, follows from the
        probabilities, see `crowdlab_engine.label_scores`. Never changes the consensus.
        Under "agreement" the quality of the consensus is always the share who chose it.
    adjust_pred_probs : bool, default False
        Whether these scores allow for classes that are hard to be sure of, judged for the
        consensus and for each annotator apart.
    ties : {"frequent", "rare"}, default "frequent"
        Which class a tied majority vote prefers, see `majority_vote`.
    random_state : int or numpy.random.RandomState, default 0
        Decides what no other tie-break can.
    row_sum_tolerance : float, default 1e-3
        How far a row of `pred_probs` may be from a sum of 1; `numpy.inf` accepts
        probabilities that are not normalised.
    keep_posterior : bool, default False
        Whether to keep `posterior_`, which takes memory for N times K numbers.

    Attributes
    ----------
    consensus_label_ : ndarray of int64, shape (N,)
        Class codes. A task without labels has the class of its largest `pred_probs`, or -1
        without any.
    consensus_quality_score_ : ndarray of float64, shape (N,)
        Probability that the consensus label is right, or another `label_score`, in [0, 1];
        higher is better. NaN where there is no consensus.
    annotator_agreement_ : ndarray of float64, shape (N,)
        Share of the task's labels that equal the consensus, in [0, 1]; NaN without labels.
    num_annotations_ : ndarray of int64, shape (N,)
        Number of labels of each task.
    label_quality_ : ndarray of float64, shape (L,)
        Probability that each label is right, or another `label_score`, in [0, 1], higher is
        better; in the order in which the caller gave the labels.
    posterior_ : ndarray of float64, shape (N, K)
        Probability of each class, if `keep_posterior`. After a second round of weights the
        consensus label need not be the largest one.
    annotator_stats_ : DataFrame
        One row per annotator, see `crowdlab_engine.annotators.annotator_stats`.
    model_weight_ : float, or ndarray of float64, shape (P,)
        Weight of the classifier; 0 without `pred_probs`. One for each model of an ensemble.
    annotator_weight_ : ndarray of float64, shape (M,)
        Weight of each annotator, in [1e-6, 1]; larger is better.
    temperature_ : float, or ndarray of float64, shape (P,)
        By which `pred_probs` were calibrated; 1 if they were not.
    random_ties_ : ndarray of int64
        Tasks whose majority vote only a random draw could settle, ascending.

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
        quality_method: QualityMethod = "crowdlab",
        calibrate_probs: bool = False,
        label_score: LabelScore = "self_confidence",
        adjust_pred_probs: bool = False,
        ties: Ties = "frequent",
        random_state: RandomState = 0,
        row_sum_tolerance: float = 1e-3,
        keep_posterior: bool = False,
    ) -> None:
        self.consensus_method = consensus_method
        self.quality_method = quality_method
        self.calibrate_probs = calibrate_probs
        self.label_score = label_score
        self.adjust_pred_probs = adjust_pred_probs
        self.ties = ties
        self.random_state = random_state
        self.row_sum_tolerance = row_sum_tolerance
        self.keep_posterior = keep_posterior

    def fit(
        self,
        labels: MultiannotatorLabels,
        pred_probs: ArrayLike | None = None,
        ground_truth: ArrayLike | None = None,
    ) -> Self:
        """Find the consensus of each task, and score it, every label and every annotator.

        Where the truth of a task is known, it is the consensus from the start, of quality
        1; labels that equal it have quality 1, others 0. Weights are measured against it:
        the task counts as shared even if it has a single label, the classifier errs where
        it disagrees with the truth, and an annotator's agreement with peers is agreement
        with the truth instead, which counts as often as the peers would, at least once.
        Truths of tasks without labels change no weight.

        Parameters
        ----------
        labels : MultiannotatorLabels
            Labels of N tasks by M annotators; neither need all have labels.
        pred_probs : array_like, shape (N, K) or (P, N, K), optional
            Out-of-sample class probabilities, one column per class of `labels`, predicted
            by one classifier or by P of them. Without them the annotators decide alone:
            the classifier has weight 0, and the quality of an annotator is the agreement
            with the consensus.
        ground_truth : array_like of int, shape (N,), optional
            Class code of each task that is known for certain, as from an expert; -1 for
            the others.

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
            There is no label; `pred_probs` or `ground_truth` has another shape or
            impossible values; a parameter of the estimator is unknown.
        """
        self._check_parameters()
        if not isinstance(labels, MultiannotatorLabels):
            raise TypeError(
                f"labels is a {type(labels).__name__}: build it with "
                "MultiannotatorLabels.from_long, from_wide or from_codes"
            )
        if labels.num_labels == 0:
            raise ValueError(
                f"none of the {labels.num_tasks} tasks has a label: a consensus needs at least one"
            )
        truth = _check_ground_truth(ground_truth, labels)
        probs = None
        if pred_probs is not None:
            probs = check_pred_probs(pred_probs, labels, row_sum_tolerance=self.row_sum_tolerance)
        probs = self._calibrate(labels, probs)

        is_known = truth != NO_CONSENSUS
        majority = vote(labels, probs, ties=self.ties, random_state=self.random_state)
        self.random_ties_ = majority.drawn[~is_known[majority.drawn]]
        consensus = np.where(is_known, truth, majority.label)
        if self.consensus_method == "best_quality":
            first = self._weights(statistics(labels, consensus, probs, is_known))
            probable = most_probable(labels, probs, first, consensus)
            consensus = np.where(is_known, truth, probable)
        sums = statistics(labels, consensus, probs, is_known)
        fitted = _Fitted(labels, probs, self._weights(sums), truth)
        unlabelled = np.flatnonzero((labels.num_annotations == 0) & ~is_known)
        if probs is not None and unlabelled.size:
            consensus[unlabelled] = np.argmax(prediction(probs, fitted.weights, unlabelled), axis=1)
        self._score(fitted, sums, consensus)
        return self

    def explain(self, task: Hashable) -> pd.DataFrame:
        """Show how the probability of each class of a task comes about.

        Parameters
        ----------
        task : hashable
            Identifier of the task, one of the labels' `task_ids`.

        Returns
        -------
        DataFrame
            One column per class; rows are indexed by source and identifier: ("model", its
            number) for each model, ("annotator", annotator) for each annotator who
            labelled the task, ascending. Each cell is a contribution, in [0, 1]; a column
            adds up to the probability of the class (`posterior_`). Where the truth is
            known, all comes from one row, ("ground truth", 0). Empty if nothing is known.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            `fit` was not called.
        KeyError
            There is no such task.
        """
        check_is_fitted(self, "consensus_label_")
        labels = self._fitted.labels
        matches = np.flatnonzero(pd.Index(labels.task_ids) == task)
        if not matches.size:
            raise KeyError(f"no task {task!r}: pass one of the labels' task_ids")
        sources, parts = self._fitted.contributions(matches[0])
        return pd.DataFrame(
            parts,
            index=pd.MultiIndex.from_tuples(sources, names=["source", "id"]),
            columns=pd.Index(labels.classes, name="class"),
        )

    def _check_parameters(self) -> None:
        for name, value, choices in (
            ("consensus_method", self.consensus_method, get_args(ConsensusMethod)),
            ("quality_method", self.quality_method, get_args(QualityMethod)),
        ):
            if value not in choices:
                raise ValueError(f"{name} is {value!r}: choose one of {list(choices)}")
        check_label_score(self.label_score, adjust_pred_probs=self.adjust_pred_probs)

    def _calibrate(
        self, labels: MultiannotatorLabels, pred_probs: FloatArray | None
    ) -> FloatArray | None:
        """Set `temperature_`, and return `pred_probs` scaled to it if that is asked for."""
        models = each_model(pred_probs)
        temperatures = np.ones(len(models))
        if pred_probs is not None and self.calibrate_probs:
            temperatures = np.array([best_temperature(labels, model) for model in models])
            scaled = [scale(*pair) for pair in zip(models, temperatures, strict=True)]
            pred_probs = np.stack(scaled) if pred_probs.ndim == 3 else scaled[0]
        self.temperature_ = _one_or_each(temperatures, pred_probs, without=1.0)
        return pred_probs

    def _weights(self, statistics: Statistics) -> Weights:
        if self.quality_method == "agreement":
            return equal_weights(len(statistics.model_errors), len(statistics.labels_given))
        return weights(statistics)

    def _score(self, fitted: _Fitted, statistics: Statistics, consensus: IntArray) -> None:
        """Set the fitted attributes from the consensus and the weights that follow from it."""
        labels = fitted.labels
        quality, label_quality = self._qualities(fitted, consensus)
        votes = np.bincount(
            labels.task[labels.label == consensus[labels.task]], minlength=labels.num_tasks
        )
        num_annotations = labels.num_annotations

        self._fitted = fitted
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
        self.annotator_stats_: pd.DataFrame = annotator_stats(
            labels, statistics, consensus, quality, label_quality, _model_share(statistics, fitted)
        )
        self.model_weight_ = _one_or_each(fitted.weights.model, fitted.pred_probs, without=0.0)
        self.annotator_weight_ = fitted.weights.annotator

    def _qualities(self, fitted: _Fitted, consensus: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return the quality of the consensus, shape (N,), and of each label, shape (L,)."""
        labels, truth = fitted.labels, fitted.truth
        is_known = truth != NO_CONSENSUS
        self.__dict__.pop("posterior_", None)
        is_plain = self.label_score == "self_confidence" and not self.adjust_pred_probs
        if is_plain and not self.keep_posterior:
            quality, label_quality = probability_of(
                labels, fitted.pred_probs, fitted.weights, consensus
            )
        else:
            probs = posterior(labels, fitted.pred_probs, fitted.weights)
            probs[is_known] = np.eye(labels.num_classes)[truth[is_known]]
            quality, label_quality = self._label_scores(labels, probs, consensus)
            if self.keep_posterior:
                self.posterior_ = probs
        quality[is_known] = 1.0
        in_known = is_known[labels.task]
        label_quality[in_known] = (labels.label == truth[labels.task])[in_known]
        return quality, label_quality

    def _label_scores(
        self, labels: MultiannotatorLabels, probs: FloatArray, consensus: IntArray
    ) -> tuple[FloatArray, FloatArray]:
        """Score the consensus and each label by the posterior."""
        tasks = np.arange(labels.num_tasks)
        of_consensus = of_labels = None
        if self.adjust_pred_probs:
            labelled = np.flatnonzero(labels.num_annotations)
            of_consensus = class_thresholds(
                probs, labelled, consensus[labelled], np.zeros_like(labelled), 1
            )
            of_labels = class_thresholds(
                probs, labels.task, labels.label, labels.annotator, labels.num_annotators
            )
        if self.quality_method == "agreement":
            quality = probs[tasks, consensus]
        else:
            quality = label_scores(
                probs, tasks, consensus, method=self.label_score, thresholds=of_consensus
            )
        label_quality = label_scores(
            probs,
            labels.task,
            labels.label,
            method=self.label_score,
            thresholds=of_labels,
            group=labels.annotator,
        )
        return quality, label_quality


def _one_or_each(
    values: FloatArray, pred_probs: FloatArray | None, *, without: float
) -> float | FloatArray:
    """Return a value for each model of an ensemble, or that of the only model."""
    if pred_probs is None:
        return without
    return values if pred_probs.ndim == 3 else float(values[0])


def _model_share(statistics: Statistics, fitted: _Fitted) -> float:
    """Share of a classifier in the total weight of a typical task."""
    weights = fitted.weights
    if not len(weights.model):
        return 0.0
    has_label = statistics.labels_given > 0
    annotators = statistics.labels_per_task * float(weights.annotator[has_label].mean())
    model = float(weights.model.mean())
    return model / (model + annotators)


def _check_ground_truth(ground_truth: ArrayLike | None, labels: MultiannotatorLabels) -> IntArray:
    """Return the known class of each task, -1 for none."""
    if ground_truth is None:
        return np.full(labels.num_tasks, NO_CONSENSUS, dtype=np.int64)
    truth = np.asarray(ground_truth)
    if truth.shape != (labels.num_tasks,):
        raise ValueError(
            f"ground_truth has shape {truth.shape} but there are {labels.num_tasks} tasks: pass "
            "one class code per task, -1 for unknown"
        )
    if truth.size and truth.dtype.kind not in "iu":
        raise ValueError(
            f"ground_truth holds {truth.dtype} values: pass integer class codes, -1 for unknown"
        )
    wrong = np.flatnonzero((truth < NO_CONSENSUS) | (truth >= labels.num_classes))
    if wrong.size:
        raise ValueError(
            f"ground_truth of task {shown(labels.task_ids, wrong[0])} is {truth[wrong[0]]}: pass "
            f"class codes from 0 to {labels.num_classes - 1}, -1 for unknown"
        )
    return truth.astype(np.int64)
