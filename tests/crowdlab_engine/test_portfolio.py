import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array, hstack
from sklearn.linear_model import LogisticRegression

from crowdlab_engine import MultiannotatorLabels, NotEnoughLabels, majority_vote
from crowdlab_engine.learners import CANDIDATES, Candidate, Situation
from crowdlab_engine.portfolio import Portfolio, TrainedPortfolio
from tests.crowdlab_engine.crowds import Crowd, one_coins

CROWD = Crowd(one_coins([0.8] * 10, 3), num_tasks=400, labels_per_task=3)
CONSENSUS = majority_vote(CROWD.labels)


SLOWER = ["nearest neighbours", "gradient boosting"]
LINEAR = CANDIDATES[:3]


def numbers(noise: float = 0.5, crowd: Crowd = CROWD) -> np.ndarray:
    """Features around one centre per class."""
    centres = np.eye(3)[crowd.truth]
    return centres + np.random.RandomState(0).normal(scale=noise, size=centres.shape)


def counts(crowd: Crowd = CROWD, width: int = 60) -> csr_array:
    """Counts of words, a third of which are more frequent in each class."""
    rng = np.random.RandomState(1)
    rate = 0.1 + 0.3 * (np.arange(width) % 3 == crowd.truth[:, None])
    return csr_array(rng.poisson(rate).astype(float))


def train(features: Any, **parameters: Any) -> TrainedPortfolio:
    return Portfolio(**parameters).train(features, CROWD.labels, CONSENSUS)


class Slow(LogisticRegression):
    """Takes its time."""

    def fit(self, features: Any, labels: Any, sample_weight: Any = None) -> "Slow":
        end = time.process_time() + 0.2
        while time.process_time() < end:
            pass
        super().fit(features, labels, sample_weight)
        return self


SLOW = Candidate("slow", lambda _: Slow(), lambda _: True)
QUICK = Candidate("quick", lambda _: LogisticRegression(C=1e-6), lambda _: True)


def test_the_best_of_those_that_suit_is_chosen() -> None:
    trained = train(numbers())
    table = trained.candidates
    assert table.index.tolist() == [
        "logistic regression",
        "nearest neighbours",
        "gradient boosting",
    ]
    assert (table["dropped"] == "").all()
    assert (table["num_tasks"] == 400).all()
    assert trained.name == table["log_loss"].idxmin()
    assert trained.log_loss == table["log_loss"].min()
    assert trained.temperature == table["temperature"][trained.name]
    assert trained.log_loss < trained.prior_log_loss - 0.1
    assert trained.seconds >= table["seconds"].sum()
    assert (trained.num_trained, trained.num_labelled) == (400, 400)
    assert CROWD.accuracy(trained.pred_probs.argmax(axis=1)) > 0.85
    np.testing.assert_allclose(trained.pred_probs.sum(axis=1), 1)


def test_log_loss_is_that_of_the_returned_predictions_on_the_annotators_labels() -> None:
    trained = train(numbers(), candidates=LINEAR)
    labels = CROWD.labels
    each = -np.log(trained.pred_probs[labels.task, labels.label])
    assert trained.log_loss == pytest.approx(each.reshape(-1, 3).mean(axis=1).mean())
    shares = np.bincount(labels.label) / labels.num_labels
    assert trained.prior_log_loss == pytest.approx(-(shares * np.log(shares)).sum())


def test_counts_and_numbers_are_told_apart() -> None:
    both = hstack([counts(), csr_array(numbers())], format="csr")
    is_count = np.arange(63) < 60
    names = train(both, is_count=is_count).candidates.index.tolist()
    assert names == ["naive Bayes", "logistic regression", *SLOWER]
    assert train(counts()).candidates.index.tolist() == ["naive Bayes", "logistic regression"]
    best = train(both, is_count=is_count, candidates=LINEAR).log_loss
    assert best < train(counts()).log_loss
    assert best < train(numbers(), candidates=LINEAR).log_loss


def test_what_is_random_teaches_nothing() -> None:
    trained = train(np.random.RandomState(3).normal(size=(400, 5)), candidates=LINEAR)
    assert trained.log_loss > trained.prior_log_loss - 0.01
    assert trained.temperature > 1


def test_nothing_is_impossible() -> None:
    labels = CROWD.labels.label.copy()
    labels[-1] = 3
    rare = MultiannotatorLabels.from_codes(
        CROWD.labels.task, CROWD.labels.annotator, labels, num_classes=4
    )
    trained = Portfolio(candidates=LINEAR).train(numbers(), rare, majority_vote(rare))
    assert (trained.pred_probs > 0).all()
    assert np.isfinite(trained.log_loss)


def test_duplicates_do_not_leak() -> None:
    rng = np.random.RandomState(0)
    noise = np.repeat(rng.normal(size=(200, 4)), 2, axis=0)
    twice = np.repeat(rng.randint(2, size=200), 2)
    labels = MultiannotatorLabels.from_codes(np.arange(400), np.zeros(400, int), twice)
    portfolio = Portfolio(candidates=CANDIDATES[4:])
    leaky = portfolio.train(noise, labels, twice)
    grouped = portfolio.train(noise, labels, twice, groups=np.repeat(np.arange(200), 2))
    assert leaky.log_loss < 0.6
    assert grouped.log_loss > 0.68


def test_weights_and_tasks_without_consensus() -> None:
    wrong = np.where(np.arange(400) < 100, (CROWD.truth + 1) % 3, CROWD.truth)
    weight = np.where(np.arange(400) < 100, 0.0, 1.0)
    masked = np.where(np.arange(400) < 100, -1, CROWD.truth)
    portfolio = Portfolio(candidates=LINEAR)
    plain = portfolio.train(numbers(), CROWD.labels, wrong)
    weighted = portfolio.train(numbers(), CROWD.labels, wrong, sample_weight=weight)
    assert weighted.log_loss < plain.log_loss
    assert weighted.num_labelled == 300
    left_out = portfolio.train(numbers(), CROWD.labels, masked)
    assert left_out.num_labelled == 300
    assert CROWD.accuracy(left_out.pred_probs.argmax(axis=1)) > 0.85


