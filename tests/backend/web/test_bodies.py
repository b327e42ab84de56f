"""Request bodies: what is read, what is refused, and how a real server answers."""

import gzip
import io
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import httpx
import orjson
import pytest
from flask.testing import FlaskClient
from redis import Redis
from werkzeug.test import TestResponse

from backend.errors import BadRequestError
from backend.label_studio.events import is_id
from backend.processes import Processes, own_command
from backend.service import Service
from backend.web.app import create_app
from backend.web.bodies import MAX_LEVELS, parse_object
from backend.web.contract import MAX_EVENT_BYTES
from backend.web.server import free_port

MEGABYTE = 1024 * 1024
PATHS = ["/setup", "/predict", "/webhook"]


def nested(levels: int) -> bytes:
    """An object with `levels` objects and lists inside one another, itself included."""
    return b'{"a":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "is empty. Send a JSON object"),
        (b" \n", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b'{"a": 1} {"a": 2}', "not valid JSON: unexpected content after document"),
        (b'{"a": 1,}', "not valid JSON: trailing comma"),
        (b"{'a': 1}", "not valid JSON"),
        (b'{"a": NaN}', "without NaN and Infinity"),
        (b'{"a": Infinity}', "without NaN and Infinity"),
        (b'{"a": -Infinity}', "without NaN and Infinity"),
        (b'{"a": 1e400}', "infinity"),
        (b'{"a": "\xff"}', "not valid UTF-8"),
        (b'{"a": "\xed\xa0\x80"}', "not valid UTF-8"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b'{"a": "\n"}', "control character"),
        ('{"a": 1}'.encode("utf-16"), "not valid"),
        (b'\xef\xbb\xbf{"a": 1}', "BOM"),
        (b"[]", "must be a JSON object, not a list"),
        (b"null", "not null"),
        (b"true", "not true or false"),
        (b"3", "not a number"),
        (b"3.5", "not a number"),
        (b'"x"', "not a text"),
        (nested(MAX_LEVELS + 1), "nested too deeply: at most 64"),
        (b'{"a":' * (MAX_LEVELS + 1) + b"1" + b"}" * (MAX_LEVELS + 1), "nested too deeply"),
        (b"[" * 200_000, "depth limit"),
        (nested(200_000), "depth limit"),
    ],
)
def test_what_is_no_object_is_refused(raw: bytes, said: str) -> None:
    with pytest.raises(BadRequestError) as raised:
        parse_object(raw)
    assert said in str(raised.value)
    assert raised.value.http_status == 400
    assert len(str(raised.value)) < 250


def test_the_deepest_nesting_is_read() -> None:
    assert list(parse_object(nested(MAX_LEVELS))) == ["a"]


def test_brackets_in_texts_and_beside_one_another_are_no_nesting() -> None:
    wide = {"text": "[{" * 1000, "lists": [[] for _ in range(1000)]}
    assert parse_object(orjson.dumps(wide)) == wide


def test_of_equal_keys_the_last_counts() -> None:
    assert parse_object(b'{"a": 1, "a": 2}') == {"a": 2}


@pytest.mark.parametrize("number", [2**63, 2**64, 10**40, -1, -(2**64)])
def test_integers_that_no_database_holds_are_no_ids(number: int) -> None:
    assert not is_id(parse_object(b'{"id": %d}' % number)["id"])


def test_ids_keep_every_digit() -> None:
    number = 2**63 - 1
    assert parse_object(b'{"id": %d}' % number) == {"id": number}


@pytest.fixture
def web(make_service: Callable[..., Service]) -> FlaskClient:
    """Application that takes bodies of one megabyte."""
    return create_app(make_service(max_body_mb=1)).test_client()


def said(answer: TestResponse) -> str:
    assert answer.json is not None
    reason: str = answer.json["error"]
    return reason


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "deflate", "br", "gzip, identity"])
def test_compressed_bodies_get_415(web: FlaskClient, path: str, encoding: str) -> None:
    body = gzip.compress(b'{"project": "1"}')
    answer = web.post(path, data=body, headers={"Content-Encoding": encoding})
    assert answer.status_code == 415
    assert "without Content-Encoding" in said(answer)


