"""Which tasks to have labelled next, and whether more labels are still worth it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize
from scipy.special import expit, gammaln

from crowdlab_engine._random import RandomState, random_generator
from crowdlab_engine._typing import AnyArray, BoolArray, FloatArray, IntArray
from crowdlab_engine.labels import MultiannotatorLabels

PRIOR_LABELS = 4.0
"""How many labels' worth all tasks have in common, before the labels are looked at."""

PRIOR_VARIANCE = 2.0
"""How far the logarithms of what is learnt may be from what is expected of them."""

_MIN_PRIOR = 1e-9

ROW_SUM_TOLERANCE = 1e-3
"""How far a row of the posterior may be from a sum of 1."""


def choose_tasks(
    scores: ArrayLike,
    num_annotations: ArrayLike,
    *,
    budget: int | None = None,
    threshold: float | None = None,
    most_extra: int | None = None,
    num_extra: ArrayLike | None = None,
    is_open: ArrayLike | None = None,
    resolution: float = 0.01,
    random_state: RandomState = 0,
) -> IntArray:
    """Choose the tasks that should get one more label, the most urgent first.

    Labelled and unlabelled tasks are ranked together by ascending ActiveLab score (Goh and
    Mueller, arXiv 2301.11856), rounded, since small differences between scores tell less
    than numbers of labels do. Of equal scores the task of fewer labels comes first, then
    chance decides: the order of tasks often follows their content. A larger budget only
    adds tasks at the end.

    Parameters
    ----------
    scores : array_like of float, shape (N,)
        ActiveLab score of each task, see `crowdlab_engine.active_learning_scores`; the
        lower, the more another label would tell.
    num_annotations : array_like of int, shape (N,)
        Number of labels of each task; 0 for those of a pool.
    budget : int, optional
        Most tasks to choose, that is, labels to buy. Default: no limit.
    threshold : float, optional
        Only tasks of a score below this are chosen. Default: all.
    most_extra : int, optional
        Most labels that a task may get beyond those it was meant to have; tasks that have
        got so many are left out. Default: no limit.
    num_extra : array_like of int, shape (N,), optional
        How many labels each task has got, or been asked for, beyond those it was meant to
        have. Goes with `most_extra`.
    is_open : array_like of bool, shape (N,), optional
        Whether somebody can label the task now. Default: all.
    resolution : float, default 0.01
        Scores are rounded to multiples of this for the ranking; 0 does not round them.
    random_state : int or numpy.random.RandomState, default 0
        Decides between equal scores and equal numbers of labels.

    Returns
    -------
    ndarray of int64
        Positions in `scores`.

    Raises
    ------
    ValueError
        Shapes differ, a score is not finite, a number is negative, `threshold` is NaN, or
        only one of `most_extra` and `num_extra` is given.
    TypeError
        `budget` or `most_extra` is not an integer, or `random_state` is neither an integer
        nor a `RandomState`.

    Examples
    --------
    >>> choose_tasks([0.9, 0.4, 0.4, 0.7], [3, 2, 1, 2], budget=3)
    array([2, 1, 3])
    """
    values = _check_scores(scores)
    counts = _check_counts("num_annotations", num_annotations, len(values))
    open_tasks = _open_tasks(len(values), most_extra, num_extra, is_open)
    if threshold is not None:
        if np.isnan(threshold):
            raise ValueError("threshold is nan: pass a score, or None to choose from all tasks")
        open_tasks &= values < threshold
    if not 0 <= resolution < np.inf:
        raise ValueError(f"resolution is {resolution}: pass a finite number from 0")
    if resolution:
        values = np.rint(values / resolution)
    draws = random_generator(random_state).uniform(size=len(values))
    chosen = np.flatnonzero(open_tasks)
    if budget is not None:
        _check_number("budget", budget)
        chosen = _lowest((values, counts, draws), chosen, budget)
    most_urgent: IntArray = chosen[np.lexsort((draws[chosen], counts[chosen], values[chosen]))]
    return most_urgent


class ExpectedGain(NamedTuple):
    """How accurate the consensus is expected to be after further labels.

    Attributes
    ----------
    num_labels : ndarray of int64, shape (G,)
        Further labels, ascending from 0. It ends early if no task may get more.
    accuracy : ndarray of float64, shape (G,)
        Expected share of tasks whose consensus is right, in [0, 1]; never falls.
    """

    num_labels: IntArray
    accuracy: FloatArray

    @property
    def per_100_labels(self) -> FloatArray:
        """Gain of accuracy per 100 labels between successive points, shape (G - 1,)."""
        gain: FloatArray = 100 * np.diff(self.accuracy) / np.diff(self.num_labels)
        return gain


