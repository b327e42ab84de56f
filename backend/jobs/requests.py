"""Requests for one more label: which of them new annotations answer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from backend.store.arrays import Arrays
from backend.store.changes import Changes
from backend.store.project import ProjectStore
from backend.store.review import RequestState
from backend.store.tables import select


def stage_answered(
    store: ProjectStore, changes: Changes, tasks: NDArray[np.int64], kept: Arrays, new: Arrays
) -> None:
    """Close the requests that annotations of some tasks answer, when the changes are executed.

    Requests of tasks that are no more are forgotten. The caller holds the lock of `Work.STORE`.

    Parameters
    ----------
    tasks
        Ids of the tasks.
    kept
        Rows of the table of tasks, as they will be.
    new
        Rows of the table of annotations, as they will be.
    """
    rows = store.requests.read(tasks)
    if not len(rows["task"]):
        return
    is_there = np.isin(rows["task"], kept["task"])
    is_answered = (rows["state"] == RequestState.OPEN) & is_there & has_new_label(rows, new)
    if is_there.all() and not is_answered.any():
        return
    answered = {
        **rows,
        "state": np.where(is_answered, RequestState.ANSWERED, rows["state"]),
        "num_extra": rows["num_extra"] + is_answered,
    }
    store.requests.stage_replacement(changes, rows["task"], select(answered, is_there))
    if is_answered.any():
        store.stage_audit(changes, "answered", tasks=rows["task"][is_answered].tolist())


def has_new_label(requests: Arrays, annotations: Arrays) -> NDArray[np.bool_]:
    """Whether somebody has labelled the task of each request since it was made.

    An annotation gets a larger id than all before it. Skips and ground truth are no labels.
    """
    counts = (annotations["is_cancelled"] == 0) & (annotations["is_ground_truth"] == 0)
    task, annotation = annotations["task"][counts], annotations["annotation"][counts]
    newest = np.zeros(len(requests["task"]), dtype=np.int64)
    place = np.searchsorted(requests["task"], task)
    is_asked = place < len(newest)
    is_asked[is_asked] = requests["task"][place[is_asked]] == task[is_asked]
    np.maximum.at(newest, place[is_asked], annotation[is_asked])
    has_new: NDArray[np.bool_] = newest > requests["last_annotation"]
    return has_new
