"""From stored annotations to the labels that count."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.jobs.vocabulary import known_codes
from backend.label_studio.questions import NO_LABEL, Question
from backend.progress import Progress, silent
from backend.store.arrays import Arrays
from backend.store.project import ProjectInfo, ProjectStore
from backend.store.tables import BLOCKS_AT_ONCE, select
from crowdlab_engine import MultiannotatorLabels


def counted_labels(annotations: Arrays, question: int, *, ground_truth: bool = False) -> Arrays:
    """Annotations whose answer to a question counts, each annotator's newest per task.

    Skipped annotations and open answers are no labels. Ground truth is kept apart from
    what annotators said; of several ground truths of a task the newest counts.

    Parameters
    ----------
    annotations
        Rows of the table of annotations.
    question
        Position of the question.

    Returns
    -------
    dict
        Rows of the table of annotations, sorted by task, then annotator.
    """
    counts = (
        (annotations["codes"][:, question] != NO_LABEL)
        & (annotations["is_cancelled"] == 0)
        & (annotations["is_ground_truth"] == int(ground_truth))
    )
    rows = select(annotations, counts)
    if not len(rows["task"]):
        return rows
    person = np.zeros(len(rows["task"]), dtype=np.int64) if ground_truth else rows["annotator"]
    first = rows["task"].min()
    cell = (rows["task"] - first) * (int(person.max()) + 1) + person
    order = np.argsort(cell, kind="stable")
    is_again = np.append(cell[order][1:] == cell[order][:-1], False)
    if is_again.any():
        order = np.lexsort((rows["annotation"], rows["updated_at"], cell))
        order = order[np.append(cell[order][1:] != cell[order][:-1], True)]
    return select(rows, order)


def engine_labels(
    tasks: NDArray[Any],
    counted: Arrays,
    number: int,
    question: Question,
    annotators: NDArray[Any] | None = None,
) -> MultiannotatorLabels:
    """Labels of one question in the engine's form, in the order of `counted`.

    Parameters
    ----------
    tasks
        Ids of all N tasks, ascending.
    counted
        Annotations that count, from `counted_labels`.
    number
        Position of the question.
    annotators
        Ids of all M annotators, ascending. Default: those of `counted`.
    """
    if annotators is None:
        annotators = np.unique(counted["annotator"])
    return MultiannotatorLabels.from_codes(
        np.searchsorted(tasks, counted["task"]),
        np.searchsorted(annotators, counted["annotator"]),
        counted["codes"][:, number].astype(np.int64),
        num_tasks=len(tasks),
        num_annotators=len(annotators),
        num_classes=len(question.classes),
        task_ids=tasks,
        annotator_ids=annotators,
        classes=np.asarray(question.classes, dtype=object),
    )


@dataclass(frozen=True, eq=False)
class LabelPart:
    """What counts in some successive blocks of tasks."""

    blocks: Sequence[int]
    """Numbers of the blocks, ascending."""
    tasks: NDArray[np.int64]
    """Ids of the B tasks, ascending."""
    counted: tuple[Arrays, ...]
    """Per question, the annotations that count: `task`, `annotation`, `annotator`, `codes`."""
    truth: NDArray[np.int64]
    """Class code of each task that is known for certain, else `NO_LABEL`, shape (B, Q)."""


@dataclass(frozen=True, eq=False)
class LabelCensus:
    """All labels of a project that count, read once and kept."""

    parts: tuple[LabelPart, ...]
    annotators: tuple[NDArray[np.int64], ...]
    """Per question, ids of those who gave a label, ascending."""
    num_skipped: Counter[int]
    """Number of tasks that each annotator skipped."""
    num_annotations: int
    """Annotations, whether they count or not."""
    fingerprint: str
    """Hash of all labels that count, and of the questions."""

    @property
    def num_tasks(self) -> int:
        """Number of tasks, labelled or not."""
        return sum(len(part.tasks) for part in self.parts)


def take_census(store: ProjectStore, info: ProjectInfo, progress: Progress = silent) -> LabelCensus:
    """Read all labels that count, some blocks at a time.

    Tasks that change meanwhile are read as they were or as they are.
    """
    parts: list[LabelPart] = []
    people: list[set[int]] = [set() for _ in info.questions]
    skipped: Counter[int] = Counter()
    number = 0
    digest = hashlib.blake2b(repr(info.questions).encode(), digest_size=16)
    for part, rows in _parts_of(store, info, progress):
        parts.append(part)
        number += len(rows["task"])
        skipped.update(rows["annotator"][rows["is_cancelled"] == 1].tolist())
        for found, counted in zip(people, part.counted, strict=True):
            found.update(np.unique(counted["annotator"]).tolist())
            for column in ("task", "annotator", "codes"):
                digest.update(np.ascontiguousarray(counted[column]).data)
    return LabelCensus(
        tuple(parts),
        tuple(np.asarray(sorted(found), dtype=np.int64) for found in people),
        skipped,
        number,
        digest.hexdigest(),
    )


def _parts_of(
    store: ProjectStore, info: ProjectInfo, progress: Progress
) -> Iterator[tuple[LabelPart, Arrays]]:
    table = store.annotations(len(info.questions))
    numbers = store.tasks.block_numbers()
    for start in range(0, len(numbers), BLOCKS_AT_ONCE):
        some = numbers[start : start + BLOCKS_AT_ONCE]
        tasks = store.tasks.read_blocks(some)["task"]
        annotations = table.read_blocks(some)
        progress("Reading labels", start, len(numbers))
        yield label_part(some, tasks, annotations, info.questions), annotations


def label_part(
    blocks: Sequence[int],
    tasks: NDArray[np.int64],
    annotations: Arrays,
    questions: Sequence[Question],
) -> LabelPart:
    """What counts among the annotations of some tasks."""
    num_questions = len(questions)
    annotations = select(annotations, np.isin(annotations["task"], tasks))
    annotations = known_codes(annotations, questions)
    truth = np.full((len(tasks), num_questions), NO_LABEL, dtype=np.int64)
    counted = []
    for question in range(num_questions):
        rows = counted_labels(annotations, question)
        counted.append({name: rows[name] for name in ("task", "annotation", "annotator", "codes")})
        known = counted_labels(annotations, question, ground_truth=True)
        truth[np.searchsorted(tasks, known["task"]), question] = known["codes"][:, question]
    return LabelPart(blocks, tasks, tuple(counted), truth)
