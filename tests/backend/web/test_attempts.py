"""Wrong credentials, shown again and again."""

import base64
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from backend.service import Service
from backend.web.app import create_app

SETTINGS = {
    "basic_auth_user": "lead",
    "basic_auth_pass": "a-password",
    "webhook_secret": "a-secret",
    "metrics_token": "a-metrics-token",
    "api_token": "an-api-token",
}
ALLOWED = 5


@pytest.fixture
def web(make_service: Callable[..., Service]) -> FlaskClient:
    return create_app(
        make_service(**SETTINGS, failed_logins_per_minute=ALLOWED, trusted_proxies=1)
    ).test_client()


def basic(password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"lead:{password}".encode()).decode()}


def ask(web: FlaskClient, headers: dict[str, str], address: str = "10.0.0.1") -> TestResponse:
    return web.get("/api/projects", headers={**headers, "X-Forwarded-For": f"1.1.1.1, {address}"})


def test_guessing_is_stopped_and_told_when_to_go_on(web: FlaskClient) -> None:
    guesses = [ask(web, basic(f"guess {number}")) for number in range(ALLOWED + 3)]
    assert [one.status_code for one in guesses] == [401] * ALLOWED + [429] * 3
    assert 1 <= int(guesses[-1].headers["Retry-After"]) <= 60
    assert "try again in" in guesses[-1].json["error"]
    assert ask(web, basic("a-password")).status_code == 429
    assert ask(web, basic("a-password"), "10.0.0.2").status_code == 200


@pytest.mark.parametrize(
    ("path", "method", "header"),
    [
        ("/webhook", "POST", {"X-Crowdlab-Secret": "wrong"}),
        ("/predict", "POST", basic("wrong")),
        ("/metrics", "GET", {"Authorization": "Bearer wrong"}),
        ("/api/projects", "GET", {"Authorization": "Bearer wrong"}),
        ("/", "GET", basic("wrong")),
    ],
)
def test_every_kind_of_credentials_counts(
    web: FlaskClient, path: str, method: str, header: dict[str, str]
) -> None:
    found = [
        web.open(path, method=method, headers={**header, "Accept": "text/html"}).status_code
        for _ in range(ALLOWED + 1)
    ]
    assert found == [401] * ALLOWED + [429]


def test_a_request_without_credentials_is_no_attempt(web: FlaskClient) -> None:
    assert {ask(web, {}).status_code for _ in range(3 * ALLOWED)} == {401}
    assert ask(web, basic("a-password")).status_code == 200


def test_right_credentials_never_count(web: FlaskClient) -> None:
    assert {ask(web, basic("a-password")).status_code for _ in range(3 * ALLOWED)} == {200}


def test_health_is_answered_whoever_asks(web: FlaskClient) -> None:
    for _ in range(ALLOWED + 1):
        ask(web, basic("wrong"))
    headers = {**basic("wrong"), "X-Forwarded-For": "10.0.0.1"}
    assert web.get("/health", headers=headers).status_code == 200


def test_an_address_is_not_believed_without_a_proxy(make_service: Callable[..., Service]) -> None:
    web = create_app(make_service(**SETTINGS, failed_logins_per_minute=ALLOWED)).test_client()
    found = [ask(web, basic("x"), f"10.0.0.{n}").status_code for n in range(ALLOWED + 1)]
    assert found == [401] * ALLOWED + [429]


def test_the_limit_can_be_switched_off(make_service: Callable[..., Service]) -> None:
    web = create_app(make_service(**SETTINGS, failed_logins_per_minute=0)).test_client()
    assert {ask(web, basic("x")).status_code for _ in range(50)} == {401}
