"""Classes that annotators bring."""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from backend.answers.number import MOST_NUMBERS
from backend.insights.questions import question_insights
from backend.insights.task import task_detail
from backend.jobs.follow import follow_tasks
from backend.jobs.insights import store_insights
from backend.jobs.labels import take_census
from backend.jobs.pipeline import follow_events
from backend.jobs.recompute import recompute_project
from backend.jobs.sync import TaskRows, replace_tasks
from backend.jobs.train import TrainedClassifier, TrainedClassifiers, train_classifiers
from backend.jobs.vocabulary import TooManyClassesError, give_up, known_codes
from backend.label_studio.controls import parse_config
from backend.label_studio.events import read_event
from backend.label_studio.questions import NO_LABEL, continued
from backend.service import Service
from backend.store.project import ProjectInfo, ProjectStore

CONFIG = (
    '<View><Text name="text" value="$text"/><Number name="n" toName="text"/>'
    '<Choices name="c" toName="text" value="$options"/>'
    '<Choices name="fixed" toName="text"><Choice value="yes"/><Choice value="no"/></Choices></View>'
)
QUESTIONS = parse_config(CONFIG).questions
INFO = ProjectInfo("t", CONFIG, QUESTIONS, cursor=1)
TASKS = range(1, 7)
PEOPLE = (1, 2, 3)
NAMES = ["a, b", "質 😀", " ", "c"]


def raw(
    task: int, person: int, number: float, name: str, revision: int = 0, *, fixed: str = "yes"
) -> dict[str, Any]:
    values = {"n": {"number": number}, "c": {"choices": [name]}, "fixed": {"choices": [fixed]}}
    return {
        "id": 10 * task + person,
        "completed_by": person,
        "task": task,
        "updated_at": f"2026-01-01T00:00:{revision:02d}Z",
        "result": [{"from_name": one, "value": value} for one, value in values.items()],
    }


def raw_tasks(annotations: dict[int, dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "id": task,
            "data": {"text": "x"},
            "annotations": [one for one in annotations.values() if one["task"] == task],
        }
        for task in TASKS
    ]


def put(store: ProjectStore, info: ProjectInfo, tasks: list[dict[str, Any]]) -> ProjectInfo:
    rows = TaskRows(info.questions)
    rows.add(tasks)
    info = replace(info, questions=rows.grown(info.questions))
    arrays = rows.arrays(store.answer_book, info.questions)
    replace_tasks(store, info, rows.task_ids, *arrays)
    return info_of(store)


def info_of(store: ProjectStore) -> ProjectInfo:
    info = store.read_info()
    assert info is not None
    return info


def send(store: ProjectStore, annotation: dict[str, Any], action: str) -> None:
    body: dict[str, Any] = {"action": action, "project": {"id": store.project_id}}
    if action == "ANNOTATIONS_DELETED":
        body["annotations"] = [{"id": annotation["id"]}]
    else:
        body |= {"annotation": annotation, "task": {"id": annotation["task"]}}
    store.inbox.add(read_event(body).to_json())


def names_of(store: ProjectStore) -> dict[int, list[str | None]]:
    questions = info_of(store).questions
    rows = store.annotations(len(questions)).read()
    return {
        annotation: [
            None if code == NO_LABEL else question.classes[code]
            for question, code in zip(questions, codes, strict=True)
        ]
        for annotation, codes in zip(
            rows["annotation"].tolist(), rows["codes"].tolist(), strict=True
        )
    }


def tables_of(store: ProjectStore) -> dict[str, dict[str, Any]]:
    number = len(info_of(store).questions)
    tables = {
        "annotations": store.annotations(number).read(),
        "consensus": store.consensus(number).read(),
        "label_quality": store.label_quality(number).read(),
    }
    return tables | {f"sums {n}": store.read_statistics(n) or {} for n in range(number)}


@pytest.fixture
def service(make_service: Callable[..., Service]) -> Service:
    return make_service()