@pytest.mark.parametrize("encoding", ["identity", "Identity ", ""])
def test_the_encoding_identity_is_none(web: FlaskClient, encoding: str) -> None:
    headers = {"Content-Encoding": encoding}
    assert web.post("/setup", data=b'{"project": "1"}', headers=headers).status_code == 200


class Untouched(io.BytesIO):
    """A body that must not be read."""

    def read(self, size: int | None = -1) -> bytes:
        raise AssertionError("the body was read")

    readinto = read  # type: ignore[assignment]


def announce(web: FlaskClient, path: str, length: int) -> TestResponse:
    """Send the head of a request with a body of some length, which must not be read."""
    announced = {"CONTENT_LENGTH": str(length), "wsgi.input_terminated": True}
    return web.post(path, input_stream=Untouched(), environ_overrides=announced)


def send_chunked(web: FlaskClient, path: str, body: bytes) -> TestResponse:
    """Send a body whose length is not announced, as a server that reads chunks gives it."""
    chunked = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
    return web.post(path, input_stream=io.BytesIO(body), environ_overrides=chunked)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("length", [MEGABYTE + 1, 300 * MEGABYTE, 10**18])
def test_too_large_bodies_get_413_unread(web: FlaskClient, path: str, length: int) -> None:
    answer = announce(web, path, length)
    assert answer.status_code == 413
    assert "at most 1 MB are allowed" in said(answer)


@pytest.mark.parametrize("path", PATHS)
def test_too_large_chunked_bodies_get_413(web: FlaskClient, path: str) -> None:
    # What fits is a valid object: a body must not be cut without a word.
    body = b'{"project": "1"}'.ljust(MEGABYTE)
    assert send_chunked(web, path, body).status_code in {200, 400}
    for longer in (body + b" ", body * 3):
        answer = send_chunked(web, path, longer)
        assert answer.status_code == 413
        assert "at most 1 MB are allowed" in said(answer)


def test_the_largest_body_is_read(web: FlaskClient) -> None:
    body = b'{"project": "1"}'.ljust(MEGABYTE)
    assert web.post("/setup", data=body).status_code == 200


@pytest.mark.parametrize("value", [b"[]", b"{}", b"0", b'"ab"', b"[[[[[1]]]]]"])
@pytest.mark.parametrize("path", PATHS)
def test_bodies_of_too_many_values_get_413(web: FlaskClient, path: str, value: bytes) -> None:
    fitting = b'{"project": "1", "x": [%b]}' % b",".join([value] * 10_000)
    assert web.post(path, data=fitting).status_code in {200, 400}
    answer = web.post(path, data=b'{"x": [%b]}' % b",".join([value] * 65_536))
    assert answer.status_code == 413
    assert "values; at most 65,536 are allowed" in said(answer)


