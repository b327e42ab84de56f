"""What the service knows, in the form in which people look at it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from backend.errors import NothingToComputeError
from backend.service import Service

JSON = dict[str, Any]


@dataclass(frozen=True)
class ProjectOverview:
    """One project at a glance."""

    project: int
    title: str
    num_tasks: int
    num_labels: int
    """Labels that count, over all questions."""
    num_annotators: int
    num_consensus: int
    """Tasks with a consensus."""
    mean_quality: float | None
    """Mean consensus quality score over tasks and questions, 0 to 1."""
    ground_truth_accuracy: float | None
    """Share of right consensus labels where there is ground truth; of the first question
    that has some."""
    model_version: str
    synced_at: float
    """Seconds since 1970."""
    num_waiting_events: int
    num_dead_letters: int
    """Events that could not be applied."""
    last_error: str


def project_overviews(service: Service) -> list[ProjectOverview]:
    """Every project that the service looks after, by number."""
    return [_overview_of(service, project_id) for project_id in service.projects()]


def _overview_of(service: Service, project_id: int) -> ProjectOverview:
    store = service.store(project_id)
    info = store.read_info()
    summary = store.read_summary()
    publication = store.read_publication()
    questions = summary.questions if summary else ()
    qualities = [one.mean_quality for one in questions if one.mean_quality is not None]
    checked = [
        one.ground_truth_accuracy for one in questions if one.ground_truth_accuracy is not None
    ]
    annotators = {row["annotator"] for one in questions for row in one.annotators}
    return ProjectOverview(
        project=project_id,
        title=info.title if info else "",
        num_tasks=questions[0].num_tasks if questions else len(store.tasks.read()["task"]),
        num_labels=sum(one.num_labels for one in questions),
        num_annotators=len(annotators),
        num_consensus=max((one.num_labeled for one in questions), default=0),
        mean_quality=sum(qualities) / len(qualities) if qualities else None,
        ground_truth_accuracy=checked[0] if checked else None,
        model_version=publication.model_version if publication else "",
        synced_at=info.synced_at if info else 0.0,
        num_waiting_events=store.num_events(),
        num_dead_letters=store.num_dead_letters(),
        last_error=store.last_error(),
    )


def leaderboards(service: Service, project_id: int) -> list[JSON]:
    """Annotators of each question of a project, the best first, with their names.

    Raises
    ------
    NothingToComputeError
        Nothing was computed for the project yet.
    """
    store = service.store(project_id)
    summary = store.read_summary()
    if summary is None:
        raise NothingToComputeError(
            f"Nothing was computed for project {project_id} yet.",
            f"Run `crowdlab connect {project_id}`; the project needs tasks with labels.",
        )
    names = store.annotator_names()
    return [
        {
            "question": one.name,
            "classifier": one.classifier,
            "model_weight": one.model_weight,
            "annotators": [
                {"name": names.get(row["annotator"], f"user {row['annotator']}"), **row}
                for row in one.annotators
            ],
        }
        for one in summary.questions
    ]


def most_doubtful(service: Service, project_id: int, limit: int) -> list[JSON]:
    """Tasks with the lowest consensus quality of the first question, the lowest first."""
    store = service.store(project_id)
    info = store.read_info()
    if info is None:
        return []
    rows = store.consensus(len(info.questions)).read()
    question = info.questions[0]
    quality = rows["quality"][:, 0]
    order = quality.argsort(kind="stable")[:limit]
    return [
        {
            "task": int(rows["task"][place]),
            "consensus": question.classes[int(rows["label"][place, 0])],
            "quality": float(quality[place]),
            "agreement": float(rows["agreement"][place, 0]),
            "num_annotations": int(rows["num_annotations"][place, 0]),
        }
        for place in order
        if rows["label"][place, 0] >= 0
    ]
