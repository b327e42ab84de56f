"""A classifier chosen by how well it predicts labels that it has not seen.

Every candidate that suits the features is trained on the consensus in cross-validation, and
judged by its out-of-sample predictions: how probable they make what annotators said of
tasks that it was not trained on. The truth is not known, and not needed to compare.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from sklearn.base import BaseEstimator

from crowdlab_engine._random import RandomState, random_generator
from crowdlab_engine._typing import BoolArray, FloatArray, IntArray
from crowdlab_engine.block import Block
from crowdlab_engine.calibration import best_temperatures, cross_entropies, scale
from crowdlab_engine.classifier import NotEnoughLabels, out_of_sample_pred_probs
from crowdlab_engine.labels import MultiannotatorLabels
from crowdlab_engine.learners import CANDIDATES, Candidate, Situation
from crowdlab_engine.pred_probs import PredProbs

SAMPLE_TASKS = 20_000
"""Of more labelled tasks than these, candidates are compared on a sample of so many."""

_PROBE_TASKS = 1_000
"""Tasks on which a candidate is first tried, to see how long it takes."""

_LEAST_TEMPERATURE = 1.0
"""Predictions are made less sure, never surer: CROWDLAB's weights allow for how often a
classifier is right, and one that is surer besides outvotes annotators who agree. On
sentence_polarity temperatures below 1 cost CROWDLAB 0.1 to 0.5 points of accuracy."""

_PROBE_LENIENCE = 4.0
"""Costs that do not grow make few tasks look slow, so what would take up to so many times
the time that there is may begin; after its first fold more is known."""

_PRIOR_SHARE = 0.01
"""Share of the classes' frequencies in what is returned: nothing is impossible."""


class OutOfTimeError(Exception):
    """A candidate would take longer than there is time."""


@dataclass(frozen=True, eq=False)
class TrainedPortfolio:
    """The classifier chosen, and what it says of each task.

    Attributes
    ----------
    pred_probs : ndarray of float64, shape (N, K)
        Out-of-sample class probabilities, calibrated; rows sum to 1.
    name : str
        Which candidate was chosen.
    log_loss : float
        Of `pred_probs`: mean over labelled tasks of the cross entropy between the share of
        annotators who chose each class and the prediction, in nats; lower is better. Of the
        sample, if candidates were compared on one. Not even the truth would reach 0, as
        annotators differ.
    prior_log_loss : float
        The same of a prediction that is the share of each class, always.
    temperature : float
        By which predictions were calibrated, from 1; above 1 they were made less sure.
    seconds : float
        CPU seconds that it took, all candidates included.
    num_trained : int
        Labelled tasks of the cross-validation that gave `pred_probs`.
    num_labelled : int
        All labelled tasks.
    candidates : DataFrame
        One row per candidate that suits, in the order tried, indexed by name. `log_loss`
        and `temperature`: as above, NaN if it was dropped. `num_tasks`: labelled tasks that
        it was compared on. `seconds`: CPU seconds of that. `dropped`: why it was; empty if
        it was not.
    """

    pred_probs: FloatArray
    name: str
    log_loss: float
    prior_log_loss: float
    temperature: float
    seconds: float
    num_trained: int
    num_labelled: int
    candidates: pd.DataFrame

    def __str__(self) -> str:
        parts = [f"{self.name}: log loss {self.log_loss:.3f}, of the class shares "]
        parts.append(f"{self.prior_log_loss:.3f}")
        if self.num_trained < self.num_labelled:
            parts.append(
                f"; trained on {self.num_trained:,} of {self.num_labelled:,} labelled tasks, as "
                "time was short"
            )
        dropped = self.candidates[self.candidates["dropped"] != ""]
        if len(dropped):
            parts.append(f"; no time for {', '.join(dropped.index)}")
        return "".join(parts)


