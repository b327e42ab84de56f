"""Everything that runs in a benchmark of the live service: Redis, Label Studio, the service."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from backend.jobs.queue import JobKind
from backend.processes import Processes, own_command
from backend.service import Service
from backend.settings import load_settings
from backend.store.connection import RedisConnection
from backend.store.project import ProjectStore
from benchmarks.live.load import LoadProcess
from benchmarks.live.recorded import RecordedRequests
from benchmarks.live.studio import Studio, StudioProject, unused_port
from benchmarks.live.waiting import NeverHappenedError, wait_for

_SECRET = "a-shared-secret"
_COMMAND_SECONDS = 600


class Rig:
    """The service with its default settings beside a real Label Studio, each as processes.

    A context manager that stops all.

    Parameters
    ----------
    folder
        Folder for data and logs; its path must be short.
    num_people
        Annotators in Label Studio; 0 leaves Label Studio out.
    num_shared_tasks
        Tasks of a project that all parts of the benchmark use; 0 gives each its own.
    """

    def __init__(self, folder: Path, num_people: int, num_shared_tasks: int) -> None:
        self._folder = folder
        self._num_people = num_people
        self._num_shared_tasks = num_shared_tasks
        self._shared: StudioProject | None = None
        self._open = ExitStack()
        self._studio: Studio | None = None

    def __enter__(self) -> Rig:
        try:
            self._start()
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(self, *unused: object) -> None:
        self._open.close()

    def _start(self) -> None:
        processes = self._open.enter_context(Processes())
        values = {"CROWDLAB_DATA_DIR": str(self._folder), "WEBHOOK_SECRET": _SECRET}
        if self._num_people:
            self._studio = Studio(self._folder / "studio", processes, self._num_people)
            self._open.callback(self._studio.close)
            values |= {
                "LABEL_STUDIO_URL": self._studio.url,
                "LABEL_STUDIO_API_KEY": self._studio.token,
            }
        self.port = unused_port()
        settings = load_settings(
            port=self.port,
            webhook_secret=_SECRET,
            data_dir=self._folder,
            redis_url="",
            label_studio_url=values.get("LABEL_STUDIO_URL"),
            label_studio_api_key=values.get("LABEL_STUDIO_API_KEY"),
        )
        connection = self._open.enter_context(RedisConnection(settings, own=True))
        self.service = Service(settings, connection.redis)
        self._open.callback(self.service.close)
        self._environment = {
            **os.environ,
            **values,
            "PORT": str(self.port),
            "REDIS_URL": connection.url,
        }
        parts = self._open.enter_context(Processes())
        for kind in JobKind:
            command = own_command("worker", "--only", kind.value)
            log = self._folder / f"{kind.value}.log"
            parts.start(f"{kind.value} worker", command, self._environment, log)
        parts.start("web", own_command("web"), self._environment, self._folder / "web.log")
        wait_for(self._is_up, 60, "the web application answers")
        self.requests = RecordedRequests(self.port, _SECRET)
        self.load = self._open.enter_context(LoadProcess())

    def _is_up(self) -> bool:
        url = f"http://127.0.0.1:{self.port}/health"
        try:
            is_up = httpx.get(url, timeout=5, trust_env=False).is_success
        except httpx.HTTPError:
            return False
        return is_up and all(self.service.queue.num_workers(kind) for kind in JobKind)

    @property
    def studio(self) -> Studio:
        """Label Studio."""
        assert self._studio is not None
        return self._studio

    @property
    def has_studio(self) -> bool:
        """Whether Label Studio runs."""
        return self._studio is not None

    def store(self, project: int) -> ProjectStore:
        """One project's part of the store."""
        return self.service.store(project)

    @contextmanager
    def project(self, num_tasks: int) -> Iterator[StudioProject]:
        """Let a part of the benchmark use a project that is connected as its owner would.

        Each part has one of its own, which costs nothing any more when the part has ended,
        unless they all share one.
        """
        if self._num_shared_tasks:
            self._shared = self._shared or self._connected_project(self._num_shared_tasks)
            yield self._shared
            return
        project = self._connected_project(num_tasks)
        yield project
        self._crowdlab("disconnect", str(project.id))

    def _connected_project(self, num_tasks: int) -> StudioProject:
        project = self.studio.add_project("Load", self.requests.label_config, num_tasks)
        self._crowdlab("connect", str(project.id))
        return project

    def _crowdlab(self, *arguments: str) -> None:
        done = subprocess.run(
            own_command(*arguments),
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=_COMMAND_SECONDS,
            check=False,
        )
        if done.returncode:
            said = " ".join((done.stderr or done.stdout).split())[-500:]
            raise NeverHappenedError(f"`crowdlab {' '.join(arguments)}` failed: {said}")
