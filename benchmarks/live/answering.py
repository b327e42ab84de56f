"""How fast the web application answers Label Studio, whatever the workers do."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import httpx
import numpy as np

from backend.jobs.queue import JobKind
from benchmarks.live import recomputes
from benchmarks.live.findings import Findings, milliseconds
from benchmarks.live.load import Answer, Request, evenly, latencies, lateness
from benchmarks.live.processor_time import ProcessorTime, shares_text
from benchmarks.live.recorded import NewAnnotation
from benchmarks.live.rig import Rig
from benchmarks.live.studio import CHOICES, StudioProject
from benchmarks.live.trails import Trail, lags_of
from benchmarks.live.waiting import wait_for
from benchmarks.live.watcher import Watcher
from benchmarks.live.workload import Workload

_CONNECTIONS = 16
_LEAD_SECONDS = 1.0
_foreign_annotations = itertools.count(10**9, 10**6)
"""Ids from which on annotations are none of Label Studio's."""

_LARGE_PROJECT = 900_001
_NUM_PREDICTED = 300
_RATES = {"one": 20.0, "many": 1.0, "setup": 10.0, "health": 10.0}
"""Requests a second by their name."""


def webhook_answers(rig: Rig, findings: Findings, load: Workload) -> None:
    """Part a: how fast /webhook answers, with kept and with new connections."""
    with rig.project(load.num_webhook_tasks + 2) as project:
        tasks = project.take(load.num_webhook_tasks)
        for keep_alive in (True, False):
            _webhook_answers(rig, findings, load, project, tasks, keep_alive)
            _follow_one_more(rig, findings, load, project)


def _webhook_answers(
    rig: Rig,
    findings: Findings,
    load: Workload,
    project: StudioProject,
    tasks: Sequence[int],
    keep_alive: bool,
) -> None:
    messages = _foreign_events(rig, project, tasks, round(load.webhook_rate * load.webhook_seconds))
    before = ProcessorTime.now()
    answers = rig.load.start(
        rig.port,
        evenly(messages, load.webhook_rate),
        at=time.monotonic() + _LEAD_SECONDS,
        connections=_CONNECTIONS,
        keep_alive=keep_alive,
    ).get()
    shares = ProcessorTime.now().shares_since(before)
    how = "connections kept" if keep_alive else "a new connection each"
    what = f"/webhook at {load.webhook_rate:.0f} events/s, {how}"
    findings.percentiles("a", what, latencies(answers), limit=0.020)
    _note_load(findings, "a", answers, shares)
    _check_statuses(findings, "a", answers, 201)


def _foreign_events(
    rig: Rig, project: StudioProject, tasks: Sequence[int], number: int
) -> list[bytes]:
    """Events of annotations that Label Studio does not have, on tasks that it has."""
    people = rig.studio.people
    first = next(_foreign_annotations)
    return [
        rig.requests.annotation_created(
            project.id,
            NewAnnotation(
                id=first + place,
                task=tasks[place * 7919 % len(tasks)],
                annotator=people[place % len(people)].id,
                choice=CHOICES[place % len(CHOICES)],
                saved_at=datetime.now(tz=UTC),
            ),
        )
        for place in range(number)
    ]


def _follow_one_more(rig: Rig, findings: Findings, load: Workload, project: StudioProject) -> None:
    """See when an event that comes after all others is in the store."""
    (task,) = project.take(1)
    known = {person.id for person in project.annotators[task]}
    annotation = NewAnnotation(
        id=rig.studio.database.last_annotation() + 1,
        task=task,
        annotator=next(one.id for one in rig.studio.people if one.id not in known),
        choice=project.truth[task],
        saved_at=datetime.now(tz=UTC),
    )
    rig.studio.database.add_annotations(project.id, [annotation])
    message = rig.requests.annotation_created(project.id, annotation)
    at = time.monotonic()
    answering = rig.load.start(rig.port, [Request(0.0, message)], at=at, connections=1)
    trail = Trail(len(known), saved=[at])
    watcher = Watcher(rig.store(project.id), {task: trail})
    watcher.during(answering)
    watcher.until_followed(load.patience)
    lags = lags_of([trail], 0.0)
    findings.percentiles("a", "an event after them → consensus stored", lags.stored)
    findings.none_of("a", "annotations never stored", lags.num_never_stored)


