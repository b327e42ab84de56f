"""Whether all is well when everything is quiet: nothing lost, nothing twice, nothing wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from redis import Redis

from backend.jobs.recompute import recompute_project
from backend.jobs.sync import sync_project
from backend.jobs.train import train_classifiers
from backend.label_studio.client import LabelStudioClient
from backend.label_studio.questions import NO_LABEL
from backend.overview import ProjectOverview, project_overviews
from backend.store.arrays import Arrays
from backend.store.project import ProjectStore
from benchmarks.faults.annotators import JSON, Ledger, Saved, read_annotations
from benchmarks.faults.stack import Project, Stack

EXACT = 1e-9
"""How far our own results may be from those of a batch."""
SHOWN = 1e-4
"""How far a score in Label Studio, which has four decimals, may be from ours."""

Consensus = dict[int, tuple[str, float]]
"""Label and score by task."""


@dataclass(frozen=True)
class Findings:
    """What was looked at, and what was found wrong: nothing where the text is empty."""

    problems: Mapping[str, str]
    """By the name of the check."""
    largest_difference: float
    """Between a score in Label Studio and ours."""

    @property
    def is_well(self) -> bool:
        """Whether nothing is wrong."""
        return not any(self.problems.values())


def examine(stack: Stack, project: Project, reference: Redis) -> Findings:
    """Compare Label Studio, the store and a batch result.

    Parameters
    ----------
    reference
        A Redis of its own, whose content is replaced.
    """
    held = read_annotations(stack.admin.tasks(project.id))
    predictions = read_predictions(stack, project.id)
    shown = str(stack.admin.request("GET", f"/api/projects/{project.id}/")["model_version"])
    store = stack.service.store(project.id)
    ours = consensus_of(store)
    batch = consensus_of(batch_result(reference, stack.service.label_studio, project.id))
    current = {
        int(one["task"]): (label_of(one), float(one["score"]))
        for one in predictions
        if one["model_version"] == shown
    }
    overview = overview_of(stack, project.id)
    errors = [overview.last_error] if overview.last_error else []
    if overview.num_dead_letters:
        errors.append(f"{overview.num_dead_letters} dead letters")
    problems = {
        "annotations": (
            differences("Label Studio against the ledger", project.ledger, held)
            or differences("the store against Label Studio", held, annotations_of(store))
        ),
        "one prediction": wrong_numbers(predictions, shown, ours),
        "no orphan": orphans(predictions, shown, overview.model_version),
        "equals batch": far_apart("the store against a batch", batch, ours, EXACT),
        "shown": far_apart("Label Studio against the store", ours, current, SHOWN),
        "no error": "; ".join(errors),
    }
    return Findings(problems, largest_difference(ours, current))


def batch_result(redis: Redis, client: LabelStudioClient, project: int) -> ProjectStore:
    """Compute everything anew from what Label Studio holds, and write nothing back."""
    redis.flushall()
    store = ProjectStore(redis, project)
    sync_project(store, client, full=True)
    recompute_project(store, train_classifiers(store))
    return store


def is_quiet(stack: Stack, project: Project, ended_at: float) -> bool:
    """Whether nothing waits, and the service has looked into Label Studio since the end."""
    overview = overview_of(stack, project.id)
    return (
        not stack.events.num_late
        and not stack.answers.num_late
        and not overview.num_waiting_events
        and not stack.service.queue.num_waiting()
        and overview.synced_at > ended_at
    )


def overview_of(stack: Stack, project: int) -> ProjectOverview:
    """What `crowdlab status` tells of a project."""
    return next(one for one in project_overviews(stack.service) if one.project == project)


def read_predictions(stack: Stack, project: int) -> list[JSON]:
    """All predictions of a project."""
    found: list[JSON] = stack.admin.request("GET", "/api/predictions/", None, {"project": project})
    return found


def label_of(prediction: JSON) -> str:
    """Label of a prediction of one choice."""
    return str(prediction["result"][0]["value"]["choices"][0])


def consensus_of(store: ProjectStore) -> Consensus:
    """Consensus of the store's only question."""
    rows, classes = _rows(store, ProjectStore.consensus)
    return {
        int(task): (classes[int(label)], float(quality))
        for task, label, quality in zip(
            rows["task"], rows["label"][:, 0], rows["quality"][:, 0], strict=True
        )
    }


