"""CROWDLAB while labels come in: one label more, another or gone, at the cost of its task.

The sums that weights follow from are kept up to date: what a task had added to them is
subtracted, and what it adds now is added. So the consensus of a changed task follows at
once, by weights that count every change. What the change does to the consensus of other
tasks is found by `OnlineCrowdlab.settle`, which computes everything anew.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike

from crowdlab_engine._typing import AnyArray, FloatArray, IntArray
from crowdlab_engine.crowdlab import Crowdlab
from crowdlab_engine.labels import MultiannotatorLabels
from crowdlab_engine.majority import NO_CONSENSUS
from crowdlab_engine.pred_probs import PredProbs
from crowdlab_engine.statistics import Statistics
from crowdlab_engine.weights import Weights, weights


@dataclass
class _Task:
    """What is known of one task."""

    labels: dict[int, int] = field(default_factory=dict)
    """Class code by annotator code."""
    prediction: FloatArray | None = None
    truth: int = NO_CONSENSUS
    consensus: int = NO_CONSENSUS


class OnlineCrowdlab:
    """Consensus of tasks whose labels change.

    Tasks and annotators are named by any hashable values, and known from their first label,
    prediction or truth on.

    Parameters
    ----------
    classes : array_like, shape (K,)
        All classes, in the order of the columns of predictions.
    estimator : Crowdlab, optional
        How `settle` computes; its `quality_method` is "crowdlab", it does not calibrate, and
        its classifier does not abstain.
        Default: `Crowdlab()`.

    Raises
    ------
    ValueError
        A class occurs twice, or the estimator works otherwise.

    Examples
    --------
    >>> online = OnlineCrowdlab(["cat", "dog"])
    >>> for annotator, label in {"ann": "cat", "bob": "cat", "cy": "dog"}.items():
    ...     online.set_label("a picture", annotator, label)
    >>> online.consensus("a picture")
    'cat'
    >>> online.remove_label("a picture", "bob")
    >>> sorted(online.label_quality("a picture"))
    ['ann', 'cy']
    """

    def __init__(self, classes: ArrayLike, estimator: Crowdlab | None = None) -> None:
        self.classes = np.asarray(classes).tolist()
        self._class_code = {value: code for code, value in enumerate(self.classes)}
        if len(self._class_code) < len(self.classes):
            raise ValueError(f"classes {self.classes} hold one of them twice: drop the second")
        self.estimator = Crowdlab() if estimator is None else estimator
        if self.estimator.quality_method != "crowdlab" or self.estimator.calibrate_probs:
            raise ValueError(
                "the estimator calibrates, or scores by agreement: pass one with "
                "quality_method='crowdlab' and calibrate_probs=False"
            )
        if self.estimator.may_abstain:
            raise ValueError(
                "the estimator has may_abstain=True, but predictions count here only if every "
                "task has one: pass one with may_abstain=False, or fit a Crowdlab anew"
            )
        self._tasks: dict[Hashable, _Task] = {}
        self._annotator_code: dict[Hashable, int] = {}
        self._sums = _Sums(len(self.classes))

    def set_label(self, task: Hashable, annotator: Hashable, label: Hashable) -> None:
        """Add an annotator's label of a task, or change it.

        Raises
        ------
        ValueError
            The label is not among the classes; nothing has changed then.
        """
        code = self._code_of(label)
        who = self._annotator_code.setdefault(annotator, len(self._annotator_code))
        known = self._tasks.setdefault(task, _Task())
        self._sums.remove(known)
        known.labels[who] = code
        self._add_again(known)

    def remove_label(self, task: Hashable, annotator: Hashable) -> None:
        """Take an annotator's label of a task back.

        Raises
        ------
        KeyError
            There is no such label; nothing has changed then.
        """
        known = self._tasks.get(task)
        who = self._annotator_code.get(annotator)
        if known is None or who not in known.labels:
            raise KeyError(f"annotator {annotator!r} has no label of task {task!r} to remove")
        self._sums.remove(known)
        del known.labels[who]
        self._add_again(known)

    def set_prediction(self, task: Hashable, probs: ArrayLike | None) -> None:
        """Set, change or remove (None) a classifier's class probabilities of a task, shape (K,).

        Raises
        ------
        ValueError
            They are no probability distribution over the classes; nothing has changed then.
        """
        row = None
        if probs is not None:
            table = np.array(probs, dtype=np.float64)[None]
            checked = PredProbs.of_pool(
                table,
                num_classes=len(self.classes),
                row_sum_tolerance=self.estimator.row_sum_tolerance,
            )
            row = checked.rows(0, np.array([0]))[0]
        known = self._tasks.setdefault(task, _Task())
        self._sums.remove(known)
        known.prediction = row
        self._add_again(known)

    def set_truth(self, task: Hashable, label: Hashable | None) -> None:
        """Set, change or remove (None) the label of a task that is known for certain.

        Raises
        ------
        ValueError
            The label is not among the classes; nothing has changed then.
        """
        code = NO_CONSENSUS if label is None else self._code_of(label)
        known = self._tasks.setdefault(task, _Task())
        self._sums.remove(known)
        known.truth = code
        self._add_again(known)

    def remove_task(self, task: Hashable) -> None:
        """Forget a task.

        Raises
        ------
        KeyError
            It is not known.
        """
        self._sums.remove(self._known(task))
        del self._tasks[task]

    def consensus(self, task: Hashable) -> object | None:
        """Return the class that is the consensus of a task; None if nothing is known.

        Raises
        ------
        KeyError
            The task is not known.
        """
        known = self._known(task)
        code = known.consensus
        if code == NO_CONSENSUS and known.prediction is not None:
            code = int(known.prediction.argmax())
        return None if code == NO_CONSENSUS else self.classes[code]

    def posterior(self, task: Hashable) -> FloatArray:
        """Return the probability of each class of a task, shape (K,), by present weights.

        It is NaN if nothing is known.

        Raises
        ------
        KeyError
            The task is not known.
        """
        return self._posterior(self._known(task))

    def consensus_quality_score(self, task: Hashable) -> float:
        """Return the probability of the consensus label, in [0, 1]; NaN if nothing is known.

        Raises
        ------
        KeyError
            The task is not known.
        """
        label = self.consensus(task)
        if label is None:
            return float("nan")
        return float(self.posterior(task)[self._class_code[label]])

    def label_quality(self, task: Hashable) -> dict[Hashable, float]:
        """Return the probability of each label of a task, in [0, 1], by annotator.

        Raises
        ------
        KeyError
            The task is not known.
        """
        known = self._known(task)
        probs = self._posterior(known)
        names = list(self._annotator_code)
        return {names[who]: float(probs[code]) for who, code in known.labels.items()}

    def statistics(self) -> Statistics:
        """Return the sums over all tasks, given their present consensus."""
        return self._sums.statistics(len(self._annotator_code))

    def weights(self) -> Weights:
        """Return the weights that follow from the present sums.

        Raises
        ------
        ValueError
            There is no label.
        """
        if not self._sums.num_labels:
            raise ValueError("there is no label, hence nothing to weigh: set one first")
        return weights(self.statistics())

    def labels(self) -> MultiannotatorLabels:
        """Return all labels; tasks and annotators in the order in which they became known."""
        rows = [
            (number, who, code)
            for number, known in enumerate(self._tasks.values())
            for who, code in known.labels.items()
        ]
        codes = np.array(rows, dtype=np.int64).reshape(-1, 3)
        return MultiannotatorLabels.from_codes(
            *codes.T,
            task_ids=_vocabulary(self._tasks),
            annotator_ids=_vocabulary(self._annotator_code),
            classes=_vocabulary(self.classes),
        )

    def pred_probs(self) -> FloatArray | None:
        """Return the predictions of all tasks, shape (N, K); None if some task has none."""
        rows = [known.prediction for known in self._tasks.values()]
        found = [row for row in rows if row is not None]
        return np.stack(found) if found and len(found) == len(rows) else None

    def ground_truth(self) -> IntArray:
        """Return the class code of each task that is known for certain, -1 else, shape (N,)."""
        return np.array([known.truth for known in self._tasks.values()], dtype=np.int64)

    def settle(self) -> Crowdlab:
        """Compute everything anew from all labels, and go on from there.

        Predictions count if every task has one.

        Returns
        -------
        Crowdlab
            The estimator, fitted to `labels`, `pred_probs` and `ground_truth`.

        Raises
        ------
        ValueError
            There is no label.
        """
        fitted = self.estimator.fit(self.labels(), self.pred_probs(), self.ground_truth())
        self._sums = _Sums(len(self.classes))
        consensus = fitted.consensus_label_.tolist()
        for known, code in zip(self._tasks.values(), consensus, strict=True):
            known.consensus = code if known.labels or known.truth >= 0 else NO_CONSENSUS
            self._sums.add(known)
        return fitted

    def _code_of(self, label: Hashable) -> int:
        code = self._class_code.get(label)
        if code is None:
            raise ValueError(
                f"label {label!r} is not among the classes {self.classes}: correct it, or begin "
                "anew with more classes"
            )
        return code

    def _known(self, task: Hashable) -> _Task:
        known = self._tasks.get(task)
        if known is None:
            raise KeyError(f"task {task!r} is not known: it has no label, prediction or truth")
        return known

    def _add_again(self, known: _Task) -> None:
        """Find the consensus of a changed task, and add the task to the sums."""
        known.consensus = known.truth
        if known.truth != NO_CONSENSUS or not known.labels:
            self._sums.add(known)
            return
        majority = known.consensus = self._majority(known)
        self._sums.add(known)
        if self.estimator.consensus_method == "majority_vote":
            return
        probs = self._posterior(known)
        best = np.flatnonzero(probs == probs.max())
        if len(best) == 1 and best[0] != majority:
            self._sums.remove(known)
            known.consensus = int(best[0])
            self._sums.add(known)

    def _majority(self, known: _Task) -> int:
        """Majority vote of a task; what its first two tie-breaks leave goes to the first class."""
        votes = np.bincount(list(known.labels.values()), minlength=len(self.classes))
        is_left = votes == votes.max()
        if known.prediction is not None:
            likely = np.where(is_left, known.prediction, -np.inf)
            is_left &= likely == likely.max()
        totals = self._sums.class_counts + votes
        if self.estimator.ties == "rare":
            totals = -totals
        return int(np.where(is_left, totals, np.iinfo(np.int64).min).argmax())

    def _posterior(self, known: _Task) -> FloatArray:
        if known.truth != NO_CONSENSUS:
            certain = np.zeros(len(self.classes))
            certain[known.truth] = 1.0
            return certain
        if not known.labels:
            if known.prediction is None:
                return np.full(len(self.classes), np.nan)
            return np.clip(known.prediction, 0.0, 1.0)
        present = self._weights_of(list(known.labels))
        probs = np.zeros(len(self.classes))
        total = present.annotator.sum()
        if known.prediction is not None and len(present.model):
            probs += present.model[0] * known.prediction
            total += present.model[0]
        for weight, code in zip(present.annotator, known.labels.values(), strict=True):
            share = np.full(len(self.classes), weight * present.disagreement)
            share[code] = weight * present.agreement
            probs += share
        probs /= total
        return np.clip(probs, 0.0, 1.0, out=probs)

    def _weights_of(self, annotators: list[int]) -> Weights:
        """Return the present weights, of these annotators only."""
        if self._sums.have_peers(annotators):
            return weights(self._sums.statistics_of(annotators))
        # One without peers weighs as the mean of the others, so that takes all of them.
        every = self.weights()
        return replace(every, annotator=every.annotator[annotators])


class _Sums:
    """The sums of `Statistics`, changed in place, one task at a time.

    The share of agreeing labels is kept as whole numbers, by number of labels, so that
    nothing is lost to rounding however often tasks come and go.
    """

    def __init__(self, num_classes: int) -> None:
        self.num_tasks = self.num_labels = self._num_predicted = self._model_errors = 0
        self._votes: dict[int, int] = {}
        self._consensus_counts = np.zeros(num_classes, dtype=np.int64)
        self.class_counts = np.zeros(num_classes, dtype=np.int64)
        self._peers: IntArray = np.zeros(16, dtype=np.int64)
        self._peers_agreeing: IntArray = np.zeros(16, dtype=np.int64)

    def add(self, known: _Task) -> None:
        """Add a task with its present consensus."""
        self._change(known, 1)

    def remove(self, known: _Task) -> None:
        """Subtract a task as it was added."""
        self._change(known, -1)

    def _change(self, known: _Task, sign: int) -> None:
        size = len(known.labels)
        if not size:
            return
        is_known = known.truth != NO_CONSENSUS
        codes = list(known.labels.values())
        self.num_tasks += sign
        self.num_labels += sign * size
        self._num_predicted += sign * (known.prediction is not None)
        votes = {code: codes.count(code) for code in set(codes)}
        for who, code in known.labels.items():
            others = max(size - 1, 1) if is_known else size - 1
            agreeing = others * (code == known.truth) if is_known else votes[code] - 1
            self._grow(who + 1)
            self._peers[who] += sign * others
            self._peers_agreeing[who] += sign * agreeing
            self.class_counts[code] += sign
        if size > 1 or is_known:
            self._votes[size] = self._votes.get(size, 0) + sign * votes.get(known.consensus, 0)
            self._consensus_counts[known.consensus] += sign
            if known.prediction is not None:
                errs = int(known.prediction.argmax()) != known.consensus
                self._model_errors += sign * errs

    def _grow(self, num_annotators: int) -> None:
        if num_annotators > len(self._peers):
            more = np.zeros(max(num_annotators, 2 * len(self._peers)) - len(self._peers), np.int64)
            self._peers = np.concatenate([self._peers, more])
            self._peers_agreeing = np.concatenate([self._peers_agreeing, more])

    def have_peers(self, annotators: list[int]) -> bool:
        """Whether each of the annotators shares a task."""
        return bool(self._peers[annotators].all())

    def statistics(self, num_annotators: int) -> Statistics:
        """Return the sums, of that many annotators."""
        self._grow(num_annotators)
        return self.statistics_of(slice(num_annotators))

    def statistics_of(self, annotators: list[int] | slice) -> Statistics:
        """Return the sums, of these annotators only."""
        is_predicted = self._num_predicted == self.num_tasks > 0
        return Statistics(
            num_tasks=self.num_tasks,
            num_labels=self.num_labels,
            num_predicted=self._num_predicted if is_predicted else 0,
            model_errors=np.array([self._model_errors] if is_predicted else [], dtype=np.int64),
            model_shared=self._consensus_counts.sum(keepdims=True)[: int(is_predicted)],
            agreement=sum(votes / size for size, votes in sorted(self._votes.items())),
            consensus_counts=self._consensus_counts.copy(),
            peers=self._peers[annotators].copy(),
            peers_agreeing=self._peers_agreeing[annotators].copy(),
        )


def _vocabulary(values: Iterable[Hashable]) -> AnyArray:
    """Return values as an array of objects, so that each stays what it is."""
    listed = list(values)
    array = np.empty(len(listed), dtype=object)
    array[:] = listed
    return array
