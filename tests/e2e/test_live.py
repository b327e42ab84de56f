"""The service beside a real Label Studio: connect, follow, publish, repair."""

import json
import subprocess
import time
from typing import Any

import httpx
import pytest

from backend.label_studio.project_setup import TAB_TITLE
from backend.processes import own_command
from tests.e2e.conftest import Running, Studio, choice_result, wait_for

pytestmark = pytest.mark.e2e

GOOD, BAD = "positive", "negative"
LABELS: list[dict[str, str]] = [
    {"ann": word, "bob": word, "cat": word if number % 5 else "neutral"}
    for number, word in enumerate([GOOD, BAD] * 12)
]


def crowdlab(running: Running, *arguments: str, code: int = 0) -> str:
    """Run the command line as a user would; returns what it prints."""
    done = subprocess.run(
        own_command(*arguments),
        env=running.environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == code, done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    return done.stdout if code == 0 else done.stderr


def crowdlab_json(running: Running, *arguments: str) -> Any:
    return json.loads(crowdlab(running, *arguments, "--json"))


@pytest.fixture(scope="module")
def project(studio: Studio, running: Running) -> int:
    """A connected project with consensus published."""
    number = studio.make_project()
    studio.add_tasks(number, [*LABELS, {}, {}])
    crowdlab(running, "connect", str(number))
    return number


def tasks_of(studio: Studio, project: int) -> list[int]:
    return studio.client.task_ids(project)


def is_published(studio: Studio, running: Running, project: int) -> bool:
    """Whether Label Studio holds exactly what the store expects, and shows it."""
    publication = running.service.store(project).read_publication()
    if publication is None:
        return False
    held = studio.client.model_versions(project)
    shown = studio.client.project(project)["model_version"]
    return shown == publication.model_version and held == {shown: publication.num_predictions}


def test_connect_publishes_one_prediction_per_labelled_task(
    studio: Studio, running: Running, project: int
) -> None:
    assert wait_for(lambda: is_published(studio, running, project))
    version = studio.client.project(project)["model_version"]
    predictions = studio.predictions(project)
    tasks = tasks_of(studio, project)
    assert sorted(predictions) == tasks[: len(LABELS)]
    store = running.service.store(project)
    rows = store.consensus(1).read()
    for place, task in enumerate(rows["task"].tolist()):
        (prediction,) = predictions[task]
        assert prediction["model_version"] == version
        assert prediction["score"] == round(float(rows["quality"][place, 0]), 4)
        classes = ("positive", "negative", "neutral")
        assert prediction["result"][0]["value"]["choices"] == [classes[rows["label"][place, 0]]]
    majority = [[GOOD, BAD][number % 2] for number in range(len(LABELS))]
    said = [
        predictions[task][0]["result"][0]["value"]["choices"][0] for task in sorted(predictions)
    ]
    assert said == majority


def test_backend_and_webhook_are_registered_once(
    studio: Studio, running: Running, project: int
) -> None:
    crowdlab(running, "connect", str(project))
    (backend,) = studio.client.ml_backends(project)
    assert backend["state"] == "CO"
    (hook,) = studio.client.webhooks(project)
    assert hook["headers"] == {"X-Crowdlab-Secret": "a-shared-secret"}
    tabs = [view["data"]["title"] for view in studio.client.views(project)]
    assert tabs.count(TAB_TITLE) == 1


def test_the_tab_shows_the_most_doubtful_first(studio: Studio, project: int) -> None:
    (view,) = [v for v in studio.client.views(project) if v["data"]["title"] == TAB_TITLE]
    answer = studio.client._request("GET", "api/tasks", params={"view": view["id"]})
    scores = [task["predictions_score"] for task in answer["tasks"]]
    assert len(scores) == len(LABELS)
    assert scores == sorted(scores)
    hidden = view["data"]["hiddenColumns"]["explore"]
    assert "tasks:predictions_score" not in hidden
    assert "tasks:predictions_results" not in hidden


def test_a_second_sync_changes_nothing_and_says_so(
    studio: Studio, running: Running, project: int
) -> None:
    crowdlab(running, "sync", str(project))
    before = studio.predictions(project)
    said = crowdlab(running, "sync", str(project))
    assert said.count("nothing changed") == 3
    report = crowdlab_json(running, "sync", str(project), "--full")
    assert report["sync"]["annotations_changed"] == 0
    assert report["recompute"]["is_skipped"]
    assert crowdlab(running, "recompute", str(project)).count("nothing changed") == 2
    assert studio.predictions(project) == before


def test_a_saved_annotation_is_followed_within_five_seconds(
    studio: Studio, running: Running, project: int
) -> None:
    task = tasks_of(studio, project)[5]
    store = running.service.store(project)
    (before,) = studio.client.predictions_of_task(task)
    studio.as_person("dan")
    began = time.monotonic()
    studio.annotate(task, "dan", "neutral")
    wait_for(lambda: store.consensus(1).read([task])["num_annotations"][0, 0] == 4, 5)
    after = wait_for(
        lambda: [
            one
            for one in studio.client.predictions_of_task(task)
            if one["score"] != before["score"]
        ],
        5,
    )
    assert time.monotonic() - began < 5
    assert len(after) == 1
    assert after[0]["score"] < before["score"]
    assert len(studio.client.predictions_of_task(task)) == 1
    # The refresh that follows may publish anew; it must end exact and without duplicates.
    wait_for(lambda: not crowdlab_json(running, "sync", str(project))["write_back"]["created"])
    assert is_published(studio, running, project)


def test_an_annotation_on_an_unlabelled_task_creates_its_prediction(
    studio: Studio, running: Running, project: int
) -> None:
    task = tasks_of(studio, project)[len(LABELS)]
    assert studio.client.predictions_of_task(task) == []
    studio.annotate(task, "ann", GOOD)
    (made,) = wait_for(lambda: studio.client.predictions_of_task(task), 5)
    assert made["result"][0]["value"]["choices"] == [GOOD]


def test_a_deleted_annotation_is_noticed(studio: Studio, running: Running, project: int) -> None:
    task = tasks_of(studio, project)[7]
    store = running.service.store(project)
    (one, *_) = store.annotations(1).read([task])["annotation"].tolist()
    studio.client._request("DELETE", f"api/annotations/{one}/")
    wait_for(lambda: store.consensus(1).read([task])["num_annotations"][0, 0] == 2, 10)


def test_deletions_are_found_without_events(studio: Studio, running: Running) -> None:
    number = studio.make_project()
    tasks = studio.add_tasks(number, LABELS)
    crowdlab(running, "connect", str(number))
    for hook in studio.client.webhooks(number):
        studio.client.delete_webhook(hook["id"])
    store = running.service.store(number)
    (gone, *_) = store.annotations(1).read([tasks[1]])["annotation"].tolist()
    studio.client._request("DELETE", f"api/annotations/{gone}/")
    studio.client._request("DELETE", f"api/tasks/{tasks[0]}/")
    report = crowdlab_json(running, "sync", str(number))["sync"]
    found = store.tasks.read()["task"].tolist()
    # Either this sync or the worker's own reconciliation found them.
    assert found == tasks[1:]
    assert gone not in store.annotations(1).read()["annotation"].tolist()
    assert report["tasks_added"] == 0
    wait_for(lambda: is_published(studio, running, number))
    assert tasks[0] not in studio.predictions(number)


def test_deleting_a_task_is_followed(studio: Studio, running: Running, project: int) -> None:
    task = tasks_of(studio, project)[3]
    studio.client._request("DELETE", f"api/tasks/{task}/")
    store = running.service.store(project)
    wait_for(lambda: not len(store.tasks.read([task])["task"]), 10)
    wait_for(lambda: is_published(studio, running, project), 30)


def test_a_prediction_lost_in_label_studio_is_repaired(
    studio: Studio, running: Running, project: int
) -> None:
    crowdlab(running, "sync", str(project))
    task, (prediction, *_) = next(iter(studio.predictions(project).items()))
    studio.client.delete_prediction(prediction["id"])
    studio.client.update_project(project, model_version="")
    crowdlab(running, "sync", str(project))
    wait_for(lambda: is_published(studio, running, project))
    assert len(studio.client.predictions_of_task(task)) == 1


def test_an_interrupted_publication_is_cleaned_up(
    studio: Studio, running: Running, project: int
) -> None:
    task = tasks_of(studio, project)[0]
    result = choice_result(GOOD)
    orphan = {"task": task, "result": result, "score": 0.1, "model_version": "crowdlab-000777"}
    foreign = {**orphan, "model_version": "somebody-elses"}
    assert studio.client.import_predictions(project, [orphan, foreign]) == 2
    crowdlab(running, "sync", str(project))
    versions = wait_for(
        lambda: (
            held
            if "crowdlab-000777" not in (held := studio.client.model_versions(project))
            else None
        )
    )
    assert versions.pop("somebody-elses") == 1
    assert list(versions) == [studio.client.project(project)["model_version"]]
    assert studio.client.delete_model_version(project, "somebody-elses") == 1


def test_a_changed_labeling_config_is_followed(studio: Studio, running: Running) -> None:
    number = studio.make_project()
    studio.add_tasks(number, LABELS)
    crowdlab(running, "connect", str(number))
    config = studio.client.project(number)["label_config"]
    wider = config.replace("</Choices>", '<Choice value="mixed"/></Choices>')
    studio.client.update_project(number, label_config=wider)
    store = running.service.store(number)
    wait_for(lambda: len((store.read_info() or pytest.fail("unknown")).questions[0].classes) == 4)
    wait_for(lambda: is_published(studio, running, number), 30)
    assert len(studio.predictions(number)) == len(LABELS)


def test_when_all_labels_go_the_predictions_go(studio: Studio, running: Running) -> None:
    number = studio.make_project()
    studio.add_tasks(number, LABELS[:4])
    said = crowdlab(running, "connect", str(number))
    assert studio.predictions(number), said
    ids = running.service.store(number).annotations(1).read()["annotation"].tolist()
    for one in ids:
        studio.client._request("DELETE", f"api/annotations/{one}/")
    assert "has no label yet" in crowdlab(running, "sync", str(number), code=1)
    wait_for(lambda: not studio.predictions(number))


def test_status_leaderboard_and_doctor_tell_the_truth(
    studio: Studio, running: Running, project: int
) -> None:
    crowdlab(running, "sync", str(project))
    status = crowdlab_json(running, "status")
    assert status["workers"] == {"events": 1, "write": 1, "refresh": 1}
    (row,) = [one for one in status["projects"] if one["project"] == project]
    assert row["model_version"] == studio.client.project(project)["model_version"]
    assert row["num_annotators"] >= 3
    (board,) = crowdlab_json(running, "leaderboard", str(project))["questions"]
    names = [one["name"] for one in board["annotators"]]
    assert {"ann@example.com", "bob@example.com", "cat@example.com"} <= set(names)
    shown = crowdlab(running, "leaderboard", str(project))
    assert shown.index("ann@example.com") < shown.index("cat@example.com")
    findings = json.loads(crowdlab(running, "doctor", "--json")) if _healthy(running) else []
    assert all(one["is_ok"] for one in findings if str(project) in one["subject"])


def test_a_project_that_label_studio_does_not_have_is_forgotten(
    running: Running, recorded: Any
) -> None:
    body = recorded("webhook_ANNOTATIONS_CREATED.json")["body"]
    body["project"]["id"] = 424_242
    answer = httpx.post(
        f"{running.service.settings.public_url}/webhook",
        json=body,
        headers={"X-Crowdlab-Secret": "a-shared-secret"},
    )
    assert answer.status_code == 201
    redis = running.service.redis
    wait_for(lambda: not redis.keys("crowdlab:{424242}:*"))
    assert 424_242 not in running.service.projects()


def _healthy(running: Running) -> bool:
    done = subprocess.run(
        own_command("doctor", "--json"), env=running.environment, capture_output=True, text=True
    )
    return done.returncode == 0


def test_label_studios_own_prediction_requests_make_no_duplicates(
    studio: Studio, running: Running, project: int
) -> None:
    crowdlab(running, "sync", str(project))
    before = studio.predictions(project)
    studio.client._request(
        "POST",
        "api/dm/actions",
        params={"project": project, "id": "retrieve_tasks_predictions"},
        body={"project": project, "selectedItems": {"all": True, "excluded": []}},
    )
    studio.as_person("ann").project(project)
    crowdlab(running, "sync", str(project))
    after = studio.predictions(project)
    assert {task: len(found) for task, found in after.items()} == dict.fromkeys(before, 1)
