"""Calibrate what a foreign classifier says on the annotators' labels, out of sample.

A classifier that somebody else has trained is as sure of itself as it happens to be. Here its
probabilities are made about as sure as annotators agree: by a temperature where it says a
probability of each class, by isotonic regression where it says one class and a score. What is
said of a task is calibrated without that task's labels, as those are counted beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from sklearn.isotonic import IsotonicRegression

from crowdlab_engine._typing import AnyArray, BoolArray, FloatArray, IntArray
from crowdlab_engine.block import Block
from crowdlab_engine.calibration import best_temperatures, scale
from crowdlab_engine.labels import MultiannotatorLabels

FEWEST_TASKS = 20
"""Labelled tasks with a prediction below which nothing is calibrated."""

_MOST_TASKS = 20_000
"""Labelled tasks from which it is learned; more tell no better."""


@dataclass(frozen=True, eq=False)
class Recalibrated:
    """Calibrated class probabilities.

    Attributes
    ----------
    pred_probs : ndarray of float64, shape (N, K)
        In [0, 1]; rows sum to 1, or are NaN where nothing was predicted.
    temperature : float or None
        What was learned from all labelled tasks, if that is a temperature: above 1, the
        classifier was too sure.
    is_calibrated : bool
        Whether there were enough labelled tasks to learn from; if not, nothing was changed.
    """

    pred_probs: FloatArray
    temperature: float | None
    is_calibrated: bool


def recalibrate_probs(
    labels: MultiannotatorLabels,
    pred_probs: ArrayLike,
    *,
    groups: AnyArray | None = None,
    n_splits: int = 5,
) -> Recalibrated:
    """Bring class probabilities to the temperature that fits the labels of other tasks best.

    Parameters
    ----------
    labels : MultiannotatorLabels
        Labels of N tasks.
    pred_probs : array_like, shape (N, K)
        Probability of each class; rows sum to 1, or are NaN where nothing is predicted.
    groups : ndarray, shape (N,), optional
        Tasks of the same group are the same to a classifier, and kept together. Default: each
        task is a group of its own.
    n_splits : int, default 5
        Parts of the tasks, each of which is scaled to the temperature of the others.

    Returns
    -------
    Recalibrated
        See `crowdlab_engine.calibration` for the range of temperatures.

    Raises
    ------
    ValueError
        `pred_probs` have another shape than the labels ask for.
    """
    probs = np.array(pred_probs, dtype=np.float64)
    expected = (labels.num_tasks, labels.num_classes)
    if probs.shape != expected:
        raise ValueError(
            f"pred_probs have shape {probs.shape} but the labels have {expected[0]} tasks and "
            f"{expected[1]} classes: pass one row per task and one column per class"
        )
    is_said: BoolArray = np.isfinite(probs.sum(axis=1))
    learned = _Folds.of(labels, is_said, groups, n_splits)
    if learned is None:
        return Recalibrated(probs, None, is_calibrated=False)
    found = probs.copy()
    for apart, tasks in learned.parts():
        apart = apart[is_said[apart]]
        if len(apart):
            found[apart] = scale(probs[apart], _temperature(labels, probs, tasks))
    temperature = _temperature(labels, probs, learned.sampled(learned.known))
    return Recalibrated(found, temperature, is_calibrated=True)


def recalibrate_scores(
    labels: MultiannotatorLabels,
    predicted: ArrayLike,
    score: ArrayLike,
    *,
    groups: AnyArray | None = None,
    n_splits: int = 5,
) -> Recalibrated:
    """Turn one class with a score into probabilities: how often annotators say that class.

    The share of annotators who choose the predicted class rises with the score; it is learned
    by isotonic regression on other tasks. What is left of the probability falls to the other
    classes in equal parts.

    Parameters
    ----------
    labels : MultiannotatorLabels
        Labels of N tasks.
    predicted : array_like of int, shape (N,)
        Class code that is predicted; -1 where nothing is.
    score : array_like of float, shape (N,)
        How sure of it the classifier is, the larger the surer, in [0, 1].
    groups, n_splits
        See `recalibrate_probs`.

    Returns
    -------
    Recalibrated
        Without enough labelled tasks, the score is taken for the probability.
    """
    code = np.asarray(predicted, dtype=np.int64)
    sure = np.clip(np.asarray(score, dtype=np.float64), 0.0, 1.0)
    is_said = code >= 0
    learned = _Folds.of(labels, is_said, groups, n_splits)
    if learned is None:
        return Recalibrated(_around(code, sure, labels.num_classes), None, is_calibrated=False)
    chosen = np.bincount(
        labels.task, weights=labels.label == code[labels.task], minlength=labels.num_tasks
    )
    found = sure.copy()
    for apart, tasks in learned.parts():
        apart = apart[is_said[apart]]
        if not len(apart):
            continue
        number = labels.num_annotations[tasks]
        # One vote more for either side: nobody is right, or wrong, without exception.
        margin = 1.0 / (number.sum() + 2)
        curve = IsotonicRegression(y_min=margin, y_max=1 - margin, out_of_bounds="clip")
        curve.fit(sure[tasks], chosen[tasks] / number, sample_weight=number)
        found[apart] = curve.predict(sure[apart])
    return Recalibrated(_around(code, found, labels.num_classes), None, is_calibrated=True)


def _around(code: IntArray, prob: FloatArray, num_classes: int) -> FloatArray:
    """Rows with a probability at one class, and equal ones at the others."""
    is_said = code >= 0
    if num_classes == 1:
        return np.where(is_said[:, None], 1.0, np.nan)
    rows = np.repeat(((1 - prob) / (num_classes - 1))[:, None], num_classes, axis=1)
    rows[np.flatnonzero(is_said), code[is_said]] = prob[is_said]
    rows[~is_said] = np.nan
    return rows


def _temperature(labels: MultiannotatorLabels, probs: FloatArray, tasks: IntArray) -> float:
    block = Block.of(labels.take(tasks), probs[tasks], row_sum_tolerance=np.inf)
    return float(best_temperatures((block,))[0])


@dataclass(frozen=True, eq=False)
class _Folds:
    """Which tasks are calibrated by what others tell."""

    fold: IntArray
    """Of each task, shape (N,); -1 where there is nothing to learn from."""
    known: IntArray
    """Tasks that something can be learned from, ascending."""

    @classmethod
    def of(
        cls,
        labels: MultiannotatorLabels,
        is_said: BoolArray,
        groups: AnyArray | None,
        n_splits: int,
    ) -> _Folds | None:
        """Divide the tasks; None if too few of them tell anything."""
        is_known = is_said & (labels.num_annotations > 0)
        known = np.flatnonzero(is_known)
        every = np.arange(labels.num_tasks) if groups is None else np.asarray(groups)
        number, place = np.unique(every[known], return_inverse=True)
        if len(number) < max(FEWEST_TASKS, n_splits):
            return None
        fold = np.full(labels.num_tasks, -1, dtype=np.int64)
        fold[known] = (np.random.RandomState(0).permutation(len(number)) % n_splits)[place]
        return cls(fold, known)

    def parts(self) -> list[tuple[IntArray, IntArray]]:
        """Tasks of each part, and those that it learns from; the last part has no labels."""
        found = [
            (np.flatnonzero(self.fold == number), self.sampled(self.known[self._others(number)]))
            for number in range(int(self.fold.max()) + 1)
        ]
        return [*found, (np.flatnonzero(self.fold < 0), self.sampled(self.known))]

    def _others(self, number: int) -> BoolArray:
        return np.asarray(self.fold[self.known] != number)

    def sampled(self, tasks: IntArray) -> IntArray:
        """Return some of the tasks, if there are very many."""
        if len(tasks) <= _MOST_TASKS:
            return tasks
        return np.sort(np.random.RandomState(0).choice(tasks, _MOST_TASKS, replace=False))
