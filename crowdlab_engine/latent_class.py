"""What all models of a hidden true class share: input, expectation-maximisation, results.

Each task has one true class; given it, labels are independent. A model of the annotators
says how likely each label is under each class; a prior says how likely each class is.
Expectation-maximisation alternates between the class probabilities of tasks and the
parameters of both (Dawid and Skene, "Maximum likelihood estimation of observer error-rates
using the EM algorithm", Applied Statistics 28, 1979).

Three departures from the textbook keep it sound where labels are few:

- It starts from a consistent estimate of the annotators' accuracy, from how often pairs of
  them agree, and takes as few steps as it can. From such a start the first steps bring
  nearly all there is to gain (Zhang, Chen, Zhou and Jordan, "Spectral methods meet EM",
  NIPS 2014); later ones wander along directions that the labels do not determine.
- It ends when a step does not make the labels more probable by a factor of e.
- A task with n labels counts as (n - 1) / n: like the mean in a variance, its class has
  used up one of them. A single label says nothing of who gave it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.sparse import csr_array
from scipy.special import logsumexp
from sklearn.base import BaseEstimator

from crowdlab_engine._typing import BoolArray, FloatArray, IntArray
from crowdlab_engine.annotators import annotator_stats, annotator_sums, contested_quality
from crowdlab_engine.block import Block
from crowdlab_engine.class_prior import ClassPrior
from crowdlab_engine.ground_truth import UNKNOWN, check_ground_truth
from crowdlab_engine.labels import MultiannotatorLabels
from crowdlab_engine.majority import NO_CONSENSUS, majority_vote
from crowdlab_engine.pred_probs import PredProbs

if TYPE_CHECKING:
    from typing_extensions import Self

ROW_SUM_TOLERANCE = 1e-3
"""How far a row of pred_probs may be from a sum of 1."""

TIE = 1e-9
"""Probabilities closer than this are equal but for the order of additions."""

PROB_MARGIN = 1e-9
"""How far probabilities of labels keep from 0 and 1."""

ACCURACY_MARGIN = 1e-3
"""How far the accuracy to start from keeps from chance and from 1."""


@dataclass(frozen=True, eq=False)
class Problem:
    """Checked input of a model.

    Attributes
    ----------
    labels : MultiannotatorLabels
        Labels of N tasks by M annotators.
    pred_probs : ndarray of float64, shape (N, K), or None
        Predicted class probabilities; of several models, their mean.
    ground_truth : ndarray of int64, shape (N,)
        Class code of each task; -1 where it is not known.
    """

    labels: MultiannotatorLabels
    pred_probs: FloatArray | None
    ground_truth: IntArray

    @property
    def is_known(self) -> BoolArray:
        """Whether the ground truth is known, shape (N,)."""
        return np.not_equal(self.ground_truth, UNKNOWN)

    @property
    def num_sources(self) -> IntArray:
        """Labels of each task, the classifier's included, shape (N,)."""
        return self.labels.num_annotations + (self.pred_probs is not None)

    @property
    def weight(self) -> FloatArray:
        """How much each task tells of its annotators, in [0, 1], shape (N,)."""
        sources = np.maximum(self.num_sources, 1)
        weight = np.where(self.is_known, 1.0, (sources - 1) / sources)
        return np.where(self.labels.num_annotations > 0, weight, 0.0)


def check_problem(
    labels: MultiannotatorLabels,
    pred_probs: ArrayLike | None,
    ground_truth: ArrayLike | None,
) -> Problem:
    """Return the input of `fit` in the form that models work on, or say what is wrong.

    Raises
    ------
    TypeError
        `labels` is not a `MultiannotatorLabels`.
    ValueError
        There is no label; `pred_probs` or `ground_truth` have another shape or impossible
        values.
    """
    if not isinstance(labels, MultiannotatorLabels):
        raise TypeError(
            f"labels is a {type(labels).__name__}: build it with "
            "MultiannotatorLabels.from_long, from_wide or from_codes"
        )
    if labels.num_labels == 0:
        raise ValueError(
            f"none of the {labels.num_tasks} tasks has a label: a consensus needs at least one"
        )
    probs = None
    if pred_probs is not None:
        checked = PredProbs.of_tasks(pred_probs, labels, row_sum_tolerance=ROW_SUM_TOLERANCE)
        checked.check()
        probs = checked.mean_rows(np.arange(labels.num_tasks))
    return Problem(labels, probs, check_ground_truth(ground_truth, labels))


