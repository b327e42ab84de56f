"""The ML-backend endpoints, with the recorded requests of a real Label Studio."""

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from redis import Redis

from backend.jobs import pipeline
from backend.jobs.queue import JobKind
from backend.jobs.worker import run_worker
from backend.service import Service
from backend.web.app import create_app

EVENTS = [
    "webhook_ANNOTATION_CREATED.json",
    "webhook_ANNOTATION_CREATED_skipped.json",
    "webhook_ANNOTATION_CREATED_ground_truth.json",
    "webhook_ANNOTATION_UPDATED.json",
    "webhook_ANNOTATIONS_CREATED.json",
    "webhook_ANNOTATIONS_DELETED.json",
    "webhook_TASKS_CREATED.json",
    "webhook_TASKS_DELETED.json",
    "webhook_PROJECT_UPDATED.json",
    "ml_webhook_START_TRAINING.request.json",
]


@pytest.fixture
def service(make_service: Callable[..., Service]) -> Service:
    return make_service()


@pytest.fixture
def web(service: Service) -> FlaskClient:
    return create_app(service).test_client()


def post_export(web: FlaskClient, recorded: Any) -> None:
    """Send every annotation of the recorded export as the event that it once was."""
    project = recorded("webhook_ANNOTATION_CREATED.json")["body"]["project"]
    for task in recorded("export_60_tasks.json"):
        for annotation in task["annotations"]:
            body = {
                "action": "ANNOTATION_CREATED",
                "annotation": annotation,
                "task": {"id": task["id"]},
                "project": project,
            }
            assert web.post("/webhook", json=body).status_code == 201


@pytest.fixture
def replayed(web: FlaskClient, service: Service, recorded: Any) -> Service:
    """Service that followed the recorded project's events, without Label Studio."""
    post_export(web, recorded)
    pipeline.follow_events(service, 25)
    assert len(service.store(25).inbox) == 0
    return service


def votes(service: Service, task: int) -> int:
    rows = service.store(25).consensus(1).read([task])
    return int(rows["num_annotations"][0, 0]) if len(rows["task"]) else 0


def send(web: FlaskClient, service: Service, body: Any) -> None:
    assert web.post("/webhook", json=body).status_code == 201
    pipeline.follow_events(service, 25)


def test_health_and_versions_match_the_recorded_requests(web: FlaskClient, recorded: Any) -> None:
    assert recorded("ml_health.request.json")["path"].endswith("/health")
    assert web.get("/health").json == {"status": "UP", "model_class": "CrowdlabModel"}
    assert web.get("/").json == web.get("/health").json
    assert web.get("/versions").json == {"versions": []}
    assert web.get("/versions?project=25").json == {"versions": []}


def test_setup_tells_the_model_version_at_once(web: FlaskClient, recorded: Any) -> None:
    answer = web.post("/setup", json=recorded("ml_setup.request.json")["body"])
    assert answer.json == {"model_version": "crowdlab-000000"}


def test_setup_of_an_unknown_project_asks_for_a_sync_once(
    make_service: Callable[..., Service], recorded: Any
) -> None:
    service = make_service(label_studio_api_key="x.y.z")
    web = create_app(service).test_client()
    for _ in range(4):
        web.post("/setup", json=recorded("ml_setup.request.json")["body"])
    assert service.queue.num_waiting() == 1


@pytest.mark.parametrize("name", EVENTS)
def test_recorded_events_are_taken_and_survive_an_empty_store(
    web: FlaskClient, service: Service, recorded: Any, name: str
) -> None:
    body = recorded(name)["body"]
    answer = web.post("/webhook", json=body)
    assert answer.status_code == 201
    project = body["project"]["id"]
    assert len(service.store(project).inbox) == 1
    pipeline.follow_events(service, project)
    assert len(service.store(project).inbox) == 0


