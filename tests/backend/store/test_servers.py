"""The store on every kind of server, and on a Redis Cluster.

All tests of its parts and of the jobs that compute, which run on the embedded server (Redis 6.2)
elsewhere, run here on each other kind: their `redis` is the one of this module.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from redis import Redis

from backend.doctor import examine_data
from backend.errors import LockLostError, ProjectBusyError, StoreError
from backend.jobs import run
from backend.jobs.follow import follow_tasks
from backend.jobs.recompute import recompute_project
from backend.jobs.train import train_classifiers
from backend.jobs.worker import run_worker
from backend.label_studio.pace import Pace
from backend.metrics import PREFIX, ServiceCollector
from backend.service import Service
from backend.settings import load_settings
from backend.store import keys, locks
from backend.store.arrays import Arrays
from backend.store.changes import Changes
from backend.store.cluster import Cluster, DataRedis, server_of, servers_of
from backend.store.connection import connect_data
from backend.store.project import ProjectStore, Work, known_projects
from backend.store.tables import BLOCK_TASKS
from backend.web.app import create_app
from tests.backend.jobs import test_follow
from tests.backend.jobs.test_follow import *  # noqa: F403
from tests.backend.jobs.test_recompute import FIRST, SECOND, fill, moods, raw_task
from tests.backend.store import test_project
from tests.backend.store.test_inbox import *  # noqa: F403
from tests.backend.store.test_project import *  # noqa: F403
from tests.backend.store.test_schema import *  # noqa: F403
from tests.backend.store.test_trail import *  # noqa: F403
from tests.backend.test_cli import run as run_command
from tests.backend.web.test_contract import post_export
from tests.redis_servers import REDIS_6, REDIS_7, VALKEY, Kind, running, running_cluster

PROJECT = 25


@dataclass(frozen=True)
class Place:
    """Where the projects' data are in a test."""

    kind: Kind
    is_cluster: bool = False

    @property
    def name(self) -> str:
        return f"cluster of {self.kind.name}" if self.is_cluster else self.kind.name

    def start(self, stack: ExitStack) -> str:
        """Start it and return its address; fails, and says why, if there is no such server."""
        program = self.kind.find()
        if program is None:
            pytest.fail(self.kind.missing)
        if self.is_cluster:
            return stack.enter_context(running_cluster(program))[0].url
        return stack.enter_context(running(program)).url


CLUSTERS = [Place(kind, is_cluster=True) for kind in (REDIS_6, REDIS_7, VALKEY)]
PLACES = [Place(REDIS_7), Place(VALKEY), *CLUSTERS]


def on(places: list[Place]) -> pytest.MarkDecorator:
    """Run a test on some of the places only."""
    return pytest.mark.parametrize("data_url", places, indirect=True, ids=lambda one: one.name)


@pytest.fixture(scope="session", params=PLACES, ids=lambda one: one.name)
def data_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Address of a server, or of a node of a cluster."""
    with ExitStack() as stack:
        yield request.param.start(stack)


@pytest.fixture
def redis(data_url: str) -> Iterator[DataRedis]:
    """Connection to an empty server or cluster."""
    connection = connect_data(load_settings(data_redis_url=data_url))
    assert connection is not None
    connection.flushall()
    yield connection
    connection.flushall()
    connection.close()


@pytest.fixture
def queue(redis: DataRedis, redis_url: str) -> Iterator[Redis]:
    """Connection to an empty server for the queue: the same, where it is not a cluster."""
    if isinstance(redis, Redis):
        yield redis
        return
    with Redis.from_url(redis_url) as connection:
        connection.flushall()
        yield connection
        connection.flushall()


@pytest.fixture
def service(
    data_url: str,
    redis: DataRedis,
    queue: Redis,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Service]:
    """Service on these servers, which the environment names as well."""
    if queue is redis:
        monkeypatch.setenv("REDIS_URL", data_url)
    else:
        monkeypatch.setenv("REDIS_URL", redis_url)
        monkeypatch.setenv("CROWDLAB_DATA_REDIS_URL", data_url)
    run._settings_service.cache_clear()
    yield Service(load_settings(), queue, redis)
    run._settings_service.cache_clear()


def history_of(store: ProjectStore) -> list[Arrays]:
    """What a project's tables and sums hold after a recompute, and after a task was followed."""
    tasks = [raw_task(n, moods(n), test_follow.tenses(n)) for n in range(1, 41)]
    fill(store, tasks, FIRST, SECOND)
    recompute_project(store, train_classifiers(store))
    results = _results_of(store)
    changed = test_follow.save(store, raw_task(7, {1: "good", 2: "good", 9: "good"}, {1: "now"}))
    assert follow_tasks(store, test_follow.info_of(store), changed)
    return [*results, *_results_of(store)]


