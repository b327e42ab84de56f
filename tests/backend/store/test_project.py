"""One project's part of Redis."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from redis import Redis

from backend.errors import ProjectBusyError
from backend.label_studio.controls import Question, Source
from backend.store.project import (
    ProjectInfo,
    ProjectStore,
    Publication,
    QuestionSummary,
    Summary,
    known_projects,
)

INFO = ProjectInfo(
    title="Ünï 😀",
    label_config="<View/>",
    questions=(Question("label", "text", ("a", "b"), (Source("text", "text"),)),),
    feature_width=7,
    cursor=5,
)


def test_an_unknown_project_is_empty(store: ProjectStore) -> None:
    assert store.read_info() is None
    assert store.read_summary() is None
    assert store.read_publication() is None
    assert store.last_error() == ""
    assert store.num_events() == 0


def test_info_survives(store: ProjectStore, redis: Redis) -> None:
    store.touch(INFO)
    assert store.read_info() == INFO
    assert store.touch(INFO, cursor=9) == replace(INFO, cursor=9) == store.read_info()
    assert known_projects(redis) == [25]


def test_summary_and_publication_survive(store: ProjectStore) -> None:
    question = QuestionSummary(
        name="label",
        classes=("a", "b"),
        num_tasks=3,
        num_labeled=2,
        num_labels=4,
        num_ground_truth=0,
        mean_quality=0.5,
        ground_truth_accuracy=None,
        classifier="none: too few",
        model_weight=0.0,
        annotators=({"annotator": 1, "quality": 0.5},),
    )
    summary = Summary(3, 2, "recipe", 1.5, (question,))
    publication = Publication("crowdlab-000002", 2, 1.5, 9, ("crowdlab-000001", "crowdlab-000002"))
    with store.transaction() as pipe:
        store.stage_summary(pipe, summary)
        store.stage_publication(pipe, publication)
    assert store.read_summary() == summary
    assert store.read_publication() == publication


def test_a_failed_transaction_changes_nothing(store: ProjectStore) -> None:
    def fail() -> None:
        with store.transaction() as pipe:
            store.stage_info(pipe, INFO)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert store.read_info() is None


def test_names_and_errors_survive(store: ProjectStore) -> None:
    store.save_annotator_names({})
    store.save_annotator_names({3: "ann@example.com", 4: "béa@example.com"})
    assert store.annotator_names() == {3: "ann@example.com", 4: "béa@example.com"}
    store.save_last_error("no way")
    assert store.last_error() == "no way"
    store.save_last_error("")
    assert store.last_error() == ""


def test_events_are_read_in_order_and_removed_when_applied(store: ProjectStore) -> None:
    for number in range(5):
        store.add_event(str(number))
    first = store.events(3)
    assert [event for _, event in first] == [b"0", b"1", b"2"]
    store.remove_events([entry for entry, _ in first])
    store.remove_events([])
    assert store.num_events() == 2


def test_a_job_is_scheduled_once_until_it_begins(store: ProjectStore) -> None:
    assert store.mark_scheduled("refresh", 60)
    assert not store.mark_scheduled("refresh", 60)
    assert store.mark_scheduled("events", 60)
    store.unmark_scheduled("refresh")
    assert store.mark_scheduled("refresh", 60)


def test_results_are_forgotten_but_not_the_data(store: ProjectStore) -> None:
    tasks = {"task": np.array([1]), "content": np.array([1], dtype=np.uint64)}
    probs = {"task": np.array([1]), "probs": np.array([[0.5, 0.5]])}
    published = {"task": np.array([1]), "label": np.array([[1]]), "score": np.array([0.5])}
    with store.transaction() as pipe:
        store.tasks.stage_all(pipe, tasks)
        store.pred_probs(0, 2).stage_all(pipe, probs)
        store.published(1).stage_all(pipe, published)
    with store.transaction() as pipe:
        store.stage_forget_results(pipe)
    assert len(store.tasks.read()["task"]) == 1
    assert len(store.pred_probs(0, 2).read()["task"]) == 0
    assert len(store.published(1).read()["task"]) == 0


def test_forgetting_leaves_other_projects_alone(redis: Redis) -> None:
    first, second = ProjectStore(redis, 2), ProjectStore(redis, 25)
    first.touch(INFO)
    second.touch(INFO)
    first.forget()
    assert first.read_info() is None
    assert second.read_info() == INFO
    assert known_projects(redis) == [25]
    first.forget()


def test_only_one_changes_a_project_at_a_time(store: ProjectStore) -> None:
    order: list[str] = []
    entered = threading.Event()

    def hold() -> None:
        with store.lock():
            entered.set()
            threading.Event().wait(0.3)
            order.append("first")

    other = threading.Thread(target=hold)
    other.start()
    entered.wait()
    with (
        pytest.raises(ProjectBusyError, match="Project 25 is being changed"),
        store.lock(wait=0.05),
    ):
        pass
    with store.lock():
        order.append("second")
    other.join()
    assert order == ["first", "second"]


def test_an_expired_lock_is_told_not_raised(
    store: ProjectStore, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    with store.lock():
        redis.flushall()
    assert "lock expired" in caplog.text
