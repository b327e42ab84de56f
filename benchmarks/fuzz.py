"""Mutated request bodies against the real web application.

    python -m benchmarks.fuzz [--examples N] [--seed N]

Recorded requests of Label Studio with dropped, renamed and doubled keys, values of other types
and sizes, deep nesting, cut and flipped bytes go to the application on a real Redis. Each must
be answered with 2xx, or with 4xx and a reason. A refused one changes nothing; what an accepted
one asks for is done as a worker does it, and no other task's labels or results change.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from redis import Redis
from rich.console import Console
from rich.table import Table
from werkzeug.test import TestResponse

from backend.errors import NothingToComputeError
from backend.jobs.pipeline import follow_events
from backend.jobs.recompute import recompute_project
from backend.service import Service
from backend.settings import load_settings
from backend.store import keys
from backend.store.embedded import EmbeddedRedis
from backend.web.app import create_app
from backend.web.bodies import MAX_LEVELS

RECORDED = Path(__file__).parents[1] / "tests" / "data" / "label_studio"
PROJECT = 25
"""The recorded project."""

_PATHS = {
    "ml_predict_batch.request.json": "/predict",
    "ml_predict_interactive.request.json": "/predict",
    "ml_setup.request.json": "/setup",
    "ml_webhook_START_TRAINING.request.json": "/webhook",
}


def _recorded(name: str) -> Any:
    return json.loads((RECORDED / name).read_text())


@dataclass(frozen=True)
class Sent:
    """A request."""

    path: str
    content_type: str
    body: bytes


def recorded_bodies() -> list[tuple[str, Any]]:
    """Path and body of every recorded request that carries one.

    The recorded deletions are of things that the recorded page does not show; there is one
    more of each, of something that it does.
    """
    names = [*_PATHS, *sorted(path.name for path in RECORDED.glob("webhook_*.json"))]
    bodies = [(_PATHS.get(name, "/webhook"), _recorded(name)["body"]) for name in names]
    tasks = _recorded("webhook_TASKS_DELETED.json")["body"]
    annotations = _recorded("webhook_ANNOTATIONS_DELETED.json")["body"]
    return [
        *bodies,
        ("/webhook", {**tasks, "tasks": [{"id": _TASKS[4]}]}),
        ("/webhook", {**annotations, "annotations": [{"id": _ANNOTATIONS[-1]}]}),
    ]


# Values that JSON has no form for, or Python no object: they are written in place of a text.
_RAW = [
    "NaN",
    "Infinity",
    "-Infinity",
    "1e400",
    "-1e400",
    "1e-400",
    "-0",
    "01",
    "0x10",
    "undefined",
    "9" * 400,
    "9" * 5000,
    '"\\ud800"',
    '"\\udc00\\ud800"',
    '"\\u0000"',
    "[" * 63 + "]" * 63,
    "[" * 70 + "]" * 70,
    "[" * 1500 + "]" * 1500,
    "[" * 1500,
    '{"a":' * 60 + "1" + "}" * 60,
    '{"result":' * 900 + "[]" + "}" * 900,
]
_MARK = re.compile(r'"@raw:(\d+)"')

_TASKS = [task["id"] for task in _recorded("tasks_api_fields_all_page.json")["tasks"]]
_ANNOTATIONS = [
    annotation["id"]
    for task in _recorded("tasks_api_fields_all_page.json")["tasks"]
    for annotation in task["annotations"]
]
_ODD: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**53,
    2**63 - 1,
    2**63,
    2**64,
    -(2**63),
    10**40,
    0.5,
    1e308,
    -1e-300,
    "",
    "NaN",
    "null",
    "25",
    "25.1795506363",
    "٣",
    "\u202e\u0000\u0007\n",
    "\ud83d\ude00",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    "2026-13-45T99:99:99Z",
    "x" * 70_000,
    "<View>" * 300,
    '<View><Text name="t" value="$t"/><Choices name="c" toName="t"><Choice value="a"/></Choices>'
    "</View>",
    "ANNOTATION_CREATED",
    "ANNOTATIONS_DELETED",
    "TASKS_DELETED",
    "TASKS_CREATED",
    "PROJECT_UPDATED",
    "REVIEW_CREATED",
    [],
    {},
    [[]],
    [None],
    [{}],
    {"id": 10420},
    {"id": {"id": 1}},
    {"choices": ["positive"]},
    {"choices": [["positive"]]},
    {"choices": ["positive", "negative"]},
    *_TASKS[:3],
    *_ANNOTATIONS[:3],
    *(f"@raw:{number}" for number in range(len(_RAW))),
]

_CONTENT_TYPES = [
    "application/json",
    "application/json; charset=utf-16",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=b",
    "text/plain",
    "",
]

Place = tuple[Any, Any]
"""A list or object, and an index or key in it."""


def _places(whole: Any) -> Iterator[Place]:
    """Every place of a JSON value, the outer ones first."""
    waiting = [whole]
    for part in waiting:
        keys = list(part) if isinstance(part, dict) else list(range(len(part)))
        for key in keys:
            yield part, key
            if isinstance(part[key], dict | list):
                waiting.append(part[key])


_TELLING = {
    *("action", "annotation", "annotations", "task", "tasks", "project", "id", "completed_by"),
    *("result", "value", "choices", "from_name", "updated_at", "created_at", "lead_time"),
    *("was_cancelled", "ground_truth", "label_config", "title", "params", "context", 0),
}
"""Keys that somebody reads."""


@st.composite
def _place(draw: st.DrawFn, body: Any) -> Place | None:
    places = list(_places(body))
    if draw(st.booleans()):
        places = [one for one in places if one[1] in _TELLING] or places
    return draw(st.sampled_from(places)) if places else None


def _replace(draw: st.DrawFn, body: Any, place: Place) -> None:
    part, key = place
    part[key] = copy.deepcopy(draw(st.sampled_from(_ODD) | st.text() | st.integers() | st.floats()))


def _drop(draw: st.DrawFn, body: Any, place: Place) -> None:
    part, key = place
    del part[key]


def _rename(draw: st.DrawFn, body: Any, place: Place) -> None:
    part, key = place
    if isinstance(part, dict):
        part[draw(st.sampled_from(sorted(map(str, _TELLING))) | st.text(max_size=5))] = part.pop(
            key
        )


def _double(draw: st.DrawFn, body: Any, place: Place) -> None:
    part, key = place
    if isinstance(part, dict):
        other = draw(st.sampled_from(_ODD))
        # Written without the mark, so that the key stands twice.
        part[f"{key}@again"] = part[key] if draw(st.booleans()) else copy.deepcopy(other)
    else:
        part += [copy.deepcopy(part[key])] * draw(st.integers(1, 10))


def _swap(draw: st.DrawFn, body: Any, place: Place) -> None:
    part, key = place
    other = draw(_place(body))
    if other is not None:
        whole, name = other
        part[key], whole[name] = copy.deepcopy(whole[name]), copy.deepcopy(part[key])


def _wrap(draw: st.DrawFn, body: Any, place: Place) -> None:
    part, key = place
    value = part[key]
    part[key] = draw(st.sampled_from([[value], {"id": value}, [value, value], str(value)[:200]]))


def _reidentify(draw: st.DrawFn, body: Any, place: Place) -> None:
    """Name another task, annotation or person, as a valid body may."""
    places = [
        (part, key)
        for part, key in _places(body)
        if key in {"id", "task", "completed_by"} and "label_config" not in part
    ]
    if places:
        part, key = draw(st.sampled_from(places))
        known = st.sampled_from(_TASKS) | st.sampled_from(_ANNOTATIONS)
        part[key] = draw(known | st.integers(0, 2**63))


_CHANGES: list[Callable[[st.DrawFn, Any, Place], None]] = [
    _replace,
    _replace,
    _drop,
    _rename,
    _double,
    _swap,
    _wrap,
    _reidentify,
    _reidentify,
]


def _written(body: Any, *, ascii_only: bool) -> bytes:
    text = json.dumps(body, ensure_ascii=ascii_only).replace('@again": ', '": ')
    text = _MARK.sub(lambda match: _RAW[int(match[1])], text)
    return text.encode("utf-8", "surrogatepass")


def _cut(draw: st.DrawFn, raw: bytes) -> bytes:
    return raw[: draw(st.integers(0, len(raw)))]


def _flip(draw: st.DrawFn, raw: bytes) -> bytes:
    flipped = bytearray(raw)
    for _ in range(draw(st.integers(1, 4)) if raw else 0):
        flipped[draw(st.integers(0, len(raw) - 1))] = draw(st.integers(0, 255))
    return bytes(flipped)


def _insert(draw: st.DrawFn, raw: bytes) -> bytes:
    place = draw(st.integers(0, len(raw)))
    added = draw(
        st.sampled_from([text.encode() for text in _RAW])
        | st.sampled_from([b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\x00", b"//", b",", b"}"])
        | st.binary(max_size=20)
    )
    return raw[:place] + added + raw[place:]


def _concatenate(draw: st.DrawFn, raw: bytes) -> bytes:
    return raw + draw(st.sampled_from([b"", b"\n", b",", b" " * 5000])) + raw


def _wrap_whole(draw: st.DrawFn, raw: bytes) -> bytes:
    return draw(st.sampled_from([b"[%b]", b'"%b"', b'{"a":%b}', b"\xef\xbb\xbf%b", b" %b\n"])) % raw


def _recode(draw: st.DrawFn, raw: bytes) -> bytes:
    coding = draw(st.sampled_from(["utf-16", "utf-32", "utf-7"]))
    return raw.decode("utf-8", "replace").encode(coding)


_BYTE_CHANGES: list[Callable[[st.DrawFn, bytes], bytes]] = [
    _cut,
    _flip,
    _flip,
    _insert,
    _concatenate,
    _wrap_whole,
    _recode,
]


@st.composite
def requests(draw: st.DrawFn, bodies: list[tuple[str, Any]]) -> Sent:
    """Strategy of mutated requests."""
    path, body = draw(st.sampled_from(bodies))
    if draw(st.integers(0, 19)) == 0:
        path = draw(st.sampled_from(["/predict", "/setup", "/webhook"]))
    body = copy.deepcopy(body)
    for change in draw(st.lists(st.sampled_from(_CHANGES), max_size=3)):
        place = draw(_place(body))
        if place is not None:
            change(draw, body, place)
    raw = _written(body, ascii_only=draw(st.booleans()))
    if draw(st.integers(0, 3)) == 0:
        for change_bytes in draw(st.lists(st.sampled_from(_BYTE_CHANGES), min_size=1, max_size=2)):
            raw = change_bytes(draw, raw)
    is_usual = draw(st.integers(0, 9)) > 0
    content_type = _CONTENT_TYPES[0] if is_usual else draw(st.sampled_from(_CONTENT_TYPES))
    return Sent(path, content_type, raw)


def named_tasks(body: Any, tasks_of: dict[int, int]) -> set[int]:
    """Tasks that an accepted event names, by themselves or by annotations that it deletes.

    Parameters
    ----------
    tasks_of
        Annotation id to the id of its task.
    """
    named: list[Any] = []
    for name, key in (("annotation", "task"), ("task", "id"), ("tasks", "id")):
        named += [one.get(key) for one in _objects(body.get(name))]
    if str(body["action"]).endswith("_DELETED"):
        gone = _objects(body.get("annotation")) + _objects(body.get("annotations"))
        named += [tasks_of.get(one.get("id")) for one in gone]
    return {one for one in named if isinstance(one, int)}


def named_annotators(body: Any) -> set[int]:
    """Annotators that an event names."""
    found = [one.get("completed_by") for one in _objects(body.get("annotation"))]
    ids = [one.get("id") if isinstance(one, dict) else one for one in found]
    return {one for one in ids if isinstance(one, int)}


def _objects(value: Any) -> list[Any]:
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, dict)]


class Target:
    """The web application on a Redis that holds the recorded page's results.

    Every request finds the same state. What is in the Redis is lost.

    Parameters
    ----------
    service
        Service without a token for Label Studio.
    """

    def __init__(self, service: Service) -> None:
        self.counts: Counter[tuple[str, int]] = Counter()
        """Answers by path and status."""
        self.accepted: list[Sent] = []
        self._service = service
        self._redis = service.redis
        self._web = create_app(service).test_client()
        self._tasks_of = self._seed()
        self._state = self._keep()
        self._restore()
        self._state = self._keep()
        self._rows = self._read_rows()
        self._annotators = set(self._rows["annotations"]["annotator"].tolist())

    def _seed(self) -> dict[int, int]:
        """Follow the page's annotations and compute; annotation ids to tasks."""
        self._redis.flushall()
        project = _recorded("webhook_ANNOTATION_CREATED.json")["body"]["project"]
        tasks_of = {}
        for task in _recorded("tasks_api_fields_all_page.json")["tasks"]:
            for annotation in task["annotations"]:
                body = {
                    "action": "ANNOTATION_CREATED",
                    "annotation": annotation,
                    "task": {"id": task["id"]},
                    "project": project,
                }
                assert self._web.post("/webhook", json=body).status_code == 201
                tasks_of[annotation["id"]] = task["id"]
        self._work()
        recompute_project(self._service.store(PROJECT))
        return tasks_of

    def _keep(self) -> dict[bytes, bytes]:
        """Everything that is known of projects, but jobs and what expires."""
        metrics = keys.METRICS.format(name="").encode()
        found = [
            key
            for key in self._redis.scan_iter(match=f"{keys.PREFIX}:*", count=1000)
            if not key.startswith(metrics)
        ]
        with self._redis.pipeline(transaction=False) as pipe:
            for key in found:
                pipe.ttl(key)
                pipe.dump(key)
            answers = pipe.execute()
        lasting = zip(found, answers[::2], answers[1::2], strict=True)
        return {key: value for key, seconds, value in lasting if seconds == -1}

    def _restore(self) -> None:
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.flushall()
            for key, value in self._state.items():
                pipe.restore(key, 0, value)
            pipe.execute()

    def check(self, sent: Sent) -> None:
        """Send one request, and check the answer and what follows from it."""
        answer = self._web.post(sent.path, data=sent.body, content_type=sent.content_type)
        self.counts[sent.path, answer.status_code] += 1
        _check_answer(answer)
        if answer.status_code < 400:
            _check_strict(sent.body)
        if answer.status_code >= 400 or sent.path != "/webhook":
            assert self._keep() == self._state, "a request that was refused changed the store"
            return
        self.accepted.append(sent)
        try:
            self._check_effect([sent])
        finally:
            self._restore()

    def check_together(self) -> None:
        """Send all requests that were accepted so far again, and do their work at once."""
        for sent in self.accepted:
            answer = self._web.post(sent.path, data=sent.body, content_type=sent.content_type)
            assert answer.status_code == 201
        try:
            self._check_effect(self.accepted)
        finally:
            self._restore()

    def _check_effect(self, events: list[Sent]) -> None:
        self._work()
        tasks: set[int] = set()
        people = set(self._annotators)
        for sent in events:
            body = json.loads(sent.body)
            tasks |= named_tasks(body, self._tasks_of)
            people |= named_annotators(body)
        _check_equal(self._rows, self._read_rows(), tasks)
        self._check_recompute(tasks)
        store = self._service.store(PROJECT)
        strangers = set(store.annotations(1).read()["annotator"].tolist()) - people
        assert not strangers, f"annotators appeared that no event named: {strangers}"

    def _check_recompute(self, named: set[int]) -> None:
        """Check that everything can be computed anew; weights and scores may change by it."""
        store = self._service.store(PROJECT)
        try:
            recompute_project(store)
        except NothingToComputeError:
            return
        rows = store.consensus(1).read()
        assert ((rows["quality"] >= 0) & (rows["quality"] <= 1)).all(), "a quality is out of range"
        lasting = ("task", "num_annotations")
        before, after = (
            {name: one[name] for name in lasting} for one in (self._rows["consensus"], rows)
        )
        _check_equal({"consensus": before}, {"consensus": after}, named)

    def _work(self) -> None:
        """Follow the events of every project, as a worker does."""
        for key in list(self._redis.scan_iter(match=keys.INBOX.format(project="*"), count=1000)):
            number = int(key.decode().split("{")[1].split("}")[0])
            inbox = self._service.store(number).inbox
            while len(inbox):
                report = follow_events(self._service, number)
                assert report.num_events, "an accepted event was not applied"
                assert not report.num_failed + report.num_buried, "an event could not be applied"

    def _read_rows(self) -> dict[str, dict[str, Any]]:
        store = self._service.store(PROJECT)
        tables = {
            "tasks": store.tasks,
            "annotations": store.annotations(1),
            "consensus": store.consensus(1),
            "label_quality": store.label_quality(1),
        }
        return {name: table.read() for name, table in tables.items()}