def _results_of(store: ProjectStore) -> list[Arrays]:
    sums = [store.read_statistics(number) for number in (0, 1)]
    assert None not in sums
    return [
        store.tasks.read(),
        store.annotations(2).read(),
        store.pred_probs(0, 2).read(),
        store.consensus(2).read(),
        store.label_quality(2).read(),
        *[one for one in sums if one is not None],
    ]


def test_the_numbers_are_those_of_the_embedded_server(store: ProjectStore, redis_url: str) -> None:
    found = history_of(store)
    with Redis.from_url(redis_url) as embedded:
        embedded.flushall()
        expected = history_of(ProjectStore(embedded, PROJECT))
        embedded.flushall()
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.keys() == theirs.keys()
        for name, values in mine.items():
            np.testing.assert_array_equal(values, theirs[name])


def tasks_of(store: ProjectStore) -> dict[int, int]:
    rows = store.tasks.read()
    return dict(zip(rows["task"].tolist(), rows["content"].tolist(), strict=True))


def rows_of(contents: dict[int, int]) -> Arrays:
    return {
        "task": np.asarray(list(contents), dtype=np.int64),
        "content": np.asarray(list(contents.values()), dtype=np.uint64),
    }


def test_a_table_changes_when_the_changes_are_executed(store: ProjectStore) -> None:
    far = 70 * BLOCK_TASKS
    parts = [rows_of({1: 10, 2: 20}), rows_of({far: 30})]
    with store.transaction() as changes:
        store.tasks.stage_parts(changes, parts)
        assert tasks_of(store) == {}
    assert tasks_of(store) == {1: 10, 2: 20, far: 30}
    with store.transaction() as changes:
        store.tasks.stage_replacement(changes, [2, far, 5], rows_of({2: 21, 5: 50}))
        assert tasks_of(store) == {1: 10, 2: 20, far: 30}
    assert tasks_of(store) == {1: 10, 2: 21, 5: 50}


def test_many_tasks_change_in_one_commit(store: ProjectStore) -> None:
    contents = dict.fromkeys(range(100_000), 7)
    with store.transaction() as changes:
        store.tasks.stage_replacement(changes, list(contents), rows_of(contents))
        store.stage_unsent(changes, range(20_000), 1.0)
    assert len(store.tasks.read()["task"]) == 100_000
    assert store.num_unsent() == 20_000


def test_a_lost_draft_changes_nothing(store: ProjectStore, redis: DataRedis) -> None:
    store.touch(test_project.INFO)
    changes = Changes(redis, {})
    store.stage_info(changes, replace(test_project.INFO, title="new"))
    store.tasks.stage_all(changes, rows_of({1: 10}))
    (draft,) = redis.scan_iter(match="*:draft:*")
    redis.delete(draft)
    with pytest.raises(StoreError, match="lost blocks"):
        changes.execute()
    assert store.read_info() == test_project.INFO
    assert tasks_of(store) == {}


def test_a_draft_replaces_nothing_once_the_lock_is_lost(redis: DataRedis) -> None:
    stopped, other = ProjectStore(redis, PROJECT), ProjectStore(redis, PROJECT)
    with stopped.lock():
        redis.delete(keys.LOCK.format(project=PROJECT, name="store"))
        with other.lock(), other.transaction() as changes:
            other.tasks.stage_all(changes, rows_of({1: 10}))
        with pytest.raises(LockLostError), stopped.transaction() as changes:
            stopped.tasks.stage_all(changes, rows_of({2: 20}))
    assert tasks_of(other) == {1: 10}


