"""Which classifiers a project's questions have, and how much each counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from backend.insights.lookup import known_project
from backend.label_studio.questions import Question
from backend.service import Service
from backend.sources.brought import takes_predictions
from backend.sources.report import CheckReport, Fault, counted
from backend.store.prediction_sources import OWN, TASK_DATA, SourceKind
from backend.store.project import ModelScore, ProjectInfo, ProjectStore, QuestionSummary


@dataclass(frozen=True)
class SourceRow:
    """One classifier of a question."""

    name: str
    """`own` for the service's, `task-data` for what stands in tasks, else the source's name."""
    kind: str
    """`own`, `brought`, `uploaded` or `borrowed`."""
    question: str
    origin: str
    """What was trained; the key of the tasks' data; the file; the model version."""
    num_tasks: int
    """Tasks of which it says something."""
    coverage: float
    """Share of the project's tasks of which it says something, 0 to 1."""
    is_counted: bool
    """Whether the last recompute counted it."""
    weight: float | None
    """Weight in CROWDLAB's ensemble; None if it was not counted, or has no such weight."""
    log_loss: float | None
    """Mean of minus the logarithm of its out-of-sample probability of the consensus, lower is
    better; None if it is not known."""
    accuracy: float | None
    """Share of the tasks on which it prefers the consensus, 0 to 1; None if it is not known."""
    calibration: str
    """How its probabilities were calibrated; empty if it was not counted."""
    changed_at: float
    """When it was stored, seconds since 1970; 0 if that is not known."""
    report: CheckReport | None
    """What of it did not fit; None for the service's own."""

    @property
    def weight_words(self) -> str:
        """Weight, for people."""
        if self.is_counted:
            return "–" if self.weight is None else f"{self.weight:.3f}"
        return "not yet" if self.num_tasks and self.kind != SourceKind.OWN else "–"


def source_rows(service: Service, project_id: int) -> tuple[SourceRow, ...]:
    """List the classifiers of a project's questions, the service's own first.

    Raises
    ------
    UnknownProjectError
        The service does not know the project.
    """
    info = known_project(service, project_id)
    store = service.store(project_id)
    summary = store.read_summary()
    num_tasks = (
        summary.questions[0].num_tasks
        if summary is not None and summary.questions
        else len(store.tasks.read()["task"])
    )
    rows: list[SourceRow] = []
    for number, question in enumerate(info.questions):
        if not takes_predictions(question):
            continue
        found = summary.questions[number] if summary and number < len(summary.questions) else None
        scores = {one.name: one for one in found.models} if found else {}
        if found is not None:
            rows.append(_own(store, number, question, found, scores))
        if info.pred_probs_key:
            rows.append(_brought(store, info, number, question, num_tasks, scores))
        for source in store.prediction_sources.all():
            if source.question == question.name:
                score = scores.get(source.name)
                covered = (
                    score.num_tasks
                    if score is not None
                    else len(np.unique(store.prediction_sources.table(source).read()["task"]))
                )
                rows.append(
                    SourceRow(
                        name=source.name,
                        kind=source.kind.value,
                        question=question.name,
                        origin=source.origin,
                        num_tasks=covered,
                        coverage=covered / max(1, num_tasks),
                        **_scores(score),
                        changed_at=source.changed_at,
                        report=source.report,
                    )
                )
    asked = {one.name for one in info.questions}
    rows += [
        SourceRow(
            name=source.name,
            kind=source.kind.value,
            question=source.question,
            origin=source.origin,
            num_tasks=0,
            coverage=0.0,
            **_scores(None),
            changed_at=source.changed_at,
            report=source.report,
        )
        for source in store.prediction_sources.all()
        if source.question not in asked
    ]
    return tuple(rows)


def _own(
    store: ProjectStore,
    number: int,
    question: Question,
    summary: QuestionSummary,
    scores: dict[str, ModelScore],
) -> SourceRow:
    is_counted = OWN in store.models(number)
    one = scores.get(OWN)
    shown = _scores(one)
    if one is None and is_counted:
        weight = summary.model_weight
        shown |= {"is_counted": True, "weight": weight, "calibration": "by the service"}
    return SourceRow(
        name=OWN,
        kind=SourceKind.OWN.value,
        question=question.name,
        origin=summary.classifier,
        num_tasks=summary.num_tasks if is_counted else 0,
        coverage=float(is_counted),
        **shown,
        changed_at=0.0,
        report=None,
    )


def _brought(
    store: ProjectStore,
    info: ProjectInfo,
    number: int,
    question: Question,
    num_tasks: int,
    scores: dict[str, ModelScore],
) -> SourceRow:
    rows = store.brought(number, len(question.classes)).read()
    is_used = rows["fault"] == Fault.NONE
    faults = [
        (Fault(fault), f"task {task}: {Fault(fault).words}")
        for task, fault in zip(rows["task"].tolist(), rows["fault"].tolist(), strict=True)
        if fault != Fault.NONE
    ]
    covered = int(is_used.sum())
    return SourceRow(
        name=TASK_DATA,
        kind=SourceKind.BROUGHT.value,
        question=question.name,
        origin=info.pred_probs_key,
        num_tasks=covered,
        coverage=covered / max(1, num_tasks),
        **_scores(scores.get(TASK_DATA)),
        changed_at=0.0,
        report=CheckReport(len(is_used), covered, *counted(faults)),
    )


def _scores(one: ModelScore | None) -> dict[str, Any]:
    return {
        "is_counted": one is not None,
        "weight": one.weight if one else None,
        "log_loss": one.log_loss if one else None,
        "accuracy": one.accuracy if one else None,
        "calibration": one.calibration if one else "",
    }
