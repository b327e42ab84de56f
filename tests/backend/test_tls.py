"""Encrypted connections to Redis and Label Studio, whose certificates are checked."""

import json
import ssl
import subprocess
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from backend.errors import LabelStudioUnreachableError, SettingsError, StoreError
from backend.label_studio.client import LabelStudioClient
from backend.processes import die_with_parent
from backend.settings import load_settings
from backend.store.connection import RedisConnection
from benchmarks.live.studio import unused_port
from tests.redis_servers import REDIS_7
from tests.tls import Certificates, make_certificates

LEGACY_TOKEN = "0" * 40


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def redis_url(
    certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Address of a redis-server that speaks TLS only."""
    program = REDIS_7.find()
    assert program is not None, REDIS_7.missing
    port = unused_port()
    command = [program, "--port", "0", "--tls-port", str(port), "--tls-auth-clients", "no"]
    command += ["--tls-cert-file", str(certificates.certificate)]
    command += ["--tls-key-file", str(certificates.key), "--bind", "127.0.0.1", "--save", ""]
    folder = tmp_path_factory.mktemp("redis")
    server = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, preexec_fn=die_with_parent
    )
    url = f"rediss://127.0.0.1:{port}/0"
    settings = load_settings(redis_url=url, ca_file=certificates.authority)
    deadline = time.monotonic() + 20
    while True:
        try:
            RedisConnection(settings).close()
            break
        except StoreError:
            assert server.poll() is None, "this redis-server was built without TLS"
            assert time.monotonic() < deadline
            time.sleep(0.05)
    yield url
    server.terminate()
    server.wait()


def test_redis_is_spoken_to_over_tls(redis_url: str, certificates: Certificates) -> None:
    settings = load_settings(
        redis_url=redis_url,
        data_redis_url=redis_url.replace("/0", "/1"),
        ca_file=certificates.authority,
    )
    with RedisConnection(settings) as connection:
        connection.redis.set("key", "value")
        connection.data.set("other", "value")
        assert connection.redis.get("key") == b"value"
        assert connection.redis.get("other") is None


def test_a_redis_of_an_unknown_authority_is_refused(redis_url: str) -> None:
    with pytest.raises(StoreError, match="certificate verify failed"):
        RedisConnection(load_settings(redis_url=redis_url))


class _LabelStudio(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"email": "admin@example.com"}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def studio_url(certificates: Certificates) -> Iterator[str]:
    """Address of what answers like Label Studio, behind TLS."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _LabelStudio)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate, certificates.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_label_studio_is_spoken_to_over_tls(studio_url: str, certificates: Certificates) -> None:
    client = LabelStudioClient(studio_url, LEGACY_TOKEN, ca_file=certificates.authority)
    assert client.current_user() == {"email": "admin@example.com"}
    client.close()


def test_a_label_studio_of_an_unknown_authority_is_refused(studio_url: str) -> None:
    client = LabelStudioClient(studio_url, LEGACY_TOKEN, timeout=5)
    with pytest.raises(LabelStudioUnreachableError, match="CROWDLAB_CA_FILE"):
        client.current_user()
    client.close()


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_without_certificates_is_refused(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "authority.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SettingsError, match="holds no certificates"):
        load_settings(ca_file=path)