def test_recorded_annotations_count_as_they_should(replayed: Service, recorded: Any) -> None:
    tasks = {task["inner_id"]: task["id"] for task in recorded("export_60_tasks.json")}
    assert votes(replayed, tasks[2]) == 4  # a skip is no label
    assert votes(replayed, tasks[3]) == 3  # nor is a submission without a choice
    assert votes(replayed, tasks[4]) == 5  # two by one person count once
    assert votes(replayed, tasks[5]) == 4  # a draft is no label
    assert votes(replayed, tasks[6]) == 5  # ground truth is kept apart
    store = replayed.store(25)
    rows = store.label_quality(1).read([tasks[4]])
    assert rows["annotation"][rows["annotator"] == 14].tolist() == [31921]  # the newest
    summary = store.read_summary()
    assert summary is not None
    assert summary.questions[0].num_ground_truth == 1
    assert 1 not in [row["annotator"] for row in summary.questions[0].annotators]


def test_an_older_state_never_replaces_a_newer_one(
    web: FlaskClient, replayed: Service, recorded: Any
) -> None:
    store = replayed.store(25)
    before = store.annotations(1).read([10419])
    created = recorded("webhook_ANNOTATION_CREATED.json")["body"]
    assert created["annotation"]["result"][0]["value"]["choices"] == ["neutral"]
    send(web, replayed, created)
    after = store.annotations(1).read([10419])
    for name in before:
        np.testing.assert_array_equal(after[name], before[name])
    place = after["annotation"].tolist().index(31917)
    assert after["codes"][place, 0] == 0  # "positive", as edited


def test_an_edit_changes_the_label(web: FlaskClient, replayed: Service, recorded: Any) -> None:
    body = recorded("webhook_ANNOTATION_UPDATED.json")["body"]
    body["annotation"]["updated_at"] = "2026-11-25T00:00:00Z"
    body["annotation"]["result"][0]["value"]["choices"] = ["neutral"]
    send(web, replayed, body)
    rows = replayed.store(25).annotations(1).read([10419])
    assert rows["codes"][rows["annotation"].tolist().index(31917), 0] == 2
    assert votes(replayed, 10419) == 5


def test_a_skip_takes_the_label_back(web: FlaskClient, replayed: Service, recorded: Any) -> None:
    body = recorded("webhook_ANNOTATION_UPDATED.json")["body"]
    body["annotation"] |= {"updated_at": "2026-11-25T00:00:00Z", "was_cancelled": True}
    send(web, replayed, body)
    assert votes(replayed, 10419) == 4


def test_ground_truth_set_later_is_kept_apart(
    web: FlaskClient, replayed: Service, recorded: Any
) -> None:
    body = recorded("webhook_ANNOTATION_UPDATED.json")["body"]
    body["annotation"] |= {"updated_at": "2026-11-25T00:00:00Z", "ground_truth": True}
    send(web, replayed, body)
    assert votes(replayed, 10419) == 4


def test_deletions_without_task_ids_are_found(
    web: FlaskClient, replayed: Service, recorded: Any
) -> None:
    body = recorded("webhook_ANNOTATIONS_DELETED.json")["body"]
    send(web, replayed, body)  # an annotation that is not in the export: nothing happens
    assert votes(replayed, 10419) == 5
    body["annotations"] = [{"id": 31917}, {"id": 31689}]
    send(web, replayed, body)
    assert votes(replayed, 10419) == 4
    assert votes(replayed, 10424) == 4
    send(web, replayed, body)  # twice is once
    assert votes(replayed, 10419) == 4


def test_created_and_deleted_in_one_go_is_nothing(
    web: FlaskClient, replayed: Service, recorded: Any
) -> None:
    created = recorded("webhook_ANNOTATION_CREATED.json")["body"]
    created["annotation"] |= {"id": 5, "completed_by": 99}
    deleted = recorded("webhook_ANNOTATIONS_DELETED.json")["body"]
    deleted["annotations"] = [{"id": 5}]
    assert web.post("/webhook", json=created).status_code == 201
    send(web, replayed, deleted)
    assert votes(replayed, 10419) == 5