def _check_answer(answer: TestResponse) -> None:
    assert 200 <= answer.status_code < 500, f"status {answer.status_code}"
    assert b"Traceback" not in answer.data, "a traceback was answered"
    body = json.loads(answer.data)
    assert isinstance(body, dict), "the answer is no JSON object"
    if answer.status_code >= 400:
        assert isinstance(body.get("error"), str), "no reason was given"
        assert 10 <= len(body["error"]) <= 1000, f"the reason has {len(body['error'])} letters"


def _check_strict(raw: bytes) -> None:
    """Check that a body which was taken is strict JSON and not nested deeply."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"a body with {constant} was taken")

    assert _levels(json.loads(raw, parse_constant=refuse)) <= MAX_LEVELS, "a deep body was taken"


def _levels(value: Any) -> int:
    """How many objects and lists stand inside one another."""
    if not isinstance(value, dict | list):
        return 0
    parts = value.values() if isinstance(value, dict) else value
    return 1 + max(map(_levels, parts), default=0)


def _check_equal(
    before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]], named: set[int]
) -> None:
    """Check that nothing changed but rows of the named tasks."""
    ids = np.asarray([number for number in named if -(2**63) <= number < 2**63], dtype=np.int64)
    for table, columns in before.items():
        was, now = (~np.isin(rows["task"], ids) for rows in (columns, after[table]))
        for name, values in columns.items():
            np.testing.assert_array_equal(
                after[table][name][now],
                values[was],
                err_msg=f"{name} of the {table} changed, of tasks that no event named",
            )


def run(target: Target, examples: int, seed: int | None = None) -> None:
    """Check mutated requests: always the same ones, unless there is a seed."""

    @hypothesis.settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=seed is None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    @hypothesis.given(requests(recorded_bodies()))
    def check(sent: Sent) -> None:
        target.check(sent)

    if seed is not None:
        check = hypothesis.seed(seed)(check)
    check()
    target.check_together()


def _table(counts: Counter[tuple[str, int]], seconds: float) -> Table:
    statuses = sorted({status for _, status in counts})
    title = f"{sum(counts.values()):,} mutated requests, {seconds:.0f} s"
    table = Table("path", *(str(one) for one in statuses), "sum", title=title)
    paths = sorted({path for path, _ in counts})
    rows = {path: [counts[path, status] for status in statuses] for path in paths}
    rows["all"] = [sum(row[place] for row in rows.values()) for place in range(len(statuses))]
    for path, row in rows.items():
        table.add_row(path, *(f"{number:,}" for number in row), f"{sum(row):,}")
    return table


def main() -> None:
    """Run the long form and print the answers by status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="fuzz") as folder:
        server = EmbeddedRedis(Path(folder))
        server.start()
        redis = Redis.from_url(server.url)
        try:
            target = Target(Service(load_settings(redis_url=server.url), redis))
            began = time.perf_counter()
            run(target, arguments.examples, arguments.seed)
            Console().print(_table(target.counts, time.perf_counter() - began))
        finally:
            redis.close()
            server.stop()


if __name__ == "__main__":
    main()
