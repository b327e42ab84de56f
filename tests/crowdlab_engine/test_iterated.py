from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

from crowdlab_engine import Crowdlab, MultiannotatorLabels, Portfolio, TrainedPortfolio
from crowdlab_engine.fusion import Fusion
from crowdlab_engine.iterated import IteratedTraining, held_out_labels, without
from crowdlab_engine.learners import CANDIDATES
from tests.crowdlab_engine.crowds import Crowd, one_coins

FEW = Portfolio(
    candidates=[
        one for one in CANDIDATES if one.name in {"logistic regression", "nearest neighbours"}
    ]
)
CROWD = Crowd(one_coins([0.65] * 12, 3), num_tasks=600, labels_per_task=3)


def telling(noise: float) -> np.ndarray:
    """Features around one centre per class."""
    return np.eye(3)[CROWD.truth] + np.random.RandomState(0).normal(scale=noise, size=(600, 3))


def test_a_classifier_that_helps_is_used() -> None:
    fitted = IteratedTraining().fit(CROWD.labels, telling(0.5))
    alone = CROWD.accuracy(Fusion().fit(CROWD.labels).consensus_label_)
    assert fitted.num_rounds_ >= 1
    assert fitted.pred_probs_ is not None
    assert CROWD.accuracy(fitted.consensus_.consensus_label_) > alone + 0.05
    history = fitted.history_
    assert history.index.tolist() == list(range(len(history)))
    assert history["helped"].sum() == fitted.num_rounds_ + 1
    assert (history["gain"] > history["gain_standard_error"])[1:].equals(history["helped"][1:])


def test_a_classifier_that_knows_nothing_is_not_used() -> None:
    noise = np.random.RandomState(1).normal(size=(600, 5))
    fitted = IteratedTraining().fit(CROWD.labels, noise)
    assert fitted.num_rounds_ == 0
    assert fitted.pred_probs_ is None
    assert fitted.history_["helped"].tolist() == [True, False]
    np.testing.assert_array_equal(
        fitted.consensus_.posterior_, Fusion().fit(CROWD.labels).posterior_
    )


def test_ends_at_a_fixed_point() -> None:
    crowd = Crowd(one_coins([0.99] * 6, 3), num_tasks=200, labels_per_task=3)
    features = np.eye(3)[crowd.truth] + np.random.RandomState(0).normal(scale=0.01, size=(200, 3))
    fitted = IteratedTraining(rounds=50).fit(crowd.labels, features)
    assert len(fitted.history_) < 10


def test_at_most_so_many_rounds() -> None:
    assert len(IteratedTraining(rounds=1).fit(CROWD.labels, telling(0.5)).history_) == 2
    none = IteratedTraining(rounds=0).fit(CROWD.labels, telling(0.5))
    assert len(none.history_) == 1
    assert none.pred_probs_ is None


def test_is_deterministic_and_depends_on_the_random_state() -> None:
    one, two, other = (
        IteratedTraining(random_state=seed).fit(CROWD.labels, telling(0.5)) for seed in (0, 0, 1)
    )
    assert one.history_.equals(two.history_)
    np.testing.assert_array_equal(one.consensus_.posterior_, two.consensus_.posterior_)
    assert not one.history_.equals(other.history_)


def test_ground_truth_is_kept() -> None:
    truth = np.where(np.arange(600) < 100, CROWD.truth, -1)
    fitted = IteratedTraining().fit(CROWD.labels, telling(0.5), ground_truth=truth)
    assert (fitted.consensus_.consensus_label_[:100] == CROWD.truth[:100]).all()


def test_single_labels_give_nothing_to_hold_out() -> None:
    labels = MultiannotatorLabels.from_codes(range(30), [0] * 30, np.arange(30) % 3)
    fitted = IteratedTraining().fit(labels, np.eye(3)[np.arange(30) % 3])
    assert fitted.num_rounds_ == 0
    assert fitted.history_["held_out_log_likelihood"].isna().all()


