"""Redis, Label Studio and the service as processes of their own, with proxies between."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
from redis import Redis
from redis.exceptions import RedisError

from backend.demo.label_studio_server import Account, LabelStudioServer, ensure_environment
from backend.jobs.queue import JobKind
from backend.processes import Processes, ProcessFailedError, own_command
from backend.service import Service
from backend.settings import load_settings
from backend.store.connection import connect
from backend.store.embedded import find_redis_server
from backend.web.server import free_port
from benchmarks.faults.annotators import (
    CLASSES,
    CONFIG,
    JSON,
    Ledger,
    Person,
    drawn_choice,
    read_annotations,
    result_of,
)
from benchmarks.faults.proxy import Proxy
from tests.e2e.environment import FOLDER

WORKERS = tuple(f"{kind.value}-{number}" for kind in JobKind for number in (1, 2))
"""Names of the workers: two for each kind of job, so that they race."""
WEB = "web"
REDIS = "redis"
LABEL_STUDIO = "Label Studio"
CAMPAIGN = "faults"
COMMANDS = "commands"
"""Not programs, but they have logs as well."""

TIMEOUT_SECONDS = 4
"""How long the service waits for an answer of Label Studio."""

_ADMIN = Account("admin@example.com", "admin-password-1")
_NUM_PEOPLE = 4
_NUM_TASKS = 60
_LABELS_AT_FIRST = 2
_SECRET = "a-shared-secret"
_WORDS = {
    "positive": ("lovely", "splendid", "cheerful", "sound"),
    "negative": ("dreadful", "broken", "dull", "sour"),
    "neutral": ("plain", "usual", "middling", "grey"),
}


class Programs(Processes):
    """Programs whose process can be found by name."""

    def pid(self, name: str) -> int:
        """Process of a program."""
        return next(one.process.pid for one in self._programs if one.name == name)


@dataclass(frozen=True)
class Project:
    """A project in Label Studio, with what is in it from the start."""

    id: int
    truth: dict[int, str]
    """Right label of each task."""
    ledger: Ledger


class Stack:
    """Everything that runs; a context manager that ends it all.

    Parameters
    ----------
    folder
        Folder for data and logs; its path must be short.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.surrenders: list[str] = []
        """Why the service ended altogether, where `crowdlab start` would have."""
        self._redis_programs = Programs()
        self._studio_programs = Programs()
        self._programs = Programs()
        self._open = ExitStack()

    def __enter__(self) -> Stack:
        try:
            self._start()
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(self, *unused: object) -> None:
        self._open.close()

    def _start(self) -> None:
        host = "127.0.0.1"
        redis_port = free_port(host, 6395)
        self._start_redis(redis_port)
        self.redis = connect(f"redis://{host}:{redis_port}/0")
        self._open.callback(self.redis.close)

        studio_port = free_port(host, 8395)
        program = ensure_environment(FOLDER)
        server = LabelStudioServer(program, self.folder / "studio", studio_port, _ADMIN)
        self._open.enter_context(self._studio_programs)
        server.start(self._studio_programs)
        token = server.personal_access_token(_ADMIN)
        self.admin = self._person(server.url, token)
        self.people = [
            self._person(server.url, self._signed_up(server, number))
            for number in range(_NUM_PEOPLE)
        ]

        self.answers = self._open.enter_context(Proxy(server.url))
        port = free_port(host, 9395)
        self.events = self._open.enter_context(Proxy(f"http://{host}:{port}"))
        self.environment = {
            **os.environ,
            "LABEL_STUDIO_URL": self.answers.url,
            "LABEL_STUDIO_API_KEY": token,
            "LABEL_STUDIO_TIMEOUT": str(TIMEOUT_SECONDS),
            "PORT": str(port),
            "BACKEND_URL": self.events.url,
            "WEBHOOK_SECRET": _SECRET,
            "REDIS_URL": f"redis://{host}:{redis_port}/0",
            "CROWDLAB_DATA_DIR": str(self.folder),
            "LOG_LEVEL": "DEBUG",
            "CROWDLAB_RECONCILE_SECONDS": "5",
            "CROWDLAB_RECOMPUTE_DELAY_SECONDS": "2",
            # So that both ways to write back are taken.
            "CROWDLAB_PUBLISH_SECONDS": "5",
            "CROWDLAB_AMEND_LIMIT": "20",
        }
        # Label Studio itself, not through the proxy: for those who look whether all is well.
        settings = load_settings(label_studio_url=server.url, label_studio_api_key=token)
        self.service = Service(settings, self.redis)
        self._open.callback(self.service.close)
        self._open.callback(self._stop_service)
        self._start_service()

    def _start_redis(self, port: int) -> None:
        folder = self.folder / "redis"
        folder.mkdir()
        command = [find_redis_server(), "--port", str(port), "--bind", "127.0.0.1"]
        command += ["--dir", str(folder), "--appendonly", "yes", "--save", ""]
        self._open.enter_context(self._redis_programs)
        self._redis_programs.start(REDIS, command, os.environ, self.log(REDIS))
        self._wait_for_redis(port)
        self._redis_port = port

    def _wait_for_redis(self, port: int) -> None:
        deadline = time.monotonic() + 15
        with Redis(port=port, socket_timeout=5) as redis:
            while time.monotonic() < deadline:
                with suppress(RedisError):
                    if redis.ping():
                        return
                time.sleep(0.05)
        raise TimeoutError(f"redis-server does not answer; its log is {self.log(REDIS)}")

    def _start_service(self) -> None:
        for name in WORKERS:
            kind = name.partition("-")[0]
            command = own_command("worker", "--only", kind)
            self._programs.start(name, command, self.environment, self.log(name))
        self._programs.start(WEB, own_command("web"), self.environment, self.log(WEB))

    def _stop_service(self) -> None:
        """Stop its programs, all at once."""
        for name in (*WORKERS, WEB):
            with suppress(ProcessLookupError):
                self.signal(name, signal.SIGTERM)
        self._programs.stop()

    def _person(self, url: str, token: str) -> Person:
        person = Person(url, token)
        self._open.callback(person.close)
        return person

    def _signed_up(self, server: LabelStudioServer, number: int) -> str:
        """Token of a new user."""
        account = Account(f"person-{number}@example.com", "annotator-password-1")
        server.sign_up(_ADMIN, account)
        return server.personal_access_token(account)

    def log(self, name: str) -> Path:
        """Output of a program, or what else there is to read."""
        if name == LABEL_STUDIO:
            return self.folder / "studio" / "label-studio.log"
        return self.folder / f"{name}.log"

    def logs(self) -> list[Path]:
        """Output of all programs."""
        names = (CAMPAIGN, COMMANDS, *WORKERS, WEB, REDIS, LABEL_STUDIO)
        return [self.log(name) for name in names if self.log(name).exists()]

    def kill(self, name: str) -> None:
        """Kill a program (SIGKILL); `run` starts it again."""
        self.signal(name, signal.SIGKILL)

    def kill_child(self, name: str) -> None:
        """Kill a program's first child process, or the program if it has none."""
        pid = self._pid(name)
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        os.kill(int(children[0]) if children else pid, signal.SIGKILL)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a program."""
        os.kill(self._pid(name), number)

    def _pid(self, name: str) -> int:
        programs = {REDIS: self._redis_programs, LABEL_STUDIO: self._studio_programs}
        return programs.get(name, self._programs).pid(name)

    def command(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Run a `crowdlab` command beside the service; its output goes to a log."""
        with self.log(COMMANDS).open("ab") as output:
            return subprocess.Popen(
                own_command(*arguments),
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def run(self, seconds: float) -> None:
        """Let everything run for a while, as `crowdlab start` does: what ended is restarted."""
        deadline = time.monotonic() + seconds
        while True:
            self._restart_what_ended()
            left = deadline - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, 0.1))

    def _restart_what_ended(self) -> None:
        is_up = self._redis_programs.is_running(REDIS)
        self._redis_programs.check()
        if not is_up:
            self._wait_for_redis(self._redis_port)
        self._studio_programs.check()
        try:
            self._programs.check()
        except ProcessFailedError as error:
            self.surrenders.append(str(error))
            self._stop_service()
            self._start_service()

    def make_project(self, chance: random.Random) -> Project:
        """Make a project with a few labels in it, and connect it.

        Raises
        ------
        RuntimeError
            It cannot be connected.
        """
        body = {"title": "Faults", "label_config": CONFIG, "maximum_annotations": _NUM_PEOPLE}
        number = int(self.admin.request("POST", "/api/projects/", body)["id"])
        labels = [chance.choice(CLASSES) for _ in range(_NUM_TASKS)]
        tasks = [self._new_task(place, label, chance) for place, label in enumerate(labels)]
        path = f"/api/projects/{number}/import"
        made = self.admin.request("POST", path, tasks, {"return_task_ids": True})["task_ids"]
        truth = dict(zip(map(int, made), labels, strict=True))
        ledger = read_annotations(self.admin.tasks(number))
        self._connect(number)
        return Project(number, truth, ledger)

    def _new_task(self, place: int, label: str, chance: random.Random) -> JSON:
        words = chance.choices(_WORDS[label], k=3)
        chosen = chance.sample(range(len(self.people)), _LABELS_AT_FIRST)
        return {
            "data": {"text": f"{' '.join(words)} thing number {place}"},
            "annotations": [
                {
                    "completed_by": self.people[who].id,
                    "ground_truth": False,
                    "result": result_of(drawn_choice(label, who, chance)),
                }
                for who in chosen
            ],
        }

    def _connect(self, project: int) -> None:
        deadline = time.monotonic() + 60
        while not self._web_answers() and time.monotonic() < deadline:
            self.run(0.2)
        while True:
            done = self.command("connect", str(project))
            while done.poll() is None:
                self.run(0.2)
            if done.returncode == 0:
                return
            if time.monotonic() > deadline:
                raise RuntimeError(
                    f"project {project} cannot be connected; see {self.log('commands')}"
                )
            self.run(0.5)

    def _web_answers(self) -> bool:
        try:
            return httpx.get(f"{self.events.url}/health", timeout=5, trust_env=False).is_success
        except httpx.HTTPError:
            return False
