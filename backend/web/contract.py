"""The ML-backend contract: the requests that Label Studio sends.

Label Studio waits for each answer (health 1 s, setup 3 s, webhooks 1 s while an annotator
saves), so every route only reads the store or appends to it; workers do the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, current_app, request
from werkzeug.exceptions import BadRequest

from backend.errors import BadRequestError
from backend.model import CrowdlabModel, accept_event, read_project_id
from backend.service import Service

JSON = dict[str, Any]

contract = Blueprint("contract", __name__)


def _service() -> Service:
    service: Service = current_app.extensions["crowdlab"]
    return service


def _body() -> JSON:
    try:
        body = request.get_json(force=True)
    except BadRequest:
        raise BadRequestError("The request body is not valid JSON.") from None
    except RecursionError:
        raise BadRequestError("The request body is nested too deeply.") from None
    if not isinstance(body, Mapping):
        raise BadRequestError("The request body must be a JSON object.")
    return dict(body)


@contract.get("/")
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
        raise BadRequestError(f"`project` is not a project's number: {body.get('project')!r:.50}")
    if service.store(project_id).read_info() is None and service.has_token:
        service.queue.refresh(project_id)
    return {"model_version": CrowdlabModel(project_id, service=service).model_version}


@contract.post("/predict")
def predict() -> JSON:
    """Give the consensus of the tasks in the request."""
    body = _body()
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
    return {"status": "accepted", "effect": accept_event(_service(), _body())}, 201


@contract.get("/versions")
def versions() -> JSON:
    """List the model versions published so far; of one project, if `?project=` says which.

    Label Studio asks without saying for which project.
    """
    service = _service()
    wanted = read_project_id(request.args.get("project"))
    names: dict[str, None] = {}
    for project_id in [wanted] if wanted else service.projects():
        publication = service.store(project_id).read_publication()
        names |= dict.fromkeys(publication.history if publication else ())
    return {"versions": sorted(names)}
