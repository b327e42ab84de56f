"""Who may look at pages and API."""

import base64
from collections.abc import Callable
from typing import Any

import pytest
from flask import request
from flask.testing import FlaskClient

from backend.service import Service
from backend.settings import load_settings
from backend.web.app import create_app
from backend.web.auth import exposure_warning, is_loopback, user_name

USER, PASSWORD, TOKEN = "lead", "a-password", "an-api-token"


@pytest.fixture
def web_of(make_service: Callable[..., Service]) -> Callable[..., FlaskClient]:
    """Web application with one page more, by settings."""

    def make(**settings: Any) -> FlaskClient:
        app = create_app(make_service(**settings))
        app.add_url_rule("/page", "page", lambda: "a page", methods=["GET"])
        return app.test_client()

    return make


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("right", USER),
        ("wrong", ""),
        ("none", ""),
        ("token", ""),
        ("token as a password", ""),
    ],
)
def test_only_a_password_proves_a_name(
    make_service: Callable[..., Service], header: str, name: str
) -> None:
    settings = {"basic_auth_user": USER, "basic_auth_pass": PASSWORD, "api_token": TOKEN}
    headers = {
        "right": basic(USER, PASSWORD),
        "wrong": basic(USER, "other"),
        "none": "",
        "token": f"Bearer {TOKEN}",
        "token as a password": basic("somebody", TOKEN),
    }
    service = make_service(**settings)
    app = create_app(service)
    shown = {"Authorization": headers[header]} if headers[header] else {}
    with app.test_request_context("/", headers=shown):
        assert user_name(request, service.settings) == name
    open_to_all = make_service().settings
    with app.test_request_context("/", headers={"Authorization": basic(USER, PASSWORD)}):
        assert user_name(request, open_to_all) == ""


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("settings", "allowed", "refused"),
    [
        ({}, ["", "Bearer x", basic("a", "b")], []),
        ({"webhook_secret": "hush"}, [""], []),
        (
            {"basic_auth_user": USER, "basic_auth_pass": PASSWORD},
            [basic(USER, PASSWORD)],
            ["", basic(USER, "other"), basic("other", PASSWORD), basic(USER, ""), "Bearer x"],
        ),
        (
            {"api_token": TOKEN},
            [f"Bearer {TOKEN}", basic("anybody", TOKEN)],
            ["", "Bearer ", "Bearer other", basic(TOKEN, ""), f"Token {TOKEN}", "Bearer ä"],
        ),
        (
            {"basic_auth_user": USER, "basic_auth_pass": PASSWORD, "api_token": TOKEN},
            [basic(USER, PASSWORD), f"Bearer {TOKEN}"],
            ["", basic("other", PASSWORD), f"Bearer {PASSWORD}"],
        ),
    ],
)
def test_who_may_look(
    web_of: Callable[..., FlaskClient],
    settings: dict[str, Any],
    allowed: list[str],
    refused: list[str],
) -> None:
    web = web_of(**settings)

    def status(authorization: str) -> int:
        headers = {"Authorization": authorization} if authorization else {}
        return web.get("/page", headers=headers).status_code

    assert [one for one in allowed if status(one) != 200] == []
    assert [one for one in refused if status(one) != 401] == []


def test_a_refusal_asks_for_credentials_and_shows_nothing(
    web_of: Callable[..., FlaskClient],
) -> None:
    answer = web_of(api_token=TOKEN).get("/nowhere")
    assert answer.status_code == 401
    assert answer.json == {"error": "Wrong or missing credentials."}
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="crowdlab"'
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_the_api_token_opens_no_route_of_label_studio(web_of: Callable[..., FlaskClient]) -> None:
    web = web_of(basic_auth_user=USER, basic_auth_pass=PASSWORD, api_token=TOKEN)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert web.get("/versions", headers=headers).status_code == 401
    assert web.post("/webhook", json={}, headers=headers).status_code == 401
    assert web.get("/metrics", headers=headers).status_code == 401
    assert web_of(api_token=TOKEN).get("/versions").status_code == 200


def test_programs_may_ask_the_front_page_for_health(web_of: Callable[..., FlaskClient]) -> None:
    web = web_of()
    health = web.get("/health").json
    assert web.get("/").json == health
    assert web.get("/", headers={"Accept": "application/json"}).json == health
    assert web.get("/", headers={"Accept": "text/html,*/*;q=0.8"}).json != health
    assert web_of(api_token=TOKEN).get("/").status_code == 401


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, ""),
        ({"host": "localhost"}, ""),
        ({"host": "::1"}, ""),
        ({"host": "0.0.0.0"}, "Set BASIC_AUTH_USER and BASIC_AUTH_PASS and WEBHOOK_SECRET."),
        ({"host": "0.0.0.0", "basic_auth_user": "lead"}, ""),
        ({"host": "0.0.0.0", "api_token": TOKEN}, "Set WEBHOOK_SECRET."),
        ({"host": "192.0.2.1", "webhook_secret": "x"}, "Set BASIC_AUTH_USER and BASIC_AUTH_PASS."),
        ({"host": "0.0.0.0", "api_token": TOKEN, "webhook_secret": "x"}, ""),
    ],
)
def test_who_is_warned(settings: dict[str, Any], said: str) -> None:
    warning = exposure_warning(load_settings(**settings))
    assert warning.endswith(said)
    assert bool(warning) == bool(said)
    assert settings.get("host", "") in warning or not said


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("crowdlab.example", False),
    ],
)
def test_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
