"""Connecting and disconnecting projects of a real Label Studio."""

import time
from collections.abc import Iterator
from threading import Thread

import pytest

from backend.connect import connect_project
from backend.doctor import examine
from backend.errors import LabelStudioError
from backend.label_studio.project_setup import BACKEND_TITLE
from backend.processes import Processes, own_command
from backend.service import Service
from backend.settings import load_settings
from backend.web.server import free_port
from tests.e2e.conftest import Running, Studio, _is_up, wait_for
from tests.e2e.test_live import LABELS, crowdlab, crowdlab_json
from tests.e2e.test_refusals import refusal

pytestmark = pytest.mark.e2e


@pytest.fixture
def labelled(studio: Studio) -> int:
    """A project with labels, not connected."""
    project = studio.make_project()
    studio.add_tasks(project, LABELS)
    return project


def urls_of(studio: Studio, project: int) -> list[str]:
    return [one["url"] for one in studio.client.ml_backends(project)]


def hooks_of(studio: Studio, project: int) -> list[str]:
    return [one["url"] for one in studio.client.webhooks(project)]


@pytest.fixture
def second_address(running: Running) -> Iterator[tuple[str, Processes]]:
    """Another address at which the service answers, and the process that can end it."""
    port = free_port("127.0.0.1", 9195)
    url = f"http://localhost:{port}"
    with Processes() as processes:
        environment = running.environment | {"PORT": str(port)}
        processes.start("web", own_command("web"), environment, running.folder / "second.log")
        wait_for(lambda: _is_up(url), 60)
        yield url, processes


def test_the_first_connect_does_the_work_itself(
    studio: Studio, running: Running, labelled: int
) -> None:
    """Label Studio's calls of /setup queue no refresh that overtakes the command."""
    said = crowdlab(running, "connect", str(labelled))
    assert "sync:       " in said
    assert "recompute:  " in said
    assert f"write-back: published {len(LABELS)} predictions as crowdlab-000001" in said
    assert "nothing changed" not in said
    store = running.service.store(labelled)
    # The worker's own looks leave a mark for a moment; that of the command would stay.
    wait_for(lambda: store.mark_scheduled("refresh", 1), 20)


def test_the_mark_is_removed_when_connecting_fails(running: Running, labelled: int) -> None:
    settings = load_settings(
        **{
            **running.service.settings.model_dump(exclude={"public_url"}),
            "backend_url": "http://127.0.0.1:1",
        }
    )
    service = Service(settings, running.service.redis)
    with pytest.raises(LabelStudioError, match="cannot reach this service"):
        connect_project(service, labelled)
    service.close()
    store = running.service.store(labelled)
    wait_for(lambda: store.mark_scheduled("refresh", 1), 20)
    with store.lock(wait=0.1):
        store.unmark_scheduled("refresh")


def test_a_refresh_that_waits_already_keeps_its_mark(running: Running, labelled: int) -> None:
    store = running.service.store(labelled)
    store.mark_scheduled("refresh", 60)
    connect_project(running.service, labelled)
    assert not store.mark_scheduled("refresh", 60)
    store.unmark_scheduled("refresh")


def test_a_connect_waits_for_another_one(studio: Studio, running: Running, labelled: int) -> None:
    connecting = Thread(target=connect_project, args=(running.service, labelled))
    with running.service.store(labelled).lock():
        connecting.start()
        connecting.join(timeout=2)
        assert connecting.is_alive()
        assert urls_of(studio, labelled) == []
        url = running.service.settings.public_url
        studio.client.create_ml_backend(labelled, {"url": url, "title": BACKEND_TITLE})
    connecting.join(timeout=60)
    assert urls_of(studio, labelled) == [url]
    assert hooks_of(studio, labelled) == [f"{url}/webhook"]


