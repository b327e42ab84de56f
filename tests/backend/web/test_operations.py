"""Metrics, readiness and slow requests, as those see them who run the service."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from flask import Flask, abort
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis
from rq.serializers import JSONSerializer
from rq.worker import Worker

from backend.errors import LabelStudioBusyError, LabelStudioUnreachableError
from backend.jobs.queue import JobKind
from backend.label_studio.breaker import MOST_FAILURES, Breaker
from backend.metrics import FAMILIES, PREFIX, Metrics
from backend.service import Service
from backend.settings import load_settings
from backend.store.embedded import EmbeddedRedis
from backend.web import operations
from backend.web.app import create_app
from backend.web.operations import log_requests

BASIC = ("someone", "something")
TOKEN = "a-metrics-token"


class Studio(HTTPServer):
    """Answers as Label Studio does when it is asked for its release and the token's user."""

    def __init__(self) -> None:
        self.num_requests = 0
        self.pause = threading.Event()
        self.pause.set()
        super().__init__(("127.0.0.1", 0), _Answers)
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Studio)
        self.server.num_requests += 1
        self.server.pause.wait()
        body = b'{"release": "1.23.2", "email": "admin@example.com"}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def studio() -> Iterator[Studio]:
    with Studio() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.pause.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """A redis-server that a test may configure and end."""
    server = EmbeddedRedis(tmp_path_factory.mktemp("o"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_redis(own_server: EmbeddedRedis) -> Iterator[Redis]:
    with Redis.from_url(own_server.url) as connection:
        yield connection


@pytest.fixture
def ready_web(studio: Studio, own_server: EmbeddedRedis, own_redis: Redis) -> FlaskClient:
    """Web application with everything that it needs."""
    settings = load_settings(
        redis_url=own_server.url, label_studio_url=studio.url, label_studio_api_key="0" * 40
    )
    service = Service(settings, own_redis)
    register_worker(service)
    return create_app(service).test_client()


def register_worker(service: Service) -> None:
    """Register this process as a worker for every kind of jobs."""
    worker: Any = Worker(
        service.queue.queues(), connection=service.redis, serializer=JSONSerializer
    )
    worker.register_birth()


def check(answer: Any, name: str) -> dict[str, Any]:
    (found,) = [one for one in answer.json["checks"] if one["name"] == name]
    assert isinstance(found, dict)
    return found


def test_metrics_are_prometheus_text(make_service: Callable[..., Service], redis: Redis) -> None:
    Metrics(redis).count("events_total", project=7)
    answer = create_app(make_service()).test_client().get("/metrics")
    assert answer.status_code == 200
    assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"
    families = {one.name: one for one in text_string_to_metric_families(answer.text)}
    assert set(families) == {PREFIX + name.removesuffix("_total") for name in FAMILIES}
    (sample,) = families["crowdlab_events"].samples
    assert (sample.name, sample.labels, sample.value) == (
        "crowdlab_events_total", {"project": "7"}, 1.0,
    )  # fmt: skip


@pytest.mark.parametrize("path", ["/metrics", "/ready"])
@pytest.mark.parametrize(
    ("settings", "allowed", "refused"),
    [
        ({}, [{}, {"token": TOKEN}], []),
        ({"basic": BASIC}, [{"basic": BASIC}], [{}, {"token": TOKEN}, {"token": ""}]),
        ({"token": TOKEN}, [{"token": TOKEN}], [{}, {"token": "other"}, {"basic": ("", TOKEN)}]),
        (
            {"basic": BASIC, "token": TOKEN},
            [{"basic": BASIC}, {"token": TOKEN}],
            [{}, {"basic": ("someone", TOKEN)}, {"token": BASIC[1]}, {"token": "ä"}],
        ),
        ({"secret": "hush"}, [{}], []),
    ],
)
def test_who_may_watch(
    make_service: Callable[..., Service],
    path: str,
    settings: dict[str, Any],
    allowed: list[dict[str, Any]],
    refused: list[dict[str, Any]],
) -> None:
    user, password = settings.get("basic", ("", ""))
    service = make_service(
        basic_auth_user=user,
        basic_auth_pass=password,
        metrics_token=settings.get("token", ""),
        webhook_secret=settings.get("secret", ""),
    )
    web = create_app(service).test_client()

    def status(credentials: dict[str, Any]) -> int:
        token = credentials.get("token")
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return web.get(path, headers=headers, auth=credentials.get("basic")).status_code

    assert [one for one in allowed if status(one) not in {200, 503}] == []
    assert [one for one in refused if status(one) != 401] == []


def test_the_token_opens_nothing_else(make_service: Callable[..., Service]) -> None:
    service = make_service(basic_auth_user=BASIC[0], basic_auth_pass=BASIC[1], metrics_token=TOKEN)
    web = create_app(service).test_client()
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    for path in ("/versions", "/metrics/", "/ready/", "/nowhere"):
        assert web.get(path, headers=bearer).status_code == 401
    assert web.post("/metrics", headers=bearer).status_code == 401
    assert web.get("/health").status_code == 200


def test_ready_when_everything_is_there(ready_web: FlaskClient) -> None:
    answer = ready_web.get("/ready")
    assert answer.status_code == 200
    assert answer.json is not None
    assert answer.json["ready"] is True
    names = ["Redis", *(f"Workers for {kind}" for kind in JobKind), "Label Studio"]
    assert [one["name"] for one in answer.json["checks"]] == names
    assert all(set(one) == {"name", "ok", "message", "remedy"} for one in answer.json["checks"])
    assert all(one["ok"] and not one["remedy"] for one in answer.json["checks"])
    assert "admin@example.com" not in answer.text


def test_label_studio_is_asked_once_in_a_while(
    ready_web: FlaskClient, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready_web.get("/ready")
    asked = studio.num_requests
    assert asked > 0
    studio.server_close()
    assert ready_web.get("/ready").status_code == 200
    assert studio.num_requests == asked
    monkeypatch.setattr(operations, "LABEL_STUDIO_SECONDS", 0.0)
    answer = ready_web.get("/ready")
    assert answer.status_code == 503
    assert not check(answer, "Label Studio")["ok"]
    assert "LABEL_STUDIO_URL" in check(answer, "Label Studio")["remedy"]


def test_nobody_waits_long_for_label_studio(
    ready_web: FlaskClient, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "_PATIENCE_SECONDS", 0.2)
    studio.pause.clear()
    for _ in range(3):
        said = check(ready_web.get("/ready"), "Label Studio")
        assert (said["ok"], said["message"]) == (False, "has not answered within 0.2 s")
    assert studio.num_requests == 1
    studio.pause.set()
    monkeypatch.setattr(operations, "_PATIENCE_SECONDS", 10.0)
    assert ready_web.get("/ready").status_code == 200


def test_a_spared_label_studio_is_not_asked(
    ready_web: FlaskClient, studio: Studio, own_redis: Redis
) -> None:
    def fail() -> None:
        raise LabelStudioBusyError("Label Studio answered 500.")

    breaker = Breaker(own_redis)
    for _ in range(MOST_FAILURES):
        with pytest.raises(LabelStudioUnreachableError):
            breaker.call(fail)
    said = check(ready_web.get("/ready"), "Label Studio")
    assert not said["ok"]
    assert said["message"].startswith("Label Studio has not answered since")
    assert said["remedy"]
    assert studio.num_requests == 0


def test_a_worker_that_ended_is_missed(ready_web: FlaskClient, own_redis: Redis) -> None:
    own_redis.delete(*own_redis.keys("rq:worker*"))
    answer = ready_web.get("/ready")
    assert answer.status_code == 503
    assert "none is running" in check(answer, "Workers for events")["message"]
    assert "crowdlab start" in check(answer, "Workers for events")["remedy"]
    assert check(answer, "Redis")["ok"]


def test_redis_that_takes_no_writes_is_told(
    ready_web: FlaskClient, own_redis: Redis, own_server: EmbeddedRedis
) -> None:
    own_redis.config_set("maxmemory", 1)
    said = check(ready_web.get("/ready"), "Redis")
    assert (said["ok"], said["message"]) == (False, "has no memory left for writes")
    assert "maxmemory" in said["remedy"]
    own_redis.config_set("maxmemory", 0)
    own_redis.replicaof("127.0.0.1", "1")
    said = check(ready_web.get("/ready"), "Redis")
    assert (said["ok"], said["message"]) == (False, "is a replica, which takes no writes")
    own_redis.replicaof("NO", "ONE")
    assert ready_web.get("/ready").status_code == 200
    own_server.stop()
    answer = ready_web.get("/ready")
    assert answer.status_code == 503
    assert check(answer, "Redis")["message"].startswith("cannot be written: ")
    assert check(answer, "Workers")["message"] == "not known while Redis does not answer"
    assert check(answer, "Label Studio")["ok"]
    answer = ready_web.get("/metrics")
    assert answer.status_code == 200
    assert answer.text.splitlines()[-1] == "crowdlab_redis_up 0.0"
    assert ready_web.get("/health").status_code == 200


@pytest.fixture
def slow_web() -> FlaskClient:
    app = Flask(__name__)
    log_requests(app)

    @app.get("/<seconds>")
    def sleep(seconds: str) -> str:
        time.sleep(float(seconds))
        return ""

    @app.get("/fail")
    def fail() -> str:
        abort(418)

    return app.test_client()


def test_slow_requests_are_warnings(
    slow_web: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger=operations.__name__):
        slow_web.get("/0?secret=hush")
        slow_web.get("/1.05")
        slow_web.get("/fail")
    levels = [one.levelname for one in caplog.records]
    assert levels == ["DEBUG", "WARNING", "DEBUG"]
    fast, slow, failed = (one.getMessage() for one in caplog.records)
    assert fast.startswith("GET /0: 200 in 0.0")
    assert slow.startswith("GET /1.05: 200 in 1.")
    assert failed.startswith("GET /fail: 418 in ")
