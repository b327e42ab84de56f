"""A PostgreSQL server of our own, for a Label Studio that keeps its data there."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from backend.web.server import free_port

_DEBIAN = Path("/usr/lib/postgresql")
_HOST = "127.0.0.1"
_USER = "postgres"
_PASSWORD = "a-password-of-the-tests"
_UNPRIVILEGED = "nobody"
_REMEDY = "install PostgreSQL (apt install postgresql)"


class NoPostgreSQLError(Exception):
    """There is no PostgreSQL here, or it does not start."""


def find_programs(folder: Path = _DEBIAN) -> Path | None:
    """Folder of PostgreSQL's server programs: from PATH, else Debian's newest; None without."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    releases = [one for one in folder.glob("*/bin") if (one / "initdb").exists()]
    return max(releases, key=lambda one: float(one.parent.name), default=None)


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """Run a server on the loopback interface, with an empty database, while the context lasts.

    It refuses to run as root; root lets it run as `nobody`.

    Parameters
    ----------
    folder
        Folder for its data; made here, in one that everybody may pass through.

    Yields
    ------
    str
        Address of the database, with user and password.

    Raises
    ------
    NoPostgreSQLError
        There is no PostgreSQL, or it does not start; the message says what to do.
    """
    programs = find_programs()
    if programs is None:
        raise NoPostgreSQLError(f"There is no PostgreSQL here: {_REMEDY}.")
    folder.mkdir(mode=0o700)
    is_root = os.geteuid() == 0
    if is_root:
        shutil.chown(folder, _UNPRIVILEGED)
    password = folder / "password"
    password.write_text(_PASSWORD)
    password.chmod(0o644)  # of nobody's folder

    def run(*command: str | Path) -> None:
        _run(command, folder, _UNPRIVILEGED if is_root else None)

    data, log, port = folder / "data", folder / "log", free_port(_HOST, 5460)
    secret = ("--auth", "scram-sha-256", "--pwfile", password)
    run(programs / "initdb", "-D", data, "--username", _USER, "--no-sync", *secret)
    options = f"-c listen_addresses={_HOST} -c port={port} -c unix_socket_directories= -c fsync=off"
    control = (programs / "pg_ctl", "-D", data, "--wait")
    run(*control, "--log", log, "--options", options, "start")
    try:
        yield f"postgresql://{_USER}:{_PASSWORD}@{_HOST}:{port}/{_USER}"
    finally:
        run(*control, "--mode", "fast", "stop")


def _run(command: Sequence[str | Path], folder: Path, user: str | None) -> None:
    # A pipe would stay open in the server that pg_ctl leaves behind.
    with (folder / "said").open("ab") as said:
        done = subprocess.run(
            command,
            cwd=folder,
            user=user,
            extra_groups=[] if user else None,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        last = " ".join((folder / "said").read_text(errors="replace").split())[-600:]
        raise NoPostgreSQLError(f"{Path(command[0]).name} failed: {last}")
