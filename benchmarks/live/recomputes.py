"""A large project in the store, and a worker kept busy with recomputing it."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from rq import get_current_job

from backend.jobs.recompute import recompute_project
from backend.label_studio.controls import parse_config
from backend.store.project import ProjectInfo, ProjectStore
from benchmarks.large import Size, draw

JOB = f"{__name__}.recompute_for"
"""Name under which a worker finds the job."""

_FIRST_TASK = 10_000_000
_NUM_ANNOTATORS = 500


def fill(store: ProjectStore, label_config: str, num_tasks: int) -> list[int]:
    """Put a synthetic project with its consensus into the store; returns its tasks.

    It has three to five labels a task and a classifier's pred_probs.
    """
    (question,) = parse_config(label_config).questions
    crowd = draw(Size(num_tasks, _NUM_ANNOTATORS, len(question.classes), (3, 5)))
    tasks = _FIRST_TASK + np.arange(num_tasks)
    num_labels = len(crowd.task)
    annotations = {
        "task": tasks[crowd.task],
        "annotation": 1 + np.arange(num_labels),
        "annotator": 1 + crowd.annotator,
        "updated_at": np.full(num_labels, round(time.time() * 1e6)),
        "lead_time": np.full(num_labels, 5.0),
        "is_cancelled": np.zeros(num_labels),
        "is_ground_truth": np.zeros(num_labels),
        "codes": crowd.label[:, np.newaxis],
    }
    now = time.time()
    info = ProjectInfo(
        title="Synthetic",
        label_config=label_config,
        questions=(question,),
        cursor=round(now * 1e6),
        synced_at=now,
        fully_synced_at=now,
    )
    with store.lock():
        with store.transaction() as pipe:
            store.stage_info(pipe, info)
            store.tasks.stage_all(pipe, {"task": tasks, "content": tasks.astype(np.uint64)})
            store.annotations(1).stage_all(pipe, annotations)
            rows = {"task": tasks, "probs": crowd.pred_probs}
            store.pred_probs(0, len(question.classes)).stage_all(pipe, rows)
        recompute_project(store)
    return [int(task) for task in tasks]


def recompute_for(project_id: int, seconds: float) -> dict[str, Any]:
    """Recompute a project again and again in a worker, as if its labels had changed.

    Returns
    -------
    dict
        `seconds`: how long each recompute took.
    """
    job = get_current_job()
    assert job is not None
    store = ProjectStore(job.connection, project_id)
    deadline = time.monotonic() + seconds
    durations = []
    while time.monotonic() < deadline:
        began = time.monotonic()
        with store.lock():
            info = store.read_info()
            assert info is not None
            store.touch(info, data_version=info.data_version + 1)
            recompute_project(store)
        durations.append(time.monotonic() - began)
    return {"seconds": durations}