class Portfolio(BaseEstimator):  # type: ignore[misc]
    """A few classifiers, of which the best is used.

    Candidates are tried one after the other, the cheapest first, each by the same folds,
    and compared by the log loss of their calibrated predictions. One that cannot be
    finished in time is dropped; only the first is always finished. Of many labelled tasks a
    sample is drawn, and the best on it is trained on all of them; if there is no time for
    that, the next best; if for none, the best is trained on the sample alone and predicts
    the others, which it has not seen either. Which of them are dropped depends on the
    machine; all else follows from the arguments.

    Parameters
    ----------
    is_count : array_like of bool, shape (D,), optional
        Which columns of the features are counts, as of words; the others are numbers.
        Default: all of them if the features are sparse, none if they are dense.
    seconds : float, default 60.0
        CPU seconds that training may take, cross-validation included: on an idle machine,
        the time that it takes. A candidate's seconds are predicted from a few tasks, so they
        may be passed a little.
    n_splits : int, default 5
        Folds of the cross-validation.
    sample_tasks : int, default 20_000
        Of more labelled tasks than these, candidates are compared on a sample.
    candidates : sequence of Candidate, optional
        Which there are, the cheapest first. Default: those of `crowdlab_engine.learners`.
    random_state : int or numpy.random.RandomState, default 0
        The sample, and how tasks are dealt to folds.

    Examples
    --------
    >>> import numpy as np
    >>> from crowdlab_engine import MultiannotatorLabels, majority_vote
    >>> truth = np.arange(60) % 2
    >>> labels = MultiannotatorLabels.from_codes(np.arange(60), np.zeros(60, int), truth)
    >>> features = np.random.RandomState(0).normal(size=(60, 2)) + 2 * truth[:, None]
    >>> trained = Portfolio().train(features, labels, majority_vote(labels))
    >>> trained.log_loss < trained.prior_log_loss
    True
    """

    def __init__(
        self,
        is_count: ArrayLike | None = None,
        seconds: float = 60.0,
        n_splits: int = 5,
        sample_tasks: int = SAMPLE_TASKS,
        candidates: Sequence[Candidate] = CANDIDATES,
        random_state: RandomState = 0,
    ) -> None:
        self.is_count = is_count
        self.seconds = seconds
        self.n_splits = n_splits
        self.sample_tasks = sample_tasks
        self.candidates = candidates
        self.random_state = random_state

    def train(
        self,
        features: Any,
        labels: MultiannotatorLabels,
        consensus: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        previous: str = "",
        only_previous: bool = False,
    ) -> TrainedPortfolio:
        """Choose a classifier, and predict each task by classifiers that have not seen it.

        Parameters
        ----------
        features : ndarray or SciPy sparse, shape (N, D)
            Features of each task, finite.
        labels : MultiannotatorLabels
            What N tasks were said to be; candidates are judged by it.
        consensus : array_like of int, shape (N,)
            Class codes to learn; -1 for tasks without. Those without labels are not learnt.
        sample_weight : array_like of float, shape (N,), optional
            How much each counts in training, such as the quality of the consensus.
        groups : array_like, shape (N,), optional
            Tasks of equal content have equal values, and are never divided by a fold.
        previous : str, optional
            Name of the candidate that was chosen before; it is tried first.
        only_previous : bool, default False
            Whether to try no other, if it still suits.

        Returns
        -------
        TrainedPortfolio

        Raises
        ------
        NotEnoughLabels
            There are too few labels to train and test a classifier, or no candidate suits.
        ValueError
            A parameter is out of range, or shapes differ, see `out_of_sample_pred_probs`.
        """
        if not self.seconds > 0:
            raise ValueError(
                f"seconds is {self.seconds}: pass the CPU seconds that training may take"
            )
        if self.sample_tasks < _PROBE_TASKS:
            raise ValueError(f"sample_tasks is {self.sample_tasks}: pass at least {_PROBE_TASKS}")
        began = time.process_time()
        work = self._work(features, labels, consensus, sample_weight, groups)
        candidates = _in_order(self.candidates, work.situation, previous, only=only_previous)
        trials = self._compare(work, candidates, began)
        trial, pred_probs, num_trained = self._finish(work, trials, began)
        shares = _class_shares(labels)
        return TrainedPortfolio(
            pred_probs=_softened(pred_probs, trial.temperature, shares),
            name=trial.candidate.name,
            log_loss=trial.log_loss,
            prior_log_loss=-float(shares[shares > 0] @ np.log(shares[shares > 0])),
            temperature=trial.temperature,
            seconds=time.process_time() - began,
            num_trained=num_trained,
            num_labelled=work.situation.num_tasks,
            candidates=pd.DataFrame(
                {
                    "log_loss": [one.log_loss for one in trials],
                    "temperature": [one.temperature for one in trials],
                    "num_tasks": [one.num_tasks for one in trials],
                    "seconds": [one.seconds for one in trials],
                    "dropped": [one.dropped for one in trials],
                },
                index=pd.Index([one.candidate.name for one in trials], name="candidate"),
            ),
        )

    def _work(
        self,
        features: Any,
        labels: MultiannotatorLabels,
        consensus: ArrayLike,
        sample_weight: ArrayLike | None,
        groups: ArrayLike | None,
    ) -> _Work:
        matrix = features.tocsr() if issparse(features) else np.asarray(features)
        codes = np.asarray(consensus)
        if codes.shape != (labels.num_tasks,) or matrix.shape[0] != labels.num_tasks:
            raise ValueError(
                f"consensus has shape {codes.shape} and features have shape {matrix.shape} but "
                f"the labels have {labels.num_tasks} tasks: pass one code and one row per task"
            )
        is_count = _count_columns(self.is_count, matrix)
        matrix, is_count = _without_rare(matrix, is_count)
        codes = np.where(labels.num_annotations > 0, codes, -1)
        weight = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        is_learnt = codes >= 0
        if weight is not None and weight.shape == codes.shape:
            is_learnt &= weight > 0
        situation = Situation(int(is_learnt.sum()), labels.num_classes, is_count)
        group = np.arange(len(codes)) if groups is None else np.asarray(groups)
        seed = int(random_generator(self.random_state).randint(2**31 - 1))
        return _Work(
            matrix, labels, codes, weight, group, is_learnt, situation, self.n_splits, seed
        )

    def _compare(self, work: _Work, candidates: Sequence[Candidate], began: float) -> list[_Trial]:
        """Try all candidates, on all labelled tasks or on a sample of them."""
        part = work
        if work.situation.num_tasks > self.sample_tasks:
            part = work.sample(self.sample_tasks)
        trials: list[_Trial] = []
        for candidate in candidates:
            # Where all is compared on a sample, training the best on all takes the rest.
            allowed = self.seconds * (1.0 if part is work else 0.5)
            deadline = began + allowed if trials else np.inf
            trials.append(_try(part, candidate, deadline))
        if all(one.dropped for one in trials):
            raise NotEnoughLabels(trials[0].dropped)
        return trials

    def _finish(
        self, work: _Work, trials: Sequence[_Trial], began: float
    ) -> tuple[_Trial, FloatArray, int]:
        """Train the best candidate that there is time for on all labelled tasks.

        Returns
        -------
        trial : _Trial
            Of that candidate.
        pred_probs : ndarray of float64, shape (N, K)
            As it predicts them, not yet calibrated.
        num_trained : int
            Labelled tasks that it was trained on.
        """
        ranked = sorted((one for one in trials if not one.dropped), key=lambda one: one.log_loss)
        if ranked[0].part is work:
            return ranked[0], ranked[0].pred_probs, work.situation.num_tasks
        num_tasks = work.situation.num_tasks
        for trial in ranked:
            more = (num_tasks / trial.num_tasks) ** trial.candidate.growth
            left = began + self.seconds - time.process_time()
            if trial.seconds * more > left:
                continue
            try:
                deadline = began + self.seconds
                return trial, work.predict(trial.candidate, deadline), num_tasks
            except OutOfTimeError:
                continue
        best = ranked[0]
        masked = work.only_learning(best.part.is_learnt_of(work))
        return best, masked.predict(best.candidate, np.inf), best.num_tasks


