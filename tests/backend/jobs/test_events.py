"""Events in the inbox; what each of them does is tested through the endpoints."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from backend.errors import LockLostError
from backend.jobs import events
from backend.jobs.events import apply_events
from backend.label_studio.events import read_event
from backend.store.inbox import MOST_TRIES
from backend.store.project import ProjectStore


@pytest.fixture
def created(recorded: Callable[[str], Any]) -> Any:
    return recorded("webhook_ANNOTATION_CREATED.json")["body"]


def send(store: ProjectStore, body: Any, **changes: Any) -> None:
    body = {**body, "annotation": {**body["annotation"], **changes}}
    store.inbox.add(read_event(body).to_json())


def test_an_event_that_cannot_be_applied_stops_no_other(
    store: ProjectStore, created: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = events.read_annotation

    def fail_on_seven(raw: Any, *arguments: Any, **named: Any) -> Any:
        if raw["id"] == 7:
            raise OverflowError("too large")
        return read(raw, *arguments, **named)

    monkeypatch.setattr(events, "read_annotation", fail_on_seven)
    for number in (6, 7, 8):
        send(store, created, id=number, completed_by=number)
    report = apply_events(store, None)
    assert (report.num_events, report.num_failed, report.num_buried) == (2, 1, 0)
    assert report.needs_sync
    store.inbox.acknowledge(report.entries)
    assert store.annotations(1).read()["annotation"].tolist() == [6, 8]
    for _ in range(MOST_TRIES - 1):
        assert len(store.inbox) == 1
        monkeypatch.setattr(store.inbox, "take", partial(store.inbox.take, retry_after=0))
        report = apply_events(store, None)
    assert report.num_buried == 1
    assert len(store.inbox) == 0
    (letter,) = store.inbox.dead_letters()
    assert letter.reason == "OverflowError: too large"
    assert b'"id":7' in letter.event.replace(b" ", b"")


def test_an_event_that_no_process_lived_to_apply_is_buried(
    store: ProjectStore, created: Any
) -> None:
    send(store, created)
    for _ in range(MOST_TRIES):
        store.inbox.take(9, retry_after=0)
    store.inbox.take = partial(store.inbox.take, retry_after=0)  # type: ignore[method-assign]
    report = apply_events(store, None)
    assert (report.num_events, report.num_buried) == (0, 1)
    (letter,) = store.inbox.dead_letters()
    assert "none of which lived" in letter.reason


def test_a_failure_that_no_event_is_to_blame_for_is_no_try(
    store: ProjectStore, created: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any, **named: Any) -> Any:
        raise LockLostError("stopped")

    send(store, created)
    monkeypatch.setattr(events, "_apply", fail)
    for _ in range(2 * MOST_TRIES):
        monkeypatch.setattr(store.inbox, "take", partial(store.inbox.take, retry_after=0))
        with pytest.raises(LockLostError):
            apply_events(store, None)
    monkeypatch.undo()
    assert store.inbox.num_dead_letters() == 0
    assert len(store.inbox) == 1


@pytest.mark.parametrize("changes", [{"lead_time": 10**400}, {"completed_by": 2**64}])
def test_numbers_that_nothing_can_hold_are_survived(
    store: ProjectStore, created: Any, changes: dict[str, int]
) -> None:
    send(store, created, **changes)
    store.inbox.acknowledge(apply_events(store, None).entries)
    assert (len(store.inbox), store.inbox.num_dead_letters()) == (0, 0)


def test_an_annotator_whose_name_is_not_known_is_reported(
    store: ProjectStore, created: Any
) -> None:
    annotator = created["annotation"]["completed_by"]
    send(store, created)
    with store.lock():
        report = apply_events(store, None)
        store.inbox.acknowledge(report.entries)
    assert report.has_newcomers
    store.save_annotator_names({annotator: "ann@example.com"})
    send(store, created, updated_at="2030-01-01T00:00:00Z")
    with store.lock():
        assert not apply_events(store, None).has_newcomers