@pytest.mark.parametrize("name", ["ml_predict_batch", "ml_predict_interactive"])
def test_bodies_of_label_studio_have_fewer_values(
    web: FlaskClient, recorded: Callable[[str], Any], name: str
) -> None:
    body = recorded(f"{name}.request.json")["body"]
    tasks = body["tasks"] * (900_000 // len(orjson.dumps(body["tasks"])))
    raw = orjson.dumps({**body, "tasks": tasks})
    assert 0.9 * 900_000 < len(raw) < MEGABYTE
    assert web.post("/predict", data=raw).status_code == 200


def test_events_have_a_limit_of_their_own(make_service: Callable[..., Service]) -> None:
    web = create_app(make_service()).test_client()
    for path in ("/setup", "/webhook"):
        answer = announce(web, path, MAX_EVENT_BYTES + 1)
        assert answer.status_code == 413
        assert "at most 32 MB" in said(answer)
    answer = announce(web, "/predict", 256 * MEGABYTE + 1)
    assert answer.status_code == 413
    assert "CROWDLAB_MAX_BODY_MB" in said(answer)
    body = b'{"tasks": [], "text": "%b"}' % (b"x" * MAX_EVENT_BYTES)
    assert web.post("/predict", data=body).status_code == 200


def test_the_event_of_a_large_import_fits(
    make_service: Callable[..., Service], recorded: Callable[[str], Any], redis: Redis
) -> None:
    body = recorded("webhook_TASKS_CREATED.json")["body"]
    text = "A review of a thousand letters. " * 31
    body["tasks"] = [
        {**body["tasks"][0], "id": number, "data": {"text": text}} for number in range(20_000)
    ]
    raw = orjson.dumps(body)
    assert 0.7 * MAX_EVENT_BYTES < len(raw) < MAX_EVENT_BYTES
    answer = create_app(make_service()).test_client().post("/webhook", data=raw)
    assert answer.status_code == 201
    ((_, stored),) = redis.xrange("crowdlab:{25}:inbox")
    assert orjson.loads(stored[b"event"])["ids"] == list(range(20_000))
    assert len(stored[b"event"]) < 200_000


def test_a_body_that_broke_off_gets_400(web: FlaskClient) -> None:
    whole = {"CONTENT_LENGTH": "100", "wsgi.input_terminated": True}
    body = io.BytesIO(b'{"project": "1"}')
    answer = web.post("/setup", input_stream=body, environ_overrides=whole)
    assert answer.status_code == 400
    assert "16 of 100 bytes arrived" in said(answer)


@pytest.fixture(scope="module")
def server(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Port of the real web server, which takes bodies of one megabyte."""
    port = free_port("127.0.0.1", 19_090)
    environment = os.environ | {
        "REDIS_URL": redis_url,
        "PORT": str(port),
        "CROWDLAB_MAX_BODY_MB": "1",
        "LABEL_STUDIO_API_KEY": "",
    }
    folder = tmp_path_factory.mktemp("web")
    with Processes() as processes:
        processes.start("web", own_command("web"), environment, folder / "log")
        deadline = time.monotonic() + 30
        while not answers(port):
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.1)
        yield port
        assert "Traceback" not in (folder / "log").read_text()


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
    except httpx.TransportError:
        return False


HEAD = b"POST /webhook HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "status", "reason"),
    [
        (HEAD + b"Content-Length: 314572800\r\n\r\n", 413, "has 300.0 MB; at most 1 MB"),
        (CHUNKED + b"100400\r\n" + b" " * 0x100400 + b"\r\n0\r\n\r\n", 413, "at most 1 MB"),
        (CHUNKED + b"2\r\n{}\r\n0\r\n\r\n", 400, "has no action"),
        (CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n", 400, "chunked wrongly"),
        (CHUNKED + b"5\r\n{}", 400, "broke off"),
        (HEAD + b"Content-Length: 90\r\n\r\n{}", 400, "2 of 90 bytes"),
        (HEAD + b"\r\n", 400, "is empty"),
        (HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", 415, "'gzip'"),
    ],
)
def test_the_real_server_answers_with_a_reason(
    server: int, request_bytes: bytes, status: int, reason: str
) -> None:
    with socket.create_connection(("127.0.0.1", server), timeout=20) as connection:
        connection.sendall(request_bytes)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while part := connection.recv(65_536):
            answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert reason in orjson.loads(body)["error"]


def test_a_client_reads_why_its_body_was_refused(server: int) -> None:
    url = f"http://127.0.0.1:{server}/predict"
    answer = httpx.post(url, content=b" " * (MEGABYTE + 1000))
    assert answer.status_code == 413
    assert "CROWDLAB_MAX_BODY_MB" in answer.json()["error"]


def test_the_server_survives_bodies_that_it_does_not_read(server: int) -> None:
    url = f"http://127.0.0.1:{server}/predict"
    for _ in range(20):
        # It answers and closes at once, which a client that is still sending may not see.
        with suppress(httpx.TransportError):
            assert httpx.post(url, content=b" " * (8 * MEGABYTE)).status_code == 413
    assert answers(server)