@dataclass(frozen=True, eq=False)
class _Work:
    """What a classifier is trained on and judged by, of N tasks."""

    matrix: Any
    labels: MultiannotatorLabels
    codes: IntArray
    weight: FloatArray | None
    group: Any
    is_learnt: BoolArray
    situation: Situation
    n_splits: int
    seed: int
    tasks: IntArray | None = None
    """Of a sample, which tasks of the whole they are."""

    def is_learnt_of(self, whole: _Work) -> BoolArray:
        """Which tasks of the whole this sample learns from, shape (N,)."""
        found = np.zeros(len(whole.codes), dtype=np.bool_)
        found[self.tasks] = True
        return found

    def sample(self, num_tasks: int) -> _Work:
        """Return about so many of the tasks to learn from, groups undivided."""
        generator = np.random.RandomState(self.seed)
        code = np.unique(self.group, return_inverse=True)[1]
        rank = generator.permutation(int(code.max()) + 1)[code]
        learnt = np.flatnonzero(self.is_learnt)
        if len(learnt) <= num_tasks:
            return self
        last = np.partition(rank[learnt], num_tasks - 1)[num_tasks - 1]
        tasks = learnt[rank[learnt] <= last]
        return _Work(
            self.matrix[tasks],
            self.labels.take(tasks),
            self.codes[tasks],
            None if self.weight is None else self.weight[tasks],
            self.group[tasks],
            np.ones(len(tasks), dtype=np.bool_),
            Situation(len(tasks), self.situation.num_classes, self.situation.is_count),
            self.n_splits,
            self.seed,
            tasks,
        )

    def only_learning(self, is_learnt: BoolArray) -> _Work:
        """Return the same tasks, of which only some are learnt from."""
        return _Work(
            self.matrix,
            self.labels,
            np.where(is_learnt, self.codes, -1),
            self.weight,
            self.group,
            is_learnt,
            Situation(int(is_learnt.sum()), self.situation.num_classes, self.situation.is_count),
            self.n_splits,
            self.seed,
        )

    def predict(self, candidate: Candidate, deadline: float) -> FloatArray:
        """Return a candidate's out-of-sample predictions, shape (N, K).

        Raises
        ------
        OutOfTimeError
            It would pass the deadline.
        """
        began = time.process_time()

        def check(done: int, total: int) -> None:
            now = time.process_time()
            if done < total and now + (now - began) / done * (total - done) > deadline:
                raise OutOfTimeError

        return out_of_sample_pred_probs(
            self.matrix,
            self.codes,
            num_classes=self.situation.num_classes,
            sample_weight=self.weight,
            groups=self.group,
            n_splits=self.n_splits,
            classifier=candidate.build(self.situation),
            random_state=self.seed,
            after_fold=check,
        )


