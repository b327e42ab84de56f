"""How predictions are replaced in a real Label Studio."""

from dataclasses import replace

import pytest

from backend.errors import LabelStudioError
from backend.jobs import pipeline, write_back
from backend.label_studio.client import LabelStudioClient
from backend.store.project import Work
from tests.e2e.conftest import Running, Studio, wait_for
from tests.e2e.test_live import LABELS, crowdlab, crowdlab_json, is_published

pytestmark = pytest.mark.e2e


@pytest.fixture
def project(studio: Studio, running: Running) -> int:
    """A connected project of which no event tells."""
    number = studio.make_project()
    studio.add_tasks(number, LABELS)
    crowdlab(running, "connect", str(number))
    for hook in studio.client.webhooks(number):
        studio.client.delete_webhook(hook["id"])
    wait_for(lambda: is_published(studio, running, number))
    return number


def test_small_moves_of_scores_are_left_until_they_add_up(
    studio: Studio, running: Running, project: int
) -> None:
    store = running.service.store(project)
    with store.lock(Work.WRITE):
        rows = store.published(1).read()
        moved = {**rows, "score": rows["score"].copy()}
        moved["score"][0] += 0.005
        moved["score"][1] -= 0.2
        with store.transaction() as changes:
            store.published(1).stage_all(changes, moved)
        report = write_back.write_back(store, studio.client, tolerance=0.01)
    assert (report.changed, report.is_new_version) == (1, False)
    assert "nothing changed" in crowdlab(running, "sync", str(project))


def test_a_deleted_task_needs_no_new_version(
    studio: Studio, running: Running, project: int
) -> None:
    version = studio.client.project(project)["model_version"]
    task = studio.client.task_ids(project)[3]
    studio.client._request("DELETE", f"api/tasks/{task}/")
    crowdlab(running, "sync", str(project))
    wait_for(lambda: is_published(studio, running, project))
    assert studio.client.project(project)["model_version"] == version


def test_a_task_deleted_unnoticed_does_not_stop_the_others(
    studio: Studio, running: Running, project: int
) -> None:
    store = running.service.store(project)
    tasks = studio.client.task_ids(project)
    with store.lock(Work.WRITE), store.lock():
        studio.client._request("DELETE", f"api/tasks/{tasks[0]}/")
        rows = store.consensus(1).read()
        rows["quality"] = rows["quality"].copy()
        rows["quality"][:2] = 0.123
        with store.transaction() as changes:
            store.consensus(1).stage_all(changes, rows)
            store.stage_unsent(changes, tasks[:2], 5.0)
        sent = write_back.send_changes(store, studio.client, 10)
    assert sent == {tasks[0]: 5.0, tasks[1]: 5.0}
    assert store.num_unsent() == 0
    assert studio.client.predictions_of_task(tasks[1])[0]["score"] == 0.123


def test_large_old_versions_are_removed_one_by_one(
    studio: Studio, running: Running, project: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_back, "_DELETE_AT_ONCE", 5)
    store = running.service.store(project)
    with store.lock(Work.WRITE):
        publication = store.read_publication()
        assert publication is not None
        studio.client.update_project(project, model_version="")
        report = write_back.write_back(store, studio.client)
        assert report.is_new_version
        held = studio.client.model_versions(project)
        assert held[publication.model_version] == held[report.model_version] == len(LABELS)
        deleted = write_back.remove_old_versions(store, studio.client)
    assert deleted == len(LABELS)
    assert is_published(studio, running, project)


def test_the_service_does_not_publish_again_at_once(
    studio: Studio, running: Running, project: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = running.service
    monkeypatch.setattr(service, "settings", service.settings.model_copy(update={"amend_limit": 3}))
    store = service.store(project)
    with store.lock():
        rows = store.consensus(1).read()
        rows["quality"] = rows["quality"] * 0.5
        with store.transaction() as changes:
            store.consensus(1).stage_all(changes, rows)
    version = studio.client.project(project)["model_version"]
    _, written = pipeline.recompute(service, project, is_scheduled=True)
    assert not written.is_new_version
    assert written.num_amended >= 3
    assert written.num_waiting
    with store.lock(Work.WRITE), store.transaction() as changes:
        publication = store.read_publication()
        assert publication is not None
        store.stage_publication(changes, replace(publication, published_at=0.0))
    _, written = pipeline.recompute(service, project, is_scheduled=True)
    assert written.is_new_version
    assert studio.client.project(project)["model_version"] > version
    assert is_published(studio, running, project)


def test_a_project_connected_before_its_first_label_gets_its_tab(
    studio: Studio, running: Running
) -> None:
    number = studio.make_project()
    crowdlab(running, "connect", str(number))
    (task,) = studio.add_tasks(number, [{}])
    studio.annotate(task, "ann", "positive")
    wait_for(lambda: studio.client.predictions_of_task(task), 20)
    wait_for(
        lambda: [
            view
            for view in studio.client.views(number)
            if view["data"].get("title") == "Crowdlab consensus"
        ]
    )
    assert crowdlab_json(running, "status")["projects"]


def test_what_label_studio_does_not_take_waits(
    studio: Studio, running: Running, project: int
) -> None:
    store = running.service.store(project)
    tasks = studio.client.task_ids(project)
    away = LabelStudioClient("http://127.0.0.1:1", studio.api_key)
    with store.lock(Work.WRITE):
        with store.lock(), store.transaction() as changes:
            rows = store.consensus(1).read(tasks[:3])
            moved = {**rows, "quality": rows["quality"] * 0.5}
            store.consensus(1).stage_replacement(changes, tasks[:3], moved)
            store.stage_unsent(changes, tasks[:3], 7.0)
        with pytest.raises(LabelStudioError):
            write_back.send_changes(store, away, 2)
        assert store.take_unsent(9) == dict.fromkeys(tasks[:3], 7.0)
    away.close()


def test_a_prediction_whose_creation_was_cut_short_is_not_doubled(
    studio: Studio, running: Running, project: int
) -> None:
    """As if the process was killed when Label Studio had it and the store did not."""
    store = running.service.store(project)
    task = studio.client.task_ids(project)[0]
    with store.lock(Work.WRITE):
        rows = store.published(1).read()
        with store.transaction() as changes:
            store.published(1).stage_all(changes, {n: v[1:] for n, v in rows.items()})
            store.stage_unsent(changes, [task])
        store.mark_in_flight(task)
        assert list(write_back.send_changes(store, studio.client, 9)) == [task]
        assert len(studio.client.predictions_of_task(task)) == 1
        assert store.published(1).read([task])["prediction"][0] == rows["prediction"][0]
        assert store.mark_in_flight(task)


def test_a_prediction_that_somebody_deleted_is_made_again(
    studio: Studio, running: Running, project: int
) -> None:
    store = running.service.store(project)
    task = studio.client.task_ids(project)[0]
    with store.lock(Work.WRITE):
        (one,) = studio.client.predictions_of_task(task)
        studio.client.delete_prediction(one["id"])
        rows = store.consensus(1).read([task])
        with store.lock(), store.transaction() as changes:
            moved = {**rows, "quality": rows["quality"] * 0.5}
            store.consensus(1).stage_replacement(changes, [task], moved)
            store.stage_unsent(changes, [task])
        write_back.send_changes(store, studio.client, 9)
        (again,) = studio.client.predictions_of_task(task)
    assert again["id"] != one["id"]
    assert store.published(1).read([task])["prediction"].tolist() == [again["id"]]
