"""CrowdlabModel: the consensus in the form that label-studio-ml servers know."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from label_studio_ml.model import LabelStudioMLBase

from backend.errors import BadRequestError
from backend.jobs.answer_regions import AnswerRegions
from backend.jobs.write_back import expected_predictions
from backend.label_studio.controls import parse_config
from backend.label_studio.events import Effect, WebhookEvent, is_id, read_event
from backend.service import Service
from backend.settings import load_settings
from backend.store.connection import RedisConnection

JSON = dict[str, Any]

log = logging.getLogger(__name__)

NO_VERSION = "crowdlab-000000"
"""Model version of a project for which nothing was published yet."""


class CrowdlabModel(LabelStudioMLBase):  # type: ignore[misc]
    """Gives stored consensus as predictions and takes events; computes nothing itself.

    It runs under our own server and under those of label-studio-ml, whose generations call
    it differently: 1.x as `CrowdlabModel(label_config=…, train_output=…)`, 2.x as
    `CrowdlabModel(project_id, label_config=…)`.

    Parameters
    ----------
    project_id
        Id of the project; Label Studio adds its time of creation after a dot.
    label_config
        Labeling config that predictions must fit; None means the stored one.
    service
        Parts of the service; None takes them from the settings.
    """

    label_config: str | None = None  # 2.x's base class has a property here that cannot be set

    def __init__(
        self,
        project_id: str | int | None = None,
        label_config: str | None = None,
        *,
        service: Service | None = None,
        **unused: Any,
    ) -> None:
        # The base classes of both generations fetch, parse or cache things here that
        # nothing below needs, each with arguments of its own.
        self.project_id = str(project_id) if isinstance(project_id, str | int | float) else ""
        self.label_config = label_config
        self.service = service or _default_service()

    @property
    def model_version(self) -> str:
        """Model version that Label Studio shows now."""
        return self._version_of(read_project_id(self.project_id))

    def _version_of(self, project: int) -> str:
        publication = self.service.store(project).read_publication() if project else None
        return publication.model_version if publication else NO_VERSION

    def get(self, key: str) -> str | None:
        """Value that a 2.x server asks for by name; only `model_version` is one."""
        return self.model_version if key == "model_version" else None

    def predict(
        self, tasks: Sequence[Mapping[str, Any]], context: Any = None, **unused: Any
    ) -> list[JSON | list[Any]]:
        """Look up the consensus of tasks.

        Parameters
        ----------
        tasks
            N tasks, of which only `id` and `project` matter.

        Returns
        -------
        list
            One entry per task: a prediction with `result`, `score` (consensus quality, 0 to
            1) and `model_version`, or an empty list where there is no consensus.

        Raises
        ------
        BadRequestError
            `tasks` is not a list of objects.
        """
        if not isinstance(tasks, Sequence) or not all(isinstance(one, Mapping) for one in tasks):
            raise BadRequestError("`tasks` must be a list of task objects.")
        nothing: list[JSON | list[Any]] = [[] for _ in tasks]
        number = read_project_id(self.project_id)
        if not number and tasks:
            number = read_project_id(tasks[0].get("project"))
        store = self.service.store(number)
        info = store.read_info() if number else None
        if info is None:
            return nothing
        questions = list(info.questions)
        fitting = set(questions)
        # 1.x keeps one model for all projects, with the labeling config that it was given last.
        is_of_project = bool(read_project_id(self.project_id))
        if is_of_project and self.label_config and self.label_config != info.label_config:
            asked = {one.name: one for one in parse_config(self.label_config).questions}
            fitting = {
                one
                for one in questions
                if one.name in asked
                and one.to_name == asked[one.name].to_name
                and set(one.classes) <= set(asked[one.name].classes)
            }
        ids = [one.get("id") if is_id(one.get("id")) else None for one in tasks]
        known = [one for one in ids if one is not None]
        rows = expected_predictions(store.consensus(len(questions)).read(known))
        regions = AnswerRegions(store, info, rows)
        place = {int(task): position for position, task in enumerate(rows["task"])}
        version = self._version_of(number)
        predictions: list[JSON | list[Any]] = []
        for task in ids:
            position = place.get(task) if task is not None else None
            result = []
            if position is not None:
                result = [
                    region
                    for region in regions.of(position)
                    if any(one.name == region["from_name"] for one in fitting)
                ]
            if not result or position is None:
                predictions.append([])
                continue
            score = float(rows["score"][position])
            predictions.append({"result": result, "score": score, "model_version": version})
        return predictions

    def fit(self, *arguments: Any, **named: Any) -> JSON:
        """Take an event and leave the work to a worker.

        2.x calls `fit(event, data)`; 1.x calls `fit(tasks, event=…, data=…)`. Both have taken the
        event's name out of the data.

        Returns
        -------
        dict
            `model_version` as it is now.

        Raises
        ------
        BadRequestError
            The data are not an event of Label Studio.
        """
        event, data = (*arguments, None, None)[:2]
        event, data = named.get("event", event), named.get("data", data)
        if isinstance(data, dict) and isinstance(event, str):
            data = data | {"action": event}
        accepted = accept_event(self.service, data)
        return {"model_version": self._version_of(accepted.project)}


def accept_event(service: Service, body: object) -> WebhookEvent:
    """Put a webhook event into its project's inbox and call a worker.

    Returns
    -------
    WebhookEvent
        The event as it was read.

    Raises
    ------
    BadRequestError
        The body is not an event of Label Studio.
    """
    event = read_event(body)
    if event.effect is Effect.NOTHING:
        log.info("project %s: ignored event %r", event.project, event.action)
    else:
        service.queue.take_event(event.project, event.to_json())
    return event


def read_project_id(value: object) -> int:
    """Number of a project reference such as `4.1795505267`; 0 if there is none."""
    if not isinstance(value, str | int | float):
        return 0
    number = str(value).partition(".")[0]
    return int(number) if number.isascii() and number.isdigit() and len(number) < 19 else 0


@cache
def _default_service() -> Service:
    """Service that the environment describes, for servers that are not ours."""
    settings = load_settings()
    connection = RedisConnection(settings)
    return Service(settings, connection.redis, connection.data)