def annotations_of(store: ProjectStore) -> Ledger:
    """Annotations in the store."""
    rows, classes = _rows(store, ProjectStore.annotations)
    return {
        int(number): Saved(int(task), int(person), None if code == NO_LABEL else classes[int(code)])
        for number, task, person, code in zip(
            rows["annotation"], rows["task"], rows["annotator"], rows["codes"][:, 0], strict=True
        )
    }


def _rows(store: ProjectStore, table: Callable[..., Any]) -> tuple[Arrays, Sequence[str]]:
    """Rows of a table, and the classes of the only question."""
    info = store.read_info()
    assert info is not None, "the store does not know the project"
    return table(store, 1).read(), info.questions[0].classes


def differences(title: str, expected: Ledger, found: Ledger) -> str:
    """What is missing, surplus and other, in words; empty if nothing is."""
    missing = sorted(expected.keys() - found.keys())
    surplus = sorted(found.keys() - expected.keys())
    other = sorted(key for key in expected.keys() & found.keys() if expected[key] != found[key])
    parts = [
        f"{len(numbers)} {kind} ({_some(numbers)})"
        for kind, numbers in (("missing", missing), ("surplus", surplus), ("other", other))
        if numbers
    ]
    return f"{title}: {', '.join(parts)}" if parts else ""


def wrong_numbers(predictions: Sequence[JSON], shown: str, ours: Consensus) -> str:
    """Tasks with more or fewer predictions of the shown version than they should have."""
    counts = Counter(int(one["task"]) for one in predictions if one["model_version"] == shown)
    twice = sorted(task for task, number in counts.items() if number > 1)
    none = sorted(ours.keys() - counts.keys())
    surplus = sorted(counts.keys() - ours.keys())
    parts = [
        f"{len(tasks)} tasks with {kind} ({_some(tasks)})"
        for kind, tasks in (
            ("several predictions", twice),
            ("a consensus and no prediction", none),
            ("a prediction and no consensus", surplus),
        )
        if tasks
    ]
    return f"{shown}: {', '.join(parts)}" if parts else ""


def orphans(predictions: Sequence[JSON], shown: str, published: str) -> str:
    """Versions of ours beside the one that is shown, or another one shown than published."""
    counts = Counter(str(one["model_version"]) for one in predictions)
    parts = [
        f"{number} predictions of {name} beside {shown or 'no version'}"
        for name, number in sorted(counts.items())
        if name != shown
    ]
    if shown != published:
        parts.append(f"Label Studio shows {shown!r}, published is {published!r}")
    return ", ".join(parts)


def far_apart(title: str, expected: Consensus, found: Consensus, tolerance: float) -> str:
    """Tasks whose label or score is another one, in words; empty if none is."""
    lone = sorted(expected.keys() ^ found.keys())
    both = sorted(expected.keys() & found.keys())
    labels = [task for task in both if expected[task][0] != found[task][0]]
    scores = [task for task in both if not abs(expected[task][1] - found[task][1]) <= tolerance]
    parts = [
        f"{len(tasks)} {kind} ({_some(tasks)})"
        for kind, tasks in (
            ("tasks in one alone", lone),
            ("other labels", labels),
            (f"other scores, by up to {largest_difference(expected, found):.2g}", scores),
        )
        if tasks
    ]
    return f"{title}: {', '.join(parts)}" if parts else ""


def largest_difference(expected: Consensus, found: Consensus) -> float:
    """Largest distance of two scores of one task."""
    both = expected.keys() & found.keys()
    return float(np.max([abs(expected[task][1] - found[task][1]) for task in both], initial=0.0))


def _some(numbers: Sequence[int]) -> str:
    """The first few of some numbers."""
    return ", ".join(map(str, numbers[:4])) + (", …" if len(numbers) > 4 else "")
