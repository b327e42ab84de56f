"""Requests as Label Studio sends them, made from recorded ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

from backend.settings import SECRET_HEADER
from benchmarks.live.load import http_message

JSON: TypeAlias = dict[str, Any]

_FOLDER = Path(__file__).resolve().parents[2] / "tests" / "data" / "label_studio"
_KEPT_HEADERS = ("User-Agent", "Accept-Encoding", "Accept", "Connection")


@dataclass(frozen=True)
class NewAnnotation:
    """An annotation that an event tells of."""

    id: int
    task: int
    annotator: int
    choice: str
    saved_at: datetime
    """UTC."""


class RecordedRequests:
    """Requests of Label Studio to this service.

    Parameters
    ----------
    port
        Port that this service listens on.
    secret
        WEBHOOK_SECRET of the service.
    """

    def __init__(self, port: int, secret: str) -> None:
        self._port = port
        self._secret = {SECRET_HEADER: secret}
        self._created = _read("webhook_ANNOTATION_CREATED.json")
        self._predict = _read("ml_predict_batch.request.json")
        self._setup = _read("ml_setup.request.json")
        self._health = _read("ml_health.request.json")

    @property
    def label_config(self) -> str:
        """Labeling config that the requests are of."""
        return str(self._created["body"]["project"]["label_config"])

    def annotation_created(self, project: int, annotation: NewAnnotation) -> bytes:
        """Webhook request that tells of a new annotation."""
        body = self._created["body"]
        moment = label_studio_time(annotation.saved_at)
        (region,) = body["annotation"]["result"]
        told = {
            **body,
            "annotation": {
                **body["annotation"],
                "id": annotation.id,
                "task": annotation.task,
                "project": project,
                "completed_by": annotation.annotator,
                "updated_by": annotation.annotator,
                "created_at": moment,
                "updated_at": moment,
                "result": [{**region, "value": {"choices": [annotation.choice]}}],
            },
            "task": {**body["task"], "id": annotation.task, "project": project},
            "project": {**body["project"], "id": project},
        }
        return self._message("/webhook", self._created, told, self._secret)

    def predict(self, project: int, tasks: Sequence[int]) -> bytes:
        """Request for the predictions of tasks, with their data and annotations."""
        body = self._predict["body"]
        examples = body["tasks"]
        asked = [
            {**examples[place % len(examples)], "id": task, "project": project}
            for place, task in enumerate(tasks)
        ]
        return self._message(
            "/predict", self._predict, {**body, "tasks": asked, "project": f"{project}.1"}
        )

    def setup(self, project: int) -> bytes:
        """Request for the model version."""
        body = {**self._setup["body"], "project": f"{project}.1"}
        return self._message("/setup", self._setup, body)

    def health(self) -> bytes:
        """Question whether the service is up."""
        return self._message("/health", self._health, None)

    def _message(
        self, path: str, recorded: JSON, body: JSON | None, more: dict[str, str] | None = None
    ) -> bytes:
        headers = {name: recorded["headers"][name] for name in _KEPT_HEADERS} | (more or {})
        content = json.dumps(body).encode() if body is not None else b""
        return http_message(recorded["method"], path, self._port, headers, content)


def _read(name: str) -> JSON:
    recorded: JSON = json.loads((_FOLDER / name).read_text())
    return recorded


def label_studio_time(moment: datetime) -> str:
    """A moment as Label Studio writes it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
