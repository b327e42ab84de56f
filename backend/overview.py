"""What the service knows, in the form in which people look at it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

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
    event_lag: float
    """Seconds that the oldest event waits to be applied."""
    num_unsent: int
    """Predictions that have to follow their consensus into Label Studio."""
    prediction_lag: float
    """Seconds that the oldest of them waits."""
    progress: str
    """How far the work on the project is; empty if nobody works on it."""
    is_pinned: bool
    """A rollback keeps the predictions as they are."""
    is_gone: bool
    """Label Studio has the project no more."""
    last_error: str
    unsupported: dict[str, str]
    """Control tags without a consensus: name of the tag to the reason."""
    unread_files: tuple[str, ...] = ()
    """What is to be said of images and sounds that could not be read, or not yet."""


def project_overviews(service: Service) -> list[ProjectOverview]:
    """Every project that the service looks after, by number."""
    return [project_overview(service, project_id) for project_id in service.projects()]


def project_overview(service: Service, project_id: int) -> ProjectOverview:
    """One project that the service looks after."""
    store = service.store(project_id)
    info = store.read_info()
    summary = store.read_summary()
    publication = store.read_publication()
    media = store.read_media()
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
        num_waiting_events=len(store.inbox),
        num_dead_letters=store.inbox.num_dead_letters(),
        event_lag=_seconds_since(store.inbox.oldest()),
        num_unsent=store.num_unsent(),
        prediction_lag=_seconds_since(store.oldest_unsent()),
        progress=_in_words(store.read_progress()),
        is_pinned=publication is not None and publication.is_pinned,
        is_gone=info is not None and info.is_gone,
        last_error=store.last_error(),
        unsupported=info.unsupported if info else {},
        unread_files=tuple(media.sentences()) if media else (),
    )


def _seconds_since(moment: float | None) -> float:
    return 0.0 if moment is None else max(0.0, time.time() - moment)


def _in_words(progress: JSON | None) -> str:
    if progress is None:
        return ""
    done, total = progress["done"], progress["total"]
    return f"{progress['step']}, {done:,} of {total:,}" if total else str(progress["step"])
