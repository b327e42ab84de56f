"""ActiveLab: which task to label next, be it a new one or once more.

Goh and Mueller, "ActiveLab: Active Learning with Re-Labeling by Multiple Annotators",
arXiv 2301.11856. The formulas are those of cleanlab 2.9.0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from crowdlab_engine._random import RandomState, random_generator
from crowdlab_engine._typing import BoolArray, FloatArray, IntArray
from crowdlab_engine.block import Block
from crowdlab_engine.crowdlab import Crowdlab
from crowdlab_engine.labels import MultiannotatorLabels
from crowdlab_engine.majority import Ties, vote
from crowdlab_engine.pred_probs import PredProbs
from crowdlab_engine.statistics import Statistics
from crowdlab_engine.weights import Weights, weights


class ActiveLearningScores(NamedTuple):
    """How much is known of each task: label those of the lowest scores next.

    Attributes
    ----------
    labeled : ndarray of float64, shape (N,)
        Scores of the tasks of `labels`, in [0, 1].
    unlabeled : ndarray of float64, shape (N',)
        Scores of the tasks of `pred_probs_unlabeled`, in [0, 1], on the same scale.
    """

    labeled: FloatArray
    unlabeled: FloatArray


def active_learning_scores(
    labels: MultiannotatorLabels | None,
    pred_probs: Any = None,
    pred_probs_unlabeled: Any = None,
    *,
    ties: Ties = "frequent",
    random_state: RandomState = 0,
    row_sum_tolerance: float = 1e-3,
) -> ActiveLearningScores:
    """Score tasks by how much another label would tell; the lowest score comes first.

    A score is the probability of the likeliest class, given what classifier and annotators
    say, and one more annotator of average weight who says nothing: the fewer have spoken,
    the lower it is. `pred_probs` are calibrated first. If no task has several labels,
    nothing is calibrated, and classifiers and annotators all weigh the same.

    Parameters
    ----------
    labels : MultiannotatorLabels or None
        Labels of N tasks. Tasks without labels are scored like those of the pool. None
        scores a pool alone.
    pred_probs : array_like, shape (N, K) or (P, N, K), optional
        Out-of-sample class probabilities of these tasks, predicted by one classifier or by
        P of them. Default: the annotators alone.
    pred_probs_unlabeled : array_like, shape (N', K) or (P, N', K), optional
        Class probabilities of a pool of tasks without labels, by the same classifiers.
    ties : {"frequent", "rare"}, default "frequent"
        Which class a tied majority vote prefers, see `crowdlab_engine.majority_vote`.
    random_state : int or numpy.random.RandomState, default 0
        Decides what no other tie-break can.
    row_sum_tolerance : float, default 1e-3
        How far a row of probabilities may be from a sum of 1; `numpy.inf` accepts any.

    Returns
    -------
    ActiveLearningScores
        A pair of arrays; empty for what was not given.

    Raises
    ------
    ValueError
        There is nothing to score; probabilities have another shape or impossible values;
        only one of labels and their `pred_probs` is given beside a pool; `ties` is unknown.
    TypeError
        `labels` or `random_state` is of another type.
    """
    generator = random_generator(random_state)
    if labels is None:
        if pred_probs is not None:
            raise ValueError(
                "pred_probs are given without labels: pass the labels of these tasks, or pass the "
                "probabilities as pred_probs_unlabeled"
            )
        if pred_probs_unlabeled is None:
            raise ValueError("nothing to score: pass labels, or pred_probs_unlabeled, or both")
        pool = PredProbs.of_pool(
            pred_probs_unlabeled, num_classes=None, row_sum_tolerance=row_sum_tolerance
        )
        equal = np.ones(pool.num_models)
        return ActiveLearningScores(
            labeled=np.empty(0),
            unlabeled=_pool_scores(pool, equal, 1.0, ties, generator),
        )
    if pred_probs is None and pred_probs_unlabeled is not None:
        raise ValueError(
            "pred_probs_unlabeled are given without pred_probs of the labelled tasks, so that "
            "nothing tells how good the classifier is: pass them too, or labels=None"
        )

    fitted = fit_consensus(
        labels,
        pred_probs,
        ties=ties,
        random_state=generator,
        row_sum_tolerance=row_sum_tolerance,
    )
    return score_tasks(fitted, labels, pred_probs, pred_probs_unlabeled, random_state=generator)


def fit_consensus(
    labels: MultiannotatorLabels,
    pred_probs: Any,
    *,
    ties: Ties,
    random_state: RandomState,
    row_sum_tolerance: float,
) -> Crowdlab:
    """Fit the consensus that scores start from; parameters as in `active_learning_scores`.

    Without a task of several labels, a label is taken at its word, and nothing calibrated.
    """
    is_shared = isinstance(labels, MultiannotatorLabels) and bool(
        np.any(labels.num_annotations > 1)
    )
    return Crowdlab(
        consensus_method="best_quality" if is_shared else "majority_vote",
        calibrate_probs=is_shared,
        ties=ties,
        random_state=random_state,
        row_sum_tolerance=row_sum_tolerance,
    ).fit(labels, pred_probs)


def score_tasks(
    fitted: Crowdlab,
    labels: MultiannotatorLabels,
    pred_probs: Any,
    pred_probs_unlabeled: Any,
    *,
    random_state: RandomState,
) -> ActiveLearningScores:
    """Score tasks by a consensus of `fit_consensus`; parameters as `active_learning_scores`."""
    labeled = _labeled_scores(fitted, labels, pred_probs)
    if pred_probs_unlabeled is None:
        return ActiveLearningScores(labeled=labeled, unlabeled=np.empty(0))

    pool = PredProbs.of_pool(
        pred_probs_unlabeled,
        num_classes=labels.num_classes,
        row_sum_tolerance=fitted.row_sum_tolerance,
    )
    temperatures = np.atleast_1d(fitted.temperature_)
    if pool.num_models != len(temperatures):
        raise ValueError(
            f"pred_probs are of {len(temperatures)} models and pred_probs_unlabeled of "
            f"{pool.num_models}: predict both by the same models"
        )
    return ActiveLearningScores(
        labeled=labeled,
        unlabeled=_pool_scores(
            pool.scaled(temperatures) if fitted.calibrate_probs else pool,
            np.atleast_1d(fitted.model_weight_),
            _newcomer(fitted, labels),
            fitted.ties,
            random_state,
        ),
    )


def _labeled_scores(fitted: Crowdlab, labels: MultiannotatorLabels, pred_probs: Any) -> FloatArray:
    """Score the tasks that a consensus was fitted to, shape (N,)."""
    if pred_probs is None or fitted.calibrate_probs:
        quality = np.nan_to_num(fitted.consensus_quality_score_)
    else:
        probs = PredProbs.of_tasks(pred_probs, labels, row_sum_tolerance=fitted.row_sum_tolerance)
        quality = probs.at(fitted.consensus_label_).mean(axis=0)
    by_annotators = labels.sum_by_task(fitted.annotator_weight_.take(labels.annotator))
    spoken = np.sum(fitted.model_weight_) + by_annotators
    return _with_newcomer(quality, spoken, _newcomer(fitted, labels), labels.num_classes)


def _with_newcomer(
    quality: FloatArray, spoken: FloatArray, newcomer: float, num_classes: int
) -> FloatArray:
    """Probability of the likeliest class when one more has spoken who says nothing, shape (N,).

    Parameters
    ----------
    quality : ndarray of float64, shape (N,)
        The probability as it is.
    spoken : ndarray of float64, shape (N,)
        Weight of all models and annotators that it comes from.
    newcomer : float
        Weight of the one who says nothing.
    num_classes : int
        Number of classes K.
    """
    scores: FloatArray = (quality * spoken + newcomer / num_classes) / (spoken + newcomer)
    return scores


def _newcomer(fitted: Crowdlab, labels: MultiannotatorLabels) -> float:
    """Weight of one more annotator: the mean of those who have labelled."""
    has_label = np.bincount(labels.annotator, minlength=labels.num_annotators) > 0
    return float(fitted.annotator_weight_[has_label].mean())


def _pool_scores(
    pool: PredProbs,
    model_weight: FloatArray,
    newcomer: float,
    ties: Ties,
    random_state: RandomState,
) -> FloatArray:
    """Score tasks on which only models have spoken, at the class that most of them prefer."""
    preferred = _preferred_class(pool, ties, random_state)
    spoken = model_weight.sum()
    quality = (model_weight[:, None] * pool.at(preferred)).sum(axis=0) / spoken
    return _with_newcomer(quality, spoken, newcomer, pool.num_classes)


def _preferred_class(pool: PredProbs, ties: Ties, random_state: RandomState) -> IntArray:
    """Majority vote of the models, each for the class of its largest probability."""
    num_models, num_tasks = pool.num_models, pool.num_tasks
    votes = MultiannotatorLabels.from_codes(
        np.repeat(np.arange(num_tasks), num_models),
        np.tile(np.arange(num_models), num_tasks),
        pool.guesses().T.reshape(-1),
        num_tasks=num_tasks,
        num_annotators=num_models,
        num_classes=pool.num_classes,
    )
    return vote(Block(votes, pool), ties=ties, random_state=random_state).label


@dataclass(frozen=True, eq=False)
class BlockScorer:
    """Scores tasks block by block, given what was found over all of them.

    Blocks hold labelled tasks and others alike. Nothing is calibrated: `pred_probs` are taken
    as those that the consensus was found with.

    Attributes
    ----------
    weights : Weights
        Of models and annotators.
    is_shared : bool
        Whether some task has several labels, so that the weights tell good from bad.
    """

    weights: Weights
    is_shared: bool

    @classmethod
    def of(cls, statistics: Statistics) -> BlockScorer:
        """Take the weights that follow from the sums over all labelled tasks."""
        return cls(weights(statistics), statistics.num_shared > 0)

    @property
    def newcomer(self) -> float:
        """Weight of one more annotator: the mean of all."""
        return float(self.weights.annotator.mean())

    def scores(
        self,
        labels: MultiannotatorLabels,
        consensus: IntArray,
        quality: FloatArray,
        pred_probs: Any = None,
        *,
        is_heard: BoolArray | None = None,
    ) -> FloatArray:
        """Score the tasks of a block; the lowest should be labelled next.

        A task without labels is scored by the models alone, at the class that the mean of
        them prefers; without a model its score is 1 / K.

        Parameters
        ----------
        labels : MultiannotatorLabels
            Labels of B tasks by all M annotators.
        consensus : ndarray of int64, shape (B,)
            Consensus label of each task, as class codes; any value without labels.
        quality : ndarray of float64, shape (B,)
            Consensus quality score of each task, in [0, 1]; any value without labels.
        pred_probs : array_like, shape (B, K) or (P, B, K), optional
            Out-of-sample class probabilities; a row of NaN says nothing of its task. Default:
            the annotators alone.
        is_heard : ndarray of bool, shape (M,), optional
            Annotators whose labels count as having been given; those of others leave the
            quality as it is and are asked for once more. Default: all of them.

        Returns
        -------
        ndarray of float64, shape (B,)
            Scores in [0, 1].

        Raises
        ------
        ValueError
            `pred_probs` have another shape or impossible values, or are of other models than
            the weights.
        """
        probs = PredProbs.of_tasks(pred_probs, labels, row_sum_tolerance=1e-3, may_abstain=True)
        if probs.num_models != len(self.weights.model):
            raise ValueError(
                f"the weights are of {len(self.weights.model)} models and pred_probs of "
                f"{probs.num_models}: pass what the weights were found with"
            )
        if probs.num_models:
            probs.check()
        annotator_weight = self.weights.annotator
        if is_heard is not None:
            annotator_weight = np.where(is_heard, annotator_weight, 0.0)
        by_annotators = labels.sum_by_task(annotator_weight.take(labels.annotator))
        has_label = labels.num_annotations > 0
        known = self._quality(probs, has_label, consensus, quality)
        by_models = probs.heard_weight(self.weights.model, np.arange(labels.num_tasks))
        spoken = by_models + by_annotators
        return _with_newcomer(known, spoken, self.newcomer, labels.num_classes)

    def _quality(
        self, probs: PredProbs, has_label: BoolArray, consensus: IntArray, quality: FloatArray
    ) -> FloatArray:
        """Probability of the likeliest class of each task, shape (B,)."""
        if not probs.num_models:
            return np.where(has_label, quality, 0.0)
        every = np.arange(len(has_label))
        rows = [probs.rows(model, every) for model in range(probs.num_models)]
        mean = np.average(rows, axis=0, weights=self.weights.model)
        if probs.silent is not None:
            heard = np.asarray(probs.heard_weight(self.weights.model, every))[:, None]
            mean *= self.weights.model.sum() / np.where(heard > 0, heard, 1.0)
        from_models = mean.max(axis=1, initial=0.0)
        if not self.is_shared:
            # A label is taken at its word, so that only the models tell how likely it is.
            at_label = mean[np.arange(len(has_label)), np.where(has_label, consensus, 0)]
            return np.where(has_label, at_label, from_models)
        return np.where(has_label, quality, from_models)
