import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future

import numpy as np
import pytest

from benchmarks.live.load import (
    Answer,
    LoadProcess,
    Request,
    evenly,
    http_message,
    latencies,
    lateness,
    status_of,
)


@pytest.fixture(scope="module")
def load() -> Iterator[LoadProcess]:
    with LoadProcess() as process:
        yield process


class Server:
    """An HTTP server that answers one request after the other, each after a while."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.num_connections = 0
        self._ready: Future[int] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._turn = asyncio.Lock()
        server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        self._ready.set_result(server.sockets[0].getsockname()[1])
        async with server:
            await self._ended.wait()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.num_connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0] or 0)
                body = await reader.readexactly(length)
                async with self._turn:
                    await asyncio.sleep(self.seconds)
                status = body or b"200"
                writer.write(b"HTTP/1.1 " + status + b" X\r\nContent-Length: 2\r\n\r\nok")
                await writer.drain()
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    def __enter__(self) -> "Server":
        self._thread.start()
        self.port = self._ready.result(timeout=5)
        return self

    def __exit__(self, *unused: object) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()


def message(port: int, status: str = "") -> bytes:
    return http_message("POST", "/", port, {"Accept": "*/*"}, status.encode())


@pytest.mark.parametrize(("keep_alive", "num_connections"), [(True, 1), (False, 5)])
def test_connections_are_kept_or_not(
    load: LoadProcess, keep_alive: bool, num_connections: int
) -> None:
    with Server(0.0) as server:
        answers = load.start(
            server.port,
            evenly([message(server.port)] * 5, 100),
            at=time.monotonic(),
            connections=1,
            keep_alive=keep_alive,
        ).get(timeout=10)
        assert [answer.status for answer in answers] == [200] * 5
        assert server.num_connections == num_connections


def test_a_slow_server_is_charged_for_those_who_wait(load: LoadProcess) -> None:
    with Server(0.05) as server:
        answers = load.start(
            server.port,
            evenly([message(server.port)] * 10, 100),
            at=time.monotonic() + 0.2,
            connections=4,
        ).get(timeout=10)
    seconds = latencies(answers)
    assert seconds[0] >= 0.05
    # The last is due after 0.09 s and answered after ten turns.
    assert seconds[-1] >= 10 * 0.05 - 0.09 - 0.001
    assert (lateness(answers) >= 0).all()
    assert (np.diff([answer.due for answer in answers]) > 0).all()


def test_statuses_and_names_are_told_apart(load: LoadProcess) -> None:
    with Server(0.0) as server:
        requests = [
            Request(0.0, message(server.port, "503"), "bad"),
            Request(0.0, message(server.port), "good"),
        ]
        answers = load.start(server.port, requests, at=time.monotonic(), connections=1).get(
            timeout=10
        )
    assert {answer.name: answer.status for answer in answers} == {"bad": 503, "good": 200}
    assert len(latencies(answers, "bad")) == 1


def test_where_nobody_listens_there_is_no_status(load: LoadProcess) -> None:
    answers = load.start(1, [Request(0.0, message(1))], at=time.monotonic(), connections=1).get(
        timeout=10
    )
    assert [answer.status for answer in answers] == [0]


def test_latency_counts_from_when_it_was_due() -> None:
    answer = Answer("x", due=10.0, released=10.5, sent=11.0, answered=12.0, status=200)
    assert latencies([answer]).tolist() == [2.0]
    assert lateness([answer]).tolist() == [0.5]
    assert len(latencies([], "x")) == 0


@pytest.mark.parametrize(
    ("received", "status"),
    [
        (b"", 0),
        (b"HTTP/1.1 201 CREATED\r\nContent-Length: 2\r\n", 0),
        (b"HTTP/1.1 201 CREATED\r\nContent-Length: 2\r\n\r\n{", 0),
        (b"HTTP/1.1 201 CREATED\r\ncontent-length:2\r\n\r\n{}", 201),
        (b"HTTP/1.1 204 NO CONTENT\r\n\r\n", 204),
    ],
)
def test_an_answer_is_read_when_it_is_complete(received: bytes, status: int) -> None:
    assert status_of(received) == status