def test_deleted_tasks_are_forgotten(web: FlaskClient, replayed: Service, recorded: Any) -> None:
    body = recorded("webhook_TASKS_DELETED.json")["body"]
    body["tasks"] = [{"id": 10419}]
    send(web, replayed, body)
    store = replayed.store(25)
    assert votes(replayed, 10419) == 0
    assert len(store.annotations(1).read([10419])["task"]) == 0
    assert len(store.tasks.read()["task"]) == 59


def test_bulk_annotations_make_their_project_known(
    web: FlaskClient, service: Service, recorded: Any
) -> None:
    body = recorded("webhook_ANNOTATIONS_CREATED.json")["body"]
    assert web.post("/webhook", json=body).status_code == 201
    pipeline.follow_events(service, 5)
    rows = service.store(5).consensus(1).read()
    assert rows["task"].tolist() == sorted(one["id"] for one in body["task"])


def test_a_changed_config_and_a_training_request_ask_for_a_refresh(
    web: FlaskClient, replayed: Service, recorded: Any
) -> None:
    store = replayed.store(25)
    info = store.read_info()
    assert info is not None
    store.touch(info, cursor=1)  # as after a full sync
    refreshes = replayed.queue.queues(JobKind.REFRESH)[0]
    refreshes.empty()
    later = refreshes.scheduled_job_registry
    send(web, replayed, recorded("ml_webhook_START_TRAINING.request.json")["body"])
    assert (later.count, refreshes.count) == (1, 0)
    store.unmark_scheduled("refresh")
    body = recorded("webhook_PROJECT_UPDATED.json")["body"]
    send(web, replayed, body)
    assert (later.count, refreshes.count) == (1, 0)
    body["project"]["label_config"] += " "
    send(web, replayed, body)
    assert (later.count, refreshes.count) == (1, 1)


def test_predict_answers_the_recorded_requests(
    web: FlaskClient, replayed: Service, recorded: Any
) -> None:
    for name in ("ml_predict_batch.request.json", "ml_predict_interactive.request.json"):
        body = recorded(name)["body"]
        answer = web.post("/predict", json=body)
        assert answer.status_code == 200
        assert answer.json is not None
        results = answer.json["results"]
        assert len(results) == len(body["tasks"])
        for result in results:
            assert 0 <= result["score"] <= 1
            assert result["result"][0]["from_name"] == "label"


def test_predict_of_nothing_known(web: FlaskClient) -> None:
    for body in ({}, {"tasks": []}, {"tasks": [], "project": "1.2"}):
        answer = web.post("/predict", json=body)
        assert (answer.status_code, answer.json) == (
            200,
            {"results": [], "model_version": "crowdlab-000000"},
        )
    answer = web.post("/predict", json={"tasks": [{"id": 1}, {"id": 2}], "project": "404.1"})
    assert answer.json is not None
    assert answer.json["results"] == [[], []]


@pytest.mark.parametrize("project", [[], {}, [[1]], True, None, "", "x", "-1", -1, "٣", "9" * 19])
def test_what_is_no_project_number_is_named(web: FlaskClient, project: Any) -> None:
    answer = web.post("/setup", json={"project": project})
    assert answer.status_code == 400
    assert answer.json is not None
    assert answer.json["error"] == f"`project` is not a project's number: {project!r}."
    answer = web.post("/predict", json={"project": project, "tasks": [{"id": 1}]})
    assert (answer.status_code, answer.json and answer.json["results"]) == (200, [[]])


def test_of_an_event_only_what_matters_is_stored(
    web: FlaskClient, redis: Redis, recorded: Any
) -> None:
    body = recorded("webhook_ANNOTATION_CREATED.json")["body"]
    assert web.post("/webhook", json=body).status_code == 201
    ((_, fields),) = redis.xrange("crowdlab:{25}:inbox")
    assert body["project"]["token"].encode() not in fields[b"event"]
    assert len(fields[b"event"]) < 0.25 * len(json.dumps(body))


@pytest.mark.parametrize("path", ["/setup", "/predict", "/webhook"])
@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"3", b'"x"', b"\xff\xfe"])
def test_bad_bodies_get_400_and_a_reason(web: FlaskClient, path: str, data: bytes) -> None:
    answer = web.post(path, data=data, content_type="application/json")
    assert answer.status_code == 400
    assert answer.json is not None
    assert answer.json["error"]


