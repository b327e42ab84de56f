"""A proxy before an HTTP server that loses, spoils, repeats or delays what goes through it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread, Timer
from typing import TypeAlias
from urllib.parse import urlsplit

Headers: TypeAlias = tuple[tuple[str, str], ...]

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}
_SECONDS = 120.0
_WEBHOOK = "/webhook"


@dataclass(frozen=True)
class Request:
    """What a client sent."""

    method: str
    path: str
    headers: Headers
    body: bytes


@dataclass(frozen=True)
class Answer:
    """What a client gets."""

    status: int
    headers: Headers = ()
    body: bytes = b""
    is_cut: bool = False
    """The connection closes after half of the body."""


Treatment: TypeAlias = "Callable[[Request, Proxy], Answer | None]"
"""Gives the answer to a request; None closes the connection without one."""


def plain(request: Request, proxy: Proxy) -> Answer | None:
    """Pass a request on, and the answer back."""
    return proxy.forward(request)


class Proxy:
    """Listens on the loopback interface and passes requests on; a context manager.

    Parameters
    ----------
    target
        Address of the server behind it.
    port
        Port to listen on; 0 takes any.
    """

    def __init__(self, target: str, port: int = 0) -> None:
        self.treat: Treatment = plain
        """How requests are treated; may be changed at any time."""
        self.closing = Event()
        """Set when the proxy stops, so that nobody waits on."""
        address = urlsplit(target)
        self._target = (address.hostname or "127.0.0.1", address.port or 80)
        self._late: set[Timer] = set()
        self._late_lock = Lock()
        self._server = _Server(("127.0.0.1", port), _handler_for(self))
        self.url = f"http://localhost:{self._server.server_port}"

    def forward(self, request: Request) -> Answer | None:
        """Send a request to the server; None if it gives no answer."""
        connection = HTTPConnection(*self._target, timeout=_SECONDS)
        try:
            connection.request(
                request.method, request.path, request.body, dict(_end_to_end(request.headers))
            )
            response = connection.getresponse()
            body = response.read()
            return Answer(response.status, _end_to_end(tuple(response.getheaders())), body)
        except (OSError, HTTPException):
            return None
        finally:
            connection.close()

    def forward_later(self, request: Request, seconds: float) -> None:
        """Send a request to the server after a while; nobody gets the answer."""

        def send() -> None:
            self.forward(request)
            with self._late_lock:
                self._late.discard(timer)

        timer = Timer(seconds, send)
        timer.daemon = True
        with self._late_lock:
            self._late.add(timer)
        timer.start()

    @property
    def num_late(self) -> int:
        """Number of requests that are still to be sent."""
        with self._late_lock:
            return len(self._late)

    def __enter__(self) -> Proxy:
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *unused: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        with self._late_lock:
            for timer in self._late:
                timer.cancel()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that hang up."""


def _handler_for(proxy: Proxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def handle_one_request(self) -> None:
            self.raw_requestline = self.rfile.readline(65_537)
            self.close_connection = True
            if not self.raw_requestline or not self.parse_request():
                return
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            request = Request(self.command, self.path, tuple(self.headers.items()), body)
            answer = proxy.treat(request, proxy)
            if answer is None:
                self.close_connection = True
            else:
                self._send(answer)

        def _send(self, answer: Answer) -> None:
            self.send_response_only(answer.status)
            for name, value in answer.headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            body = answer.body[: len(answer.body) // 2] if answer.is_cut else answer.body
            if self.command != "HEAD":
                self.wfile.write(body)
            self.close_connection |= answer.is_cut or proxy.closing.is_set()

    return Handler


def _end_to_end(headers: Headers) -> Headers:
    return tuple((name, value) for name, value in headers if name.lower() not in _HOP_BY_HOP)


def sometimes(treatment: Treatment, share: float, chance: random.Random) -> Treatment:
    """Treat a share of the requests so, and pass the others on."""

    def treat(request: Request, proxy: Proxy) -> Answer | None:
        return (treatment if chance.random() < share else plain)(request, proxy)

    return treat


def refused(status: int) -> Treatment:
    """Answer with an error; the server never sees the request."""

    def treat(request: Request, proxy: Proxy) -> Answer | None:
        return Answer(status, (("Content-Type", "text/html"),), b"<h1>An error page</h1>")

    return treat


def failed(status: int) -> Treatment:
    """Answer with an error although the server did what was asked."""

    def treat(request: Request, proxy: Proxy) -> Answer | None:
        proxy.forward(request)
        return refused(status)(request, proxy)

    return treat


def unheard(seconds: float) -> Treatment:
    """Give no answer for so long, and none then; the server never sees the request."""

    def treat(request: Request, proxy: Proxy) -> Answer | None:
        proxy.closing.wait(seconds)
        return None

    return treat


def unanswered(seconds: float) -> Treatment:
    """Give no answer for so long, and none then, although the server did what was asked."""

    def treat(request: Request, proxy: Proxy) -> Answer | None:
        proxy.forward(request)
        return unheard(seconds)(request, proxy)

    return treat


def overtaken(seconds: float) -> Treatment:
    """Pass a request on after so long, when its client has given up and asked again."""

    def treat(request: Request, proxy: Proxy) -> Answer | None:
        proxy.forward_later(request, seconds)
        return unheard(seconds)(request, proxy)

    return treat


def cut(request: Request, proxy: Proxy) -> Answer | None:
    """Close the connection after half of the answer's body."""
    answer = proxy.forward(request)
    if answer is None:
        return None
    return Answer(answer.status, answer.headers, answer.body, is_cut=True)


def delivered(*delays: float) -> Treatment:
    """Take an event, and deliver it once after each of these seconds; none loses it.

    Other requests are passed on.
    """

    def treat(request: Request, proxy: Proxy) -> Answer | None:
        if request.path != _WEBHOOK:
            return proxy.forward(request)
        for seconds in delays:
            proxy.forward_later(request, seconds)
        return Answer(201, (("Content-Type", "application/json"),), b"{}")

    return treat


def shuffled(seconds: float, chance: random.Random) -> Treatment:
    """Deliver each event after a time of its own, up to so many seconds."""

    def treat(request: Request, proxy: Proxy) -> Answer | None:
        return delivered(chance.uniform(0, seconds))(request, proxy)

    return treat


def at_random(treatments: tuple[Treatment, ...], chance: random.Random) -> Treatment:
    """Treat each request in one of several ways."""

    def treat(request: Request, proxy: Proxy) -> Answer | None:
        return chance.choice(treatments)(request, proxy)

    return treat
