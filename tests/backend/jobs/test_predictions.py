"""pred_probs of one classifier or several, stored and new."""

import numpy as np

from backend.jobs.predictions import NewPredictions, StoredPredictions
from backend.store.project import ProjectStore

OWN = {"task": np.array([1, 2, 3]), "probs": np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]])}
OTHER = {"task": np.array([2, 4]), "probs": np.array([[0.1, 0.9], [0.3, 0.7]])}
NONE = {"task": np.array([], dtype=np.int64), "probs": np.empty((0, 2))}
TASKS = np.array([1, 2, 3, 4])
UNKNOWN = [np.nan, np.nan]


def test_one_is_two_dimensional_and_uniform_where_it_was_not_asked() -> None:
    one = NewPredictions.of_rows({"own": OWN, "empty": NONE}, 2)
    assert (one.models, one.may_abstain, one.is_empty) == (("own",), False, False)
    expected = [[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.5, 0.5]]
    assert one.of(TASKS, [0]).tolist() == expected
    assert one.mean_of(TASKS, [0]).tolist() == expected
    assert NewPredictions.of_rows({"empty": NONE}, 2).is_empty


def test_others_say_nothing_where_they_were_not_asked() -> None:
    both = NewPredictions.of_rows({"own": OWN, "other": OTHER}, 2)
    assert both.may_abstain
    np.testing.assert_array_equal(
        both.of(TASKS, [0])[1], [UNKNOWN, [0.1, 0.9], UNKNOWN, [0.3, 0.7]]
    )
    np.testing.assert_allclose(
        both.mean_of(TASKS, [0]), [[0.9, 0.1], [0.45, 0.55], [0.7, 0.3], [0.4, 0.6]]
    )
    alone = NewPredictions.of_rows({"other": OTHER}, 2)
    assert alone.of(TASKS, [0]).shape == (4, 2)
    assert alone.mean_of(TASKS, [0])[0].tolist() == [0.5, 0.5]


def test_what_is_stored_is_what_was_new(store: ProjectStore) -> None:
    rows = {"own": OWN, "other": OTHER}
    with store.lock(), store.transaction() as changes:
        store.stage_models(changes, 3, ["own", "other"])
        for name, one in rows.items():
            store.pred_probs(3, 2, name).stage_all(changes, one)
    stored = StoredPredictions.read(store, 3, 2)
    new = NewPredictions.of_rows(rows, 2)
    np.testing.assert_array_equal(stored.of(TASKS, [0]), new.of(TASKS, [0]))
    np.testing.assert_array_equal(stored.at(TASKS[1:3]), new.each(TASKS, [0])[:, 1:3])
    with store.lock(), store.transaction() as changes:
        store.stage_models(changes, 3, ["own"])
    assert not len(store.pred_probs(3, 2, "other").read()["task"])
    assert StoredPredictions.read(store, 3, 2).models == ("own",)


def test_before_there_were_others_the_own_was_not_noted(store: ProjectStore) -> None:
    assert StoredPredictions.read(store, 0, 2).is_empty
    with store.lock(), store.transaction() as changes:
        store.pred_probs(0, 2).stage_all(changes, OWN)
    assert StoredPredictions.read(store, 0, 2).models == ("own",)
