"""How much load each part of the live benchmark sends."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Workload:
    """Sizes, rates and durations."""

    num_people: int
    """Annotators in Label Studio."""
    num_tasks: int
    """Tasks of a project in Label Studio."""
    num_shared_tasks: int
    """Tasks of a project that all parts use; 0 gives each its own."""
    patience: float
    """Seconds until an annotation that was not followed counts as lost."""
    num_webhook_tasks: int
    """Tasks on which the events of part a are."""
    webhook_rate: float
    webhook_seconds: float
    stored_rate: float
    stored_seconds: float
    visible_rate: float
    visible_seconds: float
    num_flood: int
    """Annotations that people save as fast as Label Studio takes them."""
    num_burst: int
    """Events sent at once."""
    num_large: int
    """Tasks of the project that is recomputed."""
    recompute_seconds: float


FULL = Workload(
    num_people=8,
    num_tasks=3_000,
    num_shared_tasks=0,
    patience=300.0,
    num_webhook_tasks=200,
    webhook_rate=500.0,
    webhook_seconds=20.0,
    stored_rate=20.0,
    stored_seconds=120.0,
    visible_rate=5.0,
    visible_seconds=120.0,
    num_flood=400,
    num_burst=2_000,
    num_large=100_000,
    recompute_seconds=60.0,
)
SHORT = Workload(
    num_people=4,
    num_tasks=80,
    num_shared_tasks=80,
    patience=60.0,
    num_webhook_tasks=10,
    webhook_rate=100.0,
    webhook_seconds=1.0,
    stored_rate=10.0,
    stored_seconds=2.0,
    visible_rate=3.0,
    visible_seconds=2.0,
    num_flood=10,
    num_burst=20,
    num_large=2_000,
    recompute_seconds=2.0,
)
