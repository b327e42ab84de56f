"""From stored annotations to the labels that count."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.label_studio.controls import NO_LABEL, Question
from backend.store.arrays import Arrays
from backend.store.tables import select
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


def engine_labels(
    tasks: NDArray[Any], counted: Arrays, number: int, question: Question
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
    """
    annotators, annotator = np.unique(counted["annotator"], return_inverse=True)
    return MultiannotatorLabels.from_codes(
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
