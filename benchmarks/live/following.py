"""How fast the service follows annotations, into the store and into Label Studio."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from benchmarks.live.findings import Findings, milliseconds
from benchmarks.live.load import Answer, Request, evenly, latencies, service_times
from benchmarks.live.processor_time import ProcessorTime, shares_text
from benchmarks.live.recorded import NewAnnotation
from benchmarks.live.rig import Rig
from benchmarks.live.studio import LABELS_PER_TASK, Person, StudioProject, prediction_writes
from benchmarks.live.trails import Lags, Trail, lags_of
from benchmarks.live.watcher import Watcher
from benchmarks.live.workload import Workload

_CONNECTIONS = 16
_LEAD_SECONDS = 1.0
_TASKS_AT_ONCE = 10
"""Tasks on which people work at the same time, where they work as fast as they can."""

_FEED_SECONDS = 1.0
"""How long before its event an annotation is in Label Studio's database."""


def stored_lag(rig: Rig, findings: Findings, load: Workload) -> None:
    """Part b: from an event to the consensus in the store."""
    with rig.project(load.num_tasks) as project:
        tasks = project.take(round(load.stored_rate * load.stored_seconds))
        _send_events(rig, findings, load, project, _work(rig, project, tasks, 1))


def visible_lag(rig: Rig, findings: Findings, load: Workload) -> None:
    """Part c: from an annotation saved in Label Studio to its prediction there."""
    with rig.project(load.num_tasks) as project:
        tasks = project.take(round(load.visible_rate * load.visible_seconds))
        work = _work(rig, project, tasks, 1)
        what = f"{load.visible_rate:.0f} annotations/s"
        _annotate(rig, findings, load, "c", project, work, load.visible_rate, what)


