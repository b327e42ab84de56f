"""The command line without Label Studio."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from rich.console import Console

from backend import cli
from backend.features.report import Failure, MediaReport, SourceReport
from backend.label_studio.questions import Question
from backend.service import Service
from backend.settings import example_environment
from backend.store import keys
from backend.store.project import ProjectInfo, ProjectStore, QuestionSummary, Summary
from backend.store.schema import SCHEMA_VERSION
from tests.backend.insights.conftest import service

__all__ = ["service"]


def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, str, str]:
    """Exit code, output and errors of a command, run in this process."""
    monkeypatch.setattr(sys, "argv", ["crowdlab", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    printed = capsys.readouterr()
    return int(ended.value.code or 0), printed.out, printed.err


def test_help_lists_every_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, shown, _ = run(monkeypatch, capsys, "--help")
    assert code == 0
    for name in ("start", "web", "worker", "connect", "disconnect", "sync", "recompute", "status",
                 "leaderboard", "export", "doctor", "demo", "settings"):  # fmt: skip
        assert name in shown


def test_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code, shown, _ = run(monkeypatch, capsys, "--version")
    assert (code, shown.split()[0]) == (0, "crowdlab")


def test_settings_print_the_example(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, capsys, "settings")[1] == example_environment()


def test_status_of_nothing_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "crowdlab connect PROJECT" in run(monkeypatch, capsys, "status")[1]
    code, shown, _ = run(monkeypatch, capsys, "status", "--json")
    assert json.loads(shown)["projects"] == []
    assert code == 0


@pytest.mark.parametrize("arguments", [("recompute",), ("sync", "x"), ("sync", "0"), ("nonsense",)])
def test_wrong_usage_exits_with_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: tuple[str]
) -> None:
    assert run(monkeypatch, capsys, *arguments)[0] == 2


def test_a_domain_error_is_a_sentence_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REDIS_URL", "[nowhere]")
    done = subprocess.run(
        [sys.executable, "-m", "backend", "status"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: The setting REDIS_URL")
    assert "Traceback" not in done.stderr


def test_data_of_a_newer_release_are_refused_in_a_sentence(redis: Redis, redis_url: str) -> None:
    redis.set(keys.SCHEMA, SCHEMA_VERSION + 1)
    done = subprocess.run(
        [sys.executable, "-m", "backend", "worker"],
        env=os.environ | {"REDIS_URL": redis_url},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    said = " ".join(done.stderr.split())
    assert f"have layout {SCHEMA_VERSION + 1}, this release knows layouts up to" in said
    assert "Update this service" in said
    assert "Traceback" not in said
    assert redis.keys() == [keys.SCHEMA.encode()]


def test_a_state_file_of_a_newer_release_is_refused_in_a_sentence(
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    file = tmp_path / "state.zip"
    with zipfile.ZipFile(file, "w") as archive:
        index = {"format": 1, "schema": SCHEMA_VERSION + 1, "written_by": "9.0", "projects": []}
        archive.writestr("state.json", json.dumps(index))
    code, _, said = run(monkeypatch, capsys, "restore-state", str(file))
    assert code == 1
    assert "was written by the newer release 9.0" in " ".join(said.split())


def test_leaderboard_of_an_unknown_project(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "backend", "leaderboard", "7"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "Nothing was computed for project 7 yet" in done.stderr


ADDRESS = "someone.longish@example.com"


@pytest.fixture
def computed(store: ProjectStore, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> ProjectStore:
    """A project with results, shown on a terminal of 80 columns."""
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setattr(cli, "out", Console(width=80))
    rows = tuple(
        {
            "annotator": number,
            "quality": 0.5,
            "enough_data": number != 12,
            "agreement_with_consensus": 1.0,
            "agreement_with_ground_truth": None,
            "num_ground_truth": 0,
            "worst_class": "very positive",
            "num_labels": 12_345,
            "num_skipped": 120,
        }
        for number in range(13)
    )
    classes = ("very positive", "negative")
    question = Question(name="label", to_name="text", classes=classes)
    summary = QuestionSummary(
        name="label",
        classes=classes,
        num_tasks=1000,
        num_labeled=900,
        num_labels=4000,
        num_ground_truth=0,
        mean_quality=0.75,
        ground_truth_accuracy=None,
        classifier="text",
        model_weight=0.5,
        annotators=rows,
    )
    info = ProjectInfo("A project [with] brackets", "<View/>", (question,), cursor=1)
    with store.transaction() as pipe:
        store.stage_info(pipe, info)
        store.stage_summary(pipe, Summary(1, 1, "", 0.0, (summary,)))
    store.save_annotator_names(dict.fromkeys(range(13), ADDRESS))
    return store


def test_status_is_a_block_of_lines_per_project(
    computed: ProjectStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = run(monkeypatch, capsys, "status")[1]
    assert shown.splitlines() == [
        "25  A project [with] brackets",
        "  1,000 tasks, 4,000 labels by 13 annotators; 900 with a consensus",
        "  mean quality 0.750, right on ground truth –",
        "  model version –, synced never",
        "Workers: 0 for events, 0 for write, 0 for refresh. Jobs waiting: 0.",
    ]
    computed.inbox.add("{}")
    computed.inbox.add("{")
    computed.inbox.bury(computed.inbox.take(2)[1], "not JSON")
    computed.save_last_error("It failed.")
    computed.save_progress("Pulling tasks", 500, 1000)
    with computed.transaction() as changes:
        computed.stage_unsent(changes, [1, 2])
    shown = run(monkeypatch, capsys, "status")[1]
    lines = shown.splitlines()[4:9]
    assert lines[0] == "  at work: Pulling tasks, 500 of 1,000"
    assert lines[1].startswith("  events waiting: 1, the oldest for ")
    assert lines[2].startswith("  predictions waiting for Label Studio: 2, the oldest for ")
    assert lines[3:] == [
        "  events that could not be applied: 1; see `crowdlab dead-letters 25`",
        "  last error: It failed.",
    ]
    (row,) = json.loads(run(monkeypatch, capsys, "status", "--json")[1])["projects"]
    assert set(row) == {
        "project", "title", "num_tasks", "num_labels", "num_annotators", "num_consensus",
        "mean_quality", "ground_truth_accuracy", "model_version", "synced_at",
        "num_waiting_events", "event_lag", "num_dead_letters", "num_unsent", "prediction_lag",
        "progress", "is_pinned", "is_gone", "last_error", "unsupported", "unread_files",
    }  # fmt: skip
    info = computed.read_info()
    assert info is not None
    computed.touch(info, unsupported={"mask": "Brush tags have no [consensus] yet"})
    shown = run(monkeypatch, capsys, "status")[1]
    assert "  no consensus for mask: Brush tags have no [consensus] yet" in shown.splitlines()
    (row,) = json.loads(run(monkeypatch, capsys, "status", "--json")[1])["projects"]
    assert row["unsupported"] == {"mask": "Brush tags have no [consensus] yet"}


def test_status_says_which_files_could_not_be_read(
    computed: ProjectStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = SourceReport("image", "picture", 400, 388, 0, (Failure(404, 12, 17),))
    with computed.transaction() as changes:
        computed.stage_media(changes, MediaReport("recipe", 1, 0.0, (source,)))
    assert (
        "  files: 12 of 400 images (picture) could not be read: 12 answered with HTTP status 404, "
        "such as that of task 17."
    ) in run(monkeypatch, capsys, "status")[1].splitlines()


def test_leaderboard_fits_80_columns(
    computed: ProjectStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = run(monkeypatch, capsys, "leaderboard", "25")[1]
    assert shown.count(ADDRESS) == 13
    assert shown.count("12,345   120") == 13
    assert max(map(len, shown.splitlines())) <= 80
    assert "No quality: too little data to tell." in shown


def test_a_failure_of_redis_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise RedisConnectionError("Error 111 connecting. Connection refused.")

    monkeypatch.setattr(cli, "app", fail)
    code, _, said = run(monkeypatch, capsys)
    assert code == 1
    assert said.startswith("Error: Redis failed: Error 111 connecting. Connection refused.\n")


def test_a_token_that_is_no_token_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "…")
    code, _, said = run(monkeypatch, capsys, "connect", "1")
    assert code == 1
    assert "The token in LABEL_STUDIO_API_KEY is not valid" in said


def test_export_writes_a_file(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    service: Service,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("REDIS_URL", service.settings.redis_url.get_secret_value())
    monkeypatch.chdir(tmp_path)
    code, told, _ = run(monkeypatch, capsys, "export", "25")
    size = Path("crowdlab-25-consensus.csv").stat().st_size
    assert (code, told) == (0, f"crowdlab-25-consensus.csv: {size:,} bytes.\n")
    arguments = ("--what", "leaderboard", "--format", "json", "--output", "board.json", "--json")
    told = json.loads(run(monkeypatch, capsys, "export", "25", *arguments)[1])
    assert told["file"] == "board.json"
    assert [one["annotator"] for one in json.loads(Path("board.json").read_text())][:2] == [1, 2]
    run(monkeypatch, capsys, "export", "25", "--what", "report", "--format", "html")
    assert Path("crowdlab-25-report.html").read_text().startswith("<!doctype html>")
    code, _, said = run(monkeypatch, capsys, "export", "25", "--format", "label-studio",
                        "--what", "labels")  # fmt: skip
    assert code == 1
    assert "does not come in the format" in said
