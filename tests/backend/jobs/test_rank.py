"""Scores of all tasks from what the store holds."""

import numpy as np
import pytest

from backend.errors import NothingToComputeError
from backend.jobs.rank import people_per_task, rank_tasks
from backend.jobs.recompute import recompute_project
from backend.jobs.train import train_classifiers
from backend.store.project import ProjectStore
from crowdlab_engine import Crowdlab, MultiannotatorLabels
from crowdlab_engine.active_learning import score_tasks
from tests.backend.jobs.test_recompute import FIRST, SECOND, fill, moods, raw_task

NUM_LABELED, NUM_TASKS = 30, 2100
"""Labelled tasks lie in the first block, the others reach into the third."""


def expected_scores(store: ProjectStore) -> np.ndarray:
    """Scores by the engine, from all labels at once."""
    given = [
        (n, a, FIRST.classes.index(m))
        for n in range(1, NUM_LABELED + 1)
        for a, m in moods(n).items()
    ]
    task, annotator, label = np.array(given).T
    labels = MultiannotatorLabels.from_codes(task - 1, annotator - 1, label, num_classes=2)
    probs = store.pred_probs(0, 2).read()
    assert probs["task"].tolist() == list(range(1, NUM_TASKS + 1))
    fitted = Crowdlab().fit(labels, probs["probs"][:NUM_LABELED])
    newcomer = fitted.annotator_weight_.mean()
    spoken = fitted.model_weight_ + fitted.annotator_weight_.sum()
    quality = fitted.consensus_quality_score_
    labeled = (quality * spoken + newcomer / 2) / (spoken + newcomer)
    pool = score_tasks(
        fitted, labels, probs["probs"][:NUM_LABELED], probs["probs"][NUM_LABELED:], random_state=0
    ).unlabeled
    return np.concatenate([labeled, pool])


def test_scores_are_the_engines(store: ProjectStore) -> None:
    tasks = [raw_task(n, moods(n) if n <= NUM_LABELED else {}, {}) for n in range(1, NUM_TASKS + 1)]
    fill(store, tasks, FIRST)
    recompute_project(store, train_classifiers(store))
    rows = rank_tasks(store).tasks
    assert rows["task"].tolist() == list(range(1, NUM_TASKS + 1))
    np.testing.assert_allclose(rows["score"], expected_scores(store), rtol=0, atol=1e-12)
    assert rows["num_annotators"][[0, 29, 30]].tolist() == [3, 3, 0]
    assert rows["last_annotation"][[0, 30]].tolist() == [103, 0]
    assert rows["label"][[1, 2, 30]].tolist() == [0, 1, -1]


def test_another_methods_scores_follow_from_the_same_sums(store: ProjectStore) -> None:
    fill(store, [raw_task(n, moods(n), {}) for n in range(1, 31)], FIRST)
    trained = train_classifiers(store)
    recompute_project(store, trained)
    by_crowdlab = rank_tasks(store).tasks
    qualities = store.consensus(1).read()
    recompute_project(store, trained, "fusion")
    assert store.read_statistics(0) is None
    with store.lock(), store.transaction() as changes:
        store.consensus(1).stage_all(changes, qualities)
    np.testing.assert_allclose(rank_tasks(store).tasks["score"], by_crowdlab["score"], atol=1e-12)


def test_the_lowest_answered_question_counts(store: ProjectStore) -> None:
    tasks = [
        raw_task(n, {**moods(n)}, {1: "past", 2: "past" if n % 2 else "now"} if n > 5 else {})
        for n in range(1, 31)
    ]
    fill(store, [*tasks, raw_task(31, {}, {})], FIRST, SECOND)
    recompute_project(store, train_classifiers(store))
    rows = rank_tasks(store).tasks
    assert rows["question"][:5].tolist() == [0] * 5  # nobody answered the other one
    assert rows["question"][[7, 9]].tolist() == [1, 1]  # tense is disputed
    qualities = store.consensus(2).read()["quality"]
    assert rows["quality"][7] == qualities[7, 1]
    assert rows["score"][30] < rows["score"][:5].min()


def test_labels_of_bad_annotators_do_not_count_as_given(store: ProjectStore) -> None:
    def said(number: int) -> dict[int, str]:
        right, wrong = ["good", "bad"][number % 2], ["bad", "good"][number % 2]
        return {1: right, 2: right, **({3: wrong} if number > 10 else {})}

    fill(store, [raw_task(n, said(n), {}) for n in range(1, 31)], FIRST)
    recompute_project(store, train_classifiers(store))
    all_heard = rank_tasks(store)
    assert all_heard.excluded == frozenset()
    ranking = rank_tasks(store, exclude_below=0.5)
    assert ranking.excluded == {3}
    difference = ranking.tasks["score"] - all_heard.tasks["score"]
    assert (difference[:10] == 0).all()
    assert (difference[10:] <= 0).all()


def test_labels_that_come_meanwhile_do_no_harm(store: ProjectStore) -> None:
    fill(store, [raw_task(n, moods(n), {}) for n in range(1, 31)], FIRST)
    recompute_project(store, train_classifiers(store))
    fill(store, [raw_task(7, {9: "good"}, {}), raw_task(5000, {9: "bad"}, {})], FIRST)
    rows = rank_tasks(store).tasks
    assert rows["num_annotators"][[6, 30]].tolist() == [1, 1]
    assert np.isfinite(rows["score"]).all()


def test_nothing_computed_is_nothing_to_rank(store: ProjectStore) -> None:
    with pytest.raises(NothingToComputeError, match="crowdlab connect 25"):
        rank_tasks(store)


def test_a_person_counts_once() -> None:
    counted = people_per_task(np.array([0, 2, 0, 0]), np.array([5, 1, 5, 7]), 3)
    assert counted.tolist() == [2, 0, 1]
