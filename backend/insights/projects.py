"""Projects as people look at them: how far they are, and what is wrong."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from backend.overview import ProjectOverview, project_overviews
from backend.service import Service

_STALE_SECONDS = 15 * 60
_LONG_LAG = 60.0


@dataclass(frozen=True)
class ProjectInsight:
    """One project with its state in words."""

    overview: ProjectOverview
    state: str
    """One or two words."""
    color: str
    """Mantine colour that goes with the state."""
    alerts: tuple[str, ...]
    """What somebody should do something about."""
    consensus_accuracy: float | None
    """Estimated share of right consensus labels of the first question."""
    unanimous: float | None
    """Share of the labelled tasks of the first question with labels that are all the same."""


def project_insights(service: Service) -> list[ProjectInsight]:
    """Every project, those with alerts first, then by number."""
    found = [_insight_of(service, one) for one in project_overviews(service)]
    return sorted(found, key=lambda one: (not one.alerts, one.overview.project))


def _insight_of(service: Service, overview: ProjectOverview) -> ProjectInsight:
    alerts = tuple(_alerts(overview))
    state, color = _state(overview)
    sums = service.store(overview.project).read_insights(0)
    labeled = int(sums["quality_histogram"].sum()) if sums is not None else 0
    unanimous = float(sums["unanimous"][0]) / labeled if sums is not None and labeled else None
    accuracy = float(sums["accuracy"][0]) if sums is not None else math.nan
    return ProjectInsight(
        overview, state, color, alerts, None if math.isnan(accuracy) else accuracy, unanimous
    )


def _alerts(one: ProjectOverview) -> list[str]:
    alerts = []
    if one.is_gone:
        alerts.append("Label Studio has the project no more.")
    if one.last_error:
        alerts.append(one.last_error)
    if one.num_dead_letters:
        alerts.append(f"{one.num_dead_letters} events could not be applied.")
    if one.prediction_lag > _LONG_LAG:
        alerts.append(f"{one.num_unsent} predictions wait for Label Studio.")
    return alerts


def _state(one: ProjectOverview) -> tuple[str, str]:
    if one.is_gone:
        return "deleted", "red"
    if one.last_error:
        return "failed", "red"
    if one.progress:
        return "at work", "blue"
    if not one.num_consensus:
        return "no labels yet", "gray"
    if time.time() - one.synced_at > _STALE_SECONDS:
        return "not synced", "orange"
    return "up to date", "green"
