"""Pulls that are cut short, slow, or find another project than before."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from backend.errors import LabelStudioBusyError
from backend.jobs.sync import sync_project
from backend.label_studio.client import LabelStudioClient
from backend.store.project import ProjectStore, Work
from tests.e2e.conftest import CONFIG, Running, Studio, choice_result, wait_for
from tests.e2e.test_live import LABELS, crowdlab, crowdlab_json

pytestmark = pytest.mark.e2e

NUM_TASKS = 24


class StopHereError(Exception):
    pass


@pytest.fixture
def labelled(studio: Studio) -> int:
    project = studio.make_project()
    studio.add_tasks(project, (LABELS * 24)[:NUM_TASKS])
    return project


def pull(store: ProjectStore, client: LabelStudioClient, steps: list[int], stop: int = 0) -> None:
    """Pull five tasks at a time; end abruptly when `stop` tasks are there."""

    def watch(step: str, done: int, total: int | None) -> None:
        if step == "Pulling tasks":
            steps.append(done)
            if done == stop:
                raise StopHereError

    with store.lock(Work.REFRESH):
        sync_project(store, client, page_size=5, progress=watch)


def test_a_pull_goes_on_where_it_was_cut_short(
    studio: Studio, store: ProjectStore, labelled: int
) -> None:
    store = ProjectStore(store.redis, labelled)
    steps: list[int] = []
    with pytest.raises(StopHereError):
        pull(store, studio.client, steps, stop=10)
    assert len(store.tasks.read()["task"]) == 10
    info = store.read_info()
    assert info is not None
    assert info.cursor == 0
    first, *_ = store.tasks.read()["task"].tolist()
    studio.client._request("DELETE", f"api/tasks/{first}/")
    changed = store.tasks.read()["task"].tolist()[1]
    studio.annotate(changed, "zoe", "neutral")
    pull(store, studio.client, steps)
    assert steps == [5, 10, 5, 10, 14]  # 10 and 14 of 24
    assert store.read_pull() is None
    ids = [task["id"] for page, _ in studio.client.tasks(labelled, page_size=100) for task in page]
    assert store.tasks.read()["task"].tolist() == ids
    assert len(store.annotations(1).read([changed])["task"]) == 4
    info = store.read_info()
    assert info is not None
    assert info.cursor > 0


def test_what_was_pulled_a_moment_ago_is_not_pulled_again(
    studio: Studio, store: ProjectStore, labelled: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ProjectStore(store.redis, labelled)
    asked: list[list[int]] = []
    tasks_by_id = LabelStudioClient.tasks_by_id

    def noted(client: LabelStudioClient, project: int, ids: list[int]) -> Iterator[Any]:
        asked.append(list(ids))
        return tasks_by_id(client, project, ids)

    monkeypatch.setattr(LabelStudioClient, "tasks_by_id", noted)
    pull(store, studio.client, [])
    pull(store, studio.client, [])
    assert [ids for ids in asked if ids] == []
    first, second, *_ = store.tasks.read()["task"].tolist()
    studio.annotate(second, "zoe", "neutral")
    pull(store, studio.client, [])
    studio.annotate(second, "yan", "neutral")
    studio.annotate(first, "zoe", "neutral")
    pull(store, studio.client, [])
    pull(store, studio.client, [])
    assert [ids for ids in asked if ids] == [[second], [first, second]]
    assert len(store.annotations(1).read([second])["task"]) == 5


def test_tasks_that_only_one_side_has_are_found_without_listing_all(
    studio: Studio, store: ProjectStore, labelled: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.jobs.sync._IDS_TO_LIST", 4)
    store = ProjectStore(store.redis, labelled)
    pull(store, studio.client, [])
    ids = store.tasks.read()["task"].tolist()
    for task in (ids[2], ids[20]):
        studio.client._request("DELETE", f"api/tasks/{task}/")
    (new,) = studio.add_tasks(labelled, [{"ann": "positive"}])
    listed: list[int] = []
    list_ids = studio.client.task_ids

    def count(*arguments: Any, **named: Any) -> list[int]:
        found = list_ids(*arguments, **named)
        listed.append(len(found))
        return found

    monkeypatch.setattr(studio.client, "task_ids", count)
    pull(store, studio.client, [])
    assert store.tasks.read()["task"].tolist() == sorted({*ids, new} - {ids[2], ids[20]})
    assert max(listed) <= 5
    assert sum(listed) < len(ids)


def test_a_class_that_is_added_or_renamed_is_followed(
    studio: Studio, running: Running, labelled: int
) -> None:
    crowdlab(running, "connect", str(labelled))
    store = running.service.store(labelled)
    before = store.annotations(1).read()
    more = CONFIG.replace(
        '<Choice value="negative"/>', '<Choice value="mixed"/><Choice value="negative"/>'
    )
    studio.client.update_project(labelled, label_config=more)
    task = int(before["task"][0])
    body = {"result": choice_result("mixed")}
    studio.as_person("zoe")._request("POST", f"api/tasks/{task}/annotations/", body=body)
    wait_for(lambda: (info := store.read_info()) and len(info.questions[0].classes) == 4, 60)
    wait_for(lambda: len(store.annotations(1).read()["task"]) == len(before["task"]) + 1, 60)
    said = crowdlab(running, "sync", str(labelled))
    assert "nothing changed" in said.splitlines()[0]
    codes = store.annotations(1).read([task])["codes"][:, 0].tolist()
    assert sorted(codes)[-1] == 2 or 1 in codes
    wait_for(lambda: set(studio.predictions(labelled)) == set(before["task"].tolist()), 60)


def test_a_tag_that_is_renamed_has_no_labels_any_more(studio: Studio, running: Running) -> None:
    project = studio.make_project()
    studio.add_tasks(project, [{}] * 3)
    (first, *_) = [
        task["id"] for page, _ in studio.client.tasks(project, page_size=9) for task in page
    ]
    crowdlab(running, "connect", str(project))
    annotation = studio.annotate(first, "ann", "positive")
    store = running.service.store(project)
    wait_for(lambda: len(store.consensus(1).read()["task"]) == 1)
    wait_for(lambda: studio.client.project(project)["model_version"], 60)
    studio.client._request("DELETE", f"api/annotations/{annotation}/")
    # Label Studio saves whole projects: of two changes at the same moment one is lost.
    wait_for(lambda: not studio.client.project(project)["model_version"], 60)
    studio.client.update_project(
        project, label_config=CONFIG.replace('name="label"', 'name="mood"')
    )
    wait_for(lambda: (info := store.read_info()) and info.questions[0].name == "mood", 60)
    wait_for(lambda: not len(store.consensus(1).read()["task"]), 60)
    body = {"result": choice_result("negative", "mood")}
    studio.as_person("ann")._request("POST", f"api/tasks/{first}/annotations/", body=body)
    wait_for(lambda: len(store.consensus(1).read()["task"]) == 1, 60)


def test_a_project_deleted_in_label_studio_is_told_and_left_alone(
    studio: Studio, running: Running, labelled: int
) -> None:
    crowdlab(running, "connect", str(labelled))
    studio.client._request("DELETE", f"api/projects/{labelled}/")
    assert f"no project {labelled}" in crowdlab(running, "sync", str(labelled), code=1)
    (row,) = [
        one for one in crowdlab_json(running, "status")["projects"] if one["project"] == labelled
    ]
    assert row["is_gone"]
    assert "deleted in Label Studio" in crowdlab(running, "status")
    crowdlab(running, "disconnect", str(labelled))


class _Slow(BaseHTTPRequestHandler):
    """Stands in front of Label Studio and fails every page of more than 20 tasks."""

    origin = ""
    sizes: list[int]

    def do_GET(self) -> None:
        size = int(parse_qs(urlsplit(self.path).query).get("page_size", ["0"])[0])
        if urlsplit(self.path).path == "/api/tasks":
            self.sizes.append(size)
            if size > 20:
                self._answer(504, b"{}")
                return
        self._forward("GET", b"")

    def do_POST(self) -> None:
        self._forward("POST", self.rfile.read(int(self.headers["Content-Length"])))

    def _forward(self, method: str, body: bytes) -> None:
        kept = {
            name: self.headers[name]
            for name in ("Authorization", "Content-Type")
            if name in self.headers
        }
        found = httpx.request(method, self.origin + self.path, headers=kept, content=body)
        self._answer(found.status_code, found.content)

    def _answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *unused: object) -> None:
        pass


@pytest.fixture
def slow(studio: Studio) -> Iterator[tuple[str, list[int]]]:
    """Address of a Label Studio that is too slow for large pages, and the sizes asked of it."""
    sizes: list[int] = []
    handler = type("Slow", (_Slow,), {"origin": studio.url, "sizes": sizes})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", sizes
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_label_studio_too_slow_for_large_pages_is_asked_for_smaller_ones(
    studio: Studio, store: ProjectStore, labelled: int, slow: tuple[str, list[int]]
) -> None:
    url, sizes = slow
    client = LabelStudioClient(url, studio.api_key)
    pages = [len(page) for page, _ in client.tasks(labelled, page_size=60)]
    assert sum(pages) == NUM_TASKS
    assert sizes[0] == 60
    assert 15 in sizes
    with pytest.raises(LabelStudioBusyError, match="504"):
        client.task_ids(labelled, page_size=21)
    client.close()
