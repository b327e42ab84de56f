"""Metrics of the whole service: workers record them in Redis, the web application shows them."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

import orjson
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from redis import Redis
from redis.exceptions import RedisError

from backend.store import keys
from backend.store.cluster import as_connection_errors, servers_of

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric as Samples

    from backend.jobs.queue import JobKind
    from backend.service import Service

log = logging.getLogger(__name__)

PREFIX = "crowdlab_"
"""Begins the name of every metric, as Prometheus shows it."""

BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
"""Upper bounds of the histograms, in seconds."""

CounterName = Literal[
    "events_total",
    "dead_letters_total",
    "job_failures_total",
    "predictions_written_total",
    "label_studio_failures_total",
    "breaker_opened_total",
]
HistogramName = Literal[
    "event_lag_seconds",
    "visible_lag_seconds",
    "sync_seconds",
    "recompute_seconds",
    "publish_seconds",
    "amend_seconds",
]


class Kind(StrEnum):
    """What a metric is to Prometheus."""

    COUNTER = "counter"
    HISTOGRAM = "histogram"
    GAUGE = "gauge"
    """Read from the store when Prometheus asks; nothing records it."""


@dataclass(frozen=True)
class Family:
    """A metric with all its series."""

    name: str
    kind: Kind
    help: str
    label: str = ""
    """What its series are told apart by; empty if it is a single one."""


FAMILIES = {
    family.name: family
    for family in (
        Family(
            "event_lag_seconds",
            Kind.HISTOGRAM,
            "From the receipt of an event to its consensus in the store.",
            "project",
        ),
        Family(
            "visible_lag_seconds",
            Kind.HISTOGRAM,
            "From the receipt of an event to its prediction in Label Studio.",
            "project",
        ),
        Family("sync_seconds", Kind.HISTOGRAM, "Duration of a sync.", "project"),
        Family("recompute_seconds", Kind.HISTOGRAM, "Duration of a recompute.", "project"),
        Family(
            "publish_seconds",
            Kind.HISTOGRAM,
            "Duration of the publication of a model version.",
            "project",
        ),
        Family(
            "amend_seconds",
            Kind.HISTOGRAM,
            "Duration of a change of single predictions.",
            "project",
        ),
        Family("events_total", Kind.COUNTER, "Events applied.", "project"),
        Family("dead_letters_total", Kind.COUNTER, "Events that could not be applied.", "project"),
        Family("job_failures_total", Kind.COUNTER, "Jobs that failed.", "kind"),
        Family(
            "predictions_written_total",
            Kind.COUNTER,
            "Predictions created, changed or deleted in Label Studio.",
            "project",
        ),
        Family(
            "label_studio_failures_total",
            Kind.COUNTER,
            "Requests that Label Studio failed or did not answer.",
        ),
        Family(
            "breaker_opened_total",
            Kind.COUNTER,
            "Times that Label Studio was left alone after failures.",
        ),
        Family("queue_depth", Kind.GAUGE, "Jobs that wait for a worker.", "queue"),
        Family("workers", Kind.GAUGE, "Workers that take jobs of this kind.", "kind"),
        Family("inbox_depth", Kind.GAUGE, "Events that are not applied yet.", "project"),
        Family(
            "oldest_event_age_seconds",
            Kind.GAUGE,
            "Age of the oldest event that is not applied yet; 0 if there is none.",
            "project",
        ),
        Family("dead_letters", Kind.GAUGE, "Events kept that could not be applied.", "project"),
        Family(
            "unsent_predictions",
            Kind.GAUGE,
            "Predictions that have to follow a changed consensus into Label Studio.",
            "project",
        ),
        Family("project_tasks", Kind.GAUGE, "Tasks at the last recompute.", "project"),
        Family("project_synced_age_seconds", Kind.GAUGE, "Time since the last sync.", "project"),
        Family(
            "project_computed_age_seconds",
            Kind.GAUGE,
            "Time since the last recompute that changed anything.",
            "project",
        ),
        Family(
            "project_published_age_seconds",
            Kind.GAUGE,
            "Time since the last publication of a model version.",
            "project",
        ),
        Family("redis_memory_bytes", Kind.GAUGE, "Memory that Redis uses, on all its servers."),
        Family("redis_up", Kind.GAUGE, "1 if Redis answers, else 0."),
    )
}
"""Every metric by its name, without the prefix."""

_SUM = "sum"
_INFINITY = "+Inf"


class Metrics:
    """Records what happens, from any process and machine, in one Redis hash per metric.

    Nothing fails because of it: if Redis does, the log says so once.

    Parameters
    ----------
    redis
        Connection to Redis.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._has_failed = False

    def count(
        self, name: CounterName, *, project: int | None = None, kind: str = "", amount: int = 1
    ) -> None:
        """Add `amount` to a counter.

        Parameters
        ----------
        project, kind
            Which of its series; ignored where its series are told apart by something else.

        Raises
        ------
        ValueError
            There is no such counter, or `amount` is negative.
        """
        series = _series_of(name, Kind.COUNTER, project, kind)
        if amount < 0:
            raise ValueError(f"the counter {name} cannot be lowered: {amount}")
        if amount:
            self._add(name, {series: amount})

    def observe(self, name: HistogramName, seconds: float, *, project: int | None = None) -> None:
        """Add a duration to a histogram.

        A negative one, as clocks of two machines can give, counts as 0.

        Raises
        ------
        ValueError
            There is no such histogram.
        """
        series = _series_of(name, Kind.HISTOGRAM, project)
        seconds = max(0.0, float(seconds))
        bucket = next((_bound(one) for one in BUCKETS if seconds <= one), _INFINITY)
        self._add(name, {f"{series}:{bucket}": 1, f"{series}:{_SUM}": seconds})

    @contextmanager
    def timed(self, name: HistogramName, *, project: int | None = None) -> Iterator[None]:
        """Add how long the block takes to a histogram, unless it fails."""
        began = time.monotonic()
        yield
        self.observe(name, time.monotonic() - began, project=project)

    def _add(self, name: str, amounts: Mapping[str, int | float]) -> None:
        key = keys.METRICS.format(name=name)
        try:
            with self._redis.pipeline(transaction=True) as pipe:
                for field, amount in amounts.items():
                    if isinstance(amount, int):
                        pipe.hincrby(key, field, amount)
                    else:
                        pipe.hincrbyfloat(key, field, amount)
                pipe.execute()
        except RedisError as error:
            if not self._has_failed:
                log.warning("metrics cannot be recorded: %s", error)
            self._has_failed = True
        else:
            self._has_failed = False

    def forget(self, project: int) -> None:
        """Delete what was recorded of a project."""
        names = [one.name for one in FAMILIES.values() if one.label == "project"]
        bounds = [*map(_bound, BUCKETS), _INFINITY, _SUM]
        with self._redis.pipeline(transaction=False) as pipe:
            for name in names:
                fields = (str(project), *(f"{project}:{bound}" for bound in bounds))
                pipe.hdel(keys.METRICS.format(name=name), *fields)
            pipe.execute()


