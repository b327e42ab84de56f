"""What Label Studio does not know, saved and restored."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from backend.errors import StateFileError
from backend.service import Service
from backend.state import read_state, write_state
from backend.store.project import ModelVersion, ProjectStore, Publication
from backend.store.review import AutomaticReview, RequestState, ReviewPolicy
from tests.backend.jobs.test_requests import request_rows
from tests.backend.store.test_prediction_sources import uploaded
from tests.backend.store.test_project import INFO
from tests.recorded_state import PROJECT, RecordedState, facts, recorded_states


@pytest.fixture
def service(make_service: Callable[..., Service]) -> Service:
    return make_service()


@pytest.fixture
def given(service: Service) -> ProjectStore:
    """A project with a history."""
    store = service.store(25)
    store.touch(INFO)
    rows = {
        "task": np.array([1, 2]),
        "label": np.array([[1], [0]]),
        "score": np.array([0.5, 0.75]),
        "prediction": np.array([7, 8]),
    }
    with store.transaction() as changes:
        store.published(1).stage_all(changes, rows)
    with store.transaction() as changes:
        store.stage_keep_published(changes, "crowdlab-000001")
        for number in (1, 2):
            name = f"crowdlab-{number:06d}"
            version = ModelVersion(name, 1.5, 2, "recompute", "f", "r")
            store.stage_model_version(changes, version)
            store.stage_audit(changes, "publish", model_version=name)
        store.stage_publication(changes, Publication("crowdlab-000002", 2, 1.5, 2, is_pinned=True))
    store.inbox.add(b"\xff bad")
    store.inbox.bury(store.inbox.take(1)[0], "not JSON")
    return store


def test_what_was_saved_comes_back_after_redis_lost_its_data(
    service: Service, given: ProjectStore, tmp_path: Path
) -> None:
    before = (given.model_versions(), given.audit_trail(), given.read_publication())
    numbers = write_state(service, tmp_path / "state.zip")
    assert numbers == {
        "projects": 1,
        "versions": 2,
        "audit_entries": 2,
        "dead_letters": 1,
        "predictions": 0,
    }
    service.redis.flushall()
    for _ in range(2):
        assert read_state(service, tmp_path / "state.zip") == numbers
        assert (given.model_versions(), given.audit_trail(), given.read_publication()) == before
        assert [letter.event for letter in given.inbox.dead_letters()] == [b"\xff bad"]
        assert given.kept_versions() == ["crowdlab-000001"]
        said = given.said_by("crowdlab-000001", 1).read()
        assert (said["label"].tolist(), said["score"].tolist()) == ([[1], [0]], [0.5, 0.75])


def test_what_is_there_already_is_kept(
    service: Service, given: ProjectStore, tmp_path: Path
) -> None:
    write_state(service, tmp_path / "state.zip")
    newer = Publication("crowdlab-000003", 3, 2.5, 2)
    with given.transaction() as changes:
        given.stage_publication(changes, newer)
        given.stage_audit(changes, "publish", model_version="crowdlab-000003")
    read_state(service, tmp_path / "state.zip")
    assert given.read_publication() == newer
    assert len(given.audit_trail()) == 3


def test_what_was_asked_of_annotators_comes_back(
    service: Service, given: ProjectStore, tmp_path: Path
) -> None:
    asked = request_rows(task=[1, 2000], state=[RequestState.OPEN, RequestState.ANSWERED])
    review = AutomaticReview(ReviewPolicy(budget=5), "ann", "2026-01-01", 3)
    with given.transaction() as changes:
        given.requests.stage_all(changes, asked)
        given.stage_automatic_review(changes, review)
        given.stage_accepted(changes, 2, 77)
    write_state(service, tmp_path / "state.zip")
    service.redis.flushall()
    for _ in range(2):
        read_state(service, tmp_path / "state.zip")
        assert given.requests.read()["task"].tolist() == [1, 2000]
        assert given.read_automatic_review() == review
        assert given.accepted() == {2: 77}
    answered = request_rows(task=[1], state=[RequestState.ANSWERED])
    with given.lock(), given.transaction() as changes:
        given.requests.stage_replacement(changes, [1], answered)
    read_state(service, tmp_path / "state.zip")
    assert given.requests.read()["state"].tolist() == [RequestState.ANSWERED] * 2


def test_what_people_uploaded_comes_back(
    service: Service, given: ProjectStore, tmp_path: Path
) -> None:
    source, rows = uploaded()
    with given.lock(), given.transaction() as changes:
        given.prediction_sources.stage(changes, source, rows)
    assert write_state(service, tmp_path / "state.zip")["predictions"] == 1
    service.redis.flushall()
    assert given.prediction_sources.all() == []
    for _ in range(2):
        read_state(service, tmp_path / "state.zip")
        assert given.prediction_sources.all() == [source]
        found = given.prediction_sources.table(source).read()
        for name, values in rows.items():
            np.testing.assert_array_equal(found[name], values)


def test_a_file_of_an_older_release_holds_no_requests(
    service: Service, given: ProjectStore, tmp_path: Path
) -> None:
    write_state(service, tmp_path / "new.zip")
    with (
        zipfile.ZipFile(tmp_path / "new.zip") as new,
        zipfile.ZipFile(tmp_path / "old.zip", "w") as old,
    ):
        for name in new.namelist():
            if not name.endswith("/requests"):
                old.writestr(name, new.read(name))
        index = json.loads(new.read("state.json"))
    for plain in index["projects"]:
        del plain["automatic_review"], plain["accepted"]
    with zipfile.ZipFile(tmp_path / "old.zip") as old:
        kept = {name: old.read(name) for name in old.namelist() if name != "state.json"}
    with zipfile.ZipFile(tmp_path / "old.zip", "w") as old:
        for name, content in kept.items():
            old.writestr(name, content)
        old.writestr("state.json", json.dumps(index))
    service.redis.flushall()
    read_state(service, tmp_path / "old.zip")
    assert len(given.model_versions()) == 2
    assert given.requests.read()["task"].tolist() == []


@pytest.mark.parametrize("state", recorded_states(), ids=lambda state: state.folder.name)
def test_a_file_that_an_earlier_release_wrote_is_read(
    service: Service, state: RecordedState
) -> None:
    read_state(service, state.file)
    found, expected = json.loads(json.dumps(facts(service.store(PROJECT)))), state.facts
    for fact in ("publication", "versions", "kept_versions", "actions", "dead_letters", "requests",
                 "budget", "accepted"):  # fmt: skip
        assert found[fact] == expected[fact], fact


def test_a_file_of_a_newer_release_is_refused(service: Service, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "state.zip", "w") as archive:
        index = {"format": 99, "schema": 2, "written_by": "9.0", "projects": []}
        archive.writestr("state.json", json.dumps(index))
    with pytest.raises(StateFileError, match=r"written by the newer release 9\.0"):
        read_state(service, tmp_path / "state.zip")


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04broken"])
def test_what_is_no_saved_state_is_refused(
    service: Service, given: ProjectStore, tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "state.zip"
    file.write_bytes(content)
    with pytest.raises(StateFileError, match="not a file that `crowdlab export-state` wrote"):
        read_state(service, file)
    assert len(given.model_versions()) == 2


def test_a_damaged_file_changes_nothing(
    service: Service, given: ProjectStore, tmp_path: Path
) -> None:
    file = tmp_path / "state.zip"
    write_state(service, file)
    content = bytearray(file.read_bytes())
    content[60] ^= 0xFF
    file.write_bytes(bytes(content))
    service.redis.flushall()
    with pytest.raises(StateFileError):
        read_state(service, file)
    assert given.model_versions() == []


def test_places_that_cannot_be_used_are_named(service: Service, tmp_path: Path) -> None:
    with pytest.raises(StateFileError, match=r"missing.*cannot be written"):
        write_state(service, tmp_path / "missing" / "state.zip")
    with pytest.raises(StateFileError, match=r"state\.zip cannot be read"):
        read_state(service, tmp_path / "state.zip")
    assert list(tmp_path.iterdir()) == []
