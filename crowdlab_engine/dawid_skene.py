"""Dawid-Skene with shrunken confusion matrices: how each annotator errs in each class."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit
from sklearn.utils.validation import check_is_fitted

from crowdlab_engine._typing import FloatArray, IntArray
from crowdlab_engine.class_prior import ClassifierPrior, ClassPrior, PrevalencePrior
from crowdlab_engine.concentration import concentration_step
from crowdlab_engine.labels import MultiannotatorLabels
from crowdlab_engine.latent_class import (
    PROB_MARGIN,
    Explanation,
    LatentClassEstimator,
    Problem,
    expectation_maximisation,
    normalise,
    one_per_label,
    pairwise_accuracy,
)

if TYPE_CHECKING:
    from typing_extensions import Self


class Confusions:
    """Probability of each label by each annotator, given the true class.

    Row k of an annotator's confusion matrix is drawn from a Dirichlet distribution. Its
    mean is the population's row k, with the odds of being right multiplied by the
    annotator's own; its strength is learnt. The annotator's odds of being right are in turn
    shrunk towards those of all, by a beta distribution of which the strength is learnt.
    Whoever gave few labels in a class is thus believed to err there as people do, and as
    often as in the other classes; whoever gave few labels at all is believed to be like
    the others.

    Only pairs of an annotator and a label that occur ("cells", U of them) are stored.

    Parameters
    ----------
    labels : MultiannotatorLabels
        Labels of N tasks by M annotators.

    Attributes
    ----------
    population : ndarray of float64, shape (K, K)
        Probability of a label (column) given the true class (row), of all annotators.
    right : ndarray of float64, shape (M, K)
        Prior mean of the probability that an annotator is right, in each class.
    concentration : float
        How many labels the prior of a row counts for.
    strength : float
        How many labels the prior of an annotator's odds counts for.
    """

    def __init__(self, labels: MultiannotatorLabels) -> None:
        num_classes = labels.num_classes
        self._cell, index = np.unique(
            labels.annotator * num_classes + labels.label, return_inverse=True
        )
        self._annotator, self._label = np.divmod(self._cell, num_classes)
        self._by_task = one_per_label(labels.task, index, (labels.num_tasks, len(self._cell)))
        cells = np.arange(len(self._cell))
        self._by_label = one_per_label(self._label, cells, (num_classes, len(cells)))
        self._by_annotator = one_per_label(
            self._annotator, cells, (labels.num_annotators, len(cells))
        )
        accuracy = pairwise_accuracy(labels)
        off_diagonal = (1 - accuracy) / max(num_classes - 1, 1)
        self._start: FloatArray = np.full((num_classes, num_classes), off_diagonal)
        np.fill_diagonal(self._start, accuracy)
        self.population = self._start
        self.right: FloatArray = np.full((labels.num_annotators, num_classes), accuracy)
        self.concentration = self.strength = float(num_classes)
        self._counts: FloatArray = np.zeros((len(cells), num_classes))
        self._totals: FloatArray = np.zeros((labels.num_annotators, num_classes))

    def log_likelihood(self) -> FloatArray:
        """Return the log-probability of a task's labels under each class, shape (N, K)."""
        log_probs = np.log(self._probs(self._annotator, self._label, self._counts))
        log_likelihood: FloatArray = self._by_task @ log_probs
        return log_likelihood

    def label_probs(self, annotator: IntArray, label: IntArray) -> FloatArray:
        """Return how likely annotators give labels, whether or not they gave any such.

        Parameters
        ----------
        annotator, label : ndarray of int64, shape (Q,)
            Codes.

        Returns
        -------
        ndarray of float64, shape (Q, K)
            Probability of the label, given each class.
        """
        wanted = annotator * len(self.population) + label
        position = np.minimum(np.searchsorted(self._cell, wanted), len(self._cell) - 1)
        is_stored = self._cell[position] == wanted
        counts = np.where(is_stored[:, None], self._counts[position], 0.0)
        return self._probs(annotator, label, counts)

    def updated(self, posterior: FloatArray, weight: FloatArray) -> Self:
        """Return a model fitted to class probabilities of N tasks, each with a weight."""
        model = copy(self)
        model._counts = self._by_task.T @ (weight[:, None] * posterior)
        model._totals = self._by_annotator @ model._counts
        model.population = self._population(model._counts)
        model.strength, model.right = self._ability(model)
        model.concentration = concentration_step(
            self.concentration,
            model._counts,
            model._prior_mean(self._annotator, self._label),
            model._totals,
        )
        return model

    def _probs(self, annotator: IntArray, label: IntArray, counts: FloatArray) -> FloatArray:
        """Probability of labels given each class, from their counts and prior, shape (Q, K)."""
        prior = self._prior_mean(annotator, label)
        probs: FloatArray = (counts + self.concentration * prior) / (
            self._totals[annotator] + self.concentration
        )
        return probs

    def _population(self, counts: FloatArray) -> FloatArray:
        """Confusion matrix of all annotators, of which the start counts as K labels a row."""
        sums = (self._by_label @ counts).T + len(self._start) * self._start
        population: FloatArray = sums / sums.sum(axis=1, keepdims=True)
        return population

    def _ability(self, model: Self) -> tuple[float, FloatArray]:
        """Strength of the prior of annotators' odds, and how often each is right by class."""
        num_classes = len(self._start)
        own_class = model._counts[np.arange(len(self._label)), self._label]
        right = self._by_annotator @ own_class
        total = model._totals.sum(axis=1)
        mean = (right.sum() + num_classes * self._start[0, 0]) / (total.sum() + num_classes)
        strength = concentration_step(
            self.strength,
            np.stack([right, np.maximum(total - right, 0.0)]),
            np.array([[mean], [1 - mean]]),
            total,
        )
        accuracy = (right + strength * mean) / (total + strength)
        shift = logit(np.clip(accuracy, PROB_MARGIN, 1 - PROB_MARGIN)) - logit(mean)
        by_class = logit(np.clip(np.diag(model.population), PROB_MARGIN, 1 - PROB_MARGIN))
        return strength, expit(shift[:, None] + by_class)

    def _prior_mean(self, annotator: IntArray, label: IntArray) -> FloatArray:
        """Mean probability that these annotators give these labels, in each class."""
        errors = self.population.copy()
        np.fill_diagonal(errors, 0.0)
        errors /= np.maximum(errors.sum(axis=1, keepdims=True), PROB_MARGIN)
        right = self.right[annotator]
        mean: FloatArray = (1 - right) * errors.T[label]
        rows = np.arange(len(label))
        mean[rows, label] = right[rows, label]
        return np.maximum(mean, PROB_MARGIN)


