"""Tasks with their consensus in the form that Label Studio imports."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson

from backend.exports.names import ConsensusAs
from backend.insights.lookup import known_project
from backend.jobs.answer_regions import AnswerRegions
from backend.jobs.write_back import expected_predictions
from backend.service import Service
from backend.store.project import ProjectInfo, ProjectStore

JSON = dict[str, Any]

MODEL_VERSION = "crowdlab-consensus"
"""Model version of exported predictions: not one of a project's own."""


def encode_tasks(service: Service, project_id: int, consensus_as: ConsensusAs) -> Iterator[bytes]:
    """Write the tasks that have a consensus as one JSON list, page by page.

    Data and meta data come from Label Studio. The meta data get a key `crowdlab_task`: the
    task's id in the project that it comes from.

    Raises
    ------
    UnknownProjectError
        The service does not look after the project.
    SettingsError, LabelStudioError
        Label Studio cannot be asked.
    """
    info = known_project(service, project_id)
    store = service.store(project_id)
    pages = service.label_studio.task_contents(project_id, page_size=service.settings.page_size)
    separator = b"["
    for page in pages:
        tasks = [orjson.dumps(one) for one in _with_consensus(store, info, page, consensus_as)]
        if tasks:
            yield separator + b",\n".join(tasks)
            separator = b",\n"
    yield b"[]" if separator == b"[" else b"]"


def _with_consensus(
    store: ProjectStore, info: ProjectInfo, page: list[JSON], consensus_as: ConsensusAs
) -> Iterator[JSON]:
    """Those tasks of a page that have a consensus, with it."""
    ids = np.asarray([one["id"] for one in page], dtype=np.int64)
    rows = expected_predictions(store.consensus(len(info.questions)).read(ids))
    regions = AnswerRegions(store, info, rows)
    place = {task: position for position, task in enumerate(rows["task"].tolist())}
    for task in page:
        position = place.get(task["id"])
        if position is None:
            continue
        plain: JSON = {
            "data": task["data"],
            "meta": {**(task.get("meta") or {}), "crowdlab_task": task["id"]},
        }
        result = regions.of(position)
        if consensus_as is ConsensusAs.ANNOTATION:
            plain["annotations"] = [{"result": result, "ground_truth": False}]
        else:
            score = float(rows["score"][position])
            plain["predictions"] = [
                {"result": result, "score": score, "model_version": MODEL_VERSION}
            ]
        yield plain