def expected_gain(
    labels: MultiannotatorLabels,
    posterior: ArrayLike,
    *,
    horizon: int,
    num_steps: int = 20,
    model_weight: float = 0.0,
    most_extra: int | None = None,
    num_extra: ArrayLike | None = None,
    is_open: ArrayLike | None = None,
    random_state: RandomState = 0,
) -> ExpectedGain:
    """Estimate how much further labels, bought by `choose_tasks`, improve the consensus.

    The campaign is played ahead: labels are drawn from what the model expects of the next
    annotator, class probabilities follow by Bayes' rule, tasks are ranked again, and so on.
    Each label adds the expected, not the drawn, change of its task's largest probability,
    which is the probability that its consensus is right.

    Labels of one task are alike beyond its true class, since hard tasks are hard for
    everybody: given the class, they are draws from class probabilities of the task's own,
    which scatter around the annotators' mean confusion matrix (a Dirichlet distribution;
    its concentration follows from how often two labels of a task agree). So a task that
    annotators are split on is expected to stay so.

    Parameters
    ----------
    labels : MultiannotatorLabels
        Labels of N tasks so far.
    posterior : array_like of float, shape (N, K)
        Probability of each class, such as `Fusion.posterior_`. The estimate is as good as
        these are calibrated. Rows of NaN, where nothing is known, stand for the mean of the
        others.
    horizon : int
        How many labels to look ahead.
    num_steps : int, default 20
        Number of batches they are bought in, and of steps of the result.
    model_weight : float, default 0.0
        Weight of the classifier in `posterior`, in labels of an average annotator. It
        counts in the ranking.
    most_extra, num_extra, is_open
        See `choose_tasks`.
    random_state : int or numpy.random.RandomState, default 0
        For the labels that are drawn.

    Returns
    -------
    ExpectedGain

    Raises
    ------
    ValueError
        There is no label, `posterior` has another shape or impossible values, a number is
        too small, or what `choose_tasks` refuses.
    TypeError
        `labels`, `horizon`, `num_steps` or `random_state` is of another type.
    """
    if not isinstance(labels, MultiannotatorLabels):
        raise TypeError(
            f"labels is a {type(labels).__name__}: build it with "
            "MultiannotatorLabels.from_long, from_wide or from_codes"
        )
    if labels.num_labels == 0:
        raise ValueError(
            f"none of the {labels.num_tasks} tasks has a label: nothing tells what one is worth"
        )
    _check_number("horizon", horizon, least=1)
    _check_number("num_steps", num_steps, least=1)
    if not 0 <= model_weight < np.inf:
        raise ValueError(f"model_weight is {model_weight}: pass a finite number from 0")
    may_get = _labels_left(labels.num_tasks, most_extra, num_extra, is_open)
    future = _Future(labels, _check_posterior(posterior, labels), model_weight, may_get)
    generator = random_generator(random_state)
    steps = np.unique(np.linspace(0, horizon, num_steps + 1).astype(np.int64))
    num_labels, accuracy = [0], [future.accuracy]
    for most in np.diff(steps):
        bought = future.buy(int(most), generator)
        if not bought:
            break
        num_labels.append(num_labels[-1] + bought)
        accuracy.append(future.accuracy)
    return ExpectedGain(np.array(num_labels, dtype=np.int64), np.array(accuracy))