@dataclass(frozen=True, eq=False)
class _Trial:
    """How a candidate did."""

    candidate: Candidate
    part: _Work
    pred_probs: FloatArray
    log_loss: float = np.nan
    temperature: float = np.nan
    seconds: float = 0.0
    dropped: str = ""

    @property
    def num_tasks(self) -> int:
        return self.part.situation.num_tasks


def _try(work: _Work, candidate: Candidate, deadline: float) -> _Trial:
    """Cross-validate a candidate, unless a few tasks tell that it takes too long."""
    began = time.process_time()
    nothing = np.empty((0, work.situation.num_classes))
    try:
        if deadline < np.inf and work.situation.num_tasks > 4 * _PROBE_TASKS:
            _probe(work, candidate, deadline)
        pred_probs = work.predict(candidate, deadline)
    except OutOfTimeError:
        seconds = time.process_time() - began
        return _Trial(candidate, work, nothing, seconds=seconds, dropped="it takes too long")
    temperature, log_loss = _judge(work.labels, pred_probs)
    seconds = time.process_time() - began
    return _Trial(candidate, work, pred_probs, log_loss, temperature, seconds)


def _probe(work: _Work, candidate: Candidate, deadline: float) -> None:
    """Raise OutOfTimeError if a candidate is so slow on a few tasks that it cannot be done."""
    few = work.sample(_PROBE_TASKS)
    began = time.process_time()
    try:
        few.predict(candidate, np.inf)
    except NotEnoughLabels:
        return  # of a rare class; nothing is known of the time then
    now = time.process_time()
    more = (work.situation.num_tasks / few.situation.num_tasks) ** candidate.growth
    if now + (now - began) * more / _PROBE_LENIENCE > deadline:
        raise OutOfTimeError


