"""Older layouts become the present one; newer ones are refused."""

import json

import pytest
from redis import Redis

from backend.errors import StoreError
from backend.store.project import ProjectStore
from backend.store.schema import SCHEMA_VERSION, ensure_schema
from tests.backend.store.test_project import INFO as PRESENT
from tests.recorded_state import PROJECT, RecordedState, facts, recorded_states

INFO = {
    "title": "t",
    "label_config": "<View/>",
    "questions": [],
    "feature_width": 0,
    "cursor": 9,
    "synced_at": 1.0,
    "fully_synced_at": 1.0,
    "data_version": 4,
}
PUBLICATION = {
    "model_version": "crowdlab-000002",
    "number": 2,
    "published_at": 5.0,
    "num_predictions": 7,
    "history": ["crowdlab-000001", "crowdlab-000002"],
}


def test_an_empty_redis_gets_the_present_layout(redis: Redis) -> None:
    ensure_schema(redis)
    assert redis.get("crowdlab:schema") == str(SCHEMA_VERSION).encode()
    ensure_schema(redis)


def test_a_project_of_the_first_layout_is_pulled_anew(redis: Redis) -> None:
    redis.sadd("crowdlab:projects", 3)
    redis.set("crowdlab:{3}:info", json.dumps(INFO))
    redis.set("crowdlab:{3}:publication", json.dumps(PUBLICATION))
    redis.hset("crowdlab:{3}:table:tasks", "0", b"old bytes")
    redis.set("crowdlab:{3}:summary", "{}")
    redis.xadd("crowdlab:{3}:inbox", {"event": "{}"})
    ensure_schema(redis)
    store = ProjectStore(redis, 3)
    info, publication = store.read_info(), store.read_publication()
    assert info is not None
    assert publication is not None
    assert (info.title, info.cursor, info.data_version) == ("t", 0, 4)
    assert (publication.model_version, publication.num_predictions) == ("crowdlab-000002", 7)
    assert [one.name for one in store.model_versions()] == ["crowdlab-000001", "crowdlab-000002"]
    assert len(store.tasks.read()["task"]) == 0
    assert store.read_summary() is None
    assert [entry.event for entry in store.inbox.take(9)] == [b"{}"]
    assert redis.get("crowdlab:schema") == str(SCHEMA_VERSION).encode()


@pytest.mark.parametrize("state", recorded_states(), ids=lambda state: state.folder.name)
def test_what_an_earlier_release_left_is_read(redis: Redis, state: RecordedState) -> None:
    state.load(redis)
    ensure_schema(redis)
    expected = state.facts
    found = json.loads(json.dumps(facts(ProjectStore(redis, PROJECT))))
    if state.layout < SCHEMA_VERSION:  # a sync and a recompute bring it again
        del expected["consensus"]
    assert {name: found[name] for name in expected} == expected


def test_the_present_layout_is_recorded_for_later_releases() -> None:
    said = "run `python -m tests.recorded_state` and commit what it writes"
    assert recorded_states()[-1].layout == SCHEMA_VERSION, said


def test_a_newer_layout_is_refused(redis: Redis) -> None:
    redis.set("crowdlab:schema", SCHEMA_VERSION + 1)
    with pytest.raises(StoreError, match=f"layout {SCHEMA_VERSION + 1}"):
        ensure_schema(redis)


def test_data_written_after_redis_was_emptied_are_of_the_present_layout(redis: Redis) -> None:
    store = ProjectStore(redis, 3)

    store.touch(PRESENT)
    ensure_schema(redis)
    assert store.read_info() == PRESENT
