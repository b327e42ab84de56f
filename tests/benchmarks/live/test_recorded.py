import json
from datetime import UTC, datetime

import pytest

from backend.label_studio.controls import parse_config
from backend.label_studio.events import read_event
from benchmarks.live.recorded import NewAnnotation, RecordedRequests, label_studio_time

MOMENT = datetime(2026, 11, 24, 12, 0, 0, 250, tzinfo=UTC)


@pytest.fixture
def requests() -> RecordedRequests:
    return RecordedRequests(9090, "secret")


def split(message: bytes) -> tuple[str, dict[str, str], bytes]:
    head, _, body = message.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return first, dict(line.split(": ", 1) for line in lines), body


def test_an_event_tells_of_the_annotation(requests: RecordedRequests) -> None:
    annotation = NewAnnotation(id=7, task=8, annotator=9, choice="negative", saved_at=MOMENT)
    first, headers, body = split(requests.annotation_created(3, annotation))
    assert first == "POST /webhook HTTP/1.1"
    assert headers["X-Crowdlab-Secret"] == "secret"
    assert int(headers["Content-Length"]) == len(body)
    told = json.loads(body)
    event = read_event(told)
    assert (event.action, event.project) == ("ANNOTATION_CREATED", 3)
    saved = told["annotation"]
    assert (saved["id"], saved["task"], saved["completed_by"]) == (7, 8, 9)
    assert saved["result"][0]["value"]["choices"] == ["negative"]
    assert saved["updated_at"] == "2026-11-24T12:00:00.000250Z"
    assert told["task"]["id"] == 8
    assert told["project"]["label_config"] == requests.label_config


def test_a_prediction_request_asks_for_every_task(requests: RecordedRequests) -> None:
    first, headers, body = split(requests.predict(3, range(100, 400)))
    asked = json.loads(body)
    assert first == "POST /predict HTTP/1.1"
    assert [task["id"] for task in asked["tasks"]] == list(range(100, 400))
    assert asked["project"] == "3.1"
    assert 900_000 < len(body) < 1_300_000
    assert "X-Crowdlab-Secret" not in headers


def test_setup_and_health(requests: RecordedRequests) -> None:
    first, _, body = split(requests.setup(3))
    assert first == "POST /setup HTTP/1.1"
    assert json.loads(body)["project"] == "3.1"
    first, headers, body = split(requests.health())
    assert (first, body) == ("GET /health HTTP/1.1", b"")
    assert "Content-Length" not in headers


def test_the_labeling_config_has_one_question(requests: RecordedRequests) -> None:
    (question,) = parse_config(requests.label_config).questions
    assert question.name == "label"


def test_moments_are_written_as_label_studio_does() -> None:
    assert label_studio_time(MOMENT) == "2026-11-24T12:00:00.000250Z"
