"""Requests that another site makes a browser send."""

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient

from backend.service import Service
from backend.web.app import create_app

PUBLIC = "https://crowdlab.example"


@pytest.fixture
def web(make_service: Callable[..., Service]) -> FlaskClient:
    app = create_app(make_service(browser_url=PUBLIC))
    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    app.add_url_rule("/act", "act", lambda: "done", methods=methods)
    return app.test_client()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": ""}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost:9090"}, 403),
        ({"Origin": "http://localhost:9090"}, 200),
        ({"Origin": "HTTP://LOCALHOST:9090"}, 200),
        ({"Origin": "http://localhost:9091"}, 403),
        ({"Origin": "http://localhost"}, 403),
        ({"Origin": "http://localhost:9090.evil.example"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Origin": PUBLIC}, 200),
        ({"Origin": f"{PUBLIC}:443"}, 200),
        ({"Origin": f"{PUBLIC}:444"}, 403),
    ],
)
def test_who_may_act(web: FlaskClient, headers: dict[str, str], status: int) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        answer = web.open("/act", method=method, headers={"Host": "localhost:9090", **headers})
        assert answer.status_code == status
        if status == 403:
            assert answer.json is not None
            assert "another site" in answer.json["error"]
            assert "CROWDLAB_PUBLIC_URL" in answer.json["error"]


def test_the_default_port_makes_no_difference(web: FlaskClient) -> None:
    for host in ("localhost", "localhost:80"):
        for origin in ("http://localhost", "http://localhost:80"):
            answer = web.post("/act", headers={"Host": host, "Origin": origin})
            assert answer.status_code == 200


def test_reading_and_label_studio_are_let_through(web: FlaskClient) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    assert web.get("/act", headers=headers).status_code == 200
    assert web.head("/act", headers=headers).status_code == 200
    assert web.post("/predict", json={"tasks": []}, headers=headers).status_code == 200
