"""Programs that run side by side."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from backend.processes import Processes, ProcessFailedError, own_command

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "print('ready', flush=True); time.sleep(60)",
]


def test_all_are_stopped_at_the_end(tmp_path: Path) -> None:
    with Processes() as processes:
        processes.start("a", SLEEP, os.environ)
        processes.start("b", SLEEP, os.environ)
        assert processes.is_running("a")
        assert not processes.is_running("c")
    assert not processes.is_running("a")


def test_one_that_ended_is_started_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with Processes() as processes:
        processes.start("a", [sys.executable, "-c", "print('ran', flush=True)"], os.environ, log)
        while processes.is_running("a"):
            time.sleep(0.01)
        processes.check()
        while log.read_text().count("ran") < 2:
            time.sleep(0.01)


def test_one_that_keeps_ending_is_given_up_with_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"

    def watch() -> None:
        with Processes() as processes:
            processes.start("web", [sys.executable, "-c", "raise SystemExit(3)"], os.environ, log)
            processes.watch()

    with pytest.raises(ProcessFailedError, match=r"web ended 3 times .* \(status 3\)") as raised:
        watch()
    assert str(log) in raised.value.hint


def test_one_that_does_not_stop_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.processes._STOP_SECONDS", 0.2)
    log = tmp_path / "log"
    with Processes() as processes:
        processes.start("a", STUBBORN, os.environ, log)
        while "ready" not in log.read_text():
            time.sleep(0.01)
    assert not processes.is_running("a")


def test_a_program_that_does_not_exist_is_named() -> None:
    with pytest.raises(ProcessFailedError, match="/no/such cannot be started"):
        Processes().start("a", ["/no/such"], os.environ)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_watching_ends_on_request(number: signal.Signals) -> None:
    with Processes() as processes:
        processes.start("a", SLEEP, os.environ)
        timer = threading.Timer(0.3, os.kill, (os.getpid(), number))
        timer.start()
        processes.watch()
        timer.join()
        assert processes.is_running("a")


def test_own_commands_run_this_package() -> None:
    assert own_command("web") == [sys.executable, "-m", "backend", "web"]
