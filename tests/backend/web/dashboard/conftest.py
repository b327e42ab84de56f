"""The pages over a computed project, as a browser talks to them."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from backend.jobs.insights import store_insights
from backend.service import Service
from backend.web.app import create_app
from tests.backend.insights.conftest import service as _service

Call = Callable[..., dict[str, Any]]

computed_service = _service


@pytest.fixture
def service(computed_service: Service) -> Service:
    """A service whose project 25 is computed and summed up."""
    store_insights(computed_service.store(25))
    return computed_service


@pytest.fixture
def web(service: Service) -> FlaskClient:
    """Client of the web application."""
    return create_app(service).test_client()


@pytest.fixture
def call(web: FlaskClient) -> Call:
    """Call back the pages."""
    return caller(web)


def caller(web: FlaskClient) -> Call:
    """Call back pages: outputs as `id.property`, values of inputs and states by the same."""
    known = web.get("/_dash-dependencies").get_json()

    def make(output: str, triggered: str, **values: Any) -> dict[str, Any]:
        given = {name.replace("__", "."): value for name, value in values.items()}
        (one,) = [
            entry
            for entry in known
            if output in entry["output"] and triggered in _names(entry["inputs"])
        ]
        body = {
            "output": one["output"],
            "outputs": _outputs(one["output"]),
            "inputs": [_filled(part, given) for part in one["inputs"]],
            "changedPropIds": [triggered],
            "state": [_filled(part, given) for part in one["state"]],
        }
        answer = web.post("/_dash-update-component", json=body)
        if answer.status_code == 204:
            return {}
        assert answer.status_code == 200, answer.get_data(as_text=True)
        found: dict[str, Any] = answer.get_json()["response"]
        return found

    return make


def _names(parts: list[dict[str, Any]]) -> list[str]:
    return [f"{part['id']}.{part['property']}" for part in parts]


def _filled(part: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    return {**part, "value": given.get(f"{part['id']}.{part['property']}")}


def _outputs(text: str) -> list[dict[str, str]] | dict[str, str]:
    parts = [one.split("@")[0].rsplit(".", 1) for one in text.strip(".").split("...")]
    found = [{"id": name, "property": prop} for name, prop in parts]
    return found if text.startswith("..") else found[0]


def shown(answer: dict[str, Any]) -> str:
    """Everything an answer puts onto the page, as one text."""
    return json.dumps(answer, ensure_ascii=False)
