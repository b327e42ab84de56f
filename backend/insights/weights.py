"""How much the classifier and each annotator count at present, and what follows for a task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from backend.jobs.follow import sums_from_arrays
from backend.jobs.predictions import StoredPredictions
from backend.store.project import ProjectStore
from crowdlab_engine import MultiannotatorLabels
from crowdlab_engine.ordinal import expected_values, literal
from crowdlab_engine.posterior import posterior
from crowdlab_engine.pred_probs import PredProbs
from crowdlab_engine.weights import Weights, weights


@dataclass(frozen=True, eq=False)
class QuestionWeights:
    """Weights of one question, from the sums over all tasks that the store keeps."""

    annotators: NDArray[np.int64]
    """Ids of M annotators, ascending."""
    weights: Weights
    num_classes: int
    partial: StoredPredictions | None = None
    """What the classifiers say, if some of them know only some of the tasks."""

    @classmethod
    def read(cls, store: ProjectStore, question: int) -> Self | None:
        """Weights of a question, given by its position.

        Returns
        -------
        QuestionWeights or None
            None if nothing was computed, or by a method that has no such weights.
        """
        arrays = store.read_statistics(question)
        if arrays is None or not len(arrays["annotators"]) or not arrays["sizes"][1]:
            return None
        found = weights(sums_from_arrays(arrays).statistics)
        num_classes = len(arrays["consensus_counts"])
        stored = StoredPredictions.read(store, question, num_classes)
        is_partial = stored.may_abstain and len(stored.models) == len(found.model)
        return cls(arrays["annotators"], found, num_classes, stored if is_partial else None)

    @property
    def newcomer(self) -> float:
        """Weight that one more annotator is thought to have: the mean."""
        return float(self.weights.annotator.mean())

    def codes_of(self, annotators: NDArray[Any]) -> NDArray[np.int64]:
        """Positions of annotators among those of the sums, -1 for others."""
        place = np.searchsorted(self.annotators, annotators)
        place[place == len(self.annotators)] = 0
        return np.where(self.annotators[place] == annotators, place, -1)

    def of(self, annotators: NDArray[Any]) -> NDArray[np.float64]:
        """Weight of each annotator, in [1e-6, 1]; of one not in the sums that of a newcomer."""
        codes = self.codes_of(annotators)
        return np.where(codes < 0, self.newcomer, self.weights.annotator[codes])

    def expected_values(
        self,
        tasks: NDArray[np.int64],
        labelled: NDArray[np.int64],
        annotators: NDArray[Any],
        labels: NDArray[Any],
        predicted: NDArray[np.float64] | None,
        values: Sequence[float],
    ) -> NDArray[np.float64]:
        """Mean number that labels and predictions say, by the present weights.

        Parameters
        ----------
        tasks
            Ids of B tasks, ascending.
        labelled, annotators, labels
            Task, annotator and class code of each of their labels, shape (L,).
        predicted
            pred_probs of the tasks, shape (B, K) or (P, B, K); None without a classifier.
        values
            Number that each of the K classes stands for.

        Returns
        -------
        ndarray of float64, shape (B,)
            NaN for tasks without labels where there is no classifier.
        """
        found = self._posterior(
            tasks, labelled, annotators, labels, predicted, literal(self.weights)
        )
        return expected_values(found, values)

    def posterior(
        self,
        tasks: NDArray[np.int64],
        labelled: NDArray[np.int64],
        annotators: NDArray[Any],
        labels: NDArray[Any],
        predicted: NDArray[np.float64] | None,
    ) -> NDArray[np.float64]:
        """Probability of each class by the present weights, shape (B, K).

        Parameters are those of `expected_values`.
        """
        return self._posterior(tasks, labelled, annotators, labels, predicted, self.weights)

    def _posterior(
        self,
        tasks: NDArray[np.int64],
        labelled: NDArray[np.int64],
        annotators: NDArray[Any],
        labels: NDArray[Any],
        predicted: NDArray[np.float64] | None,
        weights: Weights,
    ) -> NDArray[np.float64]:
        order = np.lexsort((annotators, labelled))
        people, person = np.unique(annotators[order], return_inverse=True)
        found = MultiannotatorLabels.from_codes(
            np.searchsorted(tasks, labelled[order]),
            person,
            labels[order].astype(np.int64),
            num_tasks=len(tasks),
            num_annotators=len(people),
            num_classes=self.num_classes,
        )
        probs = PredProbs.of_tasks(predicted, found, row_sum_tolerance=np.inf, may_abstain=True)
        of_people = replace(weights, annotator=self.of(people))
        by_class: NDArray[np.float64] = posterior(found, probs, of_people)
        return by_class

    def active_learning_scores(
        self,
        tasks: NDArray[np.int64],
        quality: NDArray[np.float64],
        labelled: NDArray[np.int64],
        annotators: NDArray[Any],
    ) -> NDArray[np.float64]:
        """How much is known of each task: label those of the lowest scores next (ActiveLab).

        The score is the consensus quality as it would be after one more annotator of average
        weight who says nothing. Unlike `crowdlab_engine.active_learning_scores`, `pred_probs`
        are taken as they are, so that the score goes with the quality shown beside it.

        Parameters
        ----------
        tasks
            Ids of B tasks, ascending.
        quality
            Their consensus quality, 0 to 1, shape (B,).
        labelled, annotators
            Task and annotator of each of their labels, shape (L,); those of other tasks do not
            matter.

        Returns
        -------
        ndarray of float64, shape (B,)
            In [0, 1].
        """
        # One place more than there are tasks takes the labels of others.
        place = np.searchsorted(tasks, labelled)
        inside = place < len(tasks)
        inside[inside] = tasks[place[inside]] == labelled[inside]
        place[~inside] = len(tasks)
        by_annotators = np.bincount(place, weights=self.of(annotators), minlength=len(tasks) + 1)[
            : len(tasks)
        ]
        spoken = self._by_models(tasks) + by_annotators
        newcomer = self.newcomer
        scores: NDArray[np.float64] = quality * spoken + newcomer / self.num_classes
        scores /= spoken + newcomer
        return scores

    def _by_models(self, tasks: NDArray[np.int64]) -> NDArray[np.float64]:
        """Weight of the classifiers that say something of each task, (B,)."""
        if self.partial is None:
            return np.full(len(tasks), self.weights.model.sum())
        is_said = ~np.isnan(self.partial.at(tasks)[:, :, 0])
        heard: NDArray[np.float64] = self.weights.model @ is_said
        return heard