def _series_of(name: str, kind: Kind, project: int | None, job_kind: str = "") -> str:
    """Value of the metric's label; empty if it has none."""
    family = FAMILIES.get(name)
    if family is None or family.kind is not kind:
        known = ", ".join(one.name for one in FAMILIES.values() if one.kind is kind)
        raise ValueError(f"{name!r} is no {kind}; there are {known}")
    if family.label == "project":
        return "" if project is None else str(project)
    return job_kind if family.label == "kind" else ""


def _bound(bucket: float) -> str:
    return f"{bucket:g}"


Series = dict[str, float]
"""Value of a metric's label to a number."""

Histogram = dict[str, dict[str, float]]
"""Value of a metric's label to its buckets and its sum."""


class ServiceCollector(Collector):
    """All metrics as Prometheus wants them, read from Redis when it asks.

    Its cost depends on the number of projects, not on their size: five round trips, one per
    worker, and one per server that holds data.

    Parameters
    ----------
    service
        The service.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Samples]:
        """Every metric; `redis_up` alone if Redis does not answer."""
        try:
            projects = self._service.projects()
            series, histograms = self._recorded(projects)
            series |= self._gauges(projects)
        except RedisError:
            yield _gauge(FAMILIES["redis_up"], {"": 0.0})
            return
        for family in FAMILIES.values():
            match family.kind:
                case Kind.HISTOGRAM:
                    yield _histogram(family, histograms[family.name])
                case Kind.COUNTER:
                    yield _counter(family, series[family.name])
                case Kind.GAUGE:
                    yield _gauge(family, series[family.name])

    def _recorded(self, projects: Sequence[int]) -> tuple[dict[str, Series], dict[str, Histogram]]:
        """Counters and histograms."""
        names = [one.name for one in FAMILIES.values() if one.kind is not Kind.GAUGE]
        with self._service.redis.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.hgetall(keys.METRICS.format(name=name))
            stored: list[dict[bytes, bytes]] = pipe.execute()
        counters: dict[str, Series] = {}
        histograms: dict[str, Histogram] = {}
        for name, fields in zip(names, stored, strict=True):
            plain = {field.decode(): float(value) for field, value in fields.items()}
            if FAMILIES[name].kind is Kind.COUNTER:
                counters[name] = _zeros(FAMILIES[name], projects) | plain
            else:
                histogram = histograms.setdefault(name, {})
                for field, value in plain.items():
                    series, _, part = field.rpartition(":")
                    histogram.setdefault(series, {})[part] = value
        return counters, histograms

    def _gauges(self, projects: Sequence[int]) -> dict[str, Series]:
        queue = self._service.queue
        kinds = _job_kinds()
        with self._service.redis.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.info("memory")
            for kind in kinds:
                (waiting,) = queue.queues(kind)
                pipe.llen(waiting.key)
            answers = iter(pipe.execute())
        seconds, microseconds = next(answers)
        now = seconds + microseconds / 1e6
        gauges: dict[str, Series] = {
            one.name: {} for one in FAMILIES.values() if one.kind is Kind.GAUGE
        }
        gauges["redis_up"][""] = 1.0
        gauges["redis_memory_bytes"][""] = next(answers)["used_memory"] + self._data_memory()
        for kind in kinds:
            gauges["queue_depth"][kind.value] = next(answers)
            gauges["workers"][kind.value] = queue.num_workers(kind)
        for project, parts in zip(projects, self._known_of(projects), strict=True):
            for name, value in _project_gauges(now, *parts).items():
                gauges[name][str(project)] = value
        return gauges

    def _data_memory(self) -> int:
        """Bytes that the projects' data use on servers of their own."""
        service = self._service
        if service.data is service.redis:
            return 0
        memories: list[dict[str, Any]] = [
            server.info("memory") for server in servers_of(service.data).values()
        ]
        return sum(int(memory["used_memory"]) for memory in memories)

    def _known_of(self, projects: Sequence[int]) -> list[list[Any]]:
        """What `_project_gauges` takes, per project."""
        with as_connection_errors(), self._service.data.pipeline(transaction=False) as pipe:
            for project in projects:
                pipe.xlen(keys.INBOX.format(project=project))
                pipe.xrange(keys.INBOX.format(project=project), count=1)
                pipe.xlen(keys.DEAD_LETTERS.format(project=project))
                pipe.zcard(keys.UNSENT.format(project=project))
                for template in (keys.INFO, keys.SUMMARY, keys.PUBLICATION):
                    pipe.get(template.format(project=project))
            answers: list[Any] = pipe.execute()
        width = len(answers) // max(1, len(projects))
        return [answers[number * width : (number + 1) * width] for number in range(len(projects))]


