"""The command line without Label Studio."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from rich.console import Console

from backend import cli
from backend.label_studio.controls import Question
from backend.settings import example_environment
from backend.store.project import ProjectInfo, ProjectStore, QuestionSummary, Summary


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
                 "leaderboard", "doctor", "demo", "settings"):  # fmt: skip
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


@pytest.mark.parametrize("arguments", [("sync",), ("sync", "x"), ("sync", "0"), ("nonsense",)])
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
        "Workers: 0 for events, 0 for refresh. Jobs waiting: 0.",
    ]
    computed.add_event("{}")
    computed.add_event("{")
    ((entry, event),) = computed.events(2)[1:]
    computed.bury_event(entry, event, "not JSON")
    computed.save_last_error("It failed.")
    shown = run(monkeypatch, capsys, "status")[1]
    assert shown.splitlines()[4:7] == [
        "  events waiting: 1",
        "  events that could not be applied: 1",
        "  last error: It failed.",
    ]
    (row,) = json.loads(run(monkeypatch, capsys, "status", "--json")[1])["projects"]
    assert set(row) == {
        "project", "title", "num_tasks", "num_labels", "num_annotators", "num_consensus",
        "mean_quality", "ground_truth_accuracy", "model_version", "synced_at",
        "num_waiting_events", "num_dead_letters", "last_error",
    }  # fmt: skip


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