class AnnotatorModel(Protocol):
    """How likely annotators give each label, learnt from posteriors."""

    def log_likelihood(self) -> FloatArray:
        """Return the log-probability of a task's labels under each class, shape (N, K)."""

    def updated(self, posterior: FloatArray, weight: FloatArray) -> Self:
        """Return a model fitted to class probabilities of N tasks, each with a weight."""


Annotators = TypeVar("Annotators", bound=AnnotatorModel)


@dataclass(frozen=True, eq=False)
class Explanation(Generic[Annotators]):
    """Parameters, and how well they explain the labels.

    Attributes
    ----------
    annotators : AnnotatorModel
        How likely annotators give each label.
    prior : ClassPrior
        How likely each class is.
    log_joint : ndarray of float64, shape (N, K)
        Log-probability of each class together with the labels.
    log_likelihood : float
        Log-probability of all labels, and of the ground truth.
    num_iterations : int
        Updates made.
    """

    annotators: Annotators
    prior: ClassPrior
    log_joint: FloatArray
    log_likelihood: float
    num_iterations: int


def expectation_maximisation(
    problem: Problem,
    annotators: Annotators,
    prior: ClassPrior,
    *,
    max_iter: int,
    min_gain: float,
) -> Explanation[Annotators]:
    """Update annotators and prior for as long as that makes the labels more probable.

    Parameters
    ----------
    problem : Problem
        The labels to explain.
    annotators, prior
        What to start from.
    max_iter : int
        Most updates.
    min_gain : float
        Least gain of an update, in nats. The first need not gain: the start is a guess.

    Returns
    -------
    Explanation
        The best one found.
    """
    weight = problem.weight
    best = _explain(problem, annotators, prior, 0)
    for iteration in range(1, max_iter + 1):
        posterior = certain(normalise(best.log_joint), problem.ground_truth)
        trial = _explain(
            problem,
            best.annotators.updated(posterior, weight),
            best.prior.updated(posterior, weight),
            iteration,
        )
        if iteration > 1 and trial.log_likelihood - best.log_likelihood < min_gain:
            break
        best = trial
    return best


def _explain(
    problem: Problem, annotators: Annotators, prior: ClassPrior, iteration: int
) -> Explanation[Annotators]:
    log_joint = annotators.log_likelihood() + prior.log_probs()
    by_task = logsumexp(log_joint, axis=1)
    known = np.flatnonzero(problem.is_known)
    by_task[known] = log_joint[known, problem.ground_truth[known]]
    return Explanation(annotators, prior, log_joint, float(by_task.sum()), iteration)


def normalise(log_joint: FloatArray, exponent: FloatArray | float = 1.0) -> FloatArray:
    """Return class probabilities, in proportion to a power of the joint ones."""
    scores = exponent * (log_joint - log_joint.max(axis=1, keepdims=True))
    probs: FloatArray = np.exp(scores)
    probs /= probs.sum(axis=1, keepdims=True)
    return probs


def certain(posterior: FloatArray, ground_truth: IntArray) -> FloatArray:
    """Return the posterior with probability 1 for what is known."""
    known = np.flatnonzero(ground_truth != UNKNOWN)
    if not known.size:
        return posterior
    posterior = posterior.copy()
    posterior[known] = 0
    posterior[known, ground_truth[known]] = 1
    return posterior


def pairwise_accuracy(labels: MultiannotatorLabels) -> float:
    """Return how accurate annotators must be to agree as often as they do.

    If all were right with probability a, and else equally likely to give any other class,
    two of them would agree with probability a² + (1 - a)² / (K - 1), whatever the classes'
    frequencies. The mean agreement over all pairs is set equal to that; one pair that
    agrees as if a were halfway between chance and certainty is added.

    Returns
    -------
    float
        Between chance, 1 / K, and 1; halfway if no task has two labels.
    """
    num_classes = labels.num_classes
    if num_classes == 1:
        return 1 - ACCURACY_MARGIN
    sizes = labels.num_annotations
    halfway = (1 + 1 / num_classes) / 2
    added = halfway**2 + (1 - halfway) ** 2 / (num_classes - 1)
    others = sum(int(part.equal.sum()) for part in Block.of(labels).parts) - labels.num_labels
    agreeing = others + added
    pairs = float((sizes * (sizes - 1)).sum()) + 1
    discriminant = 1 - num_classes * (1 - (num_classes - 1) * agreeing / pairs)
    accuracy = (1 + np.sqrt(max(discriminant, 0.0))) / num_classes
    return float(np.clip(accuracy, 1 / num_classes + ACCURACY_MARGIN, 1 - ACCURACY_MARGIN))


