"""A real Label Studio, the service beside it, and projects in it."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page

from backend.connect import disconnect_project
from backend.demo.label_studio_server import Account, LabelStudioServer
from backend.errors import ProjectNotFoundError
from backend.jobs.queue import JobKind
from backend.label_studio.client import LabelStudioClient
from backend.processes import Processes, own_command
from backend.service import Service
from backend.settings import load_settings
from backend.store.connection import RedisConnection
from benchmarks.live.studio import unused_port
from tests.e2e.environment import database, label_studio

ADMIN = Account("admin@example.com", "admin-password-1")
CONFIG = (
    '<View><Text name="text" value="$text"/><Choices name="label" toName="text" choice="single">'
    '<Choice value="positive"/><Choice value="negative"/><Choice value="neutral"/></Choices></View>'
)


def wait_for(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """First true value of a condition; fails when it stays false too long."""
    deadline = time.monotonic() + seconds
    while True:
        if value := condition():
            return value
        assert time.monotonic() < deadline, f"still false after {seconds} s"
        time.sleep(0.05)


@dataclass
class Projects:
    """Those that tests have made and not left yet, and the service that may know them."""

    made: list[int] = field(default_factory=list)
    service: Service | None = None

    def leave(self, num_kept: int) -> None:
        """Let the service not look after more and more projects, the longer the session lasts."""
        while len(self.made) > num_kept:
            number = self.made.pop()
            if self.service is not None:
                with suppress(ProjectNotFoundError):
                    disconnect_project(self.service, number)


@dataclass
class Studio:
    """A running Label Studio."""

    server: LabelStudioServer
    api_key: str
    client: LabelStudioClient
    people: dict[str, int] = field(default_factory=dict)
    clients: dict[str, LabelStudioClient] = field(default_factory=dict)
    projects: Projects = field(default_factory=Projects)

    @property
    def url(self) -> str:
        return self.server.url

    def person(self, name: str) -> int:
        """Id of a user who can log in, made when first named."""
        if name not in self.people:
            self.people[name] = self.server.sign_up(ADMIN, self.account(name))
        return self.people[name]

    def account(self, name: str) -> Account:
        return Account(f"{name}@example.com", "annotator-password-1")

    def as_person(self, name: str) -> LabelStudioClient:
        """Client that acts with the person's own token."""
        self.person(name)
        if name not in self.clients:
            token = self.server.personal_access_token(self.account(name))
            self.clients[name] = LabelStudioClient(self.url, token)
        return self.clients[name]

    def close(self) -> None:
        for client in (self.client, *self.clients.values()):
            client.close()

    def make_project(self, config: str = CONFIG, title: str = "Test project") -> int:
        number = self.client.create_project(title, config, overlap=3)
        self.projects.made.append(number)
        return number

    def add_tasks(
        self, project: int, labels: list[dict[str, str]], control: str = "label"
    ) -> list[int]:
        """Add a text task per entry; an entry maps people to their choice."""
        return self.add_answers(
            project,
            [
                (
                    {"text": f"{'/'.join(sorted(set(entry.values())))} thing number {number}"},
                    {name: choice_result(choice, control) for name, choice in entry.items()},
                )
                for number, entry in enumerate(labels)
            ],
        )

    def add_answers(
        self, project: int, tasks: list[tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]]
    ) -> list[int]:
        """Add tasks, each given by its data and by people's results."""
        plain = [
            {
                "data": data,
                "annotations": [
                    {
                        "completed_by": self.person(name),
                        "ground_truth": False,
                        "result": result,
                    }
                    for name, result in results.items()
                ],
            }
            for data, results in tasks
        ]
        return self.client.import_tasks(project, plain)

    def annotate(self, task: int, name: str, choice: str) -> int:
        """Submit an annotation with the person's own token."""
        body = {"result": choice_result(choice)}
        path = f"api/tasks/{task}/annotations/"
        return int(self.as_person(name)._request("POST", path, body=body)["id"])

    def predictions(self, project: int) -> dict[int, list[dict[str, Any]]]:
        """All predictions of a project by task."""
        found: dict[int, list[dict[str, Any]]] = {}
        for one in self.client._request("GET", "api/predictions/", params={"project": project}):
            del one["created_ago"]  # in words, such as `1 minute`
            found.setdefault(one["task"], []).append(one)
        return found