def test_one_that_takes_too_long_is_dropped() -> None:
    trained = train(numbers(), candidates=(QUICK, SLOW), seconds=0.5)
    assert trained.name == "quick"
    assert trained.candidates["dropped"].tolist() == ["", "it takes too long"]
    assert np.isnan(trained.candidates["log_loss"]["slow"])
    assert "no time for slow" in str(trained)
    patient = train(numbers(), candidates=(QUICK, SLOW), seconds=60)
    assert patient.name == "slow"
    assert "no time" not in str(patient)


def test_the_first_is_always_finished() -> None:
    trained = train(numbers(), candidates=(SLOW, QUICK), seconds=0.01)
    assert trained.name == "slow"


LARGE = Crowd(one_coins([0.8] * 10, 3), num_tasks=6_000, labels_per_task=2)


def train_large(candidates: tuple[Candidate, ...] = LINEAR, **parameters: Any) -> TrainedPortfolio:
    consensus = majority_vote(LARGE.labels)
    portfolio = Portfolio(sample_tasks=1_000, candidates=candidates, **parameters)
    return portfolio.train(numbers(crowd=LARGE), LARGE.labels, consensus)


def test_many_tasks_are_compared_on_a_sample_and_trained_in_full() -> None:
    trained = train_large()
    assert (trained.candidates["num_tasks"] == 1_000).all()
    assert (trained.num_trained, trained.num_labelled) == (6_000, 6_000)
    assert LARGE.accuracy(trained.pred_probs.argmax(axis=1)) > 0.75


def test_where_there_is_no_time_the_sample_predicts_all() -> None:
    trained = train_large(candidates=(SLOW,), seconds=1.2)
    assert (trained.num_trained, trained.num_labelled) == (1_000, 6_000)
    assert "trained on 1,000 of 6,000 labelled tasks" in str(trained)
    assert LARGE.accuracy(trained.pred_probs.argmax(axis=1)) > 0.75


def test_the_next_best_is_trained_if_the_best_takes_too_long() -> None:
    steep = replace(SLOW, growth=9.0)
    trained = train_large(candidates=(steep, QUICK), seconds=30)
    assert trained.candidates["log_loss"].idxmin() == "slow"
    assert (trained.name, trained.num_trained) == ("quick", 6_000)


def test_the_sample_divides_no_group() -> None:
    seen: list[int] = []

    class Spy(LogisticRegression):
        def fit(self, features: Any, labels: Any, sample_weight: Any = None) -> "Spy":
            seen.append(len(labels))
            super().fit(features, labels, sample_weight)
            return self

    groups = np.arange(6_000) // 3
    spy = Candidate("spy", lambda _: Spy(), lambda _: True)
    portfolio = Portfolio(sample_tasks=1_000, candidates=(spy,))
    trained = portfolio.train(
        numbers(crowd=LARGE), LARGE.labels, majority_vote(LARGE.labels), groups=groups
    )
    assert trained.candidates["num_tasks"].tolist() == [1_002]
    assert seen[0] in (800, 801, 802, 803)


def test_the_previous_choice_comes_first() -> None:
    def names(previous: str, **options: bool) -> list[str]:
        portfolio = Portfolio(candidates=(QUICK, SLOW))
        trained = portfolio.train(numbers(), CROWD.labels, CONSENSUS, previous=previous, **options)
        found: list[str] = trained.candidates.index.tolist()
        return found

    assert names("slow") == ["slow", "quick"]
    assert names("slow", only_previous=True) == ["slow"]
    assert names("one of an older release", only_previous=True) == ["quick", "slow"]


def test_is_deterministic_and_depends_on_the_random_state() -> None:
    one, two, other = (train(numbers(), random_state=seed, candidates=LINEAR) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.pred_probs, two.pred_probs)
    assert (one.pred_probs != other.pred_probs).any()


@pytest.mark.parametrize(
    ("parameters", "features", "message"),
    [
        ({"seconds": 0}, numbers(), "seconds is 0"),
        ({"sample_tasks": 10}, numbers(), "sample_tasks is 10"),
        ({"n_splits": 1}, numbers(), "n_splits is 1"),
        ({"is_count": [True]}, numbers(), r"is_count has shape \(1,\)"),
        ({}, numbers()[:5], r"features have shape \(5, 3\)"),
        ({}, np.full((400, 2), np.nan), "features hold NaN"),
    ],
)
def test_refuses(parameters: dict[str, Any], features: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train(features, **parameters)


def test_too_few_labels() -> None:
    few = np.where(np.arange(400) < 9, CONSENSUS, -1)
    with pytest.raises(NotEnoughLabels, match="9 tasks have a label"):
        Portfolio().train(numbers(), CROWD.labels, few)
    with pytest.raises(NotEnoughLabels, match="no classifier suits 0 counts and 5,000 numbers"):
        train(np.zeros((400, 5_000)))


def test_every_candidate_suits_somewhere() -> None:
    text = Situation(1_000, 2, np.ones(50, dtype=bool))
    huge = Situation(1_000_000, 2, np.ones(50, dtype=bool))
    dense = Situation(1_000, 2, np.zeros(50, dtype=bool))
    for candidate in CANDIDATES:
        assert any(candidate.suits(one) for one in (text, huge, dense))
    names = [one.name for one in CANDIDATES if one.suits(huge)]
    assert names == ["naive Bayes", "gradient descent"]
