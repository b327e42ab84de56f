"""Bring the consensus of a few changed tasks up to date, at the cost of these tasks alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.jobs.labels import engine_labels, label_part
from backend.jobs.predictions import StoredPredictions
from backend.jobs.results import TaskScores, consensus_rows, label_quality_rows
from backend.label_studio.questions import NO_LABEL, Question
from backend.store.arrays import Arrays
from backend.store.project import ProjectInfo, ProjectStore
from backend.store.tables import select
from crowdlab_engine.block import Block
from crowdlab_engine.majority import VoteTotals
from crowdlab_engine.running import RunningSums
from crowdlab_engine.statistics import Statistics


def follow_tasks(store: ProjectStore, info: ProjectInfo, tasks: NDArray[np.int64]) -> bool:
    """Recompute some tasks by the sums of the last recompute, changed by these tasks.

    The consensus of other tasks is left to the next recompute. The caller holds the lock of
    `Work.STORE`.

    Returns
    -------
    bool
        False if the sums do not allow it, so that everything has to be recomputed.
    """
    tasks = np.unique(tasks)
    num_questions = len(info.questions)
    present = store.tasks.read(tasks)["task"]
    annotations = store.annotations(num_questions).read(tasks)
    counted = label_part((), present, annotations, info.questions).counted
    counted_before = store.label_quality(num_questions).read(tasks)
    consensus_before = store.consensus(num_questions).read(tasks)
    found: list[TaskScores] = []
    sums: list[Arrays | None] = []
    for number, question in enumerate(info.questions):
        if not question.type.is_class:
            if not len(consensus_before["task"]):
                return False
            found.append(
                _as_before(tasks, number, consensus_before, counted_before, counted[number])
            )
            sums.append(None)
            continue
        arrays = store.read_statistics(number)
        if arrays is None and not len(counted[number]["task"]):
            found.append(TaskScores.unanswered(len(tasks)))
            sums.append(None)
            continue
        if arrays is None:
            return False
        tasks_change = _TasksChange(
            number,
            question,
            tasks,
            scored_labels(counted_before, number),
            _aligned_labels(consensus_before, tasks, number),
            counted[number],
        )
        predictions = StoredPredictions.read(store, number, len(question.classes))
        if len(predictions.models) != len(arrays["model_errors"]):
            return False
        changed, scores = tasks_change.follow(arrays, predictions)
        if not changed["sizes"][1]:
            return False
        found.append(scores)
        sums.append(changed)
    with store.transaction() as changes:
        rows = consensus_rows(tasks, found)
        store.consensus(num_questions).stage_replacement(changes, tasks, rows)
        rows = label_quality_rows(counted, found)
        store.label_quality(num_questions).stage_replacement(changes, tasks, rows)
        for number, one in enumerate(sums):
            if one is not None:
                store.stage_statistics(changes, number, one)
    return True


def _as_before(
    tasks: NDArray[np.int64], number: int, consensus: Arrays, scored: Arrays, counted: Arrays
) -> TaskScores:
    """Scores of answers that are no class: what the last recompute found, until the next.

    A task that had no consensus has none until then; a new answer has no quality.
    """
    place = np.searchsorted(tasks, consensus["task"])
    label = np.full(len(tasks), NO_LABEL, dtype=np.int64)
    quality, agreement = np.full((2, len(tasks)), np.nan)
    label[place] = consensus["label"][:, number]
    quality[place] = consensus["quality"][:, number]
    agreement[place] = consensus["agreement"][:, number]
    num_answers = np.bincount(np.searchsorted(tasks, counted["task"]), minlength=len(tasks))
    has_answer = (num_answers > 0) & (label != NO_LABEL)
    label_quality = np.full(len(counted["annotation"]), np.nan)
    _, new, old = np.intersect1d(
        counted["annotation"], scored["annotation"], assume_unique=True, return_indices=True
    )
    is_same = counted["codes"][new, number] == scored["label"][old, number]
    label_quality[new[is_same]] = scored["quality"][old[is_same], number]
    return TaskScores(
        np.where(has_answer, label, NO_LABEL),
        np.where(has_answer, quality, np.nan),
        np.where(has_answer, agreement, np.nan),
        num_answers,
        label_quality,
    )


def scored_labels(rows: Arrays, number: int) -> Arrays:
    """Labels that were counted for a question, in the form of counted annotations."""
    counted = select(rows, rows["label"][:, number] != NO_LABEL)
    order = np.lexsort((counted["annotator"], counted["task"]))
    return select({**counted, "codes": counted["label"]}, order)


def _aligned_labels(rows: Arrays, tasks: NDArray[np.int64], number: int) -> NDArray[np.int64]:
    """Consensus labels of a question in the order of the tasks, `NO_LABEL` for none."""
    labels = np.full(len(tasks), NO_LABEL, dtype=np.int64)
    labels[np.searchsorted(tasks, rows["task"])] = rows["label"][:, number]
    return labels


@dataclass(frozen=True, eq=False)
class _TasksChange:
    """How one question's labels of some tasks have changed."""

    number: int
    question: Question
    tasks: NDArray[np.int64]
    """Ids of B tasks, ascending."""
    counted_before: Arrays
    consensus_before: NDArray[np.int64]
    counted: Arrays

    def follow(self, arrays: Arrays, predictions: StoredPredictions) -> tuple[Arrays, TaskScores]:
        """Change the sums, and score the tasks.

        Parameters
        ----------
        arrays
            Sums over all tasks, from `sums_to_arrays`.
        predictions
            Of the classifiers that the sums are of.
        """
        known = arrays["annotators"]
        annotators = np.union1d(known, self.counted["annotator"])
        place = np.searchsorted(annotators, known)
        sums = sums_from_arrays(arrays, len(self.question.classes)).spread(len(annotators), place)
        pred_probs = None
        if not predictions.is_empty:
            stacked = predictions.at(self.tasks)
            pred_probs = stacked[0] if len(stacked) == 1 else stacked
        old = self._block(self.counted_before, annotators, pred_probs)
        new = self._block(self.counted, annotators, pred_probs)
        change = sums.change(old, self.consensus_before, new)
        scores = TaskScores.of(
            change.consensus,
            change.scores.consensus_quality,
            change.scores.agreement(new.labels),
            new.labels.num_annotations,
            change.scores.label_quality,
        )
        return sums_to_arrays(change.sums, annotators), scores

    def _block(
        self, counted: Arrays, annotators: NDArray[Any], pred_probs: NDArray[np.float64] | None
    ) -> Block:
        labels = engine_labels(self.tasks, counted, self.number, self.question, annotators)
        return Block.of(labels, pred_probs, may_abstain=True)


