"""Connect a project and disconnect it, in Label Studio and in the store at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from backend.errors import ProjectNotFoundError
from backend.label_studio.project_setup import connect_backend, disconnect_backend, same_address
from backend.service import Service
from backend.store.project import ProjectStore

_CONNECT_SECONDS = 120


def connect_project(service: Service, project_id: int) -> str:
    """Register the service in a project, with no other process at it.

    Label Studio calls /setup meanwhile, which asks for a refresh of a project that is not
    known; whoever connects it refreshes it anyway.

    Returns
    -------
    str
        What was done, in words.
    """
    store = service.store(project_id)
    store.connect()
    with store.lock(), no_refresh(store):
        return connect_backend(service.label_studio, project_id, service.settings)


@contextmanager
def no_refresh(store: ProjectStore) -> Iterator[None]:
    """Let no refresh be asked for inside, as if one waited already.

    Whoever uses it refreshes the project, and should not be overtaken by a worker.
    """
    is_first = store.mark_scheduled("refresh", _CONNECT_SECONDS)
    try:
        yield
    finally:
        if is_first:
            store.unmark_scheduled("refresh")


def disconnect_project(service: Service, project_id: int) -> list[str]:
    """Take the service out of a project and forget what the store knows of it.

    Predictions stay in Label Studio.

    Returns
    -------
    list of str
        What was done, in words.

    Raises
    ------
    ProjectNotFoundError
        Neither Label Studio nor the store has the project.
    """
    store = service.store(project_id)
    store.connect()
    is_known = project_id in service.projects()
    client = service.label_studio
    done = []
    with store.lock():
        try:
            client.project(project_id)
        except ProjectNotFoundError:
            if not is_known:
                raise
            done.append(f"Label Studio at {client.url} has no project {project_id} any more")
        else:
            done += disconnect_backend(client, project_id, service.settings.public_url)
            done.append("left the predictions in Label Studio")
        store.disconnect()
    _drop_jobs(service, project_id)
    store.forget()
    service.metrics.forget(project_id)
    done.append("forgot the project" if is_known else "the service did not know the project")
    return done


def connected_projects(service: Service) -> list[int]:
    """Projects of Label Studio that have this service as an ML backend, ascending."""
    client = service.label_studio
    url = service.settings.public_url
    return [
        project
        for project in client.project_ids()
        if any(same_address(one["url"], url) for one in client.ml_backends(project))
    ]


def _drop_jobs(service: Service, project_id: int) -> None:
    """Remove the project's waiting jobs."""
    for queue in service.queue.queues():
        waiting = [*queue.get_job_ids(), *queue.scheduled_job_registry.get_job_ids()]
        for job in filter(None, map(queue.fetch_job, waiting)):
            if project_id in job.args[:1]:
                job.delete()