DIE_WITH_A_LOCK = """
import os, sys
from backend.settings import load_settings
from backend.store import locks
from backend.store.connection import connect_data

locks.LOCK_SECONDS = 0.5
redis = connect_data(load_settings(data_redis_url=sys.argv[1]))
assert locks.FencedLock(redis, *sys.argv[2:]).acquire(0)
os._exit(0)
"""


def test_a_lock_is_renewed_while_it_is_held(
    redis: DataRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "LOCK_SECONDS", 1.0)
    holder, other = ProjectStore(redis, PROJECT), ProjectStore(redis, PROJECT)
    with holder.lock():
        time.sleep(1.2)
        with pytest.raises(ProjectBusyError), other.lock(wait=0):
            pass
    assert not other.is_locked(Work.STORE)


def test_a_lock_expires_when_its_holder_dies(data_url: str, store: ProjectStore) -> None:
    lock, fence = (one.format(project=PROJECT, name=Work.STORE) for one in (keys.LOCK, keys.FENCE))
    subprocess.run([sys.executable, "-c", DIE_WITH_A_LOCK, data_url, lock, fence], check=True)
    assert store.redis.exists(fence)
    with store.lock(wait=5):
        store.touch(test_project.INFO)
    assert store.read_info() == test_project.INFO


def test_a_worker_follows_what_the_web_takes(
    service: Service, recorded: Callable[[str], Any]
) -> None:
    post_export(create_app(service).test_client(), recorded)
    assert len(service.store(PROJECT).inbox) > 100
    run_worker(service, burst=True)
    store = service.store(PROJECT)
    assert len(store.inbox) == 0
    assert len(store.consensus(1).read()["task"]) == 60
    assert service.projects() == [PROJECT]
    assert service.queue.num_waiting() == 0
    service.queue.apply_events(PROJECT)
    assert service.queue.num_waiting() == 1
    store.forget()
    assert service.projects() == []
    assert list(service.data.scan_iter(match=keys.ALL.format(project=PROJECT))) == []


