"""The API described: an OpenAPI 3.1 document, and a page for people made from it."""

from __future__ import annotations

from typing import Any

import orjson
from flask import Blueprint, Response, current_app, render_template
from flask_openapi3 import Info, OpenAPI

from backend import __version__
from backend.web.api.answers import WRAPPED, answer

JSON = dict[str, Any]

INFO = Info(
    title="Crowdlab for Label Studio",
    version=__version__,
    description="Consensus, label quality and annotator quality of Label Studio projects.",
)
SECURITY: JSON = {
    "basic": {
        "type": "http",
        "scheme": "basic",
        "description": "BASIC_AUTH_USER and BASIC_AUTH_PASS, if they are set.",
    },
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "CROWDLAB_API_TOKEN, if it is set.",
    },
}

_FIRST = ("get", "post", "put", "patch", "delete")


def make_document() -> Blueprint:
    """Routes of the document and of the page."""
    document = Blueprint("document", __name__, url_prefix="/api", template_folder="templates")

    @document.get("/openapi.json")
    def openapi() -> Response:
        """The API as an OpenAPI document."""
        return answer(_document())

    @document.get("/docs")
    def docs() -> str:
        """The API for people; the page needs no script and nothing from elsewhere."""
        found = _document()
        return render_template(
            "api.html",
            info=found["info"],
            operations=[
                {"path": path, "method": method.upper(), **item[method]}
                for path, item in found["paths"].items()
                for method in _FIRST
                if method in item
            ],
            schemas=found["components"]["schemas"],
        )

    return document


def _document() -> JSON:
    """The document, with the dataclasses themselves in the place of their models."""
    app = current_app
    assert isinstance(app, OpenAPI)
    wrapped = orjson.dumps(app.api_doc)
    found: JSON = orjson.loads(wrapped.replace(f'{WRAPPED}"'.encode(), b'"'))
    schemas = app.api_doc["components"]["schemas"]
    found["components"]["schemas"] = {
        name: schema for name, schema in schemas.items() if not name.endswith(WRAPPED)
    }
    return found
