"""What the doctor finds around Redis, events and clocks, and how to mend it."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from backend import doctor
from backend.doctor import (
    Finding,
    compare_clocks,
    examine,
    examine_models,
    examine_redis,
    examine_workers,
)
from backend.jobs.queue import JobKind
from backend.service import Service
from backend.settings import load_settings
from backend.store import keys
from backend.store.embedded import EmbeddedRedis
from backend.store.project import ProjectInfo
from tests.backend.features.disk_models import save_image_model

NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """Connection to a redis-server whose configuration a test may change."""
    server = EmbeddedRedis(tmp_path_factory.mktemp("o"))
    server.start()
    with Redis.from_url(server.url) as connection:
        yield connection
    server.stop()


def found(redis: Redis, subject: str) -> Finding:
    (finding,) = [one for one in examine_redis(redis) if one.subject == subject]
    return finding


def is_warning(finding: Finding) -> bool:
    return finding.is_ok and bool(finding.remedy)


def test_an_embedded_server_is_as_it_should_be(own_redis: Redis) -> None:
    findings = list(examine_redis(own_redis))
    assert [one.subject for one in findings] == [
        "Redis", "Redis persistence", "Redis eviction", "Redis memory",
    ]  # fmt: skip
    assert all(one.is_ok and not one.remedy for one in findings)


def test_no_append_only_file_is_a_warning(own_redis: Redis) -> None:
    own_redis.config_set("appendonly", "no")
    finding = found(own_redis, "Redis persistence")
    assert is_warning(finding)
    assert "CONFIG SET appendonly yes" in finding.remedy
    own_redis.config_set("appendonly", "yes")
    assert not found(own_redis, "Redis persistence").remedy
    # A server that writes its first append-only file does not end.
    while own_redis.info("persistence")["aof_rewrite_in_progress"]:
        time.sleep(0.01)


def test_a_failing_append_only_file_is_a_fault() -> None:
    finding = doctor._persistence_of({"aof_enabled": 1, "aof_last_write_status": "err"})
    assert not finding.is_ok
    assert "(err)" in finding.message
    assert "disk" in finding.remedy


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl", "allkeys-random"])
def test_eviction_is_a_fault_where_there_is_a_limit(own_redis: Redis, policy: str) -> None:
    own_redis.config_set("maxmemory-policy", policy)
    assert is_warning(found(own_redis, "Redis eviction"))
    own_redis.config_set("maxmemory", "1gb")
    finding = found(own_redis, "Redis eviction")
    assert not finding.is_ok
    assert policy in finding.message
    assert "CONFIG SET maxmemory-policy noeviction" in finding.remedy


@pytest.mark.parametrize(("share", "is_ok"), [(0.5, True), (0.9, False)])
def test_memory_that_runs_short_is_a_fault(own_redis: Redis, share: float, is_ok: bool) -> None:
    used = own_redis.info("memory")["used_memory"]
    own_redis.config_set("maxmemory", int(used / share))
    finding = found(own_redis, "Redis memory")
    assert finding.is_ok == is_ok
    assert "(maxmemory) in use" in finding.message
    assert bool(finding.remedy) != is_ok


def test_workers_that_are_missing_are_a_fault(make_service: Callable[..., Service]) -> None:
    service = make_service()
    service.queue.apply_events(3)
    findings = list(examine_workers(service))
    assert [one.subject for one in findings] == [f"Workers for {kind}" for kind in JobKind]
    assert all("none is running, 1 job(s) wait" in one.message for one in findings)
    assert all("crowdlab worker" in one.remedy for one in findings)


def test_events_that_wait_and_dead_letters_are_faults(
    make_service: Callable[..., Service], redis: Redis
) -> None:
    store = make_service().store(25)
    store.inbox.add("{}")
    assert list(doctor._events_of(store)) == []
    store.inbox.bury(store.inbox.take(1)[0], "not JSON")
    long_ago = int((time.time() - 205) * 1000)
    inbox = keys.INBOX.format(project=25)
    redis.delete(inbox)
    redis.xadd(inbox, {"event": "{}"}, id=f"{long_ago}-0")
    waiting, dead = doctor._events_of(store)
    assert not waiting.is_ok
    assert waiting.message.startswith("1 event(s) wait, the oldest for 20")
    assert "crowdlab worker --only events" in waiting.remedy
    assert not dead.is_ok
    assert dead.message == "1 event(s) could not be applied"
    assert "crowdlab dead-letters 25 --replay" in dead.remedy


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, ""),
        (59, ""),
        (-59, ""),
        (61, "61 s ahead of this machine's"),
        (-7200, "7,200 s behind this machine's"),
    ],
)
def test_clocks_that_differ_are_a_fault(seconds: int, said: str) -> None:
    now = datetime.now(tz=UTC)
    finding = compare_clocks(now, now + timedelta(seconds=seconds))
    assert finding.is_ok == (not said)
    assert said in finding.message
    assert bool(finding.remedy) == bool(said)


def test_the_whole_chain_is_examined_without_label_studio(
    make_service: Callable[..., Service], redis_url: str
) -> None:
    store = make_service().store(25)
    with store.transaction() as changes:
        store.stage_info(changes, ProjectInfo("Title", "<View/>", ()))
    store.inbox.add("{}")
    store.inbox.bury(store.inbox.take(1)[0], "not JSON")
    given: dict[str, Any] = {"label_studio_url": NOWHERE, "backend_url": NOWHERE}
    settings = load_settings(redis_url=redis_url, label_studio_api_key="0" * 40, **given)
    findings = {one.subject: one for one in examine(settings)}
    assert not findings["Label Studio"].is_ok
    assert "Clocks" not in findings
    assert findings["Redis eviction"].is_ok
    assert "--replay" in findings["Project 25"].remedy
    faults = [one for one in findings.values() if not one.is_ok]
    assert all(one.remedy for one in faults)


def test_models_that_cannot_be_loaded_are_faults(tmp_path: Path) -> None:
    assert list(examine_models(load_settings())) == []
    image = save_image_model(tmp_path / "image.onnx")
    bad, good = examine_models(load_settings(text_model=tmp_path, image_model=image))
    assert (bad.subject, bad.is_ok) == ("Text model", False)
    assert bad.message.endswith("has no config.json")
    assert "save_pretrained" in bad.remedy
    assert (good.subject, good.is_ok) == ("Image model", True)
    assert good.message == "gives vectors of 3 numbers"
