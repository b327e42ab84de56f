"""One project's part of Redis."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from redis import Redis

from backend.errors import LockLostError, ProjectBusyError
from backend.label_studio.questions import Question, Source
from backend.store.project import (
    ModelVersion,
    ProjectInfo,
    ProjectStore,
    Publication,
    QuestionSummary,
    Summary,
    Work,
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
    assert len(store.inbox) == 0
    assert store.read_pull() is None
    assert store.read_statistics(0) is None


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
    publication = Publication("crowdlab-000002", 2, 1.5, 9, is_pinned=True)
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


def test_a_job_is_scheduled_once_until_it_begins(store: ProjectStore) -> None:
    assert store.mark_scheduled("refresh", 60)
    assert not store.mark_scheduled("refresh", 60)
    assert store.mark_scheduled("events", 60)
    store.unmark_scheduled("refresh")
    assert store.mark_scheduled("refresh", 60)


def test_results_are_forgotten_but_not_the_data(store: ProjectStore) -> None:
    tasks = {"task": np.array([1]), "content": np.array([1], dtype=np.uint64)}
    probs = {"task": np.array([1]), "probs": np.array([[0.5, 0.5]])}
    published = {
        "task": np.array([1]),
        "label": np.array([[1]]),
        "score": np.array([0.5]),
        "prediction": np.array([7]),
    }
    with store.transaction() as pipe:
        store.tasks.stage_all(pipe, tasks)
        store.pred_probs(0, 2).stage_all(pipe, probs)
        store.published(1).stage_all(pipe, published)
    with store.transaction() as pipe:
        store.stage_forget_results(pipe, 1)
    assert len(store.tasks.read()["task"]) == 1
    assert len(store.pred_probs(0, 2).read()["task"]) == 0
    assert len(store.published(1).read()["task"]) == 0


def test_a_project_that_is_connected_meanwhile_is_not_forgotten(redis: Redis) -> None:
    class ConnectedMeanwhile(ProjectStore):
        def is_disconnected(self) -> bool:
            self.connect()
            return super().is_disconnected()

    store = ConnectedMeanwhile(redis, 25)
    store.touch(INFO)
    store.disconnect()
    assert not store.forget(only_disconnected=True)
    assert store.read_info() is not None
    assert ProjectStore(redis, 25).forget()
    assert store.read_info() is None


def test_forgetting_leaves_other_projects_alone(redis: Redis) -> None:
    first, second = ProjectStore(redis, 2), ProjectStore(redis, 25)
    first.touch(INFO)
    second.touch(INFO)
    first.forget()
    assert first.read_info() is None
    assert second.read_info() == INFO
    assert known_projects(redis) == [25]
    first.forget()


def test_only_one_changes_a_project_at_a_time(redis: Redis) -> None:
    order: list[str] = []
    entered = threading.Event()
    store, other_store = ProjectStore(redis, 25), ProjectStore(redis, 25)

    def hold() -> None:
        with other_store.lock():
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
    with store.lock(Work.WRITE), store.lock(Work.REFRESH):
        assert store.is_locked(Work.WRITE)
    with store.lock():
        order.append("second")
    other.join()
    assert order == ["first", "second"]
    assert not store.is_locked(Work.STORE)


def test_who_holds_a_lock_may_take_it_again(store: ProjectStore) -> None:
    with store.lock():
        with store.lock():
            store.touch(INFO)
        assert store.is_locked(Work.STORE)
        store.touch(INFO)


def test_an_expired_lock_is_told_not_raised(
    store: ProjectStore, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    with store.lock():
        redis.flushall()
    assert "lock expired" in caplog.text


def test_who_lost_a_lock_changes_nothing(redis: Redis) -> None:
    """As a process that was stopped for a minute, in which another took its place."""
    stopped, other = ProjectStore(redis, 25), ProjectStore(redis, 25)
    with stopped.lock():
        redis.delete("crowdlab:{25}:lock:store")
        with other.lock():
            other.touch(INFO, title="by the other")
            with pytest.raises(LockLostError, match="another one has taken its place"):
                stopped.check_lock(Work.STORE)
            other.check_lock(Work.STORE)
        with pytest.raises(LockLostError, match="another one has taken its place"):
            stopped.touch(INFO, title="too late")
        info = stopped.read_info()
        assert info is not None
        assert info.title == "by the other"


def test_an_expired_lock_that_nobody_took_still_counts(redis: Redis) -> None:
    store = ProjectStore(redis, 25)
    with store.lock():
        redis.delete("crowdlab:{25}:lock:store")
        store.touch(INFO)
    assert store.read_info() == INFO


def test_unsent_predictions_wait_by_their_first_change(store: ProjectStore) -> None:
    for tasks, moment in (([1, 2], 10.0), ([2, 3], 20.0)):
        with store.transaction() as changes:
            store.stage_unsent(changes, tasks, moment)
    assert store.num_unsent() == 3
    assert store.oldest_unsent() == 10.0
    taken = store.take_unsent(2)
    assert taken == {1: 10.0, 2: 10.0}
    store.put_back_unsent(taken)
    assert store.take_unsent(9) == {1: 10.0, 2: 10.0, 3: 20.0}
    assert store.oldest_unsent() is None


def test_changed_tasks_are_known_until_results_count_them(store: ProjectStore) -> None:
    for tasks, version in (([5, 3], 1), ([5], 2), (range(2000), 3)):
        with store.transaction() as changes:
            store.stage_changed(changes, tasks, version)
    assert len(store.changed_since(2)) == 2000
    with store.transaction() as changes:
        store.stage_forget_changed(changes, 3)
    assert store.changed_since(0).tolist() == []


def test_the_audit_trail_tells_the_newest_first(store: ProjectStore) -> None:
    for number in range(3):
        with store.transaction() as changes:
            store.stage_audit(changes, "publish", number=number)
    assert [entry["number"] for entry in store.audit_trail(2)] == [2, 1]


def test_model_versions_and_what_they_said(store: ProjectStore) -> None:
    rows = {
        "task": np.array([1, 2]),
        "label": np.array([[1], [0]]),
        "score": np.array([0.5, 0.75]),
        "prediction": np.array([7, 8]),
    }
    version = ModelVersion("crowdlab-000001", 1.5, 2, "recompute", "f", "r")
    with store.transaction() as changes:
        store.published(1).stage_all(changes, rows)
    with store.transaction() as changes:
        store.stage_keep_published(changes, version.name)
        store.stage_model_version(changes, version)
    assert store.model_versions() == [version]
    assert store.kept_versions() == ["crowdlab-000001"]
    assert store.said_by("crowdlab-000001", 1).read()["score"].tolist() == [0.5, 0.75]
    with store.transaction() as changes:
        store.stage_drop_version(changes, version.name)
    assert store.kept_versions() == []


def test_progress_is_seen_until_it_ends(store: ProjectStore) -> None:
    store.save_progress("Pulling tasks", 3, 9)
    seen = store.read_progress()
    assert seen is not None
    assert (seen["step"], seen["done"], seen["total"]) == ("Pulling tasks", 3, 9)
    store.forget_progress()
    assert store.read_progress() is None
