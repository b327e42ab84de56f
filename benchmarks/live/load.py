"""Load over HTTP: requests are sent when they are due, whether or not others are answered.

A request's latency counts from the moment at which it was due, so that a server which falls
behind is charged for all who wait. The load runs in a process of its own and shares the
clock `time.monotonic` with this one.
"""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.pool import AsyncResult
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ANSWER_SECONDS = 60.0
_CONTENT_LENGTH = re.compile(rb"content-length: *(\d+)")
_END_OF_HEAD = b"\r\n\r\n"


@dataclass(frozen=True)
class Request:
    """A request and when to send it."""

    due: float
    """Seconds after the start of the load; the same for all sends them one after another."""
    message: bytes
    """The whole HTTP request."""
    name: str = ""
    """Kind of request, to tell answers apart."""


@dataclass(frozen=True)
class Answer:
    """When a request was due and what came of it; moments are of `time.monotonic`."""

    name: str
    due: float
    released: float
    """When the load process came round to it."""
    sent: float
    """When a connection was free for it."""
    answered: float
    status: int
    """HTTP status, 0 if there was no answer."""


def http_message(
    method: str, path: str, port: int, headers: Mapping[str, str], body: bytes = b""
) -> bytes:
    """One HTTP/1.1 request to this machine."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: localhost:{port}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + _END_OF_HEAD + body


def evenly(messages: Sequence[bytes], per_second: float, name: str = "") -> list[Request]:
    """Requests that are due in equal distances."""
    return [Request(place / per_second, message, name) for place, message in enumerate(messages)]


def latencies(answers: Sequence[Answer], name: str | None = None) -> NDArray[np.float64]:
    """Seconds from due to answered, of one kind of request or of all."""
    chosen = [one for one in answers if name in (None, one.name)]
    return np.asarray([one.answered - one.due for one in chosen], dtype=np.float64)


def service_times(answers: Sequence[Answer]) -> NDArray[np.float64]:
    """Seconds from sent to answered, where each request waits for the one before."""
    return np.asarray([one.answered - one.sent for one in answers], dtype=np.float64)


def lateness(answers: Sequence[Answer]) -> NDArray[np.float64]:
    """Seconds by which the load process itself was late."""
    return np.asarray([one.released - one.due for one in answers], dtype=np.float64)


class LoadProcess:
    """A process that sends load; a context manager that ends it."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pool = context.Pool(1, initializer=gc.disable)
        self._pool.apply(gc.isenabled)

    def start(
        self,
        port: int,
        requests: Sequence[Request],
        *,
        at: float,
        connections: int,
        keep_alive: bool = True,
    ) -> AsyncResult[list[Answer]]:
        """Send requests to a port of this machine.

        Parameters
        ----------
        requests
            Ordered by when they are due.
        at
            Moment of `time.monotonic` from which they are due.
        connections
            Requests that can be under way at once.
        keep_alive
            Whether a connection serves many requests or, as Label Studio's, one.
        """
        arguments = (port, list(requests), at, connections, keep_alive)
        return self._pool.apply_async(_send_all, arguments)

    def __enter__(self) -> LoadProcess:
        return self

    def __exit__(self, *unused: object) -> None:
        self._pool.terminate()
        self._pool.join()


def _send_all(
    port: int, requests: list[Request], at: float, connections: int, keep_alive: bool
) -> list[Answer]:
    return asyncio.run(_Load(port, requests, at, keep_alive).run(connections))


class _Load:
    """Requests on their way to one port."""

    def __init__(self, port: int, requests: list[Request], at: float, keep_alive: bool) -> None:
        self._port = port
        self._requests = requests
        self._at = at
        self._keep_alive = keep_alive
        self._released: asyncio.Queue[tuple[Request, float] | None] = asyncio.Queue()
        self._answers: list[Answer] = []

    async def run(self, connections: int) -> list[Answer]:
        senders = [asyncio.create_task(self._send()) for _ in range(connections)]
        for request in self._requests:
            wait = self._at + request.due - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            self._released.put_nowait((request, time.monotonic()))
        for _ in senders:
            self._released.put_nowait(None)
        await asyncio.gather(*senders)
        return sorted(self._answers, key=lambda one: one.due)

    async def _send(self) -> None:
        """Send what is released, one request after the other."""
        connection: _Connection | None = None
        while (item := await self._released.get()) is not None:
            request, released = item
            sent = time.monotonic()
            status = 0
            if connection is not None and not connection.is_closed:
                status = await connection.answer_to(request.message)
            if not status:
                connection = await self._connect()
                if connection is not None:
                    status = await connection.answer_to(request.message)
            self._answers.append(
                Answer(
                    request.name,
                    self._at + request.due,
                    released,
                    sent,
                    time.monotonic(),
                    status,
                )
            )
            if connection is not None and not self._keep_alive:
                connection.close()
                connection = None
        if connection is not None:
            connection.close()

    async def _connect(self) -> _Connection | None:
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(_Connection, "127.0.0.1", self._port)
        except OSError:
            return None
        return connection


class _Connection(asyncio.Protocol):
    """A connection that carries one request at a time."""

    def __init__(self) -> None:
        self._transport: Any = None
        self._received = bytearray()
        self._answer: asyncio.Future[int] | None = None
        self.is_closed = False

    async def answer_to(self, message: bytes) -> int:
        """Send a request and return the status of its answer, 0 if there is none."""
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._answer = answer
        self._received.clear()
        self._transport.write(message)
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await answer
        except TimeoutError:
            self.close()
            return 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        status = status_of(self._received)
        if status:
            self._settle(status)

    def connection_lost(self, error: Exception | None) -> None:
        self.is_closed = True
        self._settle(0)

    def _settle(self, status: int) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(status)

    def close(self) -> None:
        self.is_closed = True
        self._transport.close()


def status_of(received: bytes | bytearray) -> int:
    """Status of an HTTP answer, 0 as long as it is not complete."""
    end = received.find(_END_OF_HEAD)
    if end < 0:
        return 0
    length = _CONTENT_LENGTH.search(bytes(received[:end]).lower())
    needed = end + len(_END_OF_HEAD) + (int(length[1]) if length else 0)
    return int(received[9:12]) if len(received) >= needed else 0
