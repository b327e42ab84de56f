"""Entry points of the jobs: what becomes of failures, and when everything is pulled."""

import time
from collections.abc import Callable

import pytest

from backend.errors import LabelStudioUnreachableError, NothingToComputeError
from backend.jobs import run
from backend.jobs.queue import JobKind
from backend.service import Service
from backend.store.project import ProjectInfo


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
