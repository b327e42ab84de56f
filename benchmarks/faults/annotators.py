"""People who annotate in Label Studio without a pause, and a ledger of what it confirmed."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event, Thread
from typing import Any, TypeAlias

import httpx

JSON: TypeAlias = dict[str, Any]

CLASSES = ("positive", "negative", "neutral")
CONFIG = (
    '<View><Text name="text" value="$text"/><Choices name="label" toName="text" choice="single">'
    + "".join(f'<Choice value="{name}"/>' for name in CLASSES)
    + "</Choices></View>"
)

_RETRY_SECONDS = 0.3
_PATIENCE_SECONDS = 120.0


@dataclass(frozen=True)
class Saved:
    """One annotation as Label Studio confirmed it."""

    task: int
    annotator: int
    choice: str | None
    """None if there is none, as the task was skipped."""


Ledger: TypeAlias = dict[int, Saved]
"""Annotations by their id."""


class ImpatientError(Exception):
    """Label Studio did not confirm a save for longer than a person would try."""


class Person:
    """A user of Label Studio who tries until it answers.

    Parameters
    ----------
    url
        Address of Label Studio.
    token
        Personal access token.
    """

    def __init__(self, url: str, token: str) -> None:
        self._token = token
        self._http = httpx.Client(base_url=url, timeout=30, trust_env=False)
        self.id = int(self.request("GET", "/api/current-user/whoami")["id"])

    def request(self, method: str, path: str, body: Any = None, params: JSON | None = None) -> Any:
        """Decoded answer of Label Studio; None if there is no such thing.

        Raises
        ------
        httpx.HTTPError
            It does not answer, or with an error.
        """
        response = self._http.request(method, path, json=body, params=params)
        if response.status_code == 401:
            fresh = self._http.post("/api/token/refresh", json={"refresh": self._token})
            fresh.raise_for_status()
            self._http.headers["Authorization"] = f"Bearer {fresh.json()['access']}"
            response = self._http.request(method, path, json=body, params=params)
        if response.status_code == 404:
            return None
        response.raise_for_status()
        return response.json() if response.content else {}

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def tasks(self, project: int, only: int | None = None) -> list[JSON]:
        """All tasks of a project with all annotations, or one of them."""
        params: JSON = {"project": project, "fields": "all", "page_size": 1000}
        if only is not None:
            item = {"filter": "filter:tasks:id", "operator": "equal", "type": "Number"}
            filters = {"conjunction": "and", "items": [{**item, "value": only}]}
            params["query"] = json.dumps({"filters": filters})
        found: list[JSON] = self.request("GET", "/api/tasks", None, params)["tasks"]
        return found

    def annotate(self, project: int, task: int, choice: str | None, mark: float) -> int:
        """Label or skip a task and return the annotation's id.

        Parameters
        ----------
        mark
            Seconds spent; no other annotation has the same, so that it is found again when
            Label Studio saved it and could not say so.
        """
        path = f"/api/tasks/{task}/annotations/"
        body = {"result": result_of(choice), "was_cancelled": choice is None, "lead_time": mark}
        is_first = True

        def save() -> int:
            nonlocal is_first
            found = [] if is_first else self.tasks(project, task)
            is_first = False
            for one in (one for task in found for one in task["annotations"]):
                if one["lead_time"] == mark:
                    return int(one["id"])
            return int(self.request("POST", path, body)["id"])

        return int(insist(save))

    def change(self, annotation: int, choice: str) -> None:
        """Give another label."""
        body = {"result": result_of(choice)}
        insist(lambda: self.request("PATCH", f"/api/annotations/{annotation}/", body))

    def delete(self, annotation: int) -> None:
        """Delete an annotation."""
        insist(lambda: self.request("DELETE", f"/api/annotations/{annotation}/"))


def insist(attempt: Callable[[], Any]) -> Any:
    """Try until Label Studio confirms, as a person would.

    Raises
    ------
    ImpatientError
        It takes too long.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return attempt()
        except httpx.HTTPError as error:
            if time.monotonic() > deadline:
                raise ImpatientError(
                    f"Label Studio confirmed nothing for {_PATIENCE_SECONDS:.0f} s: {error}"
                ) from error
            time.sleep(_RETRY_SECONDS)


def result_of(choice: str | None) -> list[JSON]:
    """Result of an annotation with this label; empty for none."""
    if choice is None:
        return []
    return [
        {
            "from_name": "label",
            "to_name": "text",
            "type": "choices",
            "value": {"choices": [choice]},
        }
    ]


def drawn_choice(truth: str, who: int, chance: random.Random) -> str:
    """Label that a person gives; the later in the list of people, the more often a wrong one."""
    return truth if chance.random() < 0.9 - 0.12 * who else chance.choice(CLASSES)


def read_annotations(tasks: Sequence[JSON]) -> Ledger:
    """Annotations of tasks as Label Studio sends them."""
    found = {}
    for task in tasks:
        for one in task["annotations"]:
            choices = [choice for region in one["result"] for choice in region["value"]["choices"]]
            choice = choices[0] if choices and not one["was_cancelled"] else None
            found[int(one["id"])] = Saved(int(task["id"]), int(one["completed_by"]), choice)
    return found


class Stream:
    """Annotations created, changed, deleted and skipped at random, one after the other.

    Parameters
    ----------
    people
        Who annotates; the later in the list, the more often wrong.
    project, truth
        Number of the project, and the right label of each of its tasks.
    ledger
        Annotations that there are already; kept up to date.
    per_second
        Annotations in a second, if Label Studio keeps up.
    """

    def __init__(
        self,
        people: Sequence[Person],
        project: int,
        truth: dict[int, str],
        ledger: Ledger,
        chance: random.Random,
        per_second: float = 3.0,
    ) -> None:
        self._people = people
        self._project = project
        self._truth = truth
        self._ledger = ledger
        self._chance = chance
        self._pause = 1.0 / per_second
        self._own = {(one.annotator, one.task): number for number, one in ledger.items()}
        self._ended = Event()
        self._thread = Thread(target=self._run, name="annotators")
        self.num_saved = 0
        """Saves that Label Studio confirmed."""
        self.failure = ""
        """Why the stream ended by itself; empty if it did not."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End as soon as Label Studio has confirmed the last save."""
        self._ended.set()

    @property
    def is_running(self) -> bool:
        """Whether somebody still annotates."""
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self._ended.wait(self._chance.expovariate(1.0 / self._pause)):
                self._act()
                self.num_saved += 1
        except Exception as error:
            self.failure = f"{type(error).__name__}: {error}"

    def _act(self) -> None:
        place = self._chance.randrange(len(self._people))
        person = self._people[place]
        task = self._chance.choice(sorted(self._truth))
        own = self._own.get((person.id, task))
        if own is None:
            choice = (
                None
                if self._chance.random() < 0.1
                else drawn_choice(self._truth[task], place, self._chance)
            )
            mark = 1 + self._chance.randrange(2**40) / 2**20
            number = person.annotate(self._project, task, choice, mark)
            self._own[person.id, task] = number
            self._ledger[number] = Saved(task, person.id, choice)
        elif self._ledger[own].choice is None or self._chance.random() < 0.4:
            person.delete(own)
            del self._own[person.id, task], self._ledger[own]
        else:
            choice = drawn_choice(self._truth[task], place, self._chance)
            person.change(own, choice)
            self._ledger[own] = Saved(task, person.id, choice)
