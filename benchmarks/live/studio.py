"""A real Label Studio with people who annotate and projects of theirs."""

from __future__ import annotations

import json
import re
import socket
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
from numpy.random import Generator

from backend.demo.label_studio_server import Account, LabelStudioServer, ensure_environment
from backend.label_studio.client import LabelStudioClient
from backend.processes import Processes
from benchmarks.live.load import http_message
from benchmarks.live.studio_database import StudioDatabase
from tests.e2e.environment import FOLDER

CHOICES = ("positive", "negative", "neutral")
LABELS_PER_TASK = 3

_ADMIN = Account("admin@example.com", "admin-password-1")
_TASKS_PER_IMPORT = 500
_WORDS = {
    "positive": ("lovely", "splendid", "cheerful", "sound"),
    "negative": ("dreadful", "broken", "dull", "sour"),
    "neutral": ("plain", "usual", "middling", "grey"),
}
_REQUEST = re.compile(r'^\[(?P<moment>[^\]]+)\].*?"(?P<request>(?P<method>[A-Z]+) (?P<path>\S+))')


@dataclass(frozen=True)
class Person:
    """A user of Label Studio."""

    id: int
    token: str
    """Personal access token."""
    skill: float
    """Share of right labels."""


@dataclass
class StudioProject:
    """A project whose tasks some people have labelled."""

    id: int
    truth: dict[int, str]
    """Right choice by task."""
    annotators: dict[int, list[Person]]
    """Who has labelled a task."""
    random: Generator = field(repr=False)
    num_taken: int = 0

    def take(self, number: int) -> list[int]:
        """Ids of tasks that nobody else has taken."""
        taken = sorted(self.truth)[self.num_taken : self.num_taken + number]
        self.num_taken += number
        return taken

    def choice_by(self, person: Person, task: int) -> str:
        """What a person says of a task."""
        return drawn_choice(self.random, self.truth[task], person.skill)


class Studio:
    """A running Label Studio.

    Parameters
    ----------
    folder
        Folder for its data and log.
    processes
        Starts and stops it.
    num_people
        Users to make besides the administrator.
    """

    def __init__(self, folder: Path, processes: Processes, num_people: int) -> None:
        self.port = unused_port()
        self._server = LabelStudioServer(ensure_environment(FOLDER), folder, self.port, _ADMIN)
        self._server.start(processes)
        self.url = self._server.url
        self.token = self._server.personal_access_token(_ADMIN)
        self._client = LabelStudioClient(self.url, self.token)
        self.version = self._client.version()
        self.database = StudioDatabase(folder / "data" / "label_studio.sqlite3")
        skills = np.linspace(0.95, 0.6, num_people)
        self.people = [self._new_person(place, float(one)) for place, one in enumerate(skills)]

    def close(self) -> None:
        """Close what is open to it; it runs on."""
        self._client.close()
        self.database.close()

    def _new_person(self, place: int, skill: float) -> Person:
        account = Account(f"person-{place}@example.com", "annotator-password-1")
        number = self._server.sign_up(_ADMIN, account)
        return Person(number, self._server.personal_access_token(account), skill)

    def add_project(self, title: str, label_config: str, num_tasks: int) -> StudioProject:
        """Make a project with text tasks, each labelled by `LABELS_PER_TASK` people."""
        random = np.random.default_rng(0)
        number = self._client.create_project(title, label_config, overlap=len(self.people))
        project = StudioProject(number, {}, {}, random)
        for start in range(0, num_tasks, _TASKS_PER_IMPORT):
            size = min(_TASKS_PER_IMPORT, num_tasks - start)
            truths = [str(one) for one in random.choice(CHOICES, size)]
            chosen = [
                [
                    self.people[(start + place + step) % len(self.people)]
                    for step in range(LABELS_PER_TASK)
                ]
                for place in range(size)
            ]
            tasks = [
                _new_task(random, start + place, truth, people)
                for place, (truth, people) in enumerate(zip(truths, chosen, strict=True))
            ]
            made = self._client.import_tasks(number, tasks)
            project.truth |= dict(zip(made, truths, strict=True))
            project.annotators |= dict(zip(made, chosen, strict=True))
        return project

    def annotation_requests(
        self, project: StudioProject, work: Sequence[tuple[int, Person]]
    ) -> list[bytes]:
        """Requests by which people label tasks, with their own access tokens."""
        access = {person.id: self._access_token(person) for _, person in work}
        messages = []
        for task, person in work:
            choice = project.choice_by(person, task)
            body = json.dumps({"result": _result(choice), "lead_time": 5.0}).encode()
            headers = {"Authorization": f"Bearer {access[person.id]}", "Accept": "*/*"}
            path = f"/api/tasks/{task}/annotations/"
            messages.append(http_message("POST", path, self.port, headers, body))
        return messages

    def _access_token(self, person: Person) -> str:
        answer = httpx.post(
            f"{self.url}/api/token/refresh",
            json={"refresh": person.token},
            timeout=60,
            trust_env=False,
        )
        answer.raise_for_status()
        return str(answer.json()["access"])

    def log_size(self) -> int:
        """Length of its log so far."""
        return self._server.log.stat().st_size

    def requests_since(self, log_size: int) -> Counter[str]:
        """Number of requests of each kind that it answered since its log had a length."""
        with self._server.log.open("rb") as log:
            log.seek(log_size)
            return requests_in(log.read().decode(errors="replace"))


def requests_in(log: str) -> Counter[str]:
    """Kinds of requests in Label Studio's log, which tells of each twice."""
    found = {
        (match["moment"], match["request"])
        for line in log.splitlines()
        if (match := _REQUEST.match(line))
    }
    return Counter(_kind_of(request) for _, request in found)


def _kind_of(request: str) -> str:
    """A request with its ids and its query left out."""
    method, _, path = request.partition(" ")
    return f"{method} {re.sub(r'[0-9]+', 'N', path.partition('?')[0])}"


def prediction_writes(requests: Mapping[str, int]) -> int:
    """Number of requests that changed predictions."""
    return sum(
        count
        for kind, count in requests.items()
        if "predictions" in kind and not kind.startswith("GET")
    )


def unused_port() -> int:
    """A port of this machine that nothing else is likely to take meanwhile."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def drawn_choice(random: Generator, truth: str, skill: float) -> str:
    """What somebody says who is right in a share of the cases."""
    if random.random() < skill:
        return truth
    return str(random.choice([choice for choice in CHOICES if choice != truth]))


def _new_task(
    random: Generator, number: int, truth: str, people: Sequence[Person]
) -> dict[str, object]:
    words = " ".join(random.choice(_WORDS[drawn_choice(random, truth, 0.8)], 3))
    annotations = [
        {
            "completed_by": person.id,
            # Label Studio takes imported annotations for ground truth unless told otherwise.
            "ground_truth": False,
            "result": _result(drawn_choice(random, truth, person.skill)),
        }
        for person in people
    ]
    return {"data": {"text": f"{words} thing number {number}"}, "annotations": annotations}


def _result(choice: str) -> list[dict[str, object]]:
    return [
        {
            "from_name": "label",
            "to_name": "text",
            "type": "choices",
            "value": {"choices": [choice]},
        }
    ]
