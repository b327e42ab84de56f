"""The health checks of containers, on real processes."""

import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from redis import Redis

from backend.health import UnhealthyError, check_web, check_worker
from backend.processes import Processes, own_command
from backend.service import Service
from backend.settings import load_settings
from backend.web.server import free_port
from tests.backend.jobs.test_worker import wait_for


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_the_web_application_is_well(redis_url: str, tmp_path: Path, host: str) -> None:
    settings = load_settings(host=host, port=free_port("127.0.0.1", 9090))
    with pytest.raises(UnhealthyError, match="does not answer"):
        check_web(settings)
    with Processes() as processes:
        environment = {"REDIS_URL": redis_url, "HOST": host, "PORT": str(settings.port)}
        processes.start("web", own_command("web"), environment, tmp_path / "web.log")
        wait_for(lambda: _is_well(lambda: check_web(settings)))


def _is_well(check: Callable[[], None]) -> bool:
    try:
        check()
    except UnhealthyError:
        return False
    return True


@pytest.fixture
def stranger() -> Iterator[int]:
    """Port of another program that answers everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"model_class": "AnotherModel"}')

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def test_another_program_at_the_port_is_named(stranger: int) -> None:
    with pytest.raises(UnhealthyError, match="another program: AnotherModel"):
        check_web(load_settings(port=stranger))


def test_a_worker_is_well_as_long_as_it_lives(
    redis: Redis, redis_url: str, make_service: Callable[..., Service], tmp_path: Path
) -> None:
    service = make_service()
    with pytest.raises(UnhealthyError, match="No worker"):
        check_worker(service)
    with Processes() as processes:
        command = own_command("worker", "--only", "write")
        processes.start("worker", command, {"REDIS_URL": redis_url}, tmp_path / "worker.log")
        wait_for(lambda: _is_well(lambda: check_worker(service)))
    with pytest.raises(UnhealthyError, match="No worker"):
        check_worker(service)


def test_a_worker_of_another_machine_does_not_count(
    redis: Redis,
    redis_url: str,
    make_service: Callable[..., Service],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service = make_service()
    with Processes() as processes:
        command = own_command("worker", "--only", "write")
        processes.start("worker", command, {"REDIS_URL": redis_url}, tmp_path / "worker.log")
        wait_for(service.queue.has_worker_here)
        monkeypatch.setattr(socket, "gethostname", lambda: "another-machine")
        with pytest.raises(UnhealthyError, match="No worker"):
            check_worker(service)
