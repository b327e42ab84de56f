"""Check the whole chain from Label Studio to the predictions, and say how to mend it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
from redis import Redis
from redis.exceptions import RedisError

from backend.errors import CrowdlabError, ProjectNotFoundError
from backend.features.models import load_models
from backend.jobs.labels import counted_labels
from backend.jobs.queue import JobKind
from backend.label_studio.client import LabelStudioClient
from backend.service import Service
from backend.settings import SECRET_HEADER, Settings
from backend.store.cluster import Cluster, DataRedis, servers_of
from backend.store.connection import RedisConnection
from backend.store.project import ProjectStore

_WAIT_SECONDS = 60
"""An event that waits longer is not followed as it should be."""

_CLOCK_SECONDS = 60
_MEMORY_SHARE = 0.8


@dataclass(frozen=True)
class Finding:
    """One checked link of the chain."""

    subject: str
    is_ok: bool
    message: str
    remedy: str = ""
    """What to do; empty if there is nothing to do."""

    @classmethod
    def ok(cls, subject: str, message: str) -> Finding:
        """Return a finding that all is well."""
        return cls(subject, is_ok=True, message=message)

    @classmethod
    def warning(cls, subject: str, message: str, remedy: str) -> Finding:
        """Return a finding of something that works and had better be mended."""
        return cls(subject, is_ok=True, message=message, remedy=remedy)

    @classmethod
    def fault(cls, subject: str, message: str, remedy: str) -> Finding:
        """Return a finding of something to mend."""
        return cls(subject, is_ok=False, message=message, remedy=remedy)


def examine(settings: Settings) -> list[Finding]:
    """Check Redis, Label Studio, this service's processes and each connected project."""
    label_studio = examine_label_studio(settings)
    findings = [label_studio, _web_of(settings), *examine_models(settings)]
    try:
        connection = RedisConnection(settings)
    except CrowdlabError as error:
        return [*findings, Finding.fault("Redis", error.message, error.hint)]
    with connection, closing(Service(settings, connection.redis, connection.data)) as service:
        findings += examine_redis(connection.redis)
        if connection.data is not connection.redis:
            findings += examine_data(connection.data)
        findings += examine_workers(service)
        if label_studio.is_ok:
            findings.append(_clock_of(service.label_studio))
        projects = service.projects()
        if not projects:
            remedy = "Run `crowdlab connect PROJECT` with a project's number."
            findings.append(Finding.fault("Projects", "no project is connected", remedy))
        for project_id in projects:
            findings += _events_of(service.store(project_id))
        for project_id in projects if label_studio.is_ok else ():
            findings += _project(service, service.label_studio, project_id)
    return findings


def examine_label_studio(settings: Settings, timeout: float = 15) -> Finding:
    """Check whether Label Studio answers and accepts the token.

    Parameters
    ----------
    timeout
        Seconds to wait for one answer.
    """
    key = settings.label_studio_api_key.get_secret_value()
    try:
        with closing(
            LabelStudioClient(
                settings.label_studio_url, key, timeout=timeout, ca_file=settings.ca_file
            )
        ) as client:
            user = client.current_user()["email"]
            release = client.version()
    except CrowdlabError as error:
        return Finding.fault("Label Studio", error.message, error.hint)
    return Finding.ok("Label Studio", f"release {release} at {client.url} accepts {user}'s token")


def examine_models(settings: Settings) -> Iterator[Finding]:
    """Check that the models which the settings name can be loaded."""
    models = load_models(settings.text_model, settings.image_model)
    found = {"text": models.text, "image": models.image}
    for kind, model in found.items():
        subject = f"{kind.capitalize()} model"
        if problem := models.problems.get(kind):
            yield Finding.fault(subject, problem.message.removesuffix("."), problem.hint)
        elif model is not None:
            yield Finding.ok(subject, f"gives vectors of {model.width:,} numbers")


def _web_of(settings: Settings) -> Finding:
    """Whether the web application answers at the address that Label Studio is given."""
    url = settings.public_url
    remedy = "Run `crowdlab start`, or set BACKEND_URL to the address at which it listens."
    try:
        answer = httpx.get(f"{url}/health", timeout=5)
        model = answer.json().get("model_class")
    except (httpx.HTTPError, ValueError, AttributeError) as error:
        return Finding.fault("Web application", f"{url} does not answer: {error}", remedy)
    if model != "CrowdlabModel":
        return Finding.fault("Web application", f"{url} is another program", remedy)
    return Finding.ok("Web application", f"answers at {url}")


