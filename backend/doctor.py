"""Check the whole chain from Label Studio to the predictions, and say how to mend it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import httpx

from backend.errors import CrowdlabError, ProjectNotFoundError
from backend.jobs.labels import counted_labels
from backend.jobs.queue import JobKind
from backend.label_studio.client import LabelStudioClient
from backend.service import Service
from backend.settings import SECRET_HEADER, Settings
from backend.store.connection import RedisConnection
from backend.store.project import ProjectStore


@dataclass(frozen=True)
class Finding:
    """One checked link of the chain."""

    subject: str
    is_ok: bool
    message: str
    remedy: str = ""
    """What to do; empty if all is well."""

    @classmethod
    def ok(cls, subject: str, message: str) -> Finding:
        """Return a finding that all is well."""
        return cls(subject, is_ok=True, message=message)

    @classmethod
    def fault(cls, subject: str, message: str, remedy: str) -> Finding:
        """Return a finding of something to mend."""
        return cls(subject, is_ok=False, message=message, remedy=remedy)


def examine(settings: Settings) -> list[Finding]:
    """Check Redis, Label Studio, this service's processes and each connected project."""
    label_studio = examine_label_studio(settings)
    findings = [label_studio, _web_of(settings)]
    try:
        connection = RedisConnection(settings)
    except CrowdlabError as error:
        return [*findings, Finding.fault("Redis", error.message, error.hint)]
    with connection, closing(Service(settings, connection.redis)) as service:
        version = connection.redis.info("server")["redis_version"]
        findings.append(Finding.ok("Redis", f"release {version} answers"))
        findings += _workers_of(service)
        projects = service.projects()
        if not projects:
            remedy = "Run `crowdlab connect PROJECT` with a project's number."
            findings.append(Finding.fault("Projects", "no project is connected", remedy))
        for project_id in projects if label_studio.is_ok else ():
            findings += _project(service, service.label_studio, project_id)
    return findings


def examine_label_studio(settings: Settings) -> Finding:
    """Check whether Label Studio answers and accepts the token."""
    key = settings.label_studio_api_key.get_secret_value()
    try:
        with closing(LabelStudioClient(settings.label_studio_url, key, timeout=15)) as client:
            user = client.current_user()["email"]
            release = client.version()
    except CrowdlabError as error:
        return Finding.fault("Label Studio", error.message, error.hint)
    return Finding.ok("Label Studio", f"release {release} at {client.url} accepts {user}'s token")


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


def _workers_of(service: Service) -> Iterator[Finding]:
    for kind in JobKind:
        subject = f"Workers for {kind.value}"
        if running := service.queue.num_workers(kind):
            yield Finding.ok(subject, f"{running} running")
        else:
            waiting = service.queue.num_waiting()
            remedy = "Run `crowdlab start`, or `crowdlab worker`."
            yield Finding.fault(subject, f"none is running, {waiting} job(s) wait", remedy)


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
