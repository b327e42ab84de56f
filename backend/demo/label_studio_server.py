"""A Label Studio of our own: its environment, its process, its users."""

from __future__ import annotations

import os
import re
import subprocess
import time
import venv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from backend.errors import CrowdlabError, LabelStudioError
from backend.processes import Processes
from backend.progress import Progress, silent

REQUIREMENTS = Path(__file__).with_name("label-studio-requirements.txt")
"""Full lock of Label Studio's environment."""

_START_SECONDS = 600.0


class DemoError(CrowdlabError):
    """The demonstration cannot be set up."""


@dataclass(frozen=True)
class Account:
    """A Label Studio user who can log in."""

    email: str
    password: str


def ensure_environment(folder: Path, progress: Progress = silent) -> Path:
    """Return the `label-studio` program of an environment, made first if it is missing.

    Raises
    ------
    DemoError
        The installation failed; the message holds pip's last words.
    """
    program = folder / "bin" / "label-studio"
    complete = folder / ".complete"
    wanted = REQUIREMENTS.read_text()
    if complete.exists() and complete.read_text() == wanted and program.exists():
        return program.absolute()
    progress("Installing Label Studio (a minute or two)", 0, None)
    venv.create(folder, with_pip=True, clear=True)
    command = [
        str(folder / "bin" / "python"),
        *("-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
        *("--no-deps", "--require-hashes", "--requirement", str(REQUIREMENTS)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        last = " ".join(done.stderr.split())[-600:]
        raise DemoError(
            f"Label Studio could not be installed into {folder}: {last}",
            "Check that pip can reach a package index, then run this again.",
        )
    complete.write_text(wanted)
    progress("Installing Label Studio (a minute or two)", 1, 1)
    return program.absolute()


class LabelStudioServer:
    """A running Label Studio that asks nothing of the outside.

    Parameters
    ----------
    program
        The `label-studio` program.
    folder
        Folder for its data and log.
    port
        Port on the loopback interface; must be free.
    admin
        First user, made at the first start.
    calls_local_addresses
        Whether it may call ML backends and webhooks in local networks, which it does not by
        default.
    database
        Its own variables that name a database (`DJANGO_DB`, `POSTGRE_…`); None means SQLite in
        its folder.
    """

    def __init__(
        self,
        program: Path,
        folder: Path,
        port: int,
        admin: Account,
        *,
        calls_local_addresses: bool = True,
        database: Mapping[str, str] | None = None,
    ) -> None:
        self._program = program
        self._folder = folder.absolute()
        self._port = port
        self._admin = admin
        self._calls_local_addresses = calls_local_addresses
        self._database = dict(database or {})
        self.url = f"http://localhost:{port}"
        self.log = self._folder / "label-studio.log"

    def start(self, processes: Processes, progress: Progress = silent) -> None:
        """Start it and wait until it answers.

        Raises
        ------
        DemoError
            It does not; the message names its log.
        """
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        command = [
            str(self._program),
            *("start", "--no-browser", "--port", str(self._port)),
            *("--internal-host", "127.0.0.1", "--host", self.url),
        ]
        processes.start("Label Studio", command, self._environment(), self.log)
        began = time.monotonic()
        while not self._is_up():
            waited = time.monotonic() - began
            progress("Starting Label Studio", int(waited), None)
            if waited > _START_SECONDS or not processes.is_running("Label Studio"):
                raise DemoError(
                    f"Label Studio did not start within {waited:.0f} s.",
                    f"Its log is {self.log}; the last line says: {_last_line(self.log)}",
                )
            time.sleep(0.3)
        progress("Starting Label Studio", 1, 1)

    def _environment(self) -> dict[str, str]:
        """Everything it reads; nothing of ours leaks into it."""
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "TZ") if name in os.environ}
        # Both settings block the loopback interface, on which this service listens.
        local = ("ML_BLOCK_LOCAL_IP", "SSRF_PROTECTION_ENABLED")
        allowed = dict.fromkeys(local, "false") if self._calls_local_addresses else {}
        return (
            kept
            | allowed
            | self._database
            | {
                "HOME": str(self._folder),
                "LABEL_STUDIO_BASE_DATA_DIR": str(self._folder / "data"),
                "LABEL_STUDIO_USERNAME": self._admin.email,
                "LABEL_STUDIO_PASSWORD": self._admin.password,
                # No request leaves the machine.
                "LATEST_VERSION_CHECK": "false",
                "COLLECT_ANALYTICS": "false",
                "SENTRY_DSN": "",
                "FRONTEND_SENTRY_DSN": "",
                # Refuse predictions that do not fit instead of dropping them.
                "fflag_feat_utc_210_prediction_validation_15082025": "true",
            }
        )

    def _is_up(self) -> bool:
        try:
            url = f"http://127.0.0.1:{self._port}/health"
            return httpx.get(url, timeout=5, trust_env=False).is_success
        except httpx.HTTPError:
            return False

    def personal_access_token(self, account: Account) -> str:
        """Make a personal access token; Label Studio shows it this once.

        Raises
        ------
        LabelStudioError
            The user has one already, or cannot log in.
        """
        with self._session(account) as session:
            answer = session.post("/api/token/", headers=_csrf(session))
        if answer.status_code != 201:
            raise LabelStudioError(
                f"Label Studio made no personal access token for {account.email}: "
                f"{answer.status_code} {answer.text[:200]}"
            )
        return str(answer.json()["token"])

    def _browser(self) -> httpx.Client:
        """Client that keeps cookies, as a browser does."""
        url = f"http://127.0.0.1:{self._port}"
        return httpx.Client(base_url=url, timeout=60, trust_env=False)

    @contextmanager
    def _session(self, account: Account) -> Iterator[httpx.Client]:
        """Client that is logged in."""
        with self._browser() as session:
            session.get("/user/login/")
            form = {"email": account.email, "password": account.password}
            answer = session.post("/user/login/", data=form | _token(session))
            if answer.status_code != 302:
                raise LabelStudioError(f"Label Studio does not let {account.email} log in.")
            yield session

    def sign_up(self, admin: Account, account: Account) -> int:
        """Make a user who can log in, through the sign-up page, and return their id."""
        with self._session(admin) as session:
            link = session.get("/api/invite").json()["invite_url"]
        with self._browser() as session:
            session.get(link)
            form = {
                "email": account.email,
                "password": account.password,
                "allow_newsletters": "false",
            }
            answer = session.post(link, data=form | _token(session))
            if answer.status_code != 302:
                said = re.sub(r"<[^>]*>|\s+", " ", answer.text)[-300:]
                raise LabelStudioError(f"{account.email} could not sign up: {said}")
            return int(session.get("/api/current-user/whoami").json()["id"])


def _csrf(session: httpx.Client) -> dict[str, str]:
    return {"X-CSRFToken": session.cookies["csrftoken"]}


def _token(session: httpx.Client) -> dict[str, str]:
    return {"csrfmiddlewaretoken": session.cookies["csrftoken"]}


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return next((line for line in reversed(lines) if line.strip()), "(nothing)")
