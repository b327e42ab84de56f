"""Versions, rollback, dead letters, saved state, and Redis losing its data."""

from pathlib import Path

import numpy as np
import pytest

from backend.store.project import ProjectStore
from tests.e2e.conftest import Running, Studio, wait_for
from tests.e2e.test_live import LABELS, crowdlab, crowdlab_json

pytestmark = pytest.mark.e2e


@pytest.fixture
def project(studio: Studio, running: Running) -> int:
    """A connected project with labels."""
    number = studio.make_project()
    studio.add_tasks(number, LABELS)
    crowdlab(running, "connect", str(number))
    return number


def shown(studio: Studio, project: int) -> dict[int, tuple[str, float]]:
    """Answer and score that Label Studio shows of each task."""
    version = studio.client.project(project)["model_version"]
    return {
        task: (one["result"][0]["value"]["choices"][0], one["score"])
        for task, found in studio.predictions(project).items()
        for one in found
        if one["model_version"] == version
    }


def relabel(studio: Studio, project: int) -> None:
    """Give every task labels that change its consensus."""
    for task in studio.predictions(project):
        for name in ("dan", "eve"):
            studio.annotate(task, name, "neutral")


def settled(running: Running, store: ProjectStore) -> None:
    wait_for(lambda: not len(store.inbox) and not store.num_unsent(), 60)


def publish_anew(studio: Studio, running: Running, project: int) -> None:
    """Have the next version published, as after somebody showed another model's predictions."""
    versions = len(running.service.store(project).model_versions())
    studio.client.update_project(project, model_version="")
    crowdlab(running, "sync", str(project))  # unless a worker was faster
    assert len(running.service.store(project).model_versions()) == versions + 1


def test_a_rollback_shows_what_the_version_said_and_stays(
    studio: Studio, running: Running, project: int
) -> None:
    store = running.service.store(project)
    task = next(iter(shown(studio, project)))
    studio.annotate(task, "gus", "neutral")  # amends the first version
    settled(running, store)
    crowdlab(running, "sync", str(project))
    first = shown(studio, project)
    publish_anew(studio, running, project)
    relabel(studio, project)
    settled(running, store)
    crowdlab(running, "sync", str(project))
    second = shown(studio, project)
    assert second != first
    versions = crowdlab_json(running, "versions", str(project))["versions"]
    assert [one["name"] for one in versions] == ["crowdlab-000001", "crowdlab-000002"]
    assert [one["is_current"] for one in versions] == [False, True]
    assert [one["can_be_restored"] for one in versions] == [True, False]
    assert versions[0]["fingerprint"]
    assert "method=crowdlab" in versions[0]["recipe"]

    refused = crowdlab(running, "rollback", str(project), "crowdlab-000077", code=1)
    assert "not known what crowdlab-000077" in refused
    assert shown(studio, project) == second
    said = crowdlab(running, "rollback", str(project), "crowdlab-000001")
    assert f"published {len(LABELS)} predictions as crowdlab-000003" in said
    assert shown(studio, project) == first
    # It stays so, whatever is labelled.
    studio.annotate(task, "fay", "negative")
    settled(running, store)
    assert "left as rolled back" in crowdlab(running, "sync", str(project))
    assert shown(studio, project) == first
    assert "rolled back" in crowdlab(running, "status")

    assert "predictions" in crowdlab(running, "rollback", str(project), "--undo")
    assert shown(studio, project) != first
    trail = crowdlab_json(running, "audit", str(project))["audit"]
    assert [one["action"] for one in reversed(trail)][:4] == [
        "publish", "publish", "publish", "undo rollback",
    ]  # fmt: skip
    assert trail[-3]["reason"] == "rollback to crowdlab-000001"
    assert "rollback to crowdlab-000001" in crowdlab(running, "audit", str(project))
    assert {len(found) for found in studio.predictions(project).values()} == {1}


def test_dead_letters_are_shown_replayed_and_discarded(running: Running, project: int) -> None:
    inbox = running.service.store(project).inbox
    assert "0 dead letter(s) shown" in crowdlab(running, "dead-letters", str(project))
    event = f'{{"action": "PROJECT_UPDATED", "project": {project}, "annotations": [], "ids": []}}'
    with running.service.store(project).lock():
        inbox.add(event)
        (entry,) = inbox.take(1)
        inbox.bury(entry, "it was raining")
    listed = crowdlab(running, "dead-letters", str(project))
    assert "it was raining" in listed
    assert "PROJECT_UPDATED" in listed
    assert "1 dead letter(s) replayed" in crowdlab(
        running, "dead-letters", str(project), "--replay"
    )
    wait_for(lambda: not len(inbox) and not inbox.num_dead_letters())
    refused = crowdlab(running, "dead-letters", str(project), "--replay", "--discard", code=1)
    assert "exclude each other" in refused


def test_after_a_loss_of_all_data_the_same_results_and_history_come_back(
    studio: Studio, running: Running, project: int, tmp_path: Path
) -> None:
    store = running.service.store(project)
    crowdlab(running, "sync", str(project))
    before = store.consensus(1).read()
    quality = store.label_quality(1).read()
    predictions = shown(studio, project)
    versions, trail = store.model_versions(), store.audit_trail()
    file = str(tmp_path / "state.zip")
    assert "saved to" in crowdlab(running, "export-state", file)

    running.service.redis.flushall()
    done = crowdlab_json(running, "sync", "--full")
    assert project in [one["project"] for one in done]
    for old, new in ((before, store.consensus(1).read()), (quality, store.label_quality(1).read())):
        for name, values in old.items():
            np.testing.assert_array_equal(new[name], values)
    assert shown(studio, project) == predictions
    assert all(len(found) == 1 for found in studio.predictions(project).values())

    assert "restored from" in crowdlab(running, "restore-state", file)
    assert [one.name for one in versions] == [
        one.name for one in store.model_versions()[: len(versions)]
    ]
    assert store.audit_trail()[-len(trail) :] == trail
    refused = crowdlab(running, "restore-state", str(tmp_path / "nothing.zip"), code=1)
    assert "cannot be read" in refused