def test_commands_show_save_and_restore(
    service: Service,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def shown_by(*arguments: str) -> Any:
        code, shown, said = run_command(monkeypatch, capsys, *arguments, "--json")
        assert code == 0, said
        return json.loads(shown)

    store = service.store(PROJECT)
    fill(store, [raw_task(n, moods(n), {}) for n in range(1, 31)], FIRST)
    recompute_project(store, train_classifiers(store))
    with store.transaction() as changes:
        store.stage_audit(changes, "publish", model_version="crowdlab-000001")
    store.inbox.add("bad")
    store.inbox.bury(store.inbox.take(1)[0], "not JSON")
    (shown,) = shown_by("status")["projects"]
    assert (shown["project"], shown["num_tasks"], shown["num_consensus"]) == (PROJECT, 30, 30)
    assert shown["num_dead_letters"] == 1
    assert shown_by("leaderboard", str(PROJECT))
    audit = store.audit_trail()
    file = str(tmp_path / "state.zip")
    saved = shown_by("export-state", file)
    assert (saved["projects"], saved["audit_entries"], saved["dead_letters"]) == (1, 1, 1)
    service.data.flushall()
    assert store.audit_trail() == []
    assert shown_by("restore-state", file)["audit_entries"] == 1
    assert store.audit_trail() == audit
    assert [letter.event for letter in store.inbox.dead_letters()] == [b"bad"]


def test_metrics_count_the_servers_of_the_data_too(service: Service) -> None:
    for project in range(1, 9):
        service.store(project).touch(test_project.INFO)
        service.store(project).inbox.add("{}")
    service.metrics.count("events_total", project=3)
    families = {one.name: one.samples for one in ServiceCollector(service).collect()}
    assert families[f"{PREFIX}redis_up"][0].value == 1
    depths = families[f"{PREFIX}inbox_depth"]
    assert {one.labels["project"]: one.value for one in depths} == dict.fromkeys("12345678", 1)
    assert families[f"{PREFIX}events"][2].value == 1
    servers = servers_of(service.data).values()
    least = sum(server.info("memory")["used_memory"] for server in servers) / 2
    assert families[f"{PREFIX}redis_memory_bytes"][0].value > least


def test_the_doctor_looks_at_every_server(service: Service) -> None:
    findings = list(examine_data(service.data))
    subjects = {one.subject for one in findings}
    assert all(one.is_ok for one in findings)
    for address in servers_of(service.data):
        assert f"Redis (data) {address}".rstrip() in subjects
    assert ("Redis Cluster" in subjects) == isinstance(service.data, Cluster)
    assert abs(service.store(PROJECT).clock() - time.time()) < 5


def test_readiness_looks_at_every_place(service: Service) -> None:
    checks = create_app(service).test_client().get("/ready").json["checks"]
    found = {one["name"]: one["ok"] for one in checks if one["name"].startswith("Redis")}
    places = ["Redis"] if service.data is service.redis else ["Redis", "Redis (data)"]
    assert found == dict.fromkeys(places, True)


@on([Place(REDIS_7), Place(VALKEY)])
def test_what_needs_a_single_server_works_on_it(service: Service) -> None:
    Pace(service.redis, 50).wait()
    assert service.breaker.call(lambda: 7) == 7
    assert service.breaker.is_due()
    assert not service.breaker.state().is_open


def node_of(redis: DataRedis, project: int) -> Redis:
    return server_of(redis, keys.INFO.format(project=project))


@on(CLUSTERS)
def test_projects_are_spread_over_nodes_and_each_lies_on_one(redis: Cluster) -> None:
    other = next(n for n in range(1, 99) if node_of(redis, n) is not node_of(redis, PROJECT))
    for project in (PROJECT, other):
        history_of(ProjectStore(redis, project))
    for server in servers_of(redis).values():
        tags = {key.split(b"}")[0] for key in server.keys("crowdlab:{*")}
        here = {n for n in (PROJECT, other) if node_of(redis, n) is server}
        assert tags == {f"crowdlab:{{{project}".encode() for project in here}
    ProjectStore(redis, PROJECT).forget()
    assert known_projects(redis) == [other]
    assert len(ProjectStore(redis, other).tasks.read()["task"]) == 40


@on(CLUSTERS)
def test_a_project_is_found_where_its_slot_was_moved(redis: Cluster, data_url: str) -> None:
    store = ProjectStore(redis, PROJECT)
    expected = history_of(store)
    source = node_of(redis, PROJECT)
    target = next(one for one in servers_of(redis).values() if one is not source)
    move_slot(redis.keyslot(keys.INFO.format(project=PROJECT)), source, target)
    with store.lock():
        for mine, before in zip(_results_of(store), expected[7:], strict=True):
            for name, values in mine.items():
                np.testing.assert_array_equal(values, before[name])
        with store.transaction() as changes:
            store.tasks.stage_all(changes, rows_of({1: 10}))
    assert tasks_of(store) == {1: 10}
    assert node_of(redis, PROJECT) is target
    move_slot(redis.keyslot(keys.INFO.format(project=PROJECT)), target, source)


def move_slot(slot: int, source: Redis, target: Redis) -> None:
    """Move a slot with its keys to another node, as `redis-cli --cluster reshard` does."""
    names = {node: node.execute_command("CLUSTER MYID").decode() for node in (source, target)}
    target.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", names[source])
    source.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", names[target])
    host, port = (target.connection_pool.connection_kwargs[name] for name in ("host", "port"))
    while moving := source.execute_command("CLUSTER GETKEYSINSLOT", slot, 100):
        source.execute_command("MIGRATE", host, port, "", 0, 5000, "KEYS", *moving)
    for node in (target, source):
        node.execute_command("CLUSTER SETSLOT", slot, "NODE", names[target])
