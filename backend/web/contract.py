"""The ML-backend contract: the requests that Label Studio sends.

Label Studio waits for each answer (health 1 s, setup 3 s, webhooks 1 s while an annotator
saves), so every route only reads the store or appends to it; workers do the rest.
"""

from __future__ import annotations

import reprlib
from typing import Any

from flask import Blueprint, current_app, request

from backend.errors import BadRequestError
from backend.model import CrowdlabModel, accept_event, read_project_id
from backend.service import Service
from backend.web.bodies import read_object

JSON = dict[str, Any]

MAX_EVENT_BYTES = 32 * 1024 * 1024
"""Bytes of an event. One of 20,000 new tasks has 12 MB besides their texts; 32 MB take half a
second to read, and Label Studio waits for one. The next sync finds what a larger one told."""

contract = Blueprint("contract", __name__)


def _service() -> Service:
    service: Service = current_app.extensions["crowdlab"]
    return service


def _body() -> JSON:
    return read_object(request, min(MAX_EVENT_BYTES, _service().settings.max_body_bytes))


@contract.get("/health")
def health() -> JSON:
    """Say that the web application runs."""
    return {"status": "UP", "model_class": CrowdlabModel.__name__}


@contract.post("/setup")
def setup() -> JSON:
    """Say which model version the project has; a project not known yet is pulled."""
    body = _body()
    service = _service()
    project_id = read_project_id(body.get("project"))
    if not project_id:
        raise BadRequestError(
            f"`project` is not a project's number: {reprlib.repr(body.get('project'))}."
        )
    store = service.store(project_id)
    if store.read_info() is None and service.has_token:
        store.connect()
        service.queue.refresh(project_id)
    return {"model_version": CrowdlabModel(project_id, service=service).model_version}


@contract.post("/predict")
def predict() -> JSON:
    """Give the consensus of the tasks in the request."""
    body = read_object(
        request,
        _service().settings.max_body_bytes,
        "Select fewer tasks at once, or raise CROWDLAB_MAX_BODY_MB.",
    )
    label_config = body.get("label_config")
    model = CrowdlabModel(
        body.get("project"),
        label_config if isinstance(label_config, str) else None,
        service=_service(),
    )
    results = model.predict(body.get("tasks", []))
    return {"results": results, "model_version": model.model_version}


@contract.post("/webhook")
def webhook() -> tuple[JSON, int]:
    """Take an event; a worker applies it."""
    event = accept_event(_service(), _body())
    return {"status": "accepted", "effect": event.effect.value}, 201


@contract.get("/versions")
def versions() -> JSON:
    """List the model versions published so far; of one project, if `?project=` says which.

    Label Studio asks without saying for which project.
    """
    service = _service()
    wanted = read_project_id(request.args.get("project"))
    names: dict[str, None] = {}
    for project_id in [wanted] if wanted else service.projects():
        versions = service.store(project_id).model_versions()
        names |= dict.fromkeys(version.name for version in versions)
    return {"versions": sorted(names)}
