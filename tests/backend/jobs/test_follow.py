"""Following changed tasks by sums, against recomputing everything."""

import numpy as np
import pytest
from redis import Redis

from backend.jobs.follow import follow_tasks, sums_from_arrays
from backend.jobs.recompute import recompute_project
from backend.jobs.sync import TaskRows, forget_tasks, replace_tasks
from backend.jobs.train import train_classifiers
from backend.store.project import ProjectInfo, ProjectStore
from tests.backend.jobs.test_recompute import FIRST, SECOND, fill, moods, raw_task
from tests.backend.store.test_prediction_sources import uploaded

NUM_TASKS = 60


def tenses(number: int) -> dict[int, str]:
    return {1: "past", 2: ["past", "now"][number % 2], 4: "later" if number % 5 == 0 else "past"}


@pytest.fixture
def filled(store: ProjectStore) -> ProjectStore:
    """A project with two questions, trained and computed."""
    tasks = [raw_task(n, moods(n), tenses(n)) for n in range(1, NUM_TASKS + 1)]
    fill(store, tasks, FIRST, SECOND)
    recompute_project(store, train_classifiers(store))
    return store


def info_of(store: ProjectStore) -> ProjectInfo:
    info = store.read_info()
    assert info is not None
    return info


def save(store: ProjectStore, *tasks: dict) -> np.ndarray:
    """Store other annotations of some tasks, as an event or a sync does."""
    rows = TaskRows((FIRST, SECOND))
    rows.add(tasks)
    replace_tasks(store, info_of(store), rows.task_ids, *rows.arrays(store.answer_book))
    return rows.task_ids


def assert_sums_are_those_of_a_recompute(store: ProjectStore) -> None:
    followed = [store.read_statistics(number) for number in (0, 1)]
    recompute_project(store)
    for mine, fresh in zip(followed, [store.read_statistics(n) for n in (0, 1)], strict=True):
        assert mine is not None
        assert fresh is not None
        known = np.isin(mine["annotators"], fresh["annotators"])
        for name in ("sizes", "class_counts"):
            np.testing.assert_array_equal(mine[name], fresh[name])
        for name in ("peers", "peers_agreeing", "judged"):
            np.testing.assert_array_equal(mine[name][known], fresh[name])
            assert not mine[name][~known].any()


def test_a_changed_task_gets_the_consensus_of_a_recompute(filled: ProjectStore) -> None:
    changed = save(filled, raw_task(7, {1: "good", 2: "good", 3: "good", 9: "good"}, {1: "now"}))
    assert follow_tasks(filled, info_of(filled), changed)
    rows = filled.consensus(2).read([7])
    quality = filled.label_quality(2).read([7])
    assert rows["label"].tolist() == [[FIRST.classes.index("good"), SECOND.classes.index("now")]]
    assert rows["num_annotations"].tolist() == [[4, 1]]
    assert quality["annotator"].tolist() == [1, 2, 3, 9]
    assert quality["label"][:, 1].tolist() == [1, -1, -1, -1]
    assert np.isnan(quality["quality"][1:, 1]).all()
    others = filled.consensus(2).read([8])
    assert_sums_are_those_of_a_recompute(filled)
    after = filled.consensus(2).read([7])
    np.testing.assert_array_equal(after["label"], rows["label"])
    np.testing.assert_allclose(after["quality"], rows["quality"], atol=0.05)
    np.testing.assert_array_equal(filled.consensus(2).read([8])["label"], others["label"])


def test_following_twice_changes_nothing(filled: ProjectStore) -> None:
    changed = save(filled, raw_task(7, {1: "good", 2: "good"}, {}))
    follow_tasks(filled, info_of(filled), changed)
    first = filled.consensus(2).read()
    follow_tasks(filled, info_of(filled), changed)
    np.testing.assert_array_equal(filled.consensus(2).read()["label"], first["label"])
    np.testing.assert_allclose(
        filled.consensus(2).read()["quality"], first["quality"], atol=1e-12, equal_nan=True
    )
    assert_sums_are_those_of_a_recompute(filled)


def test_deleted_tasks_and_new_ones_are_followed(filled: ProjectStore) -> None:
    forget_tasks(filled, np.array([3, 4]))
    new = save(filled, raw_task(900, {1: "bad", 2: "bad"}, {1: "past"}))
    assert follow_tasks(filled, info_of(filled), np.array([3, 4, *new]))
    assert filled.consensus(2).read([3, 4])["task"].tolist() == []
    assert len(filled.label_quality(2).read([3, 4])["task"]) == 0
    assert filled.consensus(2).read([900])["label"][0, 0] == FIRST.classes.index("bad")
    assert_sums_are_those_of_a_recompute(filled)


