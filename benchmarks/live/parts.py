"""Load on the running service: web application, workers, Redis and a real Label Studio.

    python -m benchmarks.live [--short] [--only a c]

a: answers of /webhook; b: from an event to the consensus in the store; c: from an annotation
in Label Studio to its prediction there; d: overload; e: answers while a large project is
recomputed. Everything runs on this machine, the load as well, with default settings. It
fails on wrong results alone: an annotation that is never stored or never visible.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import FrameType

from rich.console import Console

from benchmarks.live.answering import answers_during_recompute, webhook_answers
from benchmarks.live.findings import Findings
from benchmarks.live.following import overload, stored_lag, visible_lag
from benchmarks.live.rig import Rig
from benchmarks.live.workload import FULL, SHORT, Workload

PARTS: dict[str, Callable[[Rig, Findings, Workload], None]] = {
    "a": webhook_answers,
    "b": stored_lag,
    "c": visible_lag,
    "d": overload,
    "e": answers_during_recompute,
}
_WITHOUT_STUDIO = {"e"}


def machine(rig: Rig) -> str:
    """What it all ran on, in one line."""
    studio = f", Label Studio {rig.studio.version} with SQLite" if rig.has_studio else ""
    redis = rig.service.redis.info("server")["redis_version"]
    settings = rig.service.settings
    return (
        f"{os.cpu_count()} processors, Python {platform.python_version()}, Redis {redis}, "
        f"gunicorn {version('gunicorn')} ({settings.workers} × {settings.threads} threads)"
        f"{studio}"
    )


def run(parts: list[str], load: Workload, console: Console) -> Findings:
    """Run parts of the benchmark and print what they found."""
    findings = Findings()
    num_people = 0 if set(parts) <= _WITHOUT_STUDIO else load.num_people
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="crowdlab-") as folder,
        Rig(Path(folder), num_people, load.num_shared_tasks) as rig,
    ):
        console.print(machine(rig), highlight=False)
        for part in parts:
            console.print(f"{time.monotonic() - began:.0f} s: part {part} begins", style="dim")
            PARTS[part](rig, findings, load)
    findings.print(console, f"Live load ({time.monotonic() - began:.0f} s)")
    return findings


def _stop(number: int, frame: FrameType | None) -> None:
    """End as by Ctrl-C, so that everything that was started is stopped."""
    raise KeyboardInterrupt


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.live", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--short", action="store_true", help="small sizes only: a minute")
    parser.add_argument(
        "--only", nargs="+", choices=sorted(PARTS), default=sorted(PARTS), help="parts to run"
    )
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, _stop)
    load = SHORT if chosen.short else FULL
    try:
        findings = run(chosen.only, load, Console(width=140))
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(1 if findings.wrong else 0)
