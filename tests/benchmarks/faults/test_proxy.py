"""Requests through a proxy, before a real server that counts what reaches it."""

import random
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import httpx
import pytest

from benchmarks.faults import proxy
from benchmarks.faults.proxy import Proxy, Treatment

BODY = b'{"result": "positive"}'


class Server(ThreadingHTTPServer):
    """Answers each request with `BODY` and remembers it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: list[tuple[str, bytes]] = []


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append((self.path, body))
        self.send_response(201)
        self.send_header("X-Kind", self.headers["X-Kind"])
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *unused: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def between(server: Server) -> Iterator[Proxy]:
    with Proxy(f"http://127.0.0.1:{server.server_port}") as between:
        yield between


def post(between: Proxy, path: str = "/api/x?y=1", body: bytes = b"sent") -> httpx.Response:
    headers = {"X-Kind": "a b"}
    url = f"{between.url}{path}"
    return httpx.post(url, content=body, headers=headers, timeout=2, trust_env=False)


def wait_for_late(between: Proxy) -> None:
    deadline = time.monotonic() + 5
    while between.num_late:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_it_passes_requests_and_answers(server: Server, between: Proxy) -> None:
    answer = post(between)
    assert (answer.status_code, answer.content) == (201, BODY)
    assert answer.headers["X-Kind"] == "a b"
    assert server.seen == [("/api/x?y=1", b"sent")]


def test_one_connection_serves_several_requests(server: Server, between: Proxy) -> None:
    with httpx.Client(trust_env=False) as client:
        for _ in range(3):
            answer = client.post(f"{between.url}/a", content=b"b", headers={"X-Kind": "k"})
            assert answer.content == BODY
    assert len(server.seen) == 3


@pytest.mark.parametrize(
    ("treatment", "num_seen"), [(proxy.refused(429), 0), (proxy.failed(429), 1)]
)
def test_an_error_comes_instead_of_the_answer(
    server: Server, between: Proxy, treatment: Treatment, num_seen: int
) -> None:
    between.treat = treatment
    assert post(between).status_code == 429
    assert len(server.seen) == num_seen


@pytest.mark.parametrize(
    ("treatment", "num_seen"),
    [(proxy.unheard(0.05), 0), (proxy.unanswered(0.05), 1), (proxy.overtaken(0.05), 1)],
)
def test_no_answer_comes(
    server: Server, between: Proxy, treatment: Treatment, num_seen: int
) -> None:
    between.treat = treatment
    with pytest.raises(httpx.RemoteProtocolError):
        post(between)
    wait_for_late(between)
    assert len(server.seen) == num_seen


def test_half_a_body(server: Server, between: Proxy) -> None:
    between.treat = proxy.cut
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete"):
        post(between)
    assert len(server.seen) == 1


def test_a_server_that_is_gone_gives_no_answer() -> None:
    with Proxy("http://127.0.0.1:9") as between, pytest.raises(httpx.RemoteProtocolError):
        post(between)


@pytest.mark.parametrize("delays", [(), (0.0,), (0.0, 0.05)])
def test_events_are_taken_and_delivered_so_often(
    server: Server, between: Proxy, delays: tuple[float, ...]
) -> None:
    between.treat = proxy.delivered(*delays)
    assert post(between, "/webhook").status_code == 201
    wait_for_late(between)
    assert server.seen == [("/webhook", b"sent")] * len(delays)
    assert post(between, "/setup").content == BODY


def test_events_come_in_another_order(server: Server, between: Proxy) -> None:
    between.treat = proxy.shuffled(0.3, random.Random(1))
    sent = [str(number).encode() for number in range(8)]
    for body in sent:
        post(between, "/webhook", body)
    wait_for_late(between)
    came = [body for _, body in server.seen]
    assert came != sent
    assert sorted(came) == sent


def test_a_share_of_the_requests_is_treated(server: Server, between: Proxy) -> None:
    ways = (proxy.refused(500), proxy.refused(503))
    between.treat = proxy.sometimes(proxy.at_random(ways, random.Random(0)), 0.5, random.Random(0))
    got = {post(between).status_code for _ in range(30)}
    assert got == {201, 500, 503}
    assert 0 < len(server.seen) < 30


def test_closing_ends_what_waits(server: Server) -> None:
    with Proxy(f"http://127.0.0.1:{server.server_port}") as between:
        between.treat = proxy.delivered(60.0)
        post(between, "/webhook")
        began = time.monotonic()
    assert time.monotonic() - began < 2
    assert server.seen == []
