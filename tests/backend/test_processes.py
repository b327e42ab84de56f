"""Programs that run side by side."""

import os
import signal
import subprocess
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


def test_one_that_is_killed_again_and_again_is_not_given_up(tmp_path: Path) -> None:
    """Killed for want of memory, say, which may be there in a moment."""
    log = tmp_path / "log"
    dies = "import os, signal; print('ran', flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    with Processes() as processes:
        processes.start("a", [sys.executable, "-c", dies], os.environ, log)
        for number in range(1, 6):
            while log.read_text().count("ran") < number or processes.is_running("a"):
                time.sleep(0.01)
            processes.check()


def is_alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until_gone(process: int) -> None:
    while is_alive(process):
        time.sleep(0.01)


WITH_A_CHILD = [
    sys.executable,
    "-c",
    "import subprocess, sys; "
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
    "print(child.pid, flush=True); child.wait()",
]


def test_what_is_left_of_one_that_was_killed_ends_before_it_starts_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with Processes() as processes:
        processes.start("a", WITH_A_CHILD, os.environ, log)
        while not log.read_text().endswith("\n"):
            time.sleep(0.01)
        child = int(log.read_text())
        os.kill(os.getpgid(child), signal.SIGKILL)
        while processes.is_running("a"):
            time.sleep(0.01)
        assert is_alive(child)
        processes.check()
        assert not is_alive(child)


def test_all_end_when_the_process_that_started_them_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import os, pathlib, sys; from backend.processes import Processes; "
            "processes = Processes(); "
            f"processes.start('a', {WITH_A_CHILD[:2]} + ["
            "'import os, time; print(os.getpid(), flush=True); time.sleep(60)'], "
            f"os.environ, pathlib.Path({str(log)!r})); processes.watch()",
        ]
    )
    while not (log.exists() and log.read_text().endswith("\n")):
        time.sleep(0.01)
    child = int(log.read_text())
    assert is_alive(child)
    parent.kill()
    parent.wait()
    wait_until_gone(child)


def test_one_started_by_a_thread_outlives_the_thread(tmp_path: Path) -> None:
    with Processes() as processes:
        thread = threading.Thread(target=processes.start, args=("a", SLEEP, os.environ))
        thread.start()
        thread.join()
        time.sleep(0.2)
        assert processes.is_running("a")


def test_what_the_programs_depend_on_is_kept_up_while_watching() -> None:
    with Processes() as processes:
        processes.start("a", SLEEP, os.environ)
        processes.watch(keep_up=lambda: os.kill(os.getpid(), signal.SIGTERM))


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
