"""The API over the computed project of the tests of insights."""

from typing import Any

import pytest
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator

from backend.service import Service
from backend.web.app import create_app
from tests.backend.insights.conftest import computed, service

__all__ = ["computed", "service"]


@pytest.fixture
def web(service: Service) -> FlaskClient:
    return create_app(service).test_client()


class Api:
    """Sends requests, and holds every answer against the OpenAPI document."""

    def __init__(self, web: FlaskClient) -> None:
        self._web = web
        self._document = web.get("/api/openapi.json").json

    def get(self, path: str, template: str, **query: Any) -> Any:
        return self.ask("get", path, template, query, 200)

    def ask(
        self,
        method: str,
        path: str,
        template: str,
        query: dict[str, Any],
        status: int,
        body: Any = None,
    ) -> Any:
        """JSON of an answer, which must be of this status and as documented."""
        answer = self._web.open(
            f"/api{path}", method=method.upper(), query_string=query or None, json=body
        )
        assert answer.status_code == status, answer.text
        assert answer.content_type == "application/json"
        documented = self._document["paths"][f"/api{template}"][method]["responses"]
        schema = documented[str(status)]["content"]["application/json"]["schema"]
        components = {"components": self._document["components"]}
        Draft202012Validator({**components, **schema}).validate(answer.json)
        return answer.json


@pytest.fixture
def api(web: FlaskClient) -> Api:
    return Api(web)
