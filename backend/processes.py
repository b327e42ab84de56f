"""Programs that run side by side: started together, watched, stopped together."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO

from backend.errors import CrowdlabError

log = logging.getLogger(__name__)

_STOP_SECONDS = 8.0
_REMNANT_SECONDS = 2.0
_LONG_ENOUGH_SECONDS = 10.0
_MAX_QUICK_DEATHS = 3

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


class ProcessFailedError(CrowdlabError):
    """A program ended by itself and does not stay up when started again."""


@dataclass
class _Program:
    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    output: Path | None
    process: subprocess.Popen[bytes]
    started_at: float
    quick_deaths: int = field(default=0)


class Processes:
    """A set of running programs; a context manager that stops them all, the last first.

    Each runs in a session of its own, so that Ctrl-C reaches only this process, which then
    stops them in order. If this process is killed, they are told to stop by the kernel.
    """

    def __init__(self) -> None:
        self._programs: list[_Program] = []

    def start(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        output: Path | None = None,
    ) -> None:
        """Start a program; its output goes to a file, or where ours goes."""
        process = _spawn(command, environment, output)
        self._programs.append(
            _Program(name, command, environment, output, process, time.monotonic())
        )
        log.debug("started %s (process %s)", name, process.pid)

    def check(self) -> None:
        """Start programs anew that have ended.

        Raises
        ------
        ProcessFailedError
            A program keeps ending right after its start.
        """
        for program in self._programs:
            status = program.process.poll()
            if status is None:
                continue
            lived = time.monotonic() - program.started_at
            # One that was killed, as for want of memory, is no proof that it cannot run.
            is_failure = lived < _LONG_ENOUGH_SECONDS and status >= 0
            program.quick_deaths = program.quick_deaths + 1 if is_failure else 0
            if program.quick_deaths >= _MAX_QUICK_DEATHS:
                place = f"Its output is in {program.output}." if program.output else ""
                raise ProcessFailedError(
                    f"{program.name} ended {program.quick_deaths} times right after its start "
                    f"(status {status}).",
                    place,
                )
            log.warning("%s ended (status %s) and is started again", program.name, status)
            _end_group(program.process.pid)
            time.sleep(program.quick_deaths)
            program.process = _spawn(program.command, program.environment, program.output)
            program.started_at = time.monotonic()

    def is_running(self, name: str) -> bool:
        """Whether a program runs."""
        return any(one.name == name and one.process.poll() is None for one in self._programs)

    def watch(self, keep_up: Callable[[], None] | None = None) -> None:
        """Keep the programs running until this process is told to stop (Ctrl-C, SIGTERM).

        Parameters
        ----------
        keep_up
            Called before each look at the programs, to restore what they depend on.
        """
        with _StopSignals() as stop:
            while not stop.is_requested:
                if keep_up is not None:
                    keep_up()
                self.check()
                time.sleep(0.2)

    def stop(self) -> None:
        """Stop all programs, the last started first."""
        while self._programs:
            program = self._programs.pop()
            if program.process.poll() is not None:
                _end_group(program.process.pid)
                continue
            program.process.terminate()
            try:
                program.process.wait(timeout=_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                log.warning("%s does not stop and is killed", program.name)
                os.killpg(program.process.pid, signal.SIGKILL)
                program.process.wait()

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


class _StopSignals:
    """Turns SIGINT and SIGTERM into a request while the context lasts."""

    def __init__(self) -> None:
        self.is_requested = False

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.is_requested = True

    def __enter__(self) -> _StopSignals:
        self._previous = {
            number: signal.signal(number, self._request)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        return self

    def __exit__(self, *unused: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)


def own_command(*arguments: str) -> list[str]:
    """Command line that runs a part of this service."""
    return [sys.executable, "-m", "backend", *arguments]


def die_with_parent() -> Callable[[], None]:
    """Return a `preexec_fn` that lets a program end when the process that starts it does.

    The kernel then sends it SIGTERM, however its parent ended. It would do so as well when
    the thread ends that started the program, so only the main thread asks for it.
    """
    parent = os.getpid()
    lasts = threading.current_thread() is threading.main_thread()

    def ask_the_kernel() -> None:
        if sys.platform == "linux" and lasts:
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:
                os._exit(1)

    return ask_the_kernel


def _end_group(group: int) -> None:
    """End what a program left of its process group, such as its own children."""
    try:
        os.killpg(group, signal.SIGTERM)
        deadline = time.monotonic() + _REMNANT_SECONDS
        while time.monotonic() < deadline:
            os.killpg(group, 0)
            time.sleep(0.02)
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def _spawn(
    command: Sequence[str], environment: Mapping[str, str], output: Path | None
) -> subprocess.Popen[bytes]:
    stream: IO[bytes] | None = output.open("ab") if output else None
    try:
        return subprocess.Popen(  # noqa: S603 - commands are our own
            list(command),
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT if stream else None,
            start_new_session=True,
            preexec_fn=die_with_parent(),
        )
    except OSError as error:
        raise ProcessFailedError(
            f"{command[0]} cannot be started: {error.strerror or error}."
        ) from None
    finally:
        if stream:
            stream.close()