def _job_kinds() -> list[JobKind]:
    from backend.jobs.queue import JobKind  # jobs record metrics

    return list(JobKind)


def _zeros(family: Family, projects: Sequence[int]) -> Series:
    """Return 0 for each series to come, so that its first count is a rise."""
    match family.label:
        case "project":
            return {str(project): 0.0 for project in projects}
        case "kind":
            return {kind.value: 0.0 for kind in _job_kinds()}
        case _:
            return {"": 0.0}


def _project_gauges(
    now: float,
    num_events: int,
    oldest: list[tuple[bytes, Any]],
    num_dead: int,
    num_unsent: int,
    info: bytes | None,
    summary: bytes | None,
    publication: bytes | None,
) -> Series:
    """One project's value of each gauge that it has."""
    gauges: Series = {
        "inbox_depth": num_events,
        "oldest_event_age_seconds": _age(now, _moment_of(oldest[0][0])) if oldest else 0.0,
        "dead_letters": num_dead,
        "unsent_predictions": num_unsent,
    }
    for name, stored, field in (
        ("project_synced_age_seconds", info, "synced_at"),
        ("project_computed_age_seconds", summary, "computed_at"),
        ("project_published_age_seconds", publication, "published_at"),
    ):
        moment = orjson.loads(stored)[field] if stored else 0.0
        if moment:
            gauges[name] = _age(now, moment)
    questions = orjson.loads(summary)["questions"] if summary else []
    if questions:
        gauges["project_tasks"] = questions[0]["num_tasks"]
    return gauges


def _moment_of(entry: bytes) -> float:
    """Seconds since 1970 at which a stream's entry was added."""
    return int(entry.partition(b"-")[0]) / 1000


def _age(now: float, moment: float) -> float:
    return max(0.0, now - moment)


def _labels_of(family: Family) -> list[str]:
    return [family.label] if family.label else []


def _values_of(family: Family, series: str) -> list[str]:
    return [series] if family.label else []


def _counter(family: Family, counted: Series) -> Samples:
    samples = CounterMetricFamily(PREFIX + family.name, family.help, labels=_labels_of(family))
    for series, value in counted.items():
        samples.add_metric(_values_of(family, series), value)
    return samples


def _gauge(family: Family, values: Series) -> Samples:
    samples = GaugeMetricFamily(PREFIX + family.name, family.help, labels=_labels_of(family))
    for series, value in values.items():
        samples.add_metric(_values_of(family, series), value)
    return samples


def _histogram(family: Family, observed: Histogram) -> Samples:
    samples = HistogramMetricFamily(PREFIX + family.name, family.help, labels=_labels_of(family))
    for series, parts in observed.items():
        samples.add_metric(_values_of(family, series), _cumulated(parts), parts.get(_SUM, 0.0))
    return samples


def _cumulated(parts: Mapping[str, float]) -> list[tuple[str, float]]:
    """Upper bounds, and how many observations were no longer."""
    total = 0.0
    buckets = []
    for bound in (*map(_bound, BUCKETS), _INFINITY):
        total += parts.get(bound, 0.0)
        buckets.append((bound, total))
    return buckets