@pytest.mark.parametrize("path", ["/setup", "/predict", "/webhook"])
@pytest.mark.parametrize(
    "data", [b"[" * 200_000, b'{"tasks": ' + b"[" * 5_000 + b"]" * 5_000 + b"}"]
)
def test_deep_nesting_gets_400(web: FlaskClient, path: str, data: bytes) -> None:
    answer = web.post(path, data=data, content_type="application/json")
    assert answer.status_code == 400
    assert answer.json is not None


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/setup", {}),
        ("/setup", {"project": "x"}),
        ("/predict", {"tasks": 3}),
        ("/predict", {"tasks": None}),
        ("/webhook", {"action": "ANNOTATION_CREATED"}),
    ],
)
def test_wrong_contents_get_400_and_change_nothing(
    web: FlaskClient, redis: Redis, path: str, body: Any
) -> None:
    assert web.post(path, json=body).status_code == 400
    assert redis.keys() == []


def test_unknown_paths_and_methods_are_json_too(web: FlaskClient) -> None:
    for answer, status in ((web.get("/nowhere"), 404), (web.put("/predict"), 405)):
        assert answer.status_code == status
        assert answer.json is not None
        assert answer.json["error"]


@pytest.fixture
def guarded(make_service: Callable[..., Service]) -> Iterator[FlaskClient]:
    service = make_service(basic_auth_user="ls", basic_auth_pass="pass", webhook_secret="secret")
    return create_app(service).test_client()  # type: ignore[return-value]


def basic(user: str, password: str) -> dict[str, str]:
    pair = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


def test_credentials_are_checked(guarded: FlaskClient, recorded: Any) -> None:
    body = recorded("ml_setup.request.json")["body"]
    assert guarded.get("/health").status_code == 200
    for headers in ({}, basic("ls", "no"), basic("no", "pass"), {"X-Crowdlab-Secret": "secret"}):
        assert guarded.post("/setup", json=body, headers=headers).status_code == 401
    assert guarded.post("/setup", json=body, headers=basic("ls", "pass")).status_code == 200


def test_webhooks_show_the_secret_or_the_password(guarded: FlaskClient, recorded: Any) -> None:
    body = recorded("webhook_ANNOTATION_CREATED.json")["body"]
    for headers in ({}, {"X-Crowdlab-Secret": "no"}, {"X-Crowdlab-Secret": "sécret"}):
        assert guarded.post("/webhook", json=body, headers=headers).status_code == 401
    for headers in ({"X-Crowdlab-Secret": "secret"}, basic("ls", "pass")):
        assert guarded.post("/webhook", json=body, headers=headers).status_code == 201


def test_errors_show_no_traceback(
    web: FlaskClient, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(number: int) -> None:
        raise RuntimeError("inner workings")

    monkeypatch.setattr(service, "store", fail)
    answer = web.post("/setup", json={"project": "1"})
    assert answer.status_code == 500
    assert b"inner workings" not in answer.data


def test_redis_away_gets_503(redis: Redis, make_service: Callable[..., Service]) -> None:
    service = make_service()
    gone = Redis(host="127.0.0.1", port=1)
    app = create_app(Service(service.settings, gone))
    answer = app.test_client().post("/setup", json={"project": "1"})
    assert answer.status_code == 503
    gone.close()


def test_a_worker_applies_what_the_web_takes(
    web: FlaskClient, service: Service, recorded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from backend.jobs import run

    monkeypatch.setenv("REDIS_URL", service.settings.redis_url.get_secret_value())
    run._settings_service.cache_clear()
    post_export(web, recorded)
    run_worker(service, burst=True)
    run._settings_service.cache_clear()
    store = service.store(25)
    assert len(store.inbox) == 0
    assert len(store.consensus(1).read()["task"]) == 60
    assert service.queue.num_waiting() == 0
    assert "LABEL_STUDIO_API_KEY is not set" in store.last_error()
