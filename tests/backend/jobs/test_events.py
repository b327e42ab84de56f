"""Events in the inbox; what each of them does is tested through the endpoints."""

from collections.abc import Callable
from typing import Any

import pytest

from backend.jobs import events
from backend.jobs.events import apply_events
from backend.label_studio.events import read_event
from backend.store.project import ProjectStore


@pytest.fixture
def created(recorded: Callable[[str], Any]) -> Any:
    return recorded("webhook_ANNOTATION_CREATED.json")["body"]


def send(store: ProjectStore, body: Any, **changes: Any) -> None:
    body = {**body, "annotation": {**body["annotation"], **changes}}
    store.add_event(read_event(body).to_json())


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
    assert report.num_events == 3
    assert report.needs_sync
    assert store.num_events() == 0
    assert store.num_dead_letters() == 1
    assert store.annotations(1).read()["annotation"].tolist() == [6, 8]
    (_, letter) = store.redis.xrange("crowdlab:{25}:dead_letters")[0]
    assert letter[b"reason"] == b"OverflowError: too large"
    assert b'"id": 7' in letter[b"event"]


@pytest.mark.parametrize("changes", [{"lead_time": 10**400}, {"completed_by": 2**64}])
def test_numbers_that_nothing_can_hold_are_survived(
    store: ProjectStore, created: Any, changes: dict[str, int]
) -> None:
    send(store, created, **changes)
    apply_events(store, None)
    assert (store.num_events(), store.num_dead_letters()) == (0, 0)