def test_too_few_labels_for_a_classifier() -> None:
    labels = MultiannotatorLabels.from_codes([0, 0, 1, 1], [0, 1, 0, 1], [0, 0, 1, 1])
    fitted = IteratedTraining().fit(labels, np.eye(2))
    assert fitted.num_rounds_ == 0
    assert fitted.consensus_.consensus_label_.tolist() == [0, 1]


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_held_out_labels_leave_one_of_each_task(share: float) -> None:
    held = held_out_labels(CROWD.labels, share, np.random.RandomState(0))
    assert len(held) == share * 600
    assert len(np.unique(CROWD.labels.task[held])) == len(held)
    kept = without(CROWD.labels, held)
    assert kept.num_labels == CROWD.labels.num_labels - len(held)
    assert kept.num_annotations.min() >= 2
    assert (kept.num_tasks, kept.num_annotators, kept.num_classes) == (600, 12, 3)
    pairs = set(zip(kept.task.tolist(), kept.annotator.tolist(), strict=True))
    held_pairs = zip(CROWD.labels.task[held], CROWD.labels.annotator[held], strict=True)
    assert not pairs.intersection((int(task), int(who)) for task, who in held_pairs)


def test_every_position_of_a_task_is_held_out_at_times() -> None:
    held = held_out_labels(CROWD.labels, 1.0, np.random.RandomState(0))
    assert set(np.unique(held % 3)) == {0, 1, 2}


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"rounds": -1}, ValueError, "rounds is -1"),
        ({"held_out": 0.0}, ValueError, "held_out is 0.0"),
        ({"held_out": 1.5}, ValueError, "held_out is 1.5"),
        ({"random_state": None}, TypeError, "random_state is None"),
        ({"n_splits": 1}, ValueError, "n_splits is 1"),
    ],
)
def test_refuses(parameters: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        IteratedTraining(**parameters).fit(CROWD.labels, telling(0.5))


def test_refuses_what_is_not_labels() -> None:
    with pytest.raises(TypeError, match="labels is a list"):
        IteratedTraining().fit([[0, 1]], telling(0.5))  # type: ignore[arg-type]


@pytest.mark.parametrize("consensus", [Crowdlab(), Fusion()])
def test_a_portfolio_with_each_kind_of_consensus(consensus: Crowdlab | Fusion) -> None:
    training = IteratedTraining(classifier=FEW, consensus=consensus)
    fitted = training.fit(CROWD.labels, telling(0.3))
    assert type(fitted.consensus_) is type(consensus)
    assert fitted.num_rounds_ >= 1
    assert fitted.trained_ is not None
    assert fitted.pred_probs_ is fitted.trained_.pred_probs
    alone = clone(consensus).fit(CROWD.labels)
    gain = fitted.consensus_.consensus_label_ == CROWD.truth
    assert gain.mean() > CROWD.accuracy(alone.consensus_label_) + 0.05
    assert not hasattr(consensus, "consensus_label_")
    noise = np.random.RandomState(1).normal(size=(600, 5))
    assert training.fit(CROWD.labels, noise).num_rounds_ == 0
    assert training.trained_ is None


def test_later_rounds_train_what_the_first_chose() -> None:
    tried: list[list[str]] = []

    class Recorder(Portfolio):
        def train(self, *arguments: Any, **options: Any) -> TrainedPortfolio:
            trained = super().train(*arguments, **options)
            tried.append(trained.candidates.index.tolist())
            return trained

    recorder = Recorder(candidates=FEW.candidates)
    fitted = IteratedTraining(classifier=recorder).fit(CROWD.labels, telling(0.5))
    assert fitted.trained_ is not None
    assert len(tried) >= 3
    assert len(tried[0]) == 2
    assert all(names == [fitted.trained_.name] for names in tried[1:])


def test_without_time_to_try_it_a_classifier_is_used_once() -> None:
    fitted = IteratedTraining(classifier=FEW, seconds=1e-9).fit(CROWD.labels, telling(0.5))
    assert fitted.num_rounds_ == 1
    assert len(fitted.history_) == 1
    assert fitted.trained_ is not None
    assert len(fitted.trained_.candidates) == 2


def test_the_previous_choice_alone() -> None:
    fitted = IteratedTraining(classifier=FEW).fit(
        CROWD.labels, telling(0.5), previous="nearest neighbours", only_previous=True
    )
    assert fitted.trained_ is not None
    assert fitted.trained_.name == "nearest neighbours"


def test_too_few_labels_for_a_portfolio() -> None:
    labels = MultiannotatorLabels.from_codes([0, 0, 1, 1], [0, 1, 0, 1], [0, 0, 1, 1])
    fitted = IteratedTraining(classifier=Portfolio()).fit(labels, np.eye(2))
    assert (fitted.num_rounds_, fitted.pred_probs_, fitted.trained_) == (0, None, None)