def examine_redis(redis: Redis, name: str = "Redis") -> Iterator[Finding]:
    """Check that a server keeps what it is given.

    Parameters
    ----------
    name
        What the findings call it.
    """
    info: Any = redis.info()
    yield Finding.ok(name, f"{_release_of(info)} answers")
    yield _persistence_of(info, name)
    yield _eviction_of(info, name)
    yield _memory_of(info, name)


def examine_data(redis: DataRedis) -> Iterator[Finding]:
    """Check the servers that the projects' data have to themselves."""
    if isinstance(redis, Cluster):
        yield _cluster_of(redis)
    try:
        for address, server in servers_of(redis).items():
            yield from examine_redis(server, f"Redis (data) {address}".rstrip())
    except RedisError as error:
        remedy = "See that it runs; its log has the details."
        yield Finding.fault("Redis (data)", f"a server does not answer: {error}", remedy)


def _release_of(info: dict[str, Any]) -> str:
    if "valkey_version" in info:
        return f"Valkey {info['valkey_version']}"
    return f"release {info['redis_version']}"


def _cluster_of(redis: Cluster) -> Finding:
    subject = "Redis Cluster"
    remedy = "`redis-cli --cluster check HOST:PORT` says what is missing."
    try:
        state = redis.execute_command("CLUSTER INFO")["cluster_state"]
    except RedisError as error:
        return Finding.fault(subject, f"does not answer: {error}", remedy)
    if state != "ok":
        return Finding.fault(subject, f"its state is {state}, so data cannot be used", remedy)
    return Finding.ok(subject, f"{len(servers_of(redis))} primaries have all slots")


def _persistence_of(info: dict[str, Any], name: str = "Redis") -> Finding:
    subject = f"{name} persistence"
    if not info.get("aof_enabled"):
        return Finding.warning(
            subject,
            "appendonly is off, so what changed since the last snapshot is lost when Redis ends",
            "Run `redis-cli CONFIG SET appendonly yes`, and write that into redis.conf too.",
        )
    if (status := info.get("aof_last_write_status", "ok")) != "ok":
        return Finding.fault(
            subject,
            f"the last write to the append-only file failed ({status})",
            "Make room on Redis's disk; the server's log has the details.",
        )
    return Finding.ok(subject, "appendonly is on")


def _eviction_of(info: dict[str, Any], name: str) -> Finding:
    subject = f"{name} eviction"
    policy = info.get("maxmemory_policy", "noeviction")
    if policy == "noeviction":
        return Finding.ok(subject, "maxmemory-policy is noeviction")
    remedy = (
        "Run `redis-cli CONFIG SET maxmemory-policy noeviction`, and write "
        "`maxmemory-policy noeviction` into redis.conf."
    )
    if not info.get("maxmemory"):
        message = f"maxmemory-policy is {policy}; nothing is evicted while there is no maxmemory"
        return Finding.warning(subject, message, remedy)
    message = f"maxmemory-policy is {policy}, so data vanish when memory runs short"
    return Finding.fault(subject, message, remedy)


def _memory_of(info: dict[str, Any], name: str) -> Finding:
    subject = f"{name} memory"
    used, most = int(info["used_memory"]), int(info.get("maxmemory", 0))
    if not most:
        return Finding.ok(subject, f"{_megabytes(used)} in use, no maxmemory")
    message = f"{_megabytes(used)} of {_megabytes(most)} (maxmemory) in use"
    if used <= _MEMORY_SHARE * most:
        return Finding.ok(subject, message)
    return Finding.fault(
        subject,
        f"{message}; Redis refuses writes when it is full",
        "Raise it (`redis-cli CONFIG SET maxmemory`, and redis.conf), or run "
        "`crowdlab disconnect PROJECT` for projects that are done.",
    )


def _megabytes(number: int) -> str:
    return f"{number / 1e6:,.1f} MB"


def _clock_of(client: LabelStudioClient) -> Finding:
    """Compare the clocks, as a sync asks for what changed since a moment of the other one."""
    try:
        client.version()
    except CrowdlabError as error:
        return Finding.fault("Clocks", error.message, error.hint)
    return compare_clocks(datetime.now(tz=UTC), client.server_time)


def compare_clocks(ours: datetime, theirs: datetime) -> Finding:
    """Check that this machine's clock and Label Studio's agree."""
    difference = (theirs - ours).total_seconds()
    if abs(difference) <= _CLOCK_SECONDS:
        return Finding.ok("Clocks", "this machine's and Label Studio's agree")
    direction = "ahead of" if difference > 0 else "behind"
    return Finding.fault(
        "Clocks",
        f"Label Studio's is {abs(difference):,.0f} s {direction} this machine's",
        "Set both by a time server: `timedatectl set-ntp true`.",
    )


