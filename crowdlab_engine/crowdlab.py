"""CROWDLAB: consensus labels, their quality, and the quality of labels and annotators.

A classifier and the annotators vote with weights that follow from how often they agree
with the consensus and with each other. Goh, Tkachenko and Mueller, "CROWDLAB: Supervised
learning to infer consensus labels and quality scores for data with multiple annotators",
arXiv 2210.06812. Where this differs from the paper, it follows cleanlab 2.9.0.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from crowdlab_engine._random import RandomState
from crowdlab_engine._typing import FloatArray, IntArray
from crowdlab_engine.annotators import (
    AnnotatorSums,
    annotator_stats,
    annotator_sums,
    contested_quality,
)
from crowdlab_engine.block import Block
from crowdlab_engine.calibration import best_temperatures
from crowdlab_engine.explanation import contributions
from crowdlab_engine.ground_truth import check_ground_truth
from crowdlab_engine.label_scores import (
    LabelScore,
    check_label_score,
    class_thresholds,
    label_scores,
)
from crowdlab_engine.labels import MultiannotatorLabels
from crowdlab_engine.majority import Ties
from crowdlab_engine.posterior import (
    Scores,
    posterior,
    posterior_of,
    scores,
    with_predictions,
)
from crowdlab_engine.rounds import find_consensus
from crowdlab_engine.statistics import Statistics
from crowdlab_engine.weights import MIN_WEIGHT, Weights, equal_weights, weights

if TYPE_CHECKING:
    from typing_extensions import Self

ConsensusMethod: TypeAlias = Literal["best_quality", "majority_vote"]
QualityMethod: TypeAlias = Literal["crowdlab", "agreement"]


@dataclass(frozen=True, eq=False)
class _Fitted:
    """What a fit has started from and come to; arrays are not copied."""

    block: Block
    weights: Weights

    def contributions(self, task: int) -> tuple[list[tuple[str, object]], FloatArray]:
        """Return who adds to the posterior of a task, and what: one row each, (…, K)."""
        block, labels, weights = self.block, self.block.labels, self.weights
        if block.truth is not None and block.is_known[task]:
            return [("ground truth", 0)], np.eye(labels.num_classes)[block.truth[[task]]]
        predicted = np.empty((len(weights.model), labels.num_classes))
        for model, row in enumerate(predicted):
            row[:] = block.pred_probs.rows(model, np.array([task]))
        if block.pred_probs.silent is not None:
            predicted[block.pred_probs.silent[:, task]] = np.nan
        given = np.flatnonzero(labels.task == task)
        shares = contributions(weights, predicted, labels.annotator[given], labels.label[given])
        names = labels.annotator_ids[labels.annotator[given]].tolist()
        sources: list[tuple[str, object]] = [("model", number) for number in range(len(predicted))]
        return sources + [("annotator", name) for name in names], shares.rows


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
    may_abstain : bool, default False
        Whether a row of NaN is allowed in `pred_probs`: the model says nothing of the task. Its
        weight then follows from the shared tasks of which it says something, and does not count
        where it says nothing.
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
        may_abstain: bool = False,
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
        self.may_abstain = may_abstain
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
        check_methods(self.consensus_method, self.quality_method)
        check_label_score(self.label_score, adjust_pred_probs=self.adjust_pred_probs)
        if not isinstance(labels, MultiannotatorLabels):
            raise TypeError(
                f"labels is a {type(labels).__name__}: build it with "
                "MultiannotatorLabels.from_long, from_wide or from_codes"
            )
        if labels.num_labels == 0:
            raise ValueError(
                f"none of the {labels.num_tasks} tasks has a label: a consensus needs at least one"
            )
        truth = check_ground_truth(ground_truth, labels)
        block = self._calibrate(
            Block.of(
                labels,
                pred_probs,
                truth,
                row_sum_tolerance=self.row_sum_tolerance,
                may_abstain=self.may_abstain,
            )
        )

        outcome = find_consensus(
            (block,),
            weigh=weigher(self.quality_method),
            is_majority=self.consensus_method == "majority_vote",
            ties=self.ties,
            random_state=self.random_state,
        )
        (drawn,), (consensus,) = outcome.drawn, outcome.consensus
        self.random_ties_ = drawn[~block.is_known[drawn]]
        self._fitted = _Fitted(block, outcome.weights)
        self._score(with_predictions(block, outcome.weights, consensus), outcome.statistics)
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
        labels = self._fitted.block.labels
        matches = np.flatnonzero(pd.Index(labels.task_ids) == task)
        if not matches.size:
            raise KeyError(f"no task {task!r}: pass one of the labels' task_ids")
        sources, parts = self._fitted.contributions(int(matches[0]))
        return pd.DataFrame(
            parts,
            index=pd.MultiIndex.from_tuples(sources, names=["source", "id"]),
            columns=pd.Index(labels.classes, name="class"),
        )

    def label_log_likelihood(
        self, task: ArrayLike, annotator: ArrayLike, label: ArrayLike
    ) -> FloatArray:
        """Return how well labels that were not fitted are predicted.

        CROWDLAB's own assumption is that any annotator gives the right label with the same
        probability (P in the paper), else any other.

        Parameters
        ----------
        task, label : array_like of int, shape (Q,)
            Codes, as of the labels fitted.
        annotator : array_like of int, shape (Q,)
            Codes; all are the same to it.

        Returns
        -------
        ndarray of float64, shape (Q,)
            Log-probability of each label, higher is better; NaN for tasks of which nothing
            is known.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            `fit` was not called.
        """
        check_is_fitted(self, "consensus_label_")
        block, weights = self._fitted.block, self._fitted.weights
        tasks, place = np.unique(np.asarray(task, dtype=np.int64), return_inverse=True)
        probs = posterior_of(block, weights, tasks)[place, np.asarray(label, dtype=np.int64)]
        if_right = np.clip(weights.agreement, MIN_WEIGHT, 1 - MIN_WEIGHT)
        if_wrong = (1 - if_right) / max(1, block.labels.num_classes - 1)
        log_likelihood: FloatArray = np.log(probs * if_right + (1 - probs) * if_wrong)
        return log_likelihood

    def _calibrate(self, block: Block) -> Block:
        """Set `temperature_`, and return the block with `pred_probs` scaled to it if asked for."""
        temperatures: FloatArray = np.ones(block.pred_probs.num_models)
        if self.calibrate_probs and len(temperatures):
            temperatures = best_temperatures((block,))
            block = block.scaled(temperatures)
        self.temperature_ = block.pred_probs.one_or_each(temperatures, without=1.0)
        return block

    def _score(self, consensus: IntArray, statistics: Statistics) -> None:
        """Set the fitted attributes from the consensus and the weights that follow from it."""
        block, weights = self._fitted.block, self._fitted.weights
        found = self._scores(consensus)

        self.consensus_label_ = consensus
        self.consensus_quality_score_ = found.consensus_quality
        self.annotator_agreement_ = found.agreement(block.labels)
        self.num_annotations_ = block.labels.num_annotations.copy()
        self.label_quality_ = block.labels.in_callers_order(found.label_quality)
        self.annotator_stats_: pd.DataFrame = annotator_stats(
            block.labels.annotator_ids,
            found.annotators,
            model_share(statistics, weights, found.annotators),
            lambda cells: contested_quality(block.labels, found.consensus_quality, cells),
        )
        self.model_weight_ = block.pred_probs.one_or_each(weights.model, without=0.0)
        self.annotator_weight_ = weights.annotator

    def _scores(self, consensus: IntArray) -> Scores:
        """Score the consensus and each label as the parameters say."""
        block, weights = self._fitted.block, self._fitted.weights
        self.__dict__.pop("posterior_", None)
        is_plain = self.label_score == "self_confidence" and not self.adjust_pred_probs
        if is_plain and not self.keep_posterior:
            return scores(block, weights, consensus)
        labels = block.labels
        probs = posterior(labels, block.pred_probs, weights)
        if block.truth is not None:
            probs[block.is_known] = np.eye(labels.num_classes)[block.truth[block.is_known]]
        quality, label_quality = self._label_scores(labels, probs, consensus)
        if self.keep_posterior:
            self.posterior_ = probs
        agrees = labels.label == consensus[labels.task]
        if block.truth is not None:
            quality[block.is_known] = 1.0
            in_known = block.is_known[labels.task]
            label_quality[in_known] = agrees[in_known]
        return Scores(
            quality,
            label_quality,
            np.bincount(labels.task[agrees], minlength=labels.num_tasks),
            annotator_sums(block, consensus, label_quality),
        )

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


def check_methods(consensus_method: ConsensusMethod, quality_method: QualityMethod) -> None:
    """Refuse unknown methods.

    Raises
    ------
    ValueError
        One is unknown.
    """
    for name, value, choices in (
        ("consensus_method", consensus_method, get_args(ConsensusMethod)),
        ("quality_method", quality_method, get_args(QualityMethod)),
    ):
        if value not in choices:
            raise ValueError(f"{name} is {value!r}: choose one of {list(choices)}")


def weigher(quality_method: QualityMethod) -> Callable[[Statistics], Weights]:
    """Return how weights follow from statistics."""
    return weights if quality_method == "crowdlab" else equal_weights


def model_share(statistics: Statistics, weights: Weights, sums: AnnotatorSums) -> float:
    """Return the share of a classifier in the total weight of a typical task, in [0, 1]."""
    if not len(weights.model):
        return 0.0
    has_label = sums.labels_given > 0
    annotators = statistics.labels_per_task * float(weights.annotator[has_label].mean())
    coverage: FloatArray = np.ones(len(weights.model))
    if statistics.num_shared:
        coverage = statistics.model_shared / statistics.num_shared
    model = float((weights.model * coverage).mean())
    return model / (model + annotators)
