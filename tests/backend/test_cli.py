"""The command line without Label Studio."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from backend import cli
from backend.settings import example_environment


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
    for name in ("start", "web", "worker", "connect", "sync", "recompute", "status",
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
