"""A day's traffic in ten minutes: what of it stays in memory, in Redis, and open.

    python -m benchmarks.soak [--short]

Forty annotators save and edit annotations for eight hours, and leads look at pages, all at
144 times the speed, on the service with its default settings beside a real Label Studio. When
everything has been used once, nothing may grow any more: not the memory of the processes, not
the number of their open files, not the keys or the memory of Redis. RQ knows a finished job for
ten seconds more, so the keys of jobs follow the traffic; they are counted apart, and shortly
after the traffic they must be gone.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks.live.findings import Findings
from benchmarks.live.load import Request, evenly, http_message, latencies
from benchmarks.live.recorded import NewAnnotation
from benchmarks.live.rig import Rig
from benchmarks.live.studio import StudioProject
from benchmarks.live.waiting import wait_for

_MEGABYTE = 2**20
_EVENTS_PER_SECOND = 32.0
"""40 people, 8 hours, one annotation a minute each, in 10 minutes."""
_CONNECTIONS = 16
_NUM_PEOPLE = 8
_PARTS = ("backend web", "worker --only events", "worker --only write", "worker --only refresh")

MOST_GROWTH = 0.1
"""Of memory, from the second quarter of the time to the last."""
MOST_MORE_FILES = 8
MOST_MORE_KEYS = 10
MOST_JOB_KEYS_LEFT = 20
"""Besides finished jobs, a few are scheduled, such as the next look for changes."""
_JOB_KEYS = (b"rq:job:", b"rq:results:", b"rq:executions:")
_FORGOTTEN_SECONDS = 15.0
"""After the last job; `JobQueue` lets finished ones be known for ten."""
_IDLE_SECONDS = 120.0


@dataclass(frozen=True)
class Duration:
    """How long, and on how many tasks."""

    seconds: float
    num_tasks: int
    seconds_between: float
    """Between two looks."""


FULL = Duration(600.0, 300, 10.0)
SHORT = Duration(24.0, 60, 1.0)


@dataclass(frozen=True)
class Footprint:
    """What the service holds at a moment."""

    megabytes: dict[str, float]
    """Resident memory by part of the service."""
    num_files: int
    num_keys: int
    """In Redis, without those of jobs."""
    num_job_keys: int
    redis_megabytes: float


def look(rig: Rig) -> Footprint:
    """Count what the service holds now."""
    megabytes = dict.fromkeys(_PARTS, 0.0)
    num_files = 0
    for part, process in _processes():
        try:
            pages = int((process / "statm").read_text().split()[1])
            num_files += len(list((process / "fd").iterdir()))
        except OSError:  # it has ended meanwhile
            continue
        megabytes[part] += pages * 4096 / _MEGABYTE
    redis: Any = rig.service.redis
    used = redis.info("memory")["used_memory"] / _MEGABYTE
    num_keys, num_job_keys = 0, 0
    for key in redis.scan_iter(count=1000):
        if key.startswith(_JOB_KEYS):
            num_job_keys += 1
        else:
            num_keys += 1
    return Footprint(megabytes, num_files, num_keys, num_job_keys, used)


def _processes() -> Iterator[tuple[str, Path]]:
    """Processes of the service that this one started; a job's own one ends with it."""
    for child in _children(os.getpid()):
        command = (child / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        part = next((one for one in _PARTS if one in command), None)
        if part is None:
            continue
        yield part, child
        if part == "backend web":
            for worker in _children(int(child.name)):
                yield part, worker


def _children(process: int) -> list[Path]:
    children = Path(f"/proc/{process}/task/{process}/children").read_text()
    return [Path("/proc") / child for child in children.split()]


def traffic(rig: Rig, project: StudioProject, seconds: float) -> list[Request]:
    """Everything that is sent, by when it is due."""
    tasks = sorted(project.truth)
    random = np.random.default_rng(0)
    began = datetime.now(tz=UTC)
    number = round(_EVENTS_PER_SECOND * seconds)
    events = []
    for place in range(number):
        task = tasks[int(random.integers(len(tasks)))]
        person = int(random.integers(len(rig.studio.people)))
        who = rig.studio.people[person]
        # Edits of what is there already: the same work day after day.
        annotation = NewAnnotation(
            id=10_000_000 + task * 100 + person,
            task=task,
            annotator=who.id,
            choice=project.choice_by(who, task),
            saved_at=began + timedelta(seconds=place / _EVENTS_PER_SECOND),
        )
        events.append(rig.requests.annotation_created(project.id, annotation))
    views = [
        http_message("GET", path, rig.port, {"Accept": accept})
        for path, accept in (
            ("/", "text/html"),
            (f"/projects/{project.id}", "text/html"),
            (f"/api/projects/{project.id}", "application/json"),
            (f"/api/projects/{project.id}/annotators", "application/json"),
            (f"/api/projects/{project.id}/tasks", "application/json"),
            (f"/api/projects/{project.id}/tasks/{tasks[0]}", "application/json"),
            ("/metrics", "text/plain"),
        )
    ]
    others = [
        rig.requests.predict(project.id, tasks[:1]),
        rig.requests.setup(project.id),
        rig.requests.health(),
        *views,
    ]
    asked = [others[place % len(others)] for place in range(round(4 * seconds))]
    every = evenly(events, _EVENTS_PER_SECOND, "webhook") + evenly(asked, 4.0, "others")
    return sorted(every, key=lambda one: one.due)


def measure(rig: Rig, duration: Duration, findings: Findings) -> None:
    """Send the traffic, and look what stays."""
    with rig.project(duration.num_tasks) as project:
        at = time.monotonic() + 2.0
        answering = rig.load.start(
            rig.port, traffic(rig, project, duration.seconds), at=at, connections=_CONNECTIONS
        )
        seen = []
        while not answering.ready():
            seen.append(look(rig))
            answering.wait(duration.seconds_between)
        answers = answering.get()
        wait_for(lambda: not rig.service.queue.num_waiting(), _IDLE_SECONDS, "no job waits")
        time.sleep(_FORGOTTEN_SECONDS)
        left = look(rig)
    findings.none_of("soak", "answers of 5xx or none", sum(_is_bad(a.status) for a in answers))
    for name in ("webhook", "others"):
        findings.percentiles("soak", name, latencies(answers, name))
    _judge(seen, left, findings)


def _is_bad(status: int) -> bool:
    return status == 0 or status >= 500


def _judge(seen: Sequence[Footprint], left: Footprint, findings: Findings) -> None:
    """Compare the last quarter of the time with the second one, and look at what is left."""
    quarter = max(1, len(seen) // 4)
    early, late = seen[quarter : 2 * quarter] or seen[:1], seen[-quarter:]

    def compare(
        what: str, value: Callable[[Footprint], float], share: float, more: float, unit: str
    ) -> None:
        before = float(np.median([value(one) for one in early]))
        after = float(np.median([value(one) for one in late]))
        most = before * (1 + share) + more
        findings.at_most("soak", f"{what}, from {before:,.0f}", after, most, unit)

    for part in _PARTS:
        name = f"memory of {part}"
        compare(name, lambda one, part=part: one.megabytes[part], MOST_GROWTH, 5, "MiB")  # type: ignore[misc]
    compare("memory of Redis", lambda one: one.redis_megabytes, MOST_GROWTH, 2, "MiB")
    compare("open files", lambda one: float(one.num_files), 0, MOST_MORE_FILES, "")
    compare("keys in Redis", lambda one: float(one.num_keys), 0, MOST_MORE_KEYS, "")
    job_keys = [one.num_job_keys for one in (*early, *late)]
    findings.note("soak", "keys of jobs, meanwhile", f"{min(job_keys):,} to {max(job_keys):,}")
    what = f"keys of jobs, {_FORGOTTEN_SECONDS:.0f} s later"
    findings.at_most("soak", what, left.num_job_keys, MOST_JOB_KEYS_LEFT, "")


def main() -> None:
    """Run and print a table."""
    parser = argparse.ArgumentParser(description="A day's traffic in ten minutes.")
    parser.add_argument("--short", action="store_true", help="half a minute")
    duration = SHORT if parser.parse_args().short else FULL
    console = Console(width=140)
    findings = Findings()
    with tempfile.TemporaryDirectory(prefix="s") as name, Rig(Path(name), _NUM_PEOPLE, 0) as rig:
        measure(rig, duration, findings)
    findings.print(console, f"{duration.seconds:,.0f} s of traffic")
    # Half a minute is too short to tell growth from use for the first time.
    has_grown = duration is FULL and any(row.is_met is False for row in findings.rows)
    sys.exit(bool(findings.wrong) or has_grown)


if __name__ == "__main__":
    main()
