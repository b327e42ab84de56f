"""Entry points of the jobs: what becomes of failures, and when everything is pulled."""

import time
from collections.abc import Callable

import pytest

from backend.errors import (
    LabelStudioUnreachableError,
    NothingToComputeError,
    ProjectNotFoundError,
)
from backend.jobs import pipeline, run
from backend.jobs.queue import JobKind
from backend.service import Service
from backend.store.project import ProjectInfo, Work


@pytest.fixture
def service(make_service: Callable[..., Service], monkeypatch: pytest.MonkeyPatch) -> Service:
    service = make_service()
    monkeypatch.setattr(run, "_settings_service", lambda: service)
    return service


@pytest.mark.parametrize(
    ("error", "noted"),
    [
        (LabelStudioUnreachableError("Label Studio is away.", "Start it."), "is away. Start it."),
        (NothingToComputeError("No label yet."), ""),
    ],
)
def test_a_domain_error_is_noted_and_ends_the_job(
    service: Service, monkeypatch: pytest.MonkeyPatch, error: Exception, noted: str
) -> None:
    def fail(*arguments: object, **named: object) -> None:
        raise error

    monkeypatch.setattr(run.pipeline, "refresh", fail)
    service.store(3).save_last_error("old")
    run.refresh_job(3, "refresh")
    assert service.store(3).last_error().endswith(noted)
    assert bool(service.store(3).last_error()) == bool(noted)


def test_an_unforeseen_error_is_noted_and_told(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **named: object) -> None:
        raise SyntaxError("inner workings")

    monkeypatch.setattr(run.pipeline, "follow_events", fail)
    with pytest.raises(SyntaxError):
        run.apply_events_job(3)
    assert service.store(3).last_error() == (
        "Internal error (SyntaxError); the worker's log has the details."
    )


@pytest.mark.parametrize(("age", "kind"), [(60.0, "refresh"), (90_000.0, "full_refresh")])
def test_everything_is_pulled_once_in_a_while(service: Service, age: float, kind: str) -> None:
    store = service.store(3)
    with store.transaction() as pipe:
        info = ProjectInfo("t", "<View/>", (), cursor=1, fully_synced_at=time.time() - age)
        store.stage_info(pipe, info)
    run.reconcile_job()
    (job,) = service.queue.queues(JobKind.REFRESH)[0].jobs
    assert job.args == [3, kind]


def test_a_project_that_was_disconnected_is_not_made_known_again_by_its_jobs(
    service: Service,
) -> None:
    store = service.store(3)
    with store.lock():
        store.disconnect()
    store.inbox.add('{"action": "PROJECT_UPDATED", "project": 3, "annotations": [], "ids": []}')
    with pytest.raises(NothingToComputeError, match="`crowdlab connect 3` connects it again"):
        pipeline.follow_events(service, 3)
    run.apply_events_job(3)
    run.recompute_job(3, "recompute")
    assert service.projects() == []
    assert service.redis.keys("crowdlab:{3}:*") == []
    store.connect()
    with store.lock():
        pass


def test_a_recompute_that_another_process_does_already_is_asked_for_again(
    service: Service,
) -> None:
    other = service.store(3)
    with other.lock(Work.REFRESH):
        run.recompute_job(3, "recompute")
    (waiting,) = service.queue.queues(JobKind.REFRESH)[0].scheduled_job_registry.get_job_ids()
    job = service.queue.queues(JobKind.REFRESH)[0].fetch_job(waiting)
    assert job is not None
    assert job.func_name.endswith("recompute_job")


def test_a_project_known_from_events_alone_leaves_nothing_whichever_job_ends_last(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_not_there(*arguments: object, **named: object) -> None:
        raise ProjectNotFoundError("Label Studio has no project 3.", "Check the number.")

    monkeypatch.setattr(run.pipeline, "refresh", is_not_there)
    run.refresh_job(3, "refresh")
    run.apply_events_job(3)
    run.send_changes_job(3)
    run.recompute_job(3, "recompute")
    assert service.redis.keys("crowdlab:{3}:*") == []
    assert service.projects() == []