def examine_workers(service: Service) -> Iterator[Finding]:
    """Check that there is a worker for each kind of jobs."""
    for kind in JobKind:
        subject = f"Workers for {kind.value}"
        if running := service.queue.num_workers(kind):
            yield Finding.ok(subject, f"{running} running")
        else:
            waiting = service.queue.num_waiting()
            remedy = "Run `crowdlab start`, or `crowdlab worker`."
            yield Finding.fault(subject, f"none is running, {waiting} job(s) wait", remedy)


def _events_of(store: ProjectStore) -> Iterator[Finding]:
    """Whether the project's events are followed."""
    subject = f"Project {store.project_id}"
    oldest = store.inbox.oldest()
    waited = 0.0 if oldest is None else store.clock() - oldest
    if waited > _WAIT_SECONDS:
        yield Finding.fault(
            subject,
            f"{len(store.inbox):,} event(s) wait, the oldest for {waited:,.0f} s",
            "Run `crowdlab worker --only events` if no worker takes events; otherwise the "
            "workers' log says what keeps them.",
        )
    if dead := store.inbox.num_dead_letters():
        yield Finding.fault(
            subject,
            f"{dead:,} event(s) could not be applied",
            f"Run `crowdlab dead-letters {store.project_id} --replay`.",
        )


def _project(service: Service, client: LabelStudioClient, project_id: int) -> Iterator[Finding]:
    """Check one project's connection, webhook and predictions."""
    subject = f"Project {project_id}"
    connect = f"Run `crowdlab connect {project_id}`."
    url = service.settings.public_url
    try:
        project = client.project(project_id)
        backends = [one for one in client.ml_backends(project_id) if one["url"].rstrip("/") == url]
        hooks = [
            one
            for one in client.webhooks(project_id)
            if one["url"].rstrip("/") == f"{url}/webhook" and one["is_active"]
        ]
        versions = client.model_versions(project_id)
    except ProjectNotFoundError as error:
        remedy = f"If it was deleted, run `crowdlab disconnect {project_id}` to forget it."
        yield Finding.fault(subject, error.message, remedy)
        return
    except CrowdlabError as error:
        yield Finding.fault(subject, error.message, error.hint)
        return
    if not backends:
        yield Finding.fault(subject, f"has no ML backend at {url}", connect)
    elif backends[0]["state"] != "CO":
        reason = backends[0].get("error_message") or backends[0].get("readable_state")
        yield Finding.fault(
            subject,
            f"Label Studio cannot use the ML backend at {url}: {reason}",
            "Check that this address works from where Label Studio runs.",
        )
    else:
        yield Finding.ok(subject, "ML backend is connected")
    secret = service.settings.webhook_secret.get_secret_value()
    if len(hooks) != 1:
        yield Finding.fault(subject, f"has {len(hooks)} active webhooks to {url}", connect)
    elif secret and hooks[0]["headers"].get(SECRET_HEADER) != secret:
        yield Finding.fault(subject, "its webhook does not carry WEBHOOK_SECRET", connect)
    else:
        yield Finding.ok(subject, "webhook is active")
    store = service.store(project_id)
    publication = store.read_publication()
    sync = f"Run `crowdlab sync {project_id}`."
    if publication is None and not _has_labels(store):
        yield Finding.ok(subject, "no label yet; consensus comes with the first")
    elif publication is None:
        yield Finding.fault(subject, "nothing was published yet", sync)
    elif project["model_version"] != publication.model_version:
        yield Finding.fault(
            subject,
            f"shows model version {project['model_version']!r} instead of "
            f"{publication.model_version!r}, so scores are empty in the Data Manager",
            sync,
        )
    elif versions.get(publication.model_version) != publication.num_predictions:
        yield Finding.fault(
            subject,
            f"holds {versions.get(publication.model_version, 0):,} predictions of "
            f"{publication.model_version} instead of {publication.num_predictions:,}",
            sync,
        )
    else:
        yield Finding.ok(
            subject,
            f"shows {publication.num_predictions:,} predictions of {publication.model_version}",
        )
    if reason := store.last_error():
        yield Finding.fault(subject, f"the last job failed: {reason}", sync)


def _has_labels(store: ProjectStore) -> bool:
    """Whether a label of any question counts, as far as the store knows."""
    info = store.read_info()
    if info is None:
        return False
    annotations = store.annotations(len(info.questions)).read()
    return any(
        len(counted_labels(annotations, question)["task"])
        for question in range(len(info.questions))
    )
