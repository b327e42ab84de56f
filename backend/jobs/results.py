"""Rows of the store's tables of results, from what the engine found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.label_studio.questions import NO_LABEL
from backend.store.arrays import Arrays
from backend.store.tables import select
from crowdlab_engine.blockwise import BlockScores


@dataclass(frozen=True, eq=False)
class TaskScores:
    """What was found about one question for B tasks and their L labels."""

    label: NDArray[np.int64]
    """Class code of the consensus, `NO_LABEL` without labels."""
    quality: NDArray[np.float64]
    """Consensus quality score, 0 to 1; NaN without labels."""
    agreement: NDArray[np.float64]
    """Share of the labels that equal the consensus; NaN without labels."""
    num_annotations: NDArray[np.int64]
    label_quality: NDArray[np.float64]
    """Quality of each label, 0 to 1, in the order of the counted annotations."""

    @classmethod
    def of(
        cls,
        label: NDArray[np.int64],
        quality: NDArray[np.float64],
        agreement: NDArray[np.float64],
        num_annotations: NDArray[np.int64],
        label_quality: NDArray[np.float64],
    ) -> TaskScores:
        """Leave tasks without labels without a consensus, whatever a classifier says of them."""
        has_label = num_annotations > 0
        return cls(
            np.where(has_label, label, NO_LABEL),
            np.where(has_label, quality, np.nan),
            agreement,
            num_annotations,
            label_quality,
        )

    @classmethod
    def of_block(cls, found: BlockScores) -> TaskScores:
        """Take over what was found for a block."""
        return cls.of(
            found.consensus_label,
            found.consensus_quality_score,
            found.annotator_agreement,
            found.num_annotations,
            found.label_quality,
        )

    @classmethod
    def unanswered(cls, num_tasks: int) -> TaskScores:
        """Scores of tasks to which nobody has answered the question."""
        return cls(
            np.full(num_tasks, NO_LABEL),
            np.full(num_tasks, np.nan),
            np.full(num_tasks, np.nan),
            np.zeros(num_tasks, dtype=np.int64),
            np.empty(0),
        )


def consensus_rows(tasks: NDArray[np.int64], found: Sequence[TaskScores]) -> Arrays:
    """Rows for the table of consensus: tasks with a label for some question.

    Parameters
    ----------
    tasks
        Ids of B tasks.
    found
        Scores of these tasks, per question.
    """
    columns: Arrays = {
        "label": np.stack([one.label for one in found], axis=1),
        "quality": np.stack([one.quality for one in found], axis=1),
        "agreement": np.stack([one.agreement for one in found], axis=1),
        "num_annotations": np.stack([one.num_annotations for one in found], axis=1),
    }
    has_label = (columns["label"] != NO_LABEL).any(axis=1)
    return select({"task": tasks, **columns}, has_label)


def label_quality_rows(counted: Sequence[Arrays], found: Sequence[TaskScores]) -> Arrays:
    """Rows for the table of label qualities: annotations that count for some question.

    Parameters
    ----------
    counted
        Per question, the annotations that count for it.
    found
        Per question, the scores of these labels.
    """
    qualities = [one.label_quality for one in found]
    if len(counted) == 1:
        rows = {name: counted[0][name] for name in ("task", "annotation", "annotator")}
        return {**rows, "label": counted[0]["codes"][:, :1], "quality": qualities[0][:, None]}
    every = {
        name: np.concatenate([rows[name] for rows in counted])
        for name in ("annotation", "task", "annotator")
    }
    ids, first = np.unique(every["annotation"], return_index=True)
    label = np.full((len(ids), len(counted)), NO_LABEL)
    quality = np.full((len(ids), len(counted)), np.nan)
    for number, (rows, values) in enumerate(zip(counted, qualities, strict=True)):
        position = np.searchsorted(ids, rows["annotation"])
        label[position, number] = rows["codes"][:, number]
        quality[position, number] = values
    return {
        "task": every["task"][first],
        "annotation": ids,
        "annotator": every["annotator"][first],
        "label": label,
        "quality": quality,
    }