class _Future:
    """A campaign that is played ahead."""

    def __init__(
        self,
        labels: MultiannotatorLabels,
        posterior: FloatArray,
        model_weight: float,
        may_get: FloatArray,
    ) -> None:
        self._posterior = posterior
        self._counts = _vote_counts(labels)
        self._if_right, self._if_wrong = _label_priors(self._counts, posterior)
        self._model_weight = model_weight
        self._may_get = may_get
        self._num_annotations = labels.num_annotations.copy()
        self._scores = self._score(np.arange(labels.num_tasks))
        self._expected_right = float(posterior.max(axis=1).sum())

    @property
    def accuracy(self) -> float:
        """Expected share of tasks whose consensus is right.

        The sum of expected changes along one play is right on average; of a few tasks it may
        come out above their number.
        """
        return min(1.0, self._expected_right / len(self._posterior))

    def buy(self, most: int, generator: np.random.RandomState) -> int:
        """Buy labels, one for each of the most urgent tasks, again if there are too few tasks."""
        bought = 0
        while bought < most:
            chosen = choose_tasks(
                self._scores,
                self._num_annotations,
                budget=most - bought,
                is_open=self._may_get > 0,
                random_state=generator,
            )
            if not chosen.size:
                break
            self._label(chosen, generator)
            bought += len(chosen)
        return bought

    def _label(self, tasks: IntArray, generator: np.random.RandomState) -> None:
        """Draw one label of each task, and learn from it."""
        posterior, counts = self._posterior[tasks], self._counts[tasks]
        if_right, if_wrong = counts + self._if_right, counts + self._if_wrong
        label_probs = posterior * if_right + (1 - posterior) * if_wrong
        cumulative = label_probs.cumsum(axis=1)
        total = cumulative[:, -1]
        drawn_at = generator.uniform(size=len(tasks)) * total
        drawn = (cumulative[:, :-1] <= drawn_at[:, None]).sum(axis=1)

        largest = np.maximum(posterior * if_right, _largest_other(posterior) * if_wrong)
        gain = largest.sum(axis=1) / total - posterior.max(axis=1)
        self._expected_right += float(gain.sum())

        every = np.arange(len(tasks))
        posterior[every, drawn] *= if_right[every, drawn] / if_wrong[every, drawn]
        self._posterior[tasks] = posterior / posterior.sum(axis=1, keepdims=True)
        self._counts[tasks, drawn] += 1
        self._num_annotations[tasks] += 1
        self._may_get[tasks] -= 1
        self._scores[tasks] = self._score(tasks)

    def _score(self, tasks: IntArray) -> FloatArray:
        """ActiveLab scores, every annotator of equal weight."""
        spoken = self._num_annotations[tasks] + self._model_weight
        largest = self._posterior[tasks].max(axis=1)
        scores: FloatArray = (largest * spoken + 1 / self._posterior.shape[1]) / (spoken + 1)
        return scores


def _vote_counts(labels: MultiannotatorLabels) -> IntArray:
    """Labels of each task by class, shape (N, K)."""
    cells = labels.task * labels.num_classes + labels.label
    counts: IntArray = np.bincount(cells, minlength=labels.num_tasks * labels.num_classes)
    return counts.reshape(labels.num_tasks, labels.num_classes)


def _largest_other(posterior: FloatArray) -> FloatArray:
    """Largest probability of any other class, shape (B, K)."""
    every = np.arange(len(posterior))
    best = posterior.argmax(axis=1)
    others = np.repeat(posterior.max(axis=1)[:, None], posterior.shape[1], axis=1)
    without = posterior.copy()
    without[every, best] = 0
    others[every, best] = without.max(axis=1)
    return others


def _label_priors(counts: IntArray, posterior: FloatArray) -> tuple[float, float]:
    """How many labels of the true class, and of each other one, a task starts with.

    A label after c of its class and n in all is expected with probability
    (prior + c) / (sum of priors + n). The two numbers are those by which the labels are most
    probable, given the probabilities of the classes. That the tasks of more labels were
    chosen for what had been said of them makes no difference: a label's probability depends
    on those before it only. How far they are above chance and how large in all have wide
    normal priors, on logarithmic scales.
    """
    num_classes = counts.shape[1]
    given = np.flatnonzero(counts)
    votes, prob = counts.ravel()[given], posterior.ravel()[given]
    of_true = np.bincount(votes, weights=prob)
    of_other = np.bincount(votes, weights=1 - prob)
    in_all = np.bincount(counts.sum(axis=1), minlength=len(of_true))

    def priors(parameters: FloatArray) -> tuple[float, float]:
        skill, log_total = parameters
        total = float(np.exp(log_total))
        chance = 1 / num_classes
        wrong = max((1 - chance) * chance * total * (1 - expit(skill)), _MIN_PRIOR)
        return total - (num_classes - 1) * wrong, wrong

    def loss(parameters: FloatArray) -> float:
        right, wrong = priors(parameters)
        log_probability = (
            of_true @ _log_rising(right, len(of_true))
            + of_other @ _log_rising(wrong, len(of_other))
            - in_all @ _log_rising(right + (num_classes - 1) * wrong, len(in_all))
        )
        unusual = parameters[0] ** 2 + (parameters[1] - np.log(PRIOR_LABELS)) ** 2
        return float(unusual / (2 * PRIOR_VARIANCE) - log_probability)

    start = np.array([[0, 1], [1, 1], [0, 3]], dtype=np.float64)
    found = minimize(loss, start[0], method="Nelder-Mead", options={"initial_simplex": start})
    return priors(found.x)