ANSWER = st.tuples(
    st.sampled_from(TASKS),
    st.sampled_from(PEOPLE),
    st.sampled_from([0, 1, 2.5, -3]),
    st.sampled_from(NAMES),
    st.booleans(),
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(ANSWER, min_size=1, max_size=12), st.integers(1, 4))
def test_events_that_bring_classes_lead_to_the_state_of_a_fresh_sync(
    service: Service, redis: Redis, answers: list[Any], at_once: int
) -> None:
    redis.flushall()
    followed, fresh = service.store(25), service.store(26)
    put(followed, INFO, raw_tasks({}))
    kept: dict[int, dict[str, Any]] = {}
    gone: set[int] = set()
    for revision, (task, person, number, name, is_deletion) in enumerate(answers):
        annotation = raw(task, person, number, name, revision)
        if annotation["id"] in gone:
            continue  # no id comes twice
        if is_deletion and annotation["id"] in kept:
            gone.add(annotation["id"])
            send(followed, kept.pop(annotation["id"]), "ANNOTATIONS_DELETED")
        else:
            kept[annotation["id"]] = annotation
            send(followed, annotation, "ANNOTATION_CREATED")
        if revision % at_once == 0:
            follow_events(service, 25)
    follow_events(service, 25)
    assert names_of(followed) == {
        key: [str(_plain(one["result"][0]["value"]["number"])), *_choices(one)]
        for key, one in kept.items()
    }
    put(fresh, INFO, raw_tasks(kept))
    assert names_of(fresh) == names_of(followed)
    if not kept:
        return
    # A tie is broken by code, so that the same numbers need the same order of classes.
    fresh.forget()
    put(fresh, replace(INFO, questions=info_of(followed).questions), raw_tasks(kept))
    before = [followed.read_statistics(n) for n in range(3)]
    recompute_project(followed)
    recompute_project(fresh)
    expected = tables_of(fresh)
    for table, rows in tables_of(followed).items():
        for column, values in rows.items():
            np.testing.assert_array_equal(values, expected[table][column], f"{table} {column}")
    for number, sums in enumerate(before):
        after = followed.read_statistics(number)
        assert sums is not None
        assert after is not None
        padded = np.pad(sums["class_counts"], (0, len(after["class_counts"])))
        np.testing.assert_array_equal(padded[: len(after["class_counts"])], after["class_counts"])


def _plain(number: float) -> float | int:
    return int(number) if float(number).is_integer() else number


def _choices(one: dict[str, Any]) -> list[str]:
    return [one["result"][place]["value"]["choices"][0] for place in (1, 2)]


@pytest.fixture
def info(store: ProjectStore) -> ProjectInfo:
    """Computed, with a classifier for the numbers."""
    some = [raw(task, person, task % 3, "c") for task in TASKS for person in PEOPLE]
    info = put(store, INFO, raw_tasks({one["id"]: one for one in some}))
    tasks = np.asarray(TASKS)
    probs = np.full((len(tasks), 3), 0.1) + 0.7 * np.eye(3)[[1, 2, 0, 1, 2, 0]]
    classifiers = (
        TrainedClassifier(info.questions[0], tasks, probs, "a classifier"),
        TrainedClassifier(info.questions[1], tasks, None, "none"),
        TrainedClassifier(info.questions[2], tasks, None, "none"),
    )
    recompute_project(store, TrainedClassifiers(info.data_version, "r", classifiers))
    store_insights(store)
    return info


def test_a_class_that_comes_in_is_followed_with_the_classifier_of_before(
    store: ProjectStore, info: ProjectInfo
) -> None:
    more = [raw(2, person, 99, "new", 1) for person in PEOPLE]
    now = put(store, info, [{"id": 2, "data": {"text": "x"}, "annotations": more}])
    assert now.questions[0].classes == ("1", "2", "0", "99")
    assert continued(now.questions, info.questions)
    assert follow_tasks(store, now, np.array([2]))
    followed = store.consensus(3).read([2])
    assert followed["label"].tolist() == [[3, 1, 0]]
    recompute_project(store)
    computed = store.consensus(3).read([2])
    np.testing.assert_array_equal(followed["label"], computed["label"])
    np.testing.assert_allclose(followed["quality"], computed["quality"], atol=0.05)
    assert store.pred_probs(0, 4).read()["probs"][:, 3].tolist() == [0.0] * len(TASKS)


