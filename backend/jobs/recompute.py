"""Compute consensus and qualities of a project from what the store holds."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from backend.errors import NothingToComputeError
from backend.jobs.labels import counted_labels, engine_labels
from backend.jobs.train import TrainedClassifiers
from backend.label_studio.controls import NO_LABEL, Question
from backend.store.arrays import Arrays
from backend.store.project import JSON, ProjectStore, QuestionSummary, Summary
from backend.store.tables import select
from crowdlab_engine import Crowdlab, Fusion

log = logging.getLogger(__name__)


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


Method: TypeAlias = Literal["crowdlab", "fusion"]

_ESTIMATORS: dict[Method, Callable[[], Crowdlab | Fusion]] = {
    "crowdlab": Crowdlab,
    "fusion": Fusion,
}


def recompute_project(
    store: ProjectStore,
    trained: TrainedClassifiers | None = None,
    method: Method = "crowdlab",
) -> RecomputeReport:
    """Recompute every task's consensus and all qualities; it takes milliseconds.

    The caller holds the project's lock.

    Parameters
    ----------
    trained
        New classifiers; None uses the stored out-of-sample `pred_probs`.
    method
        How the consensus is found.

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
    num_questions = len(info.questions)
    if trained and tuple(one.question for one in trained.questions) != info.questions:
        trained = None  # the labeling config changed while they were trained
    old = store.consensus(num_questions).read()
    last = store.read_summary()
    is_done = last is not None and (last.data_version, last.method) == (info.data_version, method)
    if trained is None and is_done:
        return RecomputeReport(num_tasks=len(old["task"]), is_skipped=True)
    tasks = store.tasks.read()["task"]
    annotations = store.annotations(num_questions).read()
    answers = []
    for number, question in enumerate(info.questions):
        pred_probs, classifier = (
            (
                _pred_probs_of(trained.questions[number].rows(), question, tasks),
                trained.questions[number].description,
            )
            if trained
            else _stored_pred_probs(store, number, question, tasks)
        )
        answers.append(
            _Answer.compute(number, question, tasks, annotations, pred_probs, classifier, method)
        )
    if not any(answer.summary.num_labels for answer in answers):
        with store.transaction() as pipe:
            store.stage_forget_results(pipe)
        raise NothingToComputeError(
            f"Project {store.project_id} ({info.title}) has no label yet: "
            f"{len(tasks):,} tasks, {len(annotations['task']):,} annotations, none of "
            "which counts (skipped, empty, or ground truth).",
            "Label some tasks in Label Studio, each by several annotators.",
        )
    consensus = _consensus_rows(tasks, answers)
    summary = Summary(
        data_version=info.data_version,
        trained_version=trained.data_version if trained else last.trained_version if last else -1,
        recipe=trained.recipe if trained else last.recipe if last else "",
        method=method,
        computed_at=time.time(),
        questions=tuple(answer.summary for answer in answers),
    )
    with store.transaction() as pipe:
        store.consensus(num_questions).stage_all(pipe, consensus)
        store.label_quality(num_questions).stage_all(
            pipe, _label_quality_rows(annotations, answers)
        )
        for number, one in enumerate(trained.questions if trained else ()):
            store.pred_probs(number, len(one.question.classes)).stage_all(pipe, one.rows())
        store.stage_summary(pipe, summary)
    report = _difference(old, consensus)
    log.info("project %s: recompute: %s", store.project_id, report)
    return report


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
    summary: QuestionSummary

    @classmethod
    def compute(
        cls,
        number: int,
        question: Question,
        tasks: NDArray[Any],
        annotations: Arrays,
        pred_probs: NDArray[np.float64] | None,
        classifier: str,
        method: Method,
    ) -> _Answer:
        """Compute one question."""
        counted = counted_labels(annotations, number)
        truth = counted_labels(annotations, number, ground_truth=True)
        if not len(counted["task"]):
            return cls._unanswered(question, len(tasks), counted, truth)
        labels = engine_labels(tasks, counted, number, question)
        fitted = _ESTIMATORS[method]().fit(labels, pred_probs)
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
            model_weight=_model_weight(fitted),
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


def _model_weight(fitted: Crowdlab | Fusion) -> float | None:
    """Weight of the only classifier, where the method has one."""
    return float(fitted.model_weight_) if isinstance(fitted, Crowdlab) else None


def _stored_pred_probs(
    store: ProjectStore, number: int, question: Question, tasks: NDArray[Any]
) -> tuple[NDArray[np.float64] | None, str]:
    """Out-of-sample pred_probs of the last training, and what was trained."""
    last = store.read_summary()
    rows = store.pred_probs(number, len(question.classes)).read()
    description = last.questions[number].classifier if last else "none: not trained yet"
    return _pred_probs_of(rows, question, tasks), description


def _pred_probs_of(
    rows: Arrays, question: Question, tasks: NDArray[Any]
) -> NDArray[np.float64] | None:
    """pred_probs of all tasks, uniform for those added since the training."""
    known, position, source = np.intersect1d(tasks, rows["task"], return_indices=True)
    if not len(known):
        return None
    pred_probs = np.full((len(tasks), len(question.classes)), 1.0 / len(question.classes))
    pred_probs[position] = rows["probs"][source]
    return pred_probs


def _leaderboard(
    fitted: Crowdlab | Fusion,
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
