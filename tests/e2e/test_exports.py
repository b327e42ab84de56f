"""The consensus of one Label Studio project, imported into another."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Running, Studio
from tests.e2e.test_live import LABELS, crowdlab, crowdlab_json

pytestmark = pytest.mark.e2e


@pytest.fixture
def project(studio: Studio, running: Running) -> int:
    """A connected project with labels, one task without, and markup in its text."""
    number = studio.make_project(title="<script>alert(1)</script>")
    studio.add_tasks(number, LABELS)
    studio.client.import_tasks(
        number, [{"data": {"text": "<script>alert(1)</script>"}, "meta": {"source": "mail"}}]
    )
    crowdlab(running, "connect", str(number))
    return number


def tasks_of(studio: Studio, project: int) -> list[dict[str, Any]]:
    pages = studio.client.tasks(project, page_size=7)
    return [task for page, _ in pages for task in page]


def choice_of(result: list[dict[str, Any]]) -> str:
    return str(result[0]["value"]["choices"][0])


@pytest.mark.parametrize("consensus_as", ["prediction", "annotation"])
def test_exported_tasks_are_imported_with_their_consensus(
    studio: Studio, running: Running, project: int, tmp_path: Path, consensus_as: str
) -> None:
    file = tmp_path / "tasks.json"
    arguments = ("--format", "label-studio", "--as", consensus_as, "--output", str(file))
    told = crowdlab_json(running, "export", str(project), *arguments)
    assert told == {"project": project, "file": str(file), "bytes": file.stat().st_size}
    exported = json.loads(file.read_text())
    assert len(exported) == len(LABELS)
    other = studio.make_project()
    studio.client.import_tasks(other, exported)

    store = running.service.store(project)
    rows = store.consensus(1).read()
    info = store.read_info()
    assert info is not None
    classes = info.questions[0].classes
    expected = {
        task: (classes[label], round(quality, 4))
        for task, label, quality in zip(
            rows["task"].tolist(), rows["label"][:, 0], rows["quality"][:, 0], strict=True
        )
    }
    source = {task["id"]: task["data"] for task in tasks_of(studio, project)}
    found = {}
    for task in tasks_of(studio, other):
        origin = task["meta"]["crowdlab_task"]
        assert task["data"] == source[origin]
        if consensus_as == "prediction":
            (one,) = task["predictions"]
            found[origin] = (choice_of(one["result"]), one["score"])
        else:
            (one,) = task["annotations"]
            assert not one["ground_truth"]
            found[origin] = (choice_of(one["result"]), expected[origin][1])
    assert found == expected


def test_pages_of_contents_are_complete_and_keep_markup(studio: Studio, project: int) -> None:
    pages = list(studio.client.task_contents(project, page_size=7))
    assert max(len(page) for page in pages) == 7
    found = {task["id"]: task for page in pages for task in page}
    assert {n: one["data"] for n, one in found.items()} == {
        task["id"]: task["data"] for task in tasks_of(studio, project)
    }
    (marked,) = [one for one in found.values() if one["data"]["text"].startswith("<script>")]
    assert marked["meta"] == {"source": "mail"}


def test_the_api_sends_the_same_file(running: Running, project: int, tmp_path: Path) -> None:
    file = tmp_path / "tasks.json"
    arguments = ("--format", "label-studio", "--output", str(file))
    crowdlab(running, "export", str(project), *arguments)
    url = f"{running.service.settings.public_url}/api/projects/{project}/exports"
    answer = httpx.get(f"{url}/consensus.label-studio", timeout=60)
    assert answer.status_code == 200
    assert json.loads(answer.content) == json.loads(file.read_text())