def explain(problem: Problem, *, max_iter: int, min_gain: float) -> Explanation[Confusions]:
    """Fit confusion matrices and class frequencies, or the classifier, to a problem."""
    prior: ClassPrior = PrevalencePrior(np.ones(problem.labels.num_classes))
    if problem.pred_probs is not None:
        prior = ClassifierPrior(problem.pred_probs)
    return expectation_maximisation(
        problem, Confusions(problem.labels), prior, max_iter=max_iter, min_gain=min_gain
    )


class ConfusionEstimator(LatentClassEstimator):
    """What a fitted model knows of annotators.

    Attributes
    ----------
    population_confusion_ : ndarray of float64, shape (K, K)
        Probability of each label (column) given the true class (row), of all annotators.
    """

    def _set_annotators(self, found: Explanation[Confusions]) -> None:
        self._annotators = found.annotators
        self.population_confusion_ = found.annotators.population
        self.num_iterations_ = found.num_iterations
        self.log_likelihood_ = found.log_likelihood

    def confusion_matrix(self, annotator: int) -> FloatArray:
        """Return how likely an annotator gives each label, shape (K, K).

        Parameters
        ----------
        annotator : int
            Position in `labels.annotator_ids`.

        Returns
        -------
        ndarray of float64, shape (K, K)
            Probability of each label (column) given the true class (row); rows sum to 1.

        Raises
        ------
        ValueError
            There is no such annotator.
        """
        check_is_fitted(self)
        label = np.arange(len(self.population_confusion_))
        codes = self._codes("annotator", np.full_like(label, annotator))
        return self._annotators.label_probs(codes, label).T

    def label_log_likelihood(
        self, task: ArrayLike, annotator: ArrayLike, label: ArrayLike
    ) -> FloatArray:
        """Return how well labels that were not fitted are predicted.

        Parameters
        ----------
        task, annotator, label : array_like of int, shape (Q,)
            Codes, as of the labels fitted.

        Returns
        -------
        ndarray of float64, shape (Q,)
            Log-probability of each label, higher is better; NaN for tasks of which nothing
            is known.

        Raises
        ------
        ValueError
            A code is out of range.
        """
        check_is_fitted(self)
        probs = self._annotators.label_probs(
            self._codes("annotator", annotator), self._codes("label", label)
        )
        posterior = self.posterior_[self._codes("task", task)]
        log_likelihood: FloatArray = np.log((posterior * probs).sum(axis=1))
        return log_likelihood

    def _codes(self, name: str, codes: ArrayLike) -> IntArray:
        """Return codes as an array, or say which one was not fitted."""
        num_annotators = len(self.annotator_quality_)
        num_tasks, num_classes = self.posterior_.shape
        size = {"task": num_tasks, "annotator": num_annotators, "label": num_classes}[name]
        array = np.asarray(codes, dtype=np.int64)
        wrong = array[(array < 0) | (array >= size)]
        if wrong.size:
            raise ValueError(
                f"{name} is {wrong[0]} but the labels fitted have codes 0..{size - 1}: pass codes "
                "of those labels"
            )
        return array


class DawidSkene(ConfusionEstimator):
    """Consensus by a confusion matrix per annotator, shrunk towards what annotators share.

    Strong where annotators err in ways of their own. Its posterior takes labels as
    independent, and is too sure where annotators err together: see `Fusion`. For `fit`
    and the attributes see `LatentClassEstimator` and `ConfusionEstimator`.

    Parameters
    ----------
    max_iter : int, default 100
        Most updates of the model.
    min_gain : float, default 1.0
        It is done when an update makes the labels more probable by less than this, in nats.

    Examples
    --------
    >>> from crowdlab_engine import MultiannotatorLabels
    >>> labels = MultiannotatorLabels.from_codes(
    ...     task=[0, 0, 0, 1, 1, 2], annotator=[0, 1, 2, 0, 1, 2], label=[1, 1, 0, 0, 0, 1]
    ... )
    >>> DawidSkene().fit(labels).consensus_label_
    array([1, 0, 1])
    """

    def _fit_posterior(self, problem: Problem) -> FloatArray:
        found = explain(problem, max_iter=self.max_iter, min_gain=self.min_gain)
        self._set_annotators(found)
        return normalise(found.log_joint)
