"""Predictions that users bring in tasks, upload and borrow, in a real Label Studio."""

import csv
import io
from typing import Any

import httpx
import pytest

from backend.insights.sources import SourceRow, source_rows
from tests.e2e.conftest import Running, Studio, choice_result, wait_for
from tests.e2e.test_live import crowdlab, crowdlab_json

pytestmark = pytest.mark.e2e

GOOD, BAD = "positive", "negative"
CLASSES = [GOOD, BAD, "neutral"]
TRUTH = [GOOD, BAD] * 14
DISPUTED = 27
"""The last task: one person says what is wrong, another what is right."""


def rows_of(studio: Studio) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    rows = []
    for number, right in enumerate(TRUTH):
        wrong = GOOD if right == BAD else BAD
        said = {"ann": right, "bob": right, "cat": wrong if number % 7 == 0 else right}
        if number == DISPUTED:
            said = {"ann": wrong, "bob": right}
        data: dict[str, Any] = {"text": f"thing {number}", "doc": f"doc-{number}"}
        if number < 10:
            data["pred_probs"] = {right: 0.8, "neutral": 0.2}
        if number == 10:
            data["pred_probs"] = [0.5, 0.5]  # one too few
        rows.append((data, {name: choice_result(choice) for name, choice in said.items()}))
    return rows


def upload(running: Running, project: int) -> Any:
    """Send a file of a model that knows all documents but one, and two that are not there."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(["doc", *CLASSES])
    for number, right in enumerate(TRUTH):
        writer.writerow([f"doc-{number}", *(0.9 if name == right else 0.05 for name in CLASSES)])
    writer.writerow(["doc-99", 1, 0, 0])
    writer.writerow(["doc-0", 1, 0, 0])
    answer = httpx.post(
        f"{running.service.settings.public_url}/api/projects/{project}/uploads",
        params={"file": "their model.csv", "key": "doc"},
        content=file.getvalue(),
        timeout=60,
    )
    assert answer.status_code == 202, answer.text
    (source,) = answer.json()["sources"]
    return source


def counted(running: Running, project: int) -> dict[str, SourceRow]:
    """Sources that the last recompute counted, by name."""
    return {one.name: one for one in source_rows(running.service, project) if one.is_counted}


def consensus(running: Running, project: int, task: int) -> tuple[str, float]:
    rows = running.service.store(project).consensus(1).read([task])
    return CLASSES[int(rows["label"][0, 0])], float(rows["quality"][0, 0])


def test_brought_uploaded_and_borrowed(studio: Studio, running: Running) -> None:
    project = studio.make_project(title="Predictions of others")
    tasks = studio.add_answers(project, rows_of(studio))
    disputed = tasks[DISPUTED]
    crowdlab(running, "connect", str(project))

    brought = counted(running, project)["task-data"]
    assert (brought.num_tasks, brought.origin) == (10, "pred_probs")
    assert brought.report is not None
    assert brought.report.faults == {"there are more or fewer values than classes": 1}
    _, before = consensus(running, project, disputed)

    source = upload(running, project)
    assert (source["name"], source["report"]["num_used"]) == ("their-model", 28)
    assert sum(source["report"]["faults"].values()) == 2
    wait_for(lambda: "their-model" in counted(running, project), 60)
    label, after = consensus(running, project, disputed)
    assert label == TRUTH[DISPUTED]
    assert after > before
    theirs = counted(running, project)["their-model"]
    assert theirs.weight is not None
    assert theirs.weight > 0
    assert theirs.coverage == 1.0

    right = {"score": 0.7, "model_version": "their-live-model"}
    predictions = [
        {"task": task, "result": choice_result(word), **right}
        for task, word in zip(tasks, TRUTH, strict=True)
    ]
    # All probabilities, in the region's meta, where Label Studio keeps them.
    predictions[0]["result"][0]["meta"] = {"pred_probs": {GOOD: 0.6, BAD: 0.3, "neutral": 0.1}}
    assert studio.client.import_predictions(project, predictions) == len(tasks)
    said = crowdlab(running, "sources", str(project), "--borrow", "their-live-model")
    assert "28 of 28 rows are used." in said
    wait_for(lambda: "their-live-model" in counted(running, project), 60)
    calibration = counted(running, project)["their-live-model"].calibration
    assert "isotonic regression on scores" in calibration

    ours = studio.client.project(project)["model_version"]
    refused = crowdlab(running, "sources", str(project), "--borrow", ours, code=1)
    assert "this service itself has published" in refused
    refused = crowdlab(running, "sources", str(project), "--borrow", "nobody", code=1)
    assert "their-live-model" in refused

    listed = crowdlab_json(running, "sources", str(project), "--drop", "their-model")["sources"]
    assert {"task-data", "their-live-model"} <= {one["name"] for one in listed}
    wait_for(lambda: "their-model" not in counted(running, project), 60)
    crowdlab(running, "connect", str(project))  # no job of what was dropped is in its way
    assert counted(running, project).keys() >= {"task-data", "their-live-model"}

    # What is computed is what Label Studio shows, beside the predictions that were there.
    def is_shown() -> bool:
        publication = running.service.store(project).read_publication()
        assert publication is not None
        shown = studio.client.project(project)["model_version"]
        held = studio.client.model_versions(project)
        expected = {publication.model_version: len(tasks), "their-live-model": len(tasks)}
        return bool(shown == publication.model_version and held == expected)

    wait_for(is_shown, 60)
    version = studio.client.project(project)["model_version"]
    (shown,) = [
        one
        for one in studio.client.predictions_of_task(disputed)
        if one["model_version"] == version
    ]
    label, quality = consensus(running, project, disputed)
    assert shown["result"][0]["value"]["choices"] == [label]
    assert shown["score"] == pytest.approx(quality, abs=0.011)
