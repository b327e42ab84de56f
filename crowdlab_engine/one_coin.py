"""One-coin Dawid-Skene: each annotator is right with one probability, whatever the class."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

import numpy as np

from crowdlab_engine._typing import FloatArray
from crowdlab_engine.class_prior import ClassifierPrior, ClassPrior, UniformPrior
from crowdlab_engine.concentration import concentration_step
from crowdlab_engine.labels import MultiannotatorLabels
from crowdlab_engine.latent_class import (
    PROB_MARGIN,
    LatentClassEstimator,
    Problem,
    expectation_maximisation,
    normalise,
    one_per_label,
    pairwise_accuracy,
)

if TYPE_CHECKING:
    from typing_extensions import Self


class Accuracies:
    """Probability of each annotator to be right; errors fall evenly on the other classes.

    Accuracies are drawn from a beta distribution, of which mean and strength are learnt:
    who gave few labels is believed to be like the others.

    Parameters
    ----------
    labels : MultiannotatorLabels
        Labels of N tasks by M annotators.

    Attributes
    ----------
    accuracy : ndarray of float64, shape (M,)
        In (0, 1); higher is better.
    strength : float
        How many labels the prior counts for.
    """

    def __init__(self, labels: MultiannotatorLabels) -> None:
        self._labels = labels
        self._start = pairwise_accuracy(labels)
        num_cells = labels.num_tasks * labels.num_classes
        self._by_cell = one_per_label(
            labels.task * labels.num_classes + labels.label,
            labels.annotator,
            (num_cells, labels.num_annotators),
        )
        self.accuracy = np.full(labels.num_annotators, self._start)
        self.strength = float(labels.num_classes)

    def log_likelihood(self) -> FloatArray:
        """Return the log-probability of a task's labels under each class, shape (N, K)."""
        labels = self._labels
        right = np.clip(self.accuracy, PROB_MARGIN, 1 - PROB_MARGIN)
        log_wrong = np.log((1 - right) / max(labels.num_classes - 1, 1))
        votes = self._by_cell @ (np.log(right) - log_wrong)
        all_wrong = np.bincount(
            labels.task, weights=log_wrong[labels.annotator], minlength=labels.num_tasks
        )
        log_likelihood: FloatArray = votes.reshape(labels.num_tasks, -1) + all_wrong[:, None]
        return log_likelihood

    def updated(self, posterior: FloatArray, weight: FloatArray) -> Self:
        """Return a model fitted to class probabilities of N tasks, each with a weight."""
        labels = self._labels
        right = self._by_cell.T @ (weight[:, None] * posterior).ravel()
        total = np.bincount(
            labels.annotator, weights=weight[labels.task], minlength=labels.num_annotators
        ).astype(np.float64)
        added = labels.num_classes
        mean = (right.sum() + added * self._start) / (total.sum() + added)
        model = copy(self)
        model.strength = concentration_step(
            self.strength,
            np.stack([right, np.maximum(total - right, 0.0)]),
            np.array([[mean], [1 - mean]]),
            total,
        )
        model.accuracy = (right + model.strength * mean) / (total + model.strength)
        return model


class OneCoin(LatentClassEstimator):
    """Consensus by one accuracy per annotator, all classes being equally likely.

    The steadiest of the models: it cannot mistake a class for another, nor learn that an
    annotator prefers one. For `fit` and the other attributes see `LatentClassEstimator`.

    Parameters
    ----------
    max_iter : int, default 100
        Most updates of the model.
    min_gain : float, default 1.0
        It is done when an update makes the labels more probable by less than this, in nats.

    Attributes
    ----------
    annotator_accuracy_ : ndarray of float64, shape (M,)
        Probability of each annotator to be right, in (0, 1); shrunk towards the others'.

    Examples
    --------
    >>> from crowdlab_engine import MultiannotatorLabels
    >>> labels = MultiannotatorLabels.from_codes(
    ...     task=[0, 0, 0, 1, 1, 2], annotator=[0, 1, 2, 0, 1, 2], label=[1, 1, 0, 0, 0, 1]
    ... )
    >>> OneCoin().fit(labels).consensus_label_
    array([1, 0, 1])
    """

    def _fit_posterior(self, problem: Problem) -> FloatArray:
        prior: ClassPrior = UniformPrior(problem.labels.num_classes)
        if problem.pred_probs is not None:
            prior = ClassifierPrior(problem.pred_probs)
        found = expectation_maximisation(
            problem,
            Accuracies(problem.labels),
            prior,
            max_iter=self.max_iter,
            min_gain=self.min_gain,
        )
        self.annotator_accuracy_ = found.annotators.accuracy
        self.num_iterations_ = found.num_iterations
        self.log_likelihood_ = found.log_likelihood
        return normalise(found.log_joint)