def _judge(labels: MultiannotatorLabels, pred_probs: FloatArray) -> tuple[float, float]:
    """Return the best temperature of predictions, and their log loss at it."""
    has_label = np.flatnonzero(labels.num_annotations)
    labelled, predicted = labels.take(has_label), pred_probs[has_label]
    block = _block(labelled, predicted)
    temperature = max(_LEAST_TEMPERATURE, float(best_temperatures((block,))[0]))
    calibrated = _softened(predicted, temperature, _class_shares(labels))
    loss = cross_entropies(_block(labelled, calibrated), 0, np.ones(1))[0] / len(has_label)
    return temperature, float(loss)


def _block(labels: MultiannotatorLabels, pred_probs: FloatArray) -> Block:
    return Block(labels, PredProbs.of_tasks(pred_probs, labels, row_sum_tolerance=np.inf))


def _softened(pred_probs: FloatArray, temperature: float, shares: FloatArray) -> FloatArray:
    calibrated: FloatArray = scale(pred_probs, temperature)
    calibrated *= 1 - _PRIOR_SHARE
    calibrated += _PRIOR_SHARE * shares
    return calibrated


def _class_shares(labels: MultiannotatorLabels) -> FloatArray:
    """Share of each class among labels, each labelled task counting the same, shape (K,)."""
    weight = 1.0 / labels.num_annotations[labels.task]
    sums = np.bincount(labels.label, weights=weight, minlength=labels.num_classes)
    shares: FloatArray = sums / max(sums.sum(), 1.0)
    return shares


def _in_order(
    candidates: Sequence[Candidate], situation: Situation, previous: str, *, only: bool
) -> list[Candidate]:
    """Return candidates that suit, the previous one first."""
    suitable = [one for one in candidates if one.suits(situation)]
    if not suitable:
        raise NotEnoughLabels(
            f"no classifier suits {situation.num_counts:,} counts and {situation.num_numbers:,} "
            f"numbers of {situation.num_tasks:,} labelled tasks"
        )
    first = [one for one in suitable if one.name == previous]
    if only and first:
        return first
    return first + [one for one in suitable if one.name != previous]


def _count_columns(is_count: ArrayLike | None, matrix: Any) -> BoolArray:
    width = matrix.shape[1] if matrix.ndim == 2 else 0
    if is_count is None:
        return np.full(width, issparse(matrix))
    found = np.asarray(is_count, dtype=np.bool_)
    if found.shape != (width,):
        raise ValueError(
            f"is_count has shape {found.shape} but features have {width} columns: pass one value "
            "per column"
        )
    return found


def _without_rare(matrix: Any, is_count: BoolArray) -> tuple[Any, BoolArray]:
    """Leave out counts of what occurs in one task only: nothing is learnt of others by it."""
    if not issparse(matrix) or not is_count.any():
        return matrix, is_count
    occurrences = np.bincount(matrix.indices, minlength=matrix.shape[1])
    is_kept = ~is_count | (occurrences > 1)
    if not (is_kept & is_count).any():
        return matrix, is_count
    return matrix[:, np.flatnonzero(is_kept)], is_count[is_kept]