def answers_during_recompute(rig: Rig, findings: Findings, load: Workload) -> None:
    """Part e: how fast everything else answers while a worker recomputes a large project."""
    store = rig.store(_LARGE_PROJECT)
    tasks = recomputes.fill(store, rig.requests.label_config, load.num_large)
    _check_predictions(rig, findings, tasks[:_NUM_PREDICTED])
    (queue,) = rig.service.queue.queues(JobKind.REFRESH)
    job = queue.enqueue(recomputes.JOB, _LARGE_PROJECT, load.recompute_seconds)
    wait_for(lambda: job.get_status(refresh=True) == "started", 60, "a worker recomputes")
    before = ProcessorTime.now()
    seconds = load.recompute_seconds - 2 * _LEAD_SECONDS if load.recompute_seconds > 10 else 1.0
    answers = rig.load.start(
        rig.port,
        _questions(rig, tasks, seconds),
        at=time.monotonic() + _LEAD_SECONDS,
        connections=_CONNECTIONS,
        keep_alive=False,
    ).get()
    shares = ProcessorTime.now().shares_since(before)
    wait_for(lambda: job.is_finished or job.is_failed, 120, "the worker has recomputed")
    result = job.return_value() or {"seconds": []}
    what = f"recompute of {load.num_large:,} tasks, again and again"
    findings.percentiles("e", what, np.asarray(result["seconds"]))
    for name, asked, limit in (
        ("one", "/predict for 1 task meanwhile", 0.050),
        ("many", f"/predict for {_NUM_PREDICTED} tasks meanwhile", 1.0),
        ("setup", "/setup meanwhile", 0.050),
        ("health", "/health meanwhile", 0.050),
    ):
        findings.percentiles("e", asked, latencies(answers, name), limit=limit)
    _note_load(findings, "e", answers, shares)
    _check_statuses(findings, "e", answers, 200)
    findings.none_of("e", "recomputes that failed", int(job.is_failed))
    store.forget()


def _questions(rig: Rig, tasks: Sequence[int], seconds: float) -> list[Request]:
    """What Label Studio asks, each kind of question at its rate."""
    random = np.random.default_rng(2)
    many = rig.requests.predict(_LARGE_PROJECT, tasks[:_NUM_PREDICTED])
    messages = {
        "one": [
            rig.requests.predict(_LARGE_PROJECT, [int(task)])
            for task in random.choice(np.asarray(tasks), max(1, round(seconds * _RATES["one"])))
        ],
        "many": [many] * max(1, round(seconds * _RATES["many"])),
        "setup": [rig.requests.setup(_LARGE_PROJECT)] * max(1, round(seconds * _RATES["setup"])),
        "health": [rig.requests.health()] * max(1, round(seconds * _RATES["health"])),
    }
    requests = [
        request
        for name, several in messages.items()
        for request in evenly(several, _RATES[name], name)
    ]
    return sorted(requests, key=lambda request: request.due)


def _check_predictions(rig: Rig, findings: Findings, tasks: Sequence[int]) -> None:
    """Compare the answer of /predict with the store."""
    rows = rig.store(_LARGE_PROJECT).consensus(1).read(tasks)
    expected = [
        (CHOICES[label], round(float(score), 4))
        for label, score in zip(rows["label"][:, 0], rows["quality"][:, 0], strict=True)
    ]
    body = rig.requests.predict(_LARGE_PROJECT, tasks).partition(b"\r\n\r\n")[2]
    url = f"http://127.0.0.1:{rig.port}/predict"
    answer = httpx.post(url, content=body, timeout=60, trust_env=False).json()["results"]
    found = [
        (one["result"][0]["value"]["choices"][0], one["score"]) if one else None for one in answer
    ]
    wrong = len(expected) - sum(a == b for a, b in zip(expected, found, strict=False))
    findings.none_of("e", f"predictions of {len(tasks)} tasks that differ from the store", wrong)


def _note_load(
    findings: Findings, part: str, answers: Sequence[Answer], shares: dict[str, float]
) -> None:
    late = milliseconds(float(np.percentile(lateness(answers), 99)))
    findings.note(part, "the load process itself was late by", f"p99 {late} ms")
    findings.note(part, "processors kept busy by", shares_text(shares))


def _check_statuses(
    findings: Findings, part: str, answers: Sequence[Answer], expected: int
) -> None:
    wrong = sum(answer.status != expected for answer in answers)
    findings.none_of(part, f"answers other than {expected}", wrong)
