"""A web server on this machine that serves contents well and badly."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Answer = Callable[[BaseHTTPRequestHandler], None]


def file(content: bytes, media_type: str = "image/png", **headers: str) -> Answer:
    """Answer with a file."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        if media_type:
            request.send_header("Content-Type", media_type)
        for name, value in ({"Content_Length": str(len(content))} | headers).items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(content)

    return answer


def status(code: int, **headers: str) -> Answer:
    """Answer with a status alone."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(code)
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return answer


def endless(media_type: str = "image/png") -> Answer:
    """Send without saying how much, and never end."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", media_type)
        request.end_headers()
        while True:
            request.wfile.write(b"\0" * 65_536)

    return answer


def drop_by_drop(*, in_head: bool) -> Answer:
    """Send a byte every tenth of a second, in the head or in the body."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        if in_head:
            request.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
        else:
            request.send_response(200)
            request.send_header("Content-Type", "image/png")
            request.end_headers()
        for _ in range(100):
            request.wfile.write(b"x")
            time.sleep(0.1)

    return answer


@dataclass
class Host:
    """What the server answers by path, and what it was asked."""

    port: int
    answers: dict[str, Answer] = field(default_factory=dict)
    otherwise: Answer = field(default_factory=lambda: status(404))
    """What it answers to other paths."""
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    most_at_once: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]


@contextmanager
def running_host(certificate: tuple[Path, Path] | None = None) -> Iterator[Host]:
    """Serve until the end of the block; encrypted, if there is a certificate with its key."""
    at_once = 0
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            nonlocal at_once
            with lock:
                at_once += 1
                host.most_at_once = max(host.most_at_once, at_once)
                host.asked.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
            try:
                host.answers.get(self.path, host.otherwise)(self)
            except OSError:
                pass  # the other side has heard enough
            finally:
                with lock:
                    at_once -= 1

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    host = Host(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield host
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