def _log_rising(start: float, number: int) -> FloatArray:
    """Logarithms of start (start + 1) … of 0, 1, …, number - 1 factors."""
    rising: FloatArray = gammaln(start + np.arange(number)) - gammaln(start)
    return rising


def _lowest(keys: Sequence[AnyArray], tasks: IntArray, number: int) -> IntArray:
    """Return the tasks that stand first by several keys, in any order, without sorting all."""
    found = [tasks[:0]]
    for key in keys:
        if not 0 < number < len(tasks):
            break
        own = key[tasks]
        last = np.partition(own, number - 1)[number - 1]
        found.append(tasks[own < last])
        number -= len(found[-1])
        tasks = tasks[own == last]
    return np.concatenate([*found, tasks[:number]])


def _labels_left(
    num_tasks: int,
    most_extra: int | None,
    num_extra: ArrayLike | None,
    is_open: ArrayLike | None,
) -> FloatArray:
    """How many more labels each task may get, shape (N,)."""
    left: FloatArray = np.full(num_tasks, np.inf)
    if most_extra is not None and num_extra is not None:
        _check_number("most_extra", most_extra)
        left = np.maximum(0.0, most_extra - _check_counts("num_extra", num_extra, num_tasks))
    elif most_extra is not None:
        raise ValueError(
            f"most_extra is {most_extra} but num_extra is missing: pass how many extra labels "
            "each task has got"
        )
    elif num_extra is not None:
        raise ValueError("num_extra is given without most_extra: pass how many a task may get")
    if is_open is not None:
        mask = np.asarray(is_open)
        if mask.shape != (num_tasks,) or mask.dtype != np.bool_:
            raise ValueError(
                f"is_open is {mask.dtype} of shape {mask.shape}: pass one bool for each of the "
                f"{num_tasks} tasks"
            )
        left[~mask] = 0
    return left


def _open_tasks(
    num_tasks: int,
    most_extra: int | None,
    num_extra: ArrayLike | None,
    is_open: ArrayLike | None,
) -> BoolArray:
    """Whether each task may get another label, shape (N,)."""
    return np.greater(_labels_left(num_tasks, most_extra, num_extra, is_open), 0)


def _check_scores(scores: ArrayLike) -> FloatArray:
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"scores have shape {values.shape}: pass one score for each task")
    wrong = np.flatnonzero(~np.isfinite(values))
    if wrong.size:
        raise ValueError(
            f"the score of task {wrong[0]} is {values[wrong[0]]}: leave the task out, or give "
            "it 1 / K, the score of a task that nothing is known of"
        )
    return values


def _check_counts(name: str, counts: ArrayLike, num_tasks: int) -> IntArray:
    values = np.asarray(counts)
    if values.shape != (num_tasks,):
        raise ValueError(
            f"{name} has shape {values.shape} but there are {num_tasks} tasks: pass one number "
            "for each"
        )
    if values.size and values.dtype.kind not in "iu":
        raise ValueError(f"{name} holds {values.dtype}: pass integers")
    wrong = np.flatnonzero(values < 0)
    if wrong.size:
        raise ValueError(f"{name} of task {wrong[0]} is {values[wrong[0]]}: it must be 0 or more")
    return values.astype(np.int64, copy=False)


def _check_number(name: str, number: int, *, least: int = 0) -> None:
    if isinstance(number, bool) or not isinstance(number, (int, np.integer)):
        raise TypeError(f"{name} is {number!r}: pass an integer")
    if number < least:
        raise ValueError(f"{name} is {number}: it must be {least} or more")


def _check_posterior(posterior: ArrayLike, labels: MultiannotatorLabels) -> FloatArray:
    """Return a copy of the posterior with the mean in place of rows of NaN."""
    probs = np.array(posterior, dtype=np.float64)
    if probs.shape != (labels.num_tasks, labels.num_classes):
        raise ValueError(
            f"posterior has shape {probs.shape} but there are {labels.num_tasks} tasks and "
            f"{labels.num_classes} classes: pass one row for each task"
        )
    is_unknown = np.isnan(probs).all(axis=1)
    if is_unknown.any():
        known = probs[~is_unknown]
        probs[is_unknown] = known.mean(axis=0) if len(known) else 1 / labels.num_classes
    wrong = np.flatnonzero(
        ~((probs >= 0).all(axis=1) & (np.abs(probs.sum(axis=1) - 1) <= ROW_SUM_TOLERANCE))
    )
    if wrong.size:
        raise ValueError(
            f"posterior of task {wrong[0]} is {probs[wrong[0]].tolist()}: probabilities must be "
            "within 0..1 and add up to 1"
        )
    return probs