def test_without_sums_or_without_any_label_everything_is_recomputed(
    filled: ProjectStore, redis: Redis
) -> None:
    every = np.arange(1, NUM_TASKS + 1)
    forget_tasks(filled, every)
    assert not follow_tasks(filled, info_of(filled), every)
    redis.delete("crowdlab:{25}:statistics:1")
    save(filled, raw_task(7, {1: "good"}, {1: "past"}))
    assert not follow_tasks(filled, info_of(filled), np.array([7]))


def test_a_question_that_nobody_answered_stays_unanswered(store: ProjectStore) -> None:
    fill(store, [raw_task(n, moods(n), {}) for n in range(1, 21)], FIRST, SECOND)
    recompute_project(store, train_classifiers(store))
    changed = save(store, raw_task(7, {1: "good", 2: "good", 3: "good"}, {}))
    assert follow_tasks(store, info_of(store), changed)
    rows = store.consensus(2).read([7])
    assert rows["label"].tolist() == [[FIRST.classes.index("good"), -1]]
    changed = save(store, raw_task(7, {1: "good"}, {1: "past"}))
    assert not follow_tasks(store, info_of(store), changed)


def test_what_changes_while_everything_is_recomputed_is_not_lost(
    filled: ProjectStore, redis: Redis
) -> None:
    """An event that is followed between the reading of labels and the storing of results."""
    other = ProjectStore(redis, 25)
    save(filled, raw_task(2, {1: "good", 2: "good", 3: "good"}, {}))

    def event(step: str, done: int, total: int | None) -> None:
        if step == "Computing consensus" and done == 0:
            with other.lock():
                changed = save(other, raw_task(7, dict.fromkeys(range(1, 7), "good"), {}))
                follow_tasks(other, info_of(other), changed)

    recompute_project(filled, progress=event)
    good = FIRST.classes.index("good")
    assert filled.consensus(2).read([2, 7])["label"][:, 0].tolist() == [good, good]
    summary = filled.read_summary()
    assert summary is not None
    assert summary.data_version < info_of(filled).data_version
    assert filled.changed_since(summary.data_version).tolist() == [7]
    assert_sums_are_those_of_a_recompute(filled)
    assert filled.changed_since(0).tolist() == []


@pytest.mark.parametrize("covered", [range(1, 31), range(1, NUM_TASKS + 1)])
def test_classifiers_that_know_some_tasks_are_followed(store: ProjectStore, covered: range) -> None:
    source, rows = uploaded(covered)
    with store.lock(), store.transaction() as changes:
        store.prediction_sources.stage(changes, source, rows)
    tasks = [raw_task(n, moods(n), tenses(n)) for n in range(1, NUM_TASKS + 1)]
    fill(store, tasks, FIRST, SECOND)
    recompute_project(store, train_classifiers(store))
    assert store.models(0) == ("own", source.name)
    changed = save(
        store,
        raw_task(7, {1: "good", 2: "good", 9: "good"}, {1: "now"}),
        raw_task(50, {1: "bad"}, tenses(50)),
    )
    assert follow_tasks(store, info_of(store), changed)
    found = store.consensus(2).read(changed)
    assert_sums_are_those_of_a_recompute(store)
    exact = store.consensus(2).read(changed)
    np.testing.assert_array_equal(found["label"], exact["label"])
    np.testing.assert_allclose(found["quality"], exact["quality"], atol=1e-3)


def test_sums_of_other_classifiers_than_are_stored_are_not_followed(
    filled: ProjectStore,
) -> None:
    with filled.lock(), filled.transaction() as changes:
        filled.stage_models(changes, 0, ["own", "another"])
    changed = save(filled, raw_task(7, {1: "good"}, {1: "now"}))
    assert not follow_tasks(filled, info_of(filled), changed)


def test_sums_of_an_earlier_release_are_read() -> None:
    sums = {
        "annotators": np.array([1]),
        "sizes": np.array([3, 5, 3]),
        "agreement": np.array([1.5]),
        "model_errors": np.array([1]),
        "consensus_counts": np.array([1, 1]),
        "peers": np.array([2]),
        "peers_agreeing": np.array([1]),
        "class_counts": np.array([2, 3]),
        "judged": np.array([0]),
        "agreed": np.array([0]),
    }
    assert sums_from_arrays(sums).statistics.model_shared.tolist() == [2]
