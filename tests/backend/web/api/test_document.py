"""The OpenAPI document and the page made from it."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator

from backend.web.api.answers import WRAPPED


@pytest.fixture
def document(web: FlaskClient) -> dict[str, Any]:
    answer = web.get("/api/openapi.json")
    assert answer.status_code == 200
    assert answer.json is not None
    return answer.json


def references(plain: Any) -> set[str]:
    if isinstance(plain, dict):
        own = {plain["$ref"]} if isinstance(plain.get("$ref"), str) else set()
        return own.union(*(references(one) for one in plain.values()))
    if isinstance(plain, list):
        return set().union(*(references(one) for one in plain))
    return set()


def test_it_is_complete(web: FlaskClient, document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    described = {(path, method) for path, item in document["paths"].items() for method in item}
    served = {
        (re.sub(r"<(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in web.application.url_map.iter_rules()
        if rule.endpoint.startswith("api.")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert described == served
    assert len(served) == 23


def test_references_and_schemas_hold(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    names = {one.removeprefix("#/components/schemas/") for one in references(document)}
    assert names == names & set(schemas)
    assert not [name for name in schemas if WRAPPED in name]
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)


def test_everything_is_described(document: dict[str, Any]) -> None:
    operations = [one for item in document["paths"].values() for one in item.values()]
    assert len({one["operationId"] for one in operations}) == len(operations)
    for one in operations:
        assert one["summary"].endswith(".")
        assert one["tags"][0] in {tag["name"] for tag in document["tags"]}
        assert one["security"] == [{}, {"basic": []}, {"bearer": []}]
        assert {"400", "401", "403", "404", "409"} <= set(one["responses"])
        for parameter in one.get("parameters", []):
            assert parameter["description"]
        for content in one.get("requestBody", {}).get("content", {}).values():
            if content["schema"] == {"type": "string"}:  # a file as it is
                continue
            name = content["schema"]["$ref"].removeprefix("#/components/schemas/")
            fields = document["components"]["schemas"][name]["properties"].values()
            assert all(field["description"] for field in fields)
    quality = document["components"]["schemas"]["TaskRow"]["properties"]["quality"]
    assert quality["description"] == "Consensus quality score, 0 to 1, higher is better."


class _Page(HTMLParser):
    """What a page loads, and where its own links lead."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.ids: set[str] = set()
        self.links: set[str] = set()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        if tag in {"script", "link", "img", "iframe"}:
            self.loaded.append(tag)
        if found.get("id"):
            self.ids.add(str(found["id"]))
        if tag == "a":
            self.links.add(str(found["href"]))


def test_the_page_loads_nothing_and_its_links_lead_somewhere(
    web: FlaskClient, document: dict[str, Any]
) -> None:
    answer = web.get("/api/docs")
    assert answer.status_code == 200
    assert answer.mimetype == "text/html"
    page = _Page()
    page.feed(answer.text)
    assert page.loaded == []
    assert "http://" not in answer.text
    assert "https://" not in answer.text
    assert page.links - {"openapi.json"} <= {f"#{one}" for one in page.ids}
    for path, item in document["paths"].items():
        for method in item:
            assert f"<code>{method.upper()} {path}</code>" in answer.text
