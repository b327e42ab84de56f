"""Metrics: recorded by several processes, shown as Prometheus reads them, cheap to show."""

import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis

from backend.jobs.queue import JobKind
from backend.metrics import (
    BUCKETS,
    FAMILIES,
    PREFIX,
    CounterName,
    HistogramName,
    Kind,
    Metrics,
    ServiceCollector,
)
from backend.service import Service
from backend.settings import load_settings
from backend.store import keys
from backend.store.embedded import EmbeddedRedis
from backend.store.project import (
    ProjectInfo,
    ProjectStore,
    Publication,
    QuestionSummary,
    Summary,
)

DOCS = Path(__file__).parents[2] / "docs"

Samples = dict[tuple[str, str], float]


@pytest.fixture
def service(make_service: Callable[..., Service]) -> Service:
    return make_service()


@pytest.fixture
def metrics(redis: Redis) -> Metrics:
    return Metrics(redis)


def shown(service: Service) -> Samples:
    """Every sample by its name without the prefix and its labels, a bucket's bound last."""
    text = generate_latest(ServiceCollector(service)).decode()
    return {
        (
            sample.name.removeprefix(PREFIX),
            ",".join(sample.labels[name] for name in sorted(sample.labels, reverse=True)),
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def fill(store: ProjectStore, *, num_annotators: int = 3, age: float = 100.0) -> None:
    """A project that was synced, computed and published `age` seconds ago."""
    moment = time.time() - age
    annotators = tuple(
        {"annotator": number, "quality": 0.5, "worst_class": "positive", "num_labels": 12}
        for number in range(num_annotators)
    )
    question = QuestionSummary(
        name="label",
        classes=("positive", "negative"),
        num_tasks=1000,
        num_labeled=900,
        num_labels=4000,
        num_ground_truth=0,
        mean_quality=0.75,
        ground_truth_accuracy=None,
        classifier="text",
        model_weight=0.5,
        annotators=annotators,
    )
    info = ProjectInfo("Title", "<View/>", (), cursor=1, synced_at=moment)
    with store.transaction() as changes:
        store.stage_info(changes, info)
        store.stage_summary(changes, Summary(1, 1, "", moment, (question,)))
        store.stage_publication(changes, Publication("crowdlab-000001", 1, moment, 900))


def test_every_name_is_declared_once_and_documented() -> None:
    by_kind = {kind: {one.name for one in FAMILIES.values() if one.kind is kind} for kind in Kind}
    assert by_kind[Kind.COUNTER] == set(get_args(CounterName))
    assert by_kind[Kind.HISTOGRAM] == set(get_args(HistogramName))
    assert all(name.endswith("_total") for name in by_kind[Kind.COUNTER])
    assert all(name.endswith("_seconds") for name in by_kind[Kind.HISTOGRAM])
    page = (DOCS / "operations.md").read_text()
    assert [name for name in FAMILIES if f"`{PREFIX}{name}`" not in page] == []


def test_counts_add_up(metrics: Metrics, service: Service) -> None:
    metrics.count("events_total", project=3)
    metrics.count("events_total", project=3, amount=4)
    metrics.count("events_total", project=4, amount=2)
    metrics.count("job_failures_total", kind="refresh", project=3)
    metrics.count("label_studio_failures_total", project=3)
    metrics.count("dead_letters_total", project=3, amount=0)
    samples = shown(service)
    assert samples["events_total", "3"] == 5
    assert samples["events_total", "4"] == 2
    assert samples["job_failures_total", "refresh"] == 1
    assert samples["label_studio_failures_total", ""] == 1
    assert ("dead_letters_total", "3") not in samples


def test_the_first_count_is_a_rise(service: Service) -> None:
    fill(service.store(25))
    samples = shown(service)
    assert samples["dead_letters_total", "25"] == 0
    assert samples["job_failures_total", "events"] == 0
    assert samples["breaker_opened_total", ""] == 0


@pytest.mark.parametrize(
    ("seconds", "bound"),
    [(0.0, "0.05"), (-3.0, "0.05"), (0.05, "0.05"), (0.051, "0.1"), (1800, "1800"), (1e6, "+Inf")],
)
def test_a_duration_is_in_its_bucket_and_all_above(
    metrics: Metrics, service: Service, seconds: float, bound: str
) -> None:
    metrics.observe("sync_seconds", seconds, project=3)
    samples = shown(service)
    bounds = [*(f"{one:g}" for one in BUCKETS), "+Inf"]
    counts = [samples["sync_seconds_bucket", f"3,{one}"] for one in bounds]
    place = bounds.index(bound)
    assert counts == [0.0] * place + [1.0] * (len(bounds) - place)
    assert samples["sync_seconds_count", "3"] == 1
    assert samples["sync_seconds_sum", "3"] == max(0.0, seconds)


def test_a_block_is_timed_unless_it_fails(metrics: Metrics, service: Service) -> None:
    with metrics.timed("recompute_seconds", project=3):
        time.sleep(0.06)
    with pytest.raises(ZeroDivisionError), metrics.timed("recompute_seconds", project=3):
        _ = 1 / 0
    samples = shown(service)
    assert samples["recompute_seconds_count", "3"] == 1
    assert 0.06 <= samples["recompute_seconds_sum", "3"] < 5


def test_several_processes_record_the_same(redis_url: str, service: Service) -> None:
    program = (
        "from redis import Redis; from backend.metrics import Metrics\n"
        f"metrics = Metrics(Redis.from_url({redis_url!r}))\n"
        "for _ in range(200):\n"
        "    metrics.count('events_total', project=1)\n"
        "    metrics.observe('event_lag_seconds', 0.25, project=1)\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(3)]
    assert [one.wait() for one in running] == [0, 0, 0]
    samples = shown(service)
    assert samples["events_total", "1"] == 600
    assert samples["event_lag_seconds_count", "1"] == 600
    assert samples["event_lag_seconds_sum", "1"] == 150


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (lambda one: one.count("event_total"), "'event_total' is no counter; there are events_"),
        (lambda one: one.count("sync_seconds"), "'sync_seconds' is no counter"),
        (lambda one: one.observe("events_total", 1), "is no histogram; there are event_lag"),
        (lambda one: one.count("events_total", amount=-1), "events_total cannot be lowered: -1"),
    ],
)
def test_a_wrong_name_is_an_error(
    metrics: Metrics, record: Callable[[Any], None], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        record(metrics)


def test_a_project_is_forgotten(metrics: Metrics, service: Service, redis: Redis) -> None:
    for project in (2, 25):
        for name in get_args(HistogramName):
            metrics.observe(name, 1e6, project=project)
            metrics.observe(name, 0.1, project=project)
        for name in get_args(CounterName):
            metrics.count(name, project=project, kind="refresh")
    metrics.forget(25)
    left = {label.split(",")[0] for _, label in shown(service)}
    assert left == {"", "2", *JobKind}
    metrics.forget(2)
    kept = {name for name in FAMILIES if redis.exists(keys.METRICS.format(name=name))}
    assert kept == {"job_failures_total", "label_studio_failures_total", "breaker_opened_total"}


@pytest.fixture
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """A redis-server that a test may end."""
    server = EmbeddedRedis(tmp_path_factory.mktemp("o"))
    server.start()
    yield server
    server.stop()


def test_nothing_fails_when_redis_is_down(
    own_server: EmbeddedRedis, caplog: pytest.LogCaptureFixture
) -> None:
    with Redis.from_url(own_server.url) as redis:
        metrics = Metrics(redis)
        service = Service(load_settings(redis_url=own_server.url), redis)
        metrics.count("events_total", project=1)
        assert shown(service)["redis_up", ""] == 1
        own_server.stop()
        with caplog.at_level(logging.INFO):
            metrics.count("events_total", project=1)
            metrics.observe("sync_seconds", 1.0)
        (line,) = caplog.records
        assert line.levelname == "WARNING"
        assert line.getMessage().startswith("metrics cannot be recorded: ")
        assert shown(service) == {("redis_up", ""): 0.0}
        own_server.start()
        metrics.count("events_total", project=1)
        assert shown(service)["events_total", "1"] == 2


def test_gauges_tell_what_the_store_holds(service: Service) -> None:
    store = service.store(25)
    fill(store, age=100.0)
    for number in range(3):
        store.inbox.add(f"{{{number}}}")
    time.sleep(0.05)
    store.inbox.bury(store.inbox.take(1)[0], "not JSON")
    service.redis.zadd(keys.UNSENT.format(project=25), {"7": 1.0})
    service.queue.apply_events(25)
    samples = shown(service)
    assert samples["inbox_depth", "25"] == 2
    assert 0.05 <= samples["oldest_event_age_seconds", "25"] < 30
    assert samples["dead_letters", "25"] == 1
    assert samples["unsent_predictions", "25"] == 1
    assert samples["project_tasks", "25"] == 1000
    for what in ("synced", "computed", "published"):
        assert 100 <= samples[f"project_{what}_age_seconds", "25"] < 130
    for kind in JobKind:
        assert samples["queue_depth", kind] == (kind is JobKind.EVENTS)
        assert samples["workers", kind] == 0
    assert samples["redis_memory_bytes", ""] > 100_000
    assert samples["redis_up", ""] == 1


def test_what_never_happened_has_no_age(service: Service) -> None:
    store = service.store(3)
    with store.transaction() as changes:
        store.stage_info(changes, ProjectInfo("Title", "<View/>", ()))
    samples = shown(service)
    assert samples["inbox_depth", "3"] == 0
    assert samples["oldest_event_age_seconds", "3"] == 0
    assert {
        name for name, label in samples if label == "3" and name.startswith("project_")
    } == set()


def test_a_scrape_of_many_projects_is_cheap(service: Service, redis: Redis) -> None:
    metrics = Metrics(redis)
    for project in range(1, 201):
        fill(service.store(project), num_annotators=50)
        for name in get_args(HistogramName):
            metrics.observe(name, 0.3, project=project)
    redis.config_resetstat()
    began = time.process_time()
    samples = shown(service)
    assert time.process_time() - began < 5
    calls = {name: one["calls"] for name, one in redis.info("commandstats").items()}
    recorded = sum(one.kind is not Kind.GAUGE for one in FAMILIES.values())
    # No table, which would be a hash more, is read, nor is anything searched for.
    assert calls["cmdstat_hgetall"] == recorded
    assert not {"cmdstat_hget", "cmdstat_hvals", "cmdstat_scan", "cmdstat_keys"} & set(calls)
    assert samples["project_tasks", "200"] == 1000
    assert samples["event_lag_seconds_count", "200"] == 1
