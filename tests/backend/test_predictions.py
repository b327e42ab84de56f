"""`crowdlab upload` and `crowdlab sources` without Label Studio; borrowing is in tests/e2e."""

import json
from pathlib import Path

import pytest

from backend.service import Service
from tests.backend.insights.conftest import service
from tests.backend.sources.test_shelf import predictions
from tests.backend.test_cli import run

__all__ = ["service"]

Patch, Capture = pytest.MonkeyPatch, pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _on_this_redis(monkeypatch: Patch, service: Service) -> None:
    monkeypatch.setenv("REDIS_URL", service.settings.redis_url.get_secret_value())


def test_upload_list_and_drop(monkeypatch: Patch, capsys: Capture, tmp_path: Path) -> None:
    path = str(predictions(tmp_path, range(81, 100)))
    code, shown, _ = run(monkeypatch, capsys, "upload", "25", path, "--question", "mood")
    assert code == 0
    assert "10 of 19 rows are used." in shown
    assert "9 rows not used: no task of the project is meant." in shown
    assert "Stored as their-model for question mood; a recompute is asked for." in shown

    code, shown, _ = run(monkeypatch, capsys, "sources", "25")
    assert code == 0
    assert "their-model (uploaded)" in shown
    assert "11.1 %" in shown
    assert "not yet" in shown
    listed = json.loads(run(monkeypatch, capsys, "sources", "25", "--json")[1])["sources"]
    assert [one["name"] for one in listed] == ["own", "their-model", "own"]

    code, shown, _ = run(monkeypatch, capsys, "sources", "25", "--drop", "their-model")
    assert code == 0
    assert "their-model is forgotten" in shown
    code, _, said = run(monkeypatch, capsys, "sources", "25", "--drop", "their-model")
    assert code == 1
    assert "Project 25 has no source 'their-model' to drop." in said


def test_upload_for_programs(monkeypatch: Patch, capsys: Capture, tmp_path: Path) -> None:
    path = str(predictions(tmp_path, range(1, 5)))
    arguments = ("upload", "25", path, "--question", "mood", "--name", "mine", "--json")
    code, shown, _ = run(monkeypatch, capsys, *arguments)
    assert code == 0
    source = json.loads(shown)["source"]
    assert (source["name"], source["report"]["num_used"]) == ("mine", 4)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("upload", "25", "nowhere.csv"), "There is no file nowhere.csv."),
        (("sources", "25", "--borrow", "a", "--drop", "b"), "exclude each other"),
        (("sources", "77"), "Project 77 is not known"),
    ],
)
def test_refusals(
    monkeypatch: Patch, capsys: Capture, arguments: tuple[str, ...], reason: str
) -> None:
    code, _, said = run(monkeypatch, capsys, *arguments)
    assert code == 1
    assert reason in said.replace("\n", " ")