def test_pages_show_a_class_that_the_last_recompute_did_not_know(
    store: ProjectStore, info: ProjectInfo, service: Service
) -> None:
    more = [raw(2, person, -1, "c", 1) for person in PEOPLE]
    now = put(store, info, [{"id": 2, "data": {"text": "x"}, "annotations": more}])
    follow_tasks(store, now, np.array([2]))
    assert task_detail(service, store.project_id, 2).answers[0].consensus == "-1"
    (numbers, *_) = question_insights(store)
    assert numbers.summary.classes == ("0", "1", "2")
    recompute_project(store)
    (numbers, *_) = question_insights(store)
    assert numbers.summary.classes == ("-1", "0", "1", "2")
    assert numbers.class_counts.sum() == len(TASKS)
    store_insights(store)
    (numbers, *_) = question_insights(store)
    assert numbers.class_counts.tolist() == [1, 2, 2, 1]
    assert np.diag(numbers.confusion).tolist() == [3, 6, 6, 3]


def test_labels_that_come_in_while_others_are_read_wait_to_be_followed(
    store: ProjectStore, info: ProjectInfo
) -> None:
    more = [raw(2, person, 99, "c", 1) for person in PEOPLE]
    put(store, info, [{"id": 2, "data": {"text": "x"}, "annotations": more}])
    census = take_census(store, info)
    assert 2 not in census.parts[0].counted[0]["task"]
    assert 2 in census.parts[0].counted[1]["task"]
    annotations = store.annotations(3).read()
    assert known_codes(annotations, info_of(store).questions) is annotations


def test_one_class_or_none_can_be_computed(store: ProjectStore) -> None:
    one = raw(1, 1, 5, "c")
    put(store, INFO, raw_tasks({11: one}))
    assert train_classifiers(store) is not None
    recompute_project(store, train_classifiers(store))
    assert store.consensus(3).read()["label"].tolist() == [[0, 0, 0]]


def test_500_classes_are_learned(store: ProjectStore) -> None:
    tasks = [
        {
            "id": n,
            "data": {},
            "annotations": [
                {"id": 9 * n + p, "completed_by": p, "task": n, "result": [
                    {"from_name": "c", "value": {"choices": [f"class, no. {n} 質 😀"]}}]}
                for p in PEOPLE
            ],
        }
        for n in range(500)
    ]  # fmt: skip
    info = put(store, INFO, tasks)
    assert len(info.questions[1].classes) == 500
    recompute_project(store)
    assert store.consensus(3).read()["label"][:, 1].tolist() == list(range(500))
    extra = {**tasks[0], "id": 500, "annotations": [raw(500, 1, 1, "one more")]}
    with pytest.raises(TooManyClassesError, match="501 or more, and there is a consensus on up to"):
        put(store, info, [extra])
    assert len(info_of(store).questions[1].classes) == 500


def test_a_question_with_too_many_answers_is_given_up_and_the_others_go_on(
    store: ProjectStore, info: ProjectInfo, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    for n in range(MOST_NUMBERS):
        send(store, raw(1 + n % 6, 100 + n, 1000 + n, "c"), "ANNOTATION_CREATED")
    with caplog.at_level(logging.WARNING):
        report = follow_events(service, store.project_id)
    assert report.needs_sync
    assert caplog.text.count("no consensus for n: too many distinct values") == 1
    now = info_of(store)
    assert [one.name for one in now.questions] == ["c", "fixed"]
    assert "too many distinct values" in now.unsupported["n"]
    assert now.given_up.keys() == {"n"}
    assert now.cursor == 0
    assert len(store.annotations(2).read()["task"]) == 0
    put(store, now, raw_tasks({11: raw(1, 1, 5, "c")}))
    recompute_project(store)
    assert store.consensus(2).read()["label"].tolist() == [[0, 0]]
    assert len(store.inbox) == 0


def test_giving_up_twice_changes_nothing(store: ProjectStore, info: ProjectInfo) -> None:
    crowded = TooManyClassesError(info.questions[0], 51)
    give_up(store, crowded)
    before = info_of(store)
    give_up(store, crowded)
    assert info_of(store) == before