def sums_to_arrays(sums: RunningSums, annotators: NDArray[Any]) -> Arrays:
    """Plain form of sums over all tasks, for storage.

    Parameters
    ----------
    annotators
        Ids of their M annotators, ascending.
    """
    counts = sums.statistics
    return {
        "annotators": np.asarray(annotators, dtype=np.int64),
        "sizes": np.asarray([counts.num_tasks, counts.num_labels, counts.num_predicted]),
        "agreement": np.asarray([counts.agreement]),
        "model_errors": counts.model_errors,
        "model_shared": counts.model_shared,
        "consensus_counts": counts.consensus_counts,
        "peers": counts.peers,
        "peers_agreeing": counts.peers_agreeing,
        "class_counts": sums.totals.class_counts,
        "judged": sums.totals.judged,
        "agreed": sums.totals.agreed,
    }


def sums_from_arrays(arrays: Arrays, num_classes: int | None = None) -> RunningSums:
    """Inverse of `sums_to_arrays`.

    Parameters
    ----------
    num_classes
        How many classes there are now, at least as many as then; no task has a new one.
        Default: those there were.
    """
    known = len(arrays["class_counts"])
    more = (0, max(0, (num_classes or known) - known))
    num_tasks, num_labels, num_predicted = arrays["sizes"].tolist()
    return RunningSums(
        Statistics(
            num_tasks=num_tasks,
            num_labels=num_labels,
            num_predicted=num_predicted,
            model_errors=arrays["model_errors"],
            model_shared=arrays.get(
                "model_shared",  # of an earlier release, whose classifiers knew all tasks
                np.full_like(arrays["model_errors"], arrays["consensus_counts"].sum()),
            ),
            agreement=float(arrays["agreement"][0]),
            consensus_counts=np.pad(arrays["consensus_counts"], more),
            peers=arrays["peers"],
            peers_agreeing=arrays["peers_agreeing"],
        ),
        VoteTotals(np.pad(arrays["class_counts"], more), arrays["judged"], arrays["agreed"]),
    )