def test_surplus_registrations_of_the_same_address_are_removed(
    studio: Studio, running: Running, labelled: int
) -> None:
    url = running.service.settings.public_url
    for _ in range(2):
        studio.client.create_ml_backend(labelled, {"url": url, "title": BACKEND_TITLE})
    assert "removed 1 more of the same address" in crowdlab(running, "connect", str(labelled))
    assert urls_of(studio, labelled) == [url]
    assert hooks_of(studio, labelled) == [f"{url}/webhook"]


def test_an_address_left_behind_is_removed_once_it_is_dead(
    studio: Studio,
    running: Running,
    labelled: int,
    second_address: tuple[str, Processes],
) -> None:
    old, processes = second_address
    url = running.service.settings.public_url
    crowdlab(running, "connect", str(labelled), "--url", old)
    crowdlab(running, "connect", str(labelled))
    assert set(urls_of(studio, labelled)) == {old, url}
    processes.stop()
    said = crowdlab(running, "connect", str(labelled))
    assert f"removed {old}, which Label Studio cannot reach" in said
    assert urls_of(studio, labelled) == [url]
    assert hooks_of(studio, labelled) == [f"{url}/webhook"]


def test_disconnect_leaves_only_the_predictions(
    studio: Studio, running: Running, labelled: int
) -> None:
    crowdlab(running, "connect", str(labelled))
    running.service.queue.refresh(labelled, delay=3)
    done = crowdlab_json(running, "disconnect", str(labelled))
    assert done["project"] == labelled
    said = " / ".join(done["steps"])
    assert "removed the ML backend" in said
    assert "left the predictions in Label Studio" in said
    assert "forgot the project" in said
    assert urls_of(studio, labelled) == hooks_of(studio, labelled) == []
    assert len(studio.predictions(labelled)) == len(LABELS)
    time.sleep(5)
    assert labelled not in running.service.projects()
    assert not running.service.redis.keys(f"crowdlab:{{{labelled}}}:*")
    assert "did not know the project" in crowdlab(running, "disconnect", str(labelled))


def test_disconnect_names_another_address_that_answers(
    studio: Studio,
    running: Running,
    labelled: int,
    second_address: tuple[str, Processes],
) -> None:
    other, _ = second_address
    crowdlab(running, "connect", str(labelled), "--url", other)
    assert f"--url {other} removes it" in crowdlab(running, "disconnect", str(labelled))
    assert urls_of(studio, labelled) == [other]
    crowdlab(running, "disconnect", str(labelled), "--url", other)
    assert urls_of(studio, labelled) == hooks_of(studio, labelled) == []


def test_a_project_deleted_in_label_studio_is_forgotten_by_disconnect(
    studio: Studio, running: Running, labelled: int
) -> None:
    crowdlab(running, "connect", str(labelled))
    studio.client._request("DELETE", f"api/projects/{labelled}/")
    (found,) = [
        one
        for one in examine(running.service.settings.model_copy(update=own_redis(running)))
        if one.subject == f"Project {labelled}"
    ]
    assert not found.is_ok
    assert f"crowdlab disconnect {labelled}" in found.remedy
    said = crowdlab(running, "disconnect", str(labelled))
    assert f"has no project {labelled} any more" in said
    assert labelled not in running.service.projects()
    assert f"no project {labelled}" in refusal(running, "disconnect", str(labelled))


def own_redis(running: Running) -> dict[str, object]:
    return {
        "redis_url": load_settings(redis_url=running.environment["REDIS_URL"]).redis_url,
    }


def test_a_project_without_labels_is_no_fault(studio: Studio, running: Running) -> None:
    project = studio.make_project()
    studio.add_tasks(project, [{}])
    crowdlab(running, "connect", str(project))
    found = [
        one
        for one in examine(running.service.settings.model_copy(update=own_redis(running)))
        if one.subject == f"Project {project}"
    ]
    assert [one for one in found if not one.is_ok] == []
    assert "no label yet; consensus comes with the first" in [one.message for one in found]
