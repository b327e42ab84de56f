"""Rounds of consensus and classifier: each trains on what the other found.

A round trains a classifier on the consensus, every task weighted by the quality of its
label, and finds a new consensus with the classifier's out-of-sample probabilities. More
rounds are not always better: a classifier can hand the annotators' mistakes back to them.
Whether a round helped is seen without truth, from labels held out: a better consensus
predicts better what a further annotator says.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone

from crowdlab_engine._random import RandomState, random_generator
from crowdlab_engine._typing import FloatArray, IntArray
from crowdlab_engine.classifier import NotEnoughLabels, out_of_sample_pred_probs
from crowdlab_engine.crowdlab import Crowdlab
from crowdlab_engine.fusion import Fusion
from crowdlab_engine.labels import MultiannotatorLabels
from crowdlab_engine.majority import NO_CONSENSUS
from crowdlab_engine.portfolio import Portfolio, TrainedPortfolio

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True, eq=False)
class Round:
    """A consensus, and the classifier's probabilities that it used.

    Attributes
    ----------
    consensus : Fusion or Crowdlab
        Fitted.
    pred_probs : ndarray of float64, shape (N, K), or None
        None in the first round, of the annotators alone.
    trained : TrainedPortfolio or None
        What was chosen of a portfolio, if there is one.
    """

    consensus: Fusion | Crowdlab
    pred_probs: FloatArray | None
    trained: TrainedPortfolio | None = None


@dataclass(frozen=True, eq=False)
class _Task:
    """What all rounds share."""

    features: Any
    groups: ArrayLike | None
    ground_truth: ArrayLike | None
    seed: int
    previous: str
    only_previous: bool


class IteratedTraining(BaseEstimator):  # type: ignore[misc]
    """Consensus and classifier in turns, for as long as held-out labels say that it helps.

    First, one label each of some tasks is held out, and rounds are run on the others until
    one does not predict the held-out labels better than the best before it, by more than
    a standard error of the paired difference. Then as many rounds as helped are run on all
    labels.

    Parameters
    ----------
    rounds : int, default 3
        Most rounds with a classifier.
    held_out : float, default 0.2
        Share of the tasks with two labels or more of which one is held out, in (0, 1].
    classifier : scikit-learn classifier or Portfolio, optional
        See `out_of_sample_pred_probs`. Of a portfolio, the first round on all labels
        chooses, and the others train what it chose.
    n_splits : int, default 5
        Folds of the classifier's cross-validation; a portfolio has its own.
    random_state : int or numpy.random.RandomState, default 0
        Which labels are held out, and how tasks are dealt to folds.
    consensus : Fusion or Crowdlab, optional
        How the consensus is found; cloned, never fitted itself. Default: `Fusion()`.
    seconds : float, default infinity
        CPU seconds: no training is begun that would pass them, if it takes as long as the
        one before; the first one always is. Without time to try whether it helps, it is used.

    Attributes
    ----------
    consensus_ : Fusion or Crowdlab
        The consensus, fitted to all labels.
    pred_probs_ : ndarray of float64, shape (N, K), or None
        The classifier's out-of-sample probabilities that it used; None if no classifier
        helped, or none could be trained.
    trained_ : TrainedPortfolio or None
        What was chosen of a portfolio in the last round that helped; None without a
        portfolio or such a round.
    num_rounds_ : int
        Rounds with a classifier that helped.
    history_ : DataFrame
        One row per round tried on the labels not held out, from 0, of the annotators alone.
        `held_out_log_likelihood`: mean log-probability of a held-out label, higher is
        better. `gain`: over the best round before; `gain_standard_error`: of that.
        `changed`: share of consensus labels that differ from the round before. `helped`:
        whether it is better than all before.
    """

    def __init__(
        self,
        rounds: int = 3,
        held_out: float = 0.2,
        classifier: Any | None = None,
        n_splits: int = 5,
        random_state: RandomState = 0,
        consensus: Fusion | Crowdlab | None = None,
        seconds: float = np.inf,
    ) -> None:
        self.rounds = rounds
        self.held_out = held_out
        self.classifier = classifier
        self.n_splits = n_splits
        self.random_state = random_state
        self.consensus = consensus
        self.seconds = seconds

    def fit(
        self,
        labels: MultiannotatorLabels,
        features: Any,
        groups: ArrayLike | None = None,
        ground_truth: ArrayLike | None = None,
        *,
        previous: str = "",
        only_previous: bool = False,
    ) -> Self:
        """Find how many rounds help, and run them.

        Parameters
        ----------
        labels : MultiannotatorLabels
            Labels of N tasks by M annotators.
        features : ndarray or SciPy sparse, shape (N, D)
            Features of each task, finite.
        groups : array_like, shape (N,), optional
            Tasks of equal content have equal values, see `out_of_sample_pred_probs`.
        ground_truth : array_like of int, shape (N,), optional
            Class code of each task that is known for certain, -1 for the others.
        previous, only_previous
            See `Portfolio.train`.

        Returns
        -------
        IteratedTraining
            Itself, fitted.

        Raises
        ------
        TypeError
            `labels` is not a `MultiannotatorLabels`, or `random_state` is neither an
            integer nor a `RandomState`.
        ValueError
            A parameter is out of range, there is no label, or features, groups or ground
            truth do not fit the labels.
        """
        if self.rounds < 0:
            raise ValueError(f"rounds is {self.rounds}: pass 0 or more")
        if not 0 < self.held_out <= 1:
            raise ValueError(f"held_out is {self.held_out}: pass a share of tasks in (0, 1]")
        if not isinstance(labels, MultiannotatorLabels):
            raise TypeError(
                f"labels is a {type(labels).__name__}: build it with "
                "MultiannotatorLabels.from_long, from_wide or from_codes"
            )
        began = time.process_time()
        generator = random_generator(self.random_state)
        seed = int(generator.randint(2**31 - 1))
        held = held_out_labels(labels, self.held_out, generator)
        task = _Task(features, groups, ground_truth, seed, previous, only_previous)
        rounds = [Round(self._consensus(labels, None, task), None)]
        if self.rounds and isinstance(self.classifier, Portfolio):
            with suppress(NotEnoughLabels):  # the trial below finds so too
                rounds.append(self._next(rounds[0], labels, task))
        chosen = rounds[-1].trained
        if chosen is not None:
            task = replace(task, previous=chosen.name, only_previous=True)
        self.num_rounds_ = self._count_rounds(labels, held, task, began, chosen)
        while len(rounds) <= self.num_rounds_:
            rounds.append(self._next(rounds[-1], labels, task))
        last = rounds[self.num_rounds_]
        self.consensus_, self.pred_probs_, self.trained_ = (
            last.consensus,
            last.pred_probs,
            last.trained,
        )
        return self

    def _count_rounds(
        self,
        labels: MultiannotatorLabels,
        held: IntArray,
        task: _Task,
        began: float,
        chosen: TrainedPortfolio | None,
    ) -> int:
        """Run rounds without the held-out labels; set the history; return how many helped."""
        kept = without(labels, held)
        asked = labels.task[held], labels.annotator[held], labels.label[held]
        current = Round(self._consensus(kept, None, task), None)
        best = current.consensus.label_log_likelihood(*asked)
        mean = float(best.mean()) if held.size else np.nan
        rows: list[tuple[float, float, float, float, bool]] = [(mean, np.nan, np.nan, np.nan, True)]
        num_helped = 0
        seconds = 0.0 if chosen is None else float(chosen.candidates["seconds"][chosen.name])
        for number in range(1, self.rounds + 1):
            # If it helps, all rounds but the first are still to be run on all labels.
            is_late = time.process_time() - began + number * seconds > self.seconds
            if is_late and number == 1 and chosen is not None:
                num_helped = 1
            if is_late or not held.size:
                break
            started = time.process_time()
            try:
                trial = self._next(current, kept, task)
            except NotEnoughLabels:
                break
            seconds = time.process_time() - started
            score = trial.consensus.label_log_likelihood(*asked)
            gain = score - best
            error = float(gain.std() / np.sqrt(len(gain)))
            changed = trial.consensus.consensus_label_ != current.consensus.consensus_label_
            helped = bool(gain.mean() > error)
            rows.append(
                (float(score.mean()), float(gain.mean()), error, float(changed.mean()), helped)
            )
            if not helped:
                break
            current, best, num_helped = trial, score, number
            if not changed.any():
                break
        self.history_ = pd.DataFrame(
            rows,
            columns=[
                "held_out_log_likelihood",
                "gain",
                "gain_standard_error",
                "changed",
                "helped",
            ],
        ).rename_axis("round")
        return num_helped

    def _consensus(
        self, labels: MultiannotatorLabels, pred_probs: FloatArray | None, task: _Task
    ) -> Fusion | Crowdlab:
        estimator = Fusion() if self.consensus is None else clone(self.consensus)
        fitted: Fusion | Crowdlab = estimator.fit(labels, pred_probs, task.ground_truth)
        return fitted

    def _next(self, before: Round, labels: MultiannotatorLabels, task: _Task) -> Round:
        consensus = before.consensus
        has_label = consensus.num_annotations_ > 0
        codes = np.where(has_label, consensus.consensus_label_, NO_CONSENSUS)
        weight = np.nan_to_num(consensus.consensus_quality_score_)
        if isinstance(self.classifier, Portfolio):
            trained = self.classifier.train(
                task.features,
                labels,
                codes,
                sample_weight=weight,
                groups=task.groups,
                previous=task.previous,
                only_previous=task.only_previous,
            )
            found = self._consensus(labels, trained.pred_probs, task)
            return Round(found, trained.pred_probs, trained)
        pred_probs = out_of_sample_pred_probs(
            task.features,
            codes,
            num_classes=labels.num_classes,
            sample_weight=weight,
            groups=task.groups,
            n_splits=self.n_splits,
            classifier=self.classifier,
            random_state=task.seed,
        )
        return Round(self._consensus(labels, pred_probs, task), pred_probs)


def held_out_labels(
    labels: MultiannotatorLabels, share: float, generator: np.random.RandomState
) -> IntArray:
    """Choose labels to hold out: one each of a share of the tasks with two or more.

    Returns
    -------
    ndarray of int64
        Positions in `labels`, ascending; none if no task has two labels.
    """
    candidates = np.flatnonzero(labels.num_annotations > 1)
    number = int(np.ceil(share * len(candidates)))
    tasks = np.sort(generator.permutation(candidates)[:number])
    starts = np.searchsorted(labels.task, tasks)
    positions: IntArray = starts + generator.randint(
        0, np.maximum(labels.num_annotations[tasks], 1)
    )
    return positions


def without(labels: MultiannotatorLabels, held: IntArray) -> MultiannotatorLabels:
    """Return the labels but for some, of the same tasks, annotators and classes."""
    kept = np.delete(np.arange(labels.num_labels), held)
    return MultiannotatorLabels.from_codes(
        labels.task[kept],
        labels.annotator[kept],
        labels.label[kept],
        task_ids=labels.task_ids,
        annotator_ids=labels.annotator_ids,
        classes=labels.classes,
    )
