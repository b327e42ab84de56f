"""Compute consensus and qualities of a project from what the store holds."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

import crowdlab_engine
from backend.errors import NothingToComputeError
from backend.label_studio.controls import NO_LABEL, Question
from backend.progress import Progress, silent
from backend.store.arrays import Arrays
from backend.store.project import JSON, ProjectInfo, ProjectStore, QuestionSummary, Summary
from backend.store.tables import select
from crowdlab_engine import (
    Crowdlab,
    MultiannotatorLabels,
    NotEnoughLabels,
    majority_vote,
    out_of_sample_pred_probs,
)

log = logging.getLogger(__name__)

_DENSE_WIDTH = 4096
"""Features up to this width are given to the classifier as a dense array."""


@dataclass(frozen=True)
class RecomputeReport:
    """What a recompute changed in the store."""

    num_tasks: int = 0
    """Tasks with a consensus."""
    labels_changed: int = 0
    """Tasks whose consensus label is new or another one."""
    scores_changed: int = 0
    """Tasks whose consensus quality score is new or another one."""
    is_skipped: bool = False
    """Nothing had changed since the last recompute."""

    def __str__(self) -> str:
        if self.is_skipped:
            return f"nothing changed; {self.num_tasks:,} tasks have a consensus"
        return (
            f"{self.num_tasks:,} tasks have a consensus: {self.labels_changed:,} labels and "
            f"{self.scores_changed:,} scores changed"
        )


def recompute_project(
    store: ProjectStore,
    *,
    full: bool = True,
    folds: int = 5,
    progress: Progress = silent,
) -> RecomputeReport:
    """Recompute every task's consensus and all qualities.

    A full recompute trains the classifier anew; otherwise its stored out-of-sample
    `pred_probs` are used, which takes milliseconds. The caller holds the project's lock.

    Raises
    ------
    NothingToComputeError
        The project was never synced, or no annotation counts as a label.
    """
    info = store.read_info()
    if info is None:
        raise NothingToComputeError(
            f"Project {store.project_id} is not known yet.",
            f"Run `crowdlab connect {store.project_id}` first.",
        )
    recipe = f"crowdlab_engine={crowdlab_engine.__version__} folds={folds}"
    num_questions = len(info.questions)
    old = store.consensus(num_questions).read()
    last = store.read_summary()
    if (
        last is not None
        and last.data_version == info.data_version
        and (last.is_full or not full)
        and last.recipe == recipe
    ):
        return RecomputeReport(num_tasks=len(old["task"]), is_skipped=True)
    tasks = store.tasks.read()
    annotations = store.annotations(num_questions).read()
    features = _Features(store, info, tasks) if full else None
    answers = []
    for number, question in enumerate(info.questions):
        progress(f"Computing {question.name}", number, num_questions)
        answers.append(
            _Answer.compute(store, number, question, tasks["task"], annotations, features, folds)
        )
    progress("Computing", num_questions, num_questions)
    if not any(answer.num_labels for answer in answers):
        with store.transaction() as pipe:
            store.stage_forget_results(pipe)
        raise NothingToComputeError(
            f"Project {store.project_id} ({info.title}) has no label yet: "
            f"{len(tasks['task']):,} tasks, {len(annotations['task']):,} annotations, none of "
            "which counts (skipped, empty, or ground truth).",
            "Label some tasks in Label Studio, each by several annotators.",
        )
    consensus = _consensus_rows(tasks["task"], answers)
    summary = Summary(
        data_version=info.data_version,
        is_full=full,
        recipe=recipe,
        computed_at=time.time(),
        questions=tuple(answer.summary for answer in answers),
    )
    with store.transaction() as pipe:
        store.consensus(num_questions).stage_all(pipe, consensus)
        store.label_quality(num_questions).stage_all(
            pipe, _label_quality_rows(annotations, answers)
        )
        for number, answer in enumerate(answers):
            if full:
                table = store.pred_probs(number, len(info.questions[number].classes))
                table.stage_all(pipe, answer.pred_probs_rows(tasks["task"]))
        store.stage_summary(pipe, summary)
    report = _difference(old, consensus)
    log.info("project %s: recompute: %s", store.project_id, report)
    return report


def counted_labels(annotations: Arrays, question: int, *, ground_truth: bool = False) -> Arrays:
    """Annotations whose answer to a question counts, each annotator's newest per task.

    Skipped annotations and open answers are no labels. Ground truth is kept apart from
    what annotators said; of several ground truths of a task the newest counts.
    """
    counts = (
        (annotations["codes"][:, question] != NO_LABEL)
        & (annotations["is_cancelled"] == 0)
        & (annotations["is_ground_truth"] == int(ground_truth))
    )
    rows = select(annotations, counts)
    person = np.zeros(len(rows["task"]), dtype=np.int64) if ground_truth else rows["annotator"]
    order = np.lexsort((rows["annotation"], rows["updated_at"], person, rows["task"]))
    task, someone = rows["task"][order], person[order]
    is_last = np.ones(len(order), dtype=bool)
    is_last[:-1] = (task[1:] != task[:-1]) | (someone[1:] != someone[:-1])
    return select(rows, order[is_last])


class _Features:
    """Features and duplicate groups of all tasks, in the order of the tasks table."""

    def __init__(self, store: ProjectStore, info: ProjectInfo, tasks: Arrays) -> None:
        self.groups: NDArray[Any] = tasks["content"]
        self.matrix: csr_array | NDArray[np.float64] | None = None
        if not info.feature_width:
            return
        rows = store.features.read()
        if not len(rows["task"]):
            return
        position = np.searchsorted(tasks["task"], rows["task"])
        matrix = csr_array(
            (rows["value"].astype(np.float64), (position, rows["index"])),
            shape=(len(tasks["task"]), info.feature_width),
        )
        self.matrix = matrix.toarray() if info.feature_width <= _DENSE_WIDTH else matrix


@dataclass(frozen=True)
class _Answer:
    """Consensus and qualities of one question, per task in the order of the tasks table."""

    label: NDArray[np.int64]
    quality: NDArray[np.float64]
    agreement: NDArray[np.float64]
    num_annotations: NDArray[np.int64]
    counted: Arrays
    """Annotations that count."""
    label_quality: NDArray[np.float64]
    """Per counted annotation."""
    pred_probs: NDArray[np.float64] | None
    summary: QuestionSummary

    @property
    def num_labels(self) -> int:
        return self.summary.num_labels

    def pred_probs_rows(self, tasks: NDArray[Any]) -> Arrays:
        """Rows for the table of pred_probs."""
        if self.pred_probs is None:
            num_classes = len(self.summary.classes)
            return {"task": tasks[:0], "probs": np.empty((0, num_classes))}
        return {"task": tasks, "probs": self.pred_probs}

    @classmethod
    def compute(
        cls,
        store: ProjectStore,
        number: int,
        question: Question,
        tasks: NDArray[Any],
        annotations: Arrays,
        features: _Features | None,
        folds: int,
    ) -> _Answer:
        """Compute one question, with a new classifier if there are `features`."""
        counted = counted_labels(annotations, number)
        truth = counted_labels(annotations, number, ground_truth=True)
        if not len(counted["task"]):
            return cls._unanswered(question, len(tasks), counted, truth)
        annotators, annotator = np.unique(counted["annotator"], return_inverse=True)
        labels = MultiannotatorLabels.from_codes(
            np.searchsorted(tasks, counted["task"]),
            annotator,
            counted["codes"][:, number].astype(np.int64),
            num_tasks=len(tasks),
            num_annotators=len(annotators),
            num_classes=len(question.classes),
            task_ids=tasks,
            annotator_ids=annotators,
            classes=np.asarray(question.classes, dtype=object),
        )
        if features is None:
            pred_probs, classifier = _stored_pred_probs(store, number, question, tasks)
        else:
            pred_probs, classifier = _new_pred_probs(labels, features, folds)
        fitted = Crowdlab().fit(labels, pred_probs)
        has_label = fitted.num_annotations_ > 0
        consensus = np.where(has_label, fitted.consensus_label_, NO_LABEL)
        truth_label = np.full(len(tasks), NO_LABEL, dtype=np.int64)
        truth_label[np.searchsorted(tasks, truth["task"])] = truth["codes"][:, number]
        checked = has_label & (truth_label != NO_LABEL)
        summary = QuestionSummary(
            name=question.name,
            classes=question.classes,
            num_tasks=len(tasks),
            num_labeled=int(has_label.sum()),
            num_labels=len(counted["task"]),
            num_ground_truth=len(truth["task"]),
            mean_quality=float(fitted.consensus_quality_score_[has_label].mean()),
            ground_truth_accuracy=(
                float((consensus == truth_label)[checked].mean()) if checked.any() else None
            ),
            classifier=classifier,
            model_weight=float(fitted.model_weight_),
            annotators=_leaderboard(
                fitted, question, counted, annotations, truth_label, tasks, number
            ),
        )
        return cls(
            label=consensus,
            quality=np.where(has_label, fitted.consensus_quality_score_, np.nan),
            agreement=fitted.annotator_agreement_,
            num_annotations=fitted.num_annotations_,
            counted=counted,
            label_quality=fitted.label_quality_,
            pred_probs=pred_probs,
            summary=summary,
        )

    @classmethod
    def _unanswered(
        cls, question: Question, num_tasks: int, counted: Arrays, truth: Arrays
    ) -> _Answer:
        """Answer to a question that nobody has labelled yet."""
        return cls(
            label=np.full(num_tasks, NO_LABEL, dtype=np.int64),
            quality=np.full(num_tasks, np.nan),
            agreement=np.full(num_tasks, np.nan),
            num_annotations=np.zeros(num_tasks, dtype=np.int64),
            counted=counted,
            label_quality=np.empty(0),
            pred_probs=None,
            summary=QuestionSummary(
                name=question.name,
                classes=question.classes,
                num_tasks=num_tasks,
                num_labeled=0,
                num_labels=0,
                num_ground_truth=len(truth["task"]),
                mean_quality=None,
                ground_truth_accuracy=None,
                classifier="none: nobody has answered this question",
                model_weight=0.0,
                annotators=(),
            ),
        )


def _new_pred_probs(
    labels: MultiannotatorLabels, features: _Features, folds: int
) -> tuple[NDArray[np.float64] | None, str]:
    """Out-of-sample pred_probs of a classifier trained on the majority vote, and its name."""
    if features.matrix is None:
        return None, "none: the tasks hold no text or image that can be read"
    try:
        pred_probs = out_of_sample_pred_probs(
            features.matrix,
            majority_vote(labels),
            num_classes=labels.num_classes,
            groups=features.groups,
            n_splits=folds,
        )
    except NotEnoughLabels as reason:
        return None, f"none: {reason}"
    return pred_probs, "logistic regression on task features"


def _stored_pred_probs(
    store: ProjectStore, number: int, question: Question, tasks: NDArray[Any]
) -> tuple[NDArray[np.float64] | None, str]:
    """Out-of-sample pred_probs of the last full recompute; uniform for tasks since added."""
    rows = store.pred_probs(number, len(question.classes)).read()
    last = store.read_summary()
    name = last.questions[number].classifier if last else "none: not trained yet"
    known, position, source = np.intersect1d(tasks, rows["task"], return_indices=True)
    if not len(known):
        return None, name
    pred_probs = np.full((len(tasks), len(question.classes)), 1.0 / len(question.classes))
    pred_probs[position] = rows["probs"][source]
    return pred_probs, name


def _leaderboard(
    fitted: Crowdlab,
    question: Question,
    counted: Arrays,
    annotations: Arrays,
    truth_label: NDArray[np.int64],
    tasks: NDArray[Any],
    number: int,
) -> tuple[JSON, ...]:
    """Annotators of one question, the best first; too little data comes last."""
    truth = truth_label[np.searchsorted(tasks, counted["task"])]
    is_checked = truth != NO_LABEL
    is_right = counted["codes"][:, number] == truth
    skipped = annotations["annotator"][annotations["is_cancelled"] == 1]
    rows = []
    table = fitted.annotator_stats_
    for annotator, row in zip(table.index.tolist(), table.to_dict("records"), strict=True):
        own = is_checked & (counted["annotator"] == annotator)
        rows.append(
            {
                "annotator": int(annotator),
                "quality": float(row["annotator_quality"]),
                "agreement_with_consensus": float(row["agreement_with_consensus"]),
                "agreement_with_ground_truth": float(is_right[own].mean()) if own.any() else None,
                "num_ground_truth": int(own.sum()),
                "worst_class": question.classes[int(row["worst_class"])],
                "num_labels": int(row["num_examples_labeled"]),
                "num_skipped": int((skipped == annotator).sum()),
                "enough_data": bool(row["enough_data"]),
            }
        )
    return tuple(sorted(rows, key=lambda row: (not row["enough_data"], -row["quality"])))


def _consensus_rows(tasks: NDArray[Any], answers: list[_Answer]) -> Arrays:
    """Rows for the table of consensus: tasks with a label for some question."""
    columns: Arrays = {
        "label": np.stack([answer.label for answer in answers], axis=1),
        "quality": np.stack([answer.quality for answer in answers], axis=1),
        "agreement": np.stack([answer.agreement for answer in answers], axis=1),
        "num_annotations": np.stack([answer.num_annotations for answer in answers], axis=1),
    }
    has_label = (columns["label"] != NO_LABEL).any(axis=1)
    return select({"task": tasks, **columns}, has_label)


def _label_quality_rows(annotations: Arrays, answers: list[_Answer]) -> Arrays:
    """Rows for the table of label qualities: annotations that count for some question."""
    order = np.argsort(annotations["annotation"])
    ids = annotations["annotation"][order]
    quality = np.full((len(ids), len(answers)), np.nan)
    for number, answer in enumerate(answers):
        position = order[np.searchsorted(ids, answer.counted["annotation"])]
        quality[position, number] = answer.label_quality
    rows: Arrays = {
        "task": annotations["task"],
        "annotation": annotations["annotation"],
        "annotator": annotations["annotator"],
        "quality": quality,
    }
    return select(rows, ~np.isnan(quality).all(axis=1))


def _difference(old: Arrays, new: Arrays) -> RecomputeReport:
    both, in_old, in_new = np.intersect1d(old["task"], new["task"], return_indices=True)
    others = len(old["task"]) + len(new["task"]) - 2 * len(both)
    labels = (old["label"][in_old] != new["label"][in_new]).any(axis=1)
    scores = ~np.isclose(
        old["quality"][in_old], new["quality"][in_new], rtol=0, atol=0, equal_nan=True
    ).all(axis=1)
    return RecomputeReport(
        num_tasks=len(new["task"]),
        labels_changed=int(labels.sum()) + others,
        scores_changed=int(scores.sum()) + others,
    )
