"""Redis as the settings say."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.errors import StoreError
from backend.settings import load_settings
from backend.store.connection import RedisConnection, without_password
from backend.store.embedded import find_redis_server
from backend.web.server import free_port


@pytest.fixture
def guarded_port(tmp_path: Path) -> Iterator[int]:
    """Port of a redis-server with the password `right`."""
    port = free_port("127.0.0.1", 6390)
    command = [find_redis_server(), "--port", str(port), "--requirepass", "right", "--save", ""]
    server = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE)
    assert server.stdout is not None
    for line in server.stdout:
        if b"Ready to accept connections" in line:
            break
    yield port
    server.terminate()
    server.communicate(timeout=10)


@pytest.mark.parametrize("credentials", ["", ":wrong@"])
def test_a_refused_password_is_explained_without_showing_it(
    guarded_port: int, credentials: str
) -> None:
    url = f"redis://{credentials}127.0.0.1:{guarded_port}/0"
    with pytest.raises(StoreError, match="refuses the password") as raised:
        RedisConnection(load_settings(redis_url=url))
    assert "REDIS_URL" in raised.value.hint
    assert "wrong" not in str(raised.value)


def test_the_right_password_connects(guarded_port: int) -> None:
    url = f"redis://:right@127.0.0.1:{guarded_port}/0"
    with RedisConnection(load_settings(redis_url=url)) as connection:
        assert connection.redis.ping()
        assert not connection.owns_server
        connection.redis.close()


def test_a_server_that_is_not_there_is_explained() -> None:
    with pytest.raises(StoreError, match=r"127\.0\.0\.1:1/0 cannot be used") as raised:
        RedisConnection(load_settings(redis_url="redis://127.0.0.1:1/0"))
    assert ".." not in raised.value.message


def test_without_a_url_an_embedded_server_runs_as_long_as_the_connection(tmp_path: Path) -> None:
    with RedisConnection(load_settings(data_dir=tmp_path)) as connection:
        assert connection.owns_server
        connection.keep_running()
        assert connection.redis.ping()
        connection.redis.close()
    assert not (tmp_path / "redis" / "redis.sock").exists()


def test_passwords_are_cut_from_addresses() -> None:
    assert without_password("rediss://me:secret@host:1/0") == "rediss://***@host:1/0"
    assert without_password("redis://host/0") == "redis://host/0"