def overload(rig: Rig, findings: Findings, load: Workload) -> None:
    """Part d: as many annotations as Label Studio takes, then a burst of events."""
    with rig.project(load.num_tasks) as project:
        each = len(rig.studio.people) - LABELS_PER_TASK
        flood = _work(rig, project, project.take(load.num_flood // each), each)
        _annotate(rig, findings, load, "d", project, flood, None, "as many as it takes")
        burst = _work(rig, project, project.take(load.num_burst // each), each)
        _burst(rig, findings, load, project, burst)


def _send_events(
    rig: Rig,
    findings: Findings,
    load: Workload,
    project: StudioProject,
    work: Sequence[tuple[int, Person]],
) -> None:
    """Events at a rate, of annotations that come into Label Studio's database with them."""
    trails = _trails(project, work)
    at = time.monotonic() + _LEAD_SECONDS
    annotations = _annotations(rig, project, work, at, load.stored_rate)
    messages = [rig.requests.annotation_created(project.id, one) for one in annotations]
    feed = _Feed(rig, project, annotations, at, load.stored_rate)
    before = ProcessorTime.now()
    answering = rig.load.start(
        rig.port,
        evenly(messages, load.stored_rate),
        at=at,
        connections=_CONNECTIONS,
        keep_alive=False,
    )
    watcher = Watcher(rig.store(project.id), trails)
    answers = watcher.during(answering, feed.catch_up)
    shares = ProcessorTime.now().shares_since(before)
    for answer, annotation in zip(answers, annotations, strict=True):
        trails[annotation.task].saved.append(answer.due)
    watcher.until_followed(load.patience)
    lags = lags_of(trails.values(), rig.service.settings.score_tolerance)
    what = f"event → consensus stored, {load.stored_rate:.0f} annotations/s"
    early = int((lags.stored < 0).sum())
    findings.percentiles("b", what, lags.stored[lags.stored >= 0], limit=1.0, percentile=95)
    if early:
        findings.note("b", "found by a sync before their event", f"{early:,}")
    findings.percentiles("b", "answers of /webhook", latencies(answers))
    findings.note("b", "processors kept busy by", shares_text(shares))
    _check(findings, "b", lags, answers)


def _annotate(
    rig: Rig,
    findings: Findings,
    load: Workload,
    part: str,
    project: StudioProject,
    work: Sequence[tuple[int, Person]],
    rate: float | None,
    what: str,
) -> None:
    """People save annotations in Label Studio, at a rate or one after the other."""
    studio = rig.studio
    trails = _trails(project, work)
    messages = studio.annotation_requests(project, work)
    requests = evenly(messages, rate) if rate else [Request(0.0, one) for one in messages]
    last, log_size, before = (
        studio.database.last_annotation(),
        studio.log_size(),
        ProcessorTime.now(),
    )
    answering = rig.load.start(
        studio.port,
        requests,
        at=time.monotonic() + _LEAD_SECONDS,
        connections=len(studio.people),
        # On a kept connection each answer of its own server is 40 ms late: it sends them in
        # several small pieces, of which TCP holds the later ones back.
        keep_alive=False,
    )
    watcher = Watcher(rig.store(project.id), trails, studio.database)
    answers = watcher.during(answering)
    shares = ProcessorTime.now().shares_since(before)
    for task, moment in studio.database.saved_since(project.id, last):
        trails[task].saved.append(moment)
    ended = time.monotonic()
    watcher.until_followed(load.patience)
    drained = time.monotonic() - ended
    lags = lags_of(trails.values(), rig.service.settings.score_tolerance)
    reached = len(answers) / (answers[-1].answered - answers[0].due)
    if rate:
        findings.at_least(part, "annotations that Label Studio saved", reached, 0.95 * rate, "/s")
    else:
        findings.note(part, "annotations that Label Studio saved", f"{reached:.1f} /s")
    answered = latencies(answers) if rate else service_times(answers)
    findings.percentiles(part, "Label Studio's answers to annotators", answered)
    findings.percentiles(part, f"saved → consensus stored, {what}", lags.stored)
    findings.percentiles(
        part,
        f"saved → visible in Label Studio, {what}",
        lags.visible,
        limit=3.0 if rate else None,
        percentile=95,
    )
    _note_drain(findings, part, lags, drained)
    _note_requests(findings, part, studio.requests_since(log_size), len(answers))
    findings.note(part, "processors kept busy by", shares_text(shares))
    _check(findings, part, lags, answers, is_visible=True)


def _burst(
    rig: Rig,
    findings: Findings,
    load: Workload,
    project: StudioProject,
    work: Sequence[tuple[int, Person]],
) -> None:
    """Many events at once, of annotations that Label Studio has."""
    studio = rig.studio
    trails = _trails(project, work)
    at = time.monotonic() + _LEAD_SECONDS
    annotations = _annotations(rig, project, work, at, None)
    messages = [rig.requests.annotation_created(project.id, one) for one in annotations]
    studio.database.add_annotations(project.id, annotations)
    log_size, before = studio.log_size(), ProcessorTime.now()
    answering = rig.load.start(
        rig.port,
        [Request(0.0, message) for message in messages],
        at=at,
        connections=_CONNECTIONS,
    )
    watcher = Watcher(rig.store(project.id), trails, studio.database)
    answers = watcher.during(answering)
    for annotation in annotations:
        trails[annotation.task].saved.append(at)
    watcher.until_followed(load.patience)
    drained = time.monotonic() - answers[-1].answered
    shares = ProcessorTime.now().shares_since(before)
    lags = lags_of(trails.values(), rig.service.settings.score_tolerance)
    what = f"burst of {len(answers):,} events"
    took = max(answer.answered for answer in answers) - at
    findings.note(
        "d", f"{what} taken in", f"{milliseconds(took)} ms, {len(answers) / took:,.0f} /s"
    )
    findings.percentiles("d", f"{what} → consensus stored", lags.stored)
    findings.percentiles("d", f"{what} → visible in Label Studio", lags.visible)
    _note_drain(findings, "d", lags, drained)
    _note_requests(findings, "d", studio.requests_since(log_size), len(answers))
    findings.note("d", "processors kept busy by", shares_text(shares))
    _check(findings, "d", lags, answers, is_visible=True)


def _work(
    rig: Rig, project: StudioProject, tasks: Sequence[int], each: int
) -> list[tuple[int, Person]]:
    """Who labels what: each task by some who have not; a few tasks at a time, mixed."""
    random = np.random.default_rng(3)
    work: list[tuple[int, Person]] = []
    for start in range(0, len(tasks), _TASKS_AT_ONCE):
        some = [
            (task, person)
            for task in tasks[start : start + _TASKS_AT_ONCE]
            for person in _others(rig, project, task)[:each]
        ]
        work += [some[place] for place in random.permutation(len(some)).tolist()]
    return work


def _others(rig: Rig, project: StudioProject, task: int) -> list[Person]:
    known = {person.id for person in project.annotators[task]}
    return [person for person in rig.studio.people if person.id not in known]


def _trails(project: StudioProject, work: Sequence[tuple[int, Person]]) -> dict[int, Trail]:
    expected = Counter(task for task, _ in work)
    return {task: Trail(len(project.annotators[task]), number) for task, number in expected.items()}


def _annotations(
    rig: Rig,
    project: StudioProject,
    work: Sequence[tuple[int, Person]],
    at: float,
    rate: float | None,
) -> list[NewAnnotation]:
    """Annotations that will be saved at a rate from a moment on, or all at once."""
    first = rig.studio.database.last_annotation() + 1
    start = datetime.now(tz=UTC) + timedelta(seconds=at - time.monotonic())
    return [
        NewAnnotation(
            id=first + place,
            task=task,
            annotator=person.id,
            choice=project.choice_by(person, task),
            saved_at=start + timedelta(seconds=place / rate if rate else 0.0),
        )
        for place, (task, person) in enumerate(work)
    ]


class _Feed:
    """Puts annotations into Label Studio's database shortly before their events are sent.

    A sync that looks at their tasks finds what the events tell, and finds nothing early.
    """

    def __init__(
        self,
        rig: Rig,
        project: StudioProject,
        annotations: Sequence[NewAnnotation],
        at: float,
        rate: float,
    ) -> None:
        self._database = rig.studio.database
        self._project = project.id
        self._annotations = annotations
        self._at = at
        self._rate = rate
        self._num_fed = 0

    def catch_up(self) -> None:
        """Put in what is due soon, some at a time."""
        soon = time.monotonic() - self._at + 2 * _FEED_SECONDS
        due = min(len(self._annotations), max(0, round(soon * self._rate)))
        is_last = due == len(self._annotations)
        if due - self._num_fed >= self._rate * _FEED_SECONDS or is_last:
            self._database.add_annotations(self._project, self._annotations[self._num_fed : due])
            self._num_fed = due


def _note_drain(findings: Findings, part: str, lags: Lags, drained: float) -> None:
    findings.note(part, "all visible after the last one by", f"{milliseconds(drained)} ms")
    if lags.num_left:
        findings.note(part, "left as they were, within the score's tolerance", f"{lags.num_left:,}")


def _note_requests(findings: Findings, part: str, requests: Counter[str], num_events: int) -> None:
    writes = prediction_writes(requests)
    what = f"writes of predictions for {num_events:,} events"
    if part == "d":
        findings.at_most(part, what, writes, num_events, "")
    else:
        findings.note(part, what, f"{writes:,}")
    told = ", ".join(
        f"{kind} {count:,}" for kind, count in requests.most_common() if "token" not in kind
    )
    findings.note(part, "requests that Label Studio answered", told)


def _check(
    findings: Findings,
    part: str,
    lags: Lags,
    answers: Sequence[Answer],
    *,
    is_visible: bool = False,
) -> None:
    """Count what is wrong, however fast it was."""
    refused = sum(answer.status != 201 for answer in answers)
    findings.none_of(part, "answers other than 201", refused)
    findings.none_of(part, "annotations never stored", lags.num_never_stored)
    if is_visible:
        findings.none_of(part, "annotations never visible", lags.num_never_visible)