def choice_result(choice: str, control: str = "label") -> list[dict[str, Any]]:
    return [
        {
            "from_name": control,
            "to_name": "text",
            "type": "choices",
            "value": {"choices": [choice]},
        }
    ]


@pytest.fixture(scope="session")
def projects() -> Projects:
    """Projects of the session."""
    return Projects()


@pytest.fixture(scope="module", autouse=True)
def _leave_the_projects_of_a_module(projects: Projects) -> Iterator[None]:
    num_kept = len(projects.made)
    yield
    projects.leave(num_kept)


@pytest.fixture(autouse=True)
def _leave_the_projects_of_a_test(projects: Projects) -> Iterator[None]:
    num_kept = len(projects.made)
    yield
    projects.leave(num_kept)


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory, projects: Projects) -> Iterator[Studio]:
    """Label Studio for the session, with nothing but its administrator in it."""
    folder = tmp_path_factory.mktemp("studio")
    server = LabelStudioServer(label_studio(), folder, unused_port(), ADMIN, database=database())
    with Processes() as processes:
        server.start(processes)
        key = server.personal_access_token(ADMIN)
        studio = Studio(server, key, LabelStudioClient(server.url, key), projects=projects)
        yield studio
        studio.close()


@dataclass
class Running:
    """The service, running as a user runs it."""

    service: Service
    environment: dict[str, str]
    folder: Path


@pytest.fixture(scope="session")
def running(studio: Studio, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Web application and worker as processes of their own, beside Label Studio."""
    folder = tmp_path_factory.mktemp("s")
    port = unused_port()
    values = {
        "LABEL_STUDIO_URL": studio.url,
        "LABEL_STUDIO_API_KEY": studio.api_key,
        "PORT": str(port),
        "WEBHOOK_SECRET": "a-shared-secret",
        "CROWDLAB_RECONCILE_SECONDS": "5",
        "CROWDLAB_RECOMPUTE_DELAY_SECONDS": "2",
        "CROWDLAB_PRED_PROBS_KEY": "pred_probs",
        "CROWDLAB_DATA_DIR": str(folder),
    }
    settings = load_settings(
        label_studio_url=studio.url,
        label_studio_api_key=studio.api_key,
        port=port,
        webhook_secret="a-shared-secret",
        data_dir=folder,
    )
    with RedisConnection(settings) as connection, Processes() as processes:
        environment = {**os.environ, **values, "REDIS_URL": connection.url}
        for kind in JobKind:
            command = own_command("worker", "--only", kind.value)
            processes.start(kind.value, command, environment, folder / f"{kind.value}.log")
        processes.start("web", own_command("web"), environment, folder / "web.log")
        wait_for(lambda: _is_up(settings.public_url), 60)
        service = Service(settings, connection.redis)
        studio.projects.service = service
        yield Running(service, environment, folder)
        studio.projects.service = None
        service.close()


def _is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=2).is_success
    except httpx.HTTPError:
        return False


@pytest.fixture(scope="module")
def studio_page(browser: Browser, studio: Studio) -> Page:
    """A browser window in which the administrator is logged in."""
    window = browser.new_page(viewport={"width": 1440, "height": 900})
    window.set_default_timeout(60_000)
    window.goto(f"{studio.url}/user/login/")
    window.fill("input[name=email]", ADMIN.email)
    window.fill("input[name=password]", ADMIN.password)
    window.click("button[type=submit]")
    window.wait_for_url(f"{studio.url}/**")
    return window