def one_per_label(rows: IntArray, columns: IntArray, shape: tuple[int, int]) -> csr_array:
    """Return a sparse matrix that counts labels by row and column."""
    return csr_array((np.ones(len(rows)), (rows, columns)), shape=shape)


class LatentClassEstimator(BaseEstimator, ABC):  # type: ignore[misc]
    """What all estimators of a hidden true class share; each adds its model.

    Parameters
    ----------
    max_iter : int, default 100
        Most updates of the model.
    min_gain : float, default 1.0
        It is done when an update makes the labels more probable by less than this, in nats.

    Attributes
    ----------
    consensus_label_ : ndarray of int64, shape (N,)
        Class codes: the ground truth, else the class of the largest posterior, the majority
        label among equals. A task without labels has its most probable class given
        `pred_probs`, or -1 without any.
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
        Probability of each class; rows sum to 1. NaN where nothing is known.
    annotator_stats_ : DataFrame
        One row per annotator, see `crowdlab_engine.annotators.annotator_stats`. Their
        quality is the mean quality of their labels.
    annotator_quality_ : ndarray of float64, shape (M,)
        The same quality, in the order of `labels.annotator_ids`; NaN without labels.
    num_iterations_ : int
        Updates made.
    log_likelihood_ : float
        Log-probability of all labels, and of the ground truth.
    """

    def __init__(self, max_iter: int = 100, min_gain: float = 1.0) -> None:
        self.max_iter = max_iter
        self.min_gain = min_gain

    def fit(
        self,
        labels: MultiannotatorLabels,
        pred_probs: ArrayLike | None = None,
        ground_truth: ArrayLike | None = None,
    ) -> Self:
        """Find the consensus of each task, and score it, every label and every annotator.

        Parameters
        ----------
        labels : MultiannotatorLabels
            Labels of N tasks by M annotators; neither need all have labels.
        pred_probs : array_like, shape (N, K) or (P, N, K), optional
            Out-of-sample class probabilities, one column per class of `labels`; of several
            models, their mean counts.
        ground_truth : array_like of int, shape (N,), optional
            Class code of each task that is known for certain, -1 for the others. They
            settle their tasks, and teach what annotators' labels mean.

        Returns
        -------
        LatentClassEstimator
            Itself, fitted.

        Raises
        ------
        TypeError
            `labels` is not a `MultiannotatorLabels`.
        ValueError
            There is no label; `pred_probs` or `ground_truth` have another shape or
            impossible values; a parameter of the estimator is negative.
        """
        problem = check_problem(labels, pred_probs, ground_truth)
        for name in ("max_iter", "min_gain"):
            value = getattr(self, name)
            if not value >= 0:
                raise ValueError(f"{name} is {value}: pass 0 or more")
        self._set_consensus(problem, self._fit_posterior(problem))
        return self

    @abstractmethod
    def _fit_posterior(self, problem: Problem) -> FloatArray:
        """Fit the model, set its attributes, and return class probabilities, shape (N, K)."""

    def _set_consensus(self, problem: Problem, posterior: FloatArray) -> None:
        labels = problem.labels
        posterior = certain(posterior, problem.ground_truth)
        if problem.pred_probs is None:
            posterior[(labels.num_annotations == 0) & ~problem.is_known] = np.nan
        majority = majority_vote(labels, problem.pred_probs)
        tasks = np.arange(labels.num_tasks)
        margin = posterior.max(axis=1) - posterior[tasks, majority]
        prefers_majority = (majority != NO_CONSENSUS) & (margin <= TIE)
        consensus = np.where(prefers_majority, majority, posterior.argmax(axis=1))
        consensus[np.isnan(margin)] = NO_CONSENSUS

        quality = posterior[tasks, consensus]
        label_quality = posterior[labels.task, labels.label]
        votes = np.bincount(
            labels.task[labels.label == consensus[labels.task]], minlength=labels.num_tasks
        )
        self.consensus_label_ = consensus
        self.consensus_quality_score_ = quality
        self.annotator_agreement_ = np.divide(
            votes,
            labels.num_annotations,
            out=np.full(labels.num_tasks, np.nan),
            where=labels.num_annotations > 0,
        )
        self.num_annotations_ = labels.num_annotations.copy()
        self.label_quality_ = labels.in_callers_order(label_quality)
        self.posterior_ = posterior
        self.annotator_stats_: pd.DataFrame = annotator_stats(
            labels.annotator_ids,
            annotator_sums(Block.of(labels), consensus, label_quality),
            1.0,
            lambda cells: contested_quality(labels, quality, cells),
        )
        self.annotator_quality_ = (
            self.annotator_stats_["annotator_quality"].reindex(labels.annotator_ids).to_numpy()
        )
