"""Headers of every answer, as gunicorn sends them."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from redis import Redis

from backend.processes import Processes, own_command
from backend.service import Service
from backend.web.app import create_app
from backend.web.headers import content_security_policy
from backend.web.server import free_port
from tests.e2e.conftest import wait_for

FAMILIAR = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


def directives(policy: str) -> dict[str, list[str]]:
    return {name: sources for name, *sources in (one.split() for one in policy.split("; "))}


def test_nothing_comes_from_outside() -> None:
    found = directives(content_security_policy())
    sources = {source for every in found.values() for source in every}
    assert sources == {"'self'", "'none'", "'unsafe-inline'", "data:"}
    assert [name for name, every in found.items() if "'unsafe-inline'" in every] == ["style-src"]
    for name in ("object-src", "base-uri", "frame-ancestors"):
        assert found[name] == ["'none'"]
    assert found["default-src"] == found["script-src"] == found["form-action"] == ["'self'"]


def test_hashes_are_for_scripts_and_the_origin_for_media() -> None:
    found = directives(content_security_policy(["'sha256-abc='"], "http://studio.example:8080"))
    assert found["script-src"] == ["'self'", "'sha256-abc='"]
    assert found["img-src"] == ["'self'", "http://studio.example:8080", "data:"]
    assert found["media-src"] == ["'self'", "http://studio.example:8080"]
    with_it = [name for name, every in found.items() if "http://studio.example:8080" in every]
    assert with_it == ["img-src", "media-src"]


def test_the_settings_name_label_studio(make_service: Callable[..., Service]) -> None:
    service = make_service(label_studio_url="https://me:pw@studio.example/label/")
    answer = create_app(service).test_client().get("/health")
    found = directives(answer.headers["Content-Security-Policy"])
    assert found["img-src"] == ["'self'", "https://studio.example", "data:"]
    own, script = found["script-src"]
    assert own == "'self'"
    assert re.fullmatch(r"'sha256-[\w+/]+='", script)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "web.log"


@pytest.fixture
def address(redis: Redis, redis_url: str, log: Path) -> Iterator[str]:
    """The web application under gunicorn, open to the network without credentials."""
    port = free_port("127.0.0.1", 9191)
    settings = {"REDIS_URL": redis_url, "PORT": str(port), "HOST": "0.0.0.0"}
    with Processes() as processes:
        processes.start("web", own_command("web"), settings, log)
        url = f"http://127.0.0.1:{port}"

        def answers() -> bool:
            try:
                return httpx.get(f"{url}/health").status_code == 200
            except httpx.TransportError:
                return False

        wait_for(answers)
        yield url


def test_every_answer_of_the_server_has_them(address: str, log: Path) -> None:
    with httpx.Client(base_url=address) as client:
        for answer in (
            client.get("/health"),
            client.get("/nowhere"),
            client.post("/nowhere", headers={"Origin": "http://evil.example"}),
            client.post("/setup", content="{"),
        ):
            assert FAMILIAR.items() <= {k.title(): v for k, v in answer.headers.items()}.items()
            (policy,) = answer.headers.get_list("Content-Security-Policy")
            script = directives(policy)["script-src"][1:]
            assert policy == content_security_policy(script, media_origin="http://localhost:8080")
        assert client.post("/nowhere", headers={"Origin": "http://evil.example"}).status_code == 403
    assert log.read_text().count("anybody there can read its projects") == 1
