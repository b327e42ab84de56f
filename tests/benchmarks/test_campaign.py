from pathlib import Path

import numpy as np
import pytest

from benchmarks import campaign
from benchmarks.campaign import OURS, POLICIES, Comparison, Forecast, Pool, labels_needed
from benchmarks.crowd_data import CrowdData
from benchmarks.synthetic import Regime, simulate
from crowdlab_engine import MultiannotatorLabels

REGIME = Regime(num_tasks=300, labels_per_task=8, accuracy=(0.55, 0.9))
DATA = simulate("crowd", REGIME, 0)


def test_labels_are_revealed_in_an_order_that_only_the_seed_decides() -> None:
    available = DATA.labels.num_annotations
    pool = Pool(DATA.labels, seed=1)
    few, more = (pool.revealed(np.minimum(available, number)) for number in (1, 3))
    assert few.num_annotations.tolist() == [1] * 300
    cells = [
        set(zip(one.task.tolist(), one.annotator.tolist(), strict=True)) for one in (few, more)
    ]
    assert cells[0] < cells[1]
    every = pool.revealed(available)
    np.testing.assert_array_equal(every.label, DATA.labels.label)
    again = Pool(DATA.labels, seed=1).revealed(np.ones(300, dtype=int))
    np.testing.assert_array_equal(again.annotator, few.annotator)
    other = Pool(DATA.labels, seed=2).revealed(np.ones(300, dtype=int))
    assert (other.annotator != few.annotator).any()


def test_majority_ranks_by_the_share_of_the_most_frequent_label() -> None:
    labels = MultiannotatorLabels.from_codes(
        [0, 0, 1, 2, 2, 2], [0, 1, 0, 0, 1, 2], [0, 1, 0, 1, 1, 0], num_tasks=4
    )
    shares, counts = POLICIES["majority"](labels, None)
    np.testing.assert_allclose(shares, [1 / 2, 1, 2 / 3, 0])
    assert counts.tolist() == [2, 1, 3, 0]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_campaign_buys_its_budget_in_equal_batches(policy: str) -> None:
    course = campaign.run_campaign(DATA, policy, seed=0, num_batches=20)
    for_sale = DATA.labels.num_labels - 300
    budget = round(0.75 * for_sale)
    np.testing.assert_allclose(course.num_labels, np.linspace(0, budget, 21), atol=1)
    assert course.accuracy[-1] > course.accuracy[0] + 0.1


def test_every_policy_starts_from_the_same_labels() -> None:
    starts = {campaign.run_campaign(DATA, one, 3, 1).accuracy[0] for one in POLICIES}
    assert len(starts) == 1


def test_forecasts_are_compared_with_what_happened() -> None:
    course = campaign.run_campaign(DATA, OURS, seed=0, num_batches=20, forecast=True)
    assert [one.batch for one in course.forecasts] == [1, 4, 10]
    for one in course.forecasts:
        assert one.num_labels == course.num_labels[one.batch + 4] - course.num_labels[one.batch]
        assert one.real == course.accuracy[one.batch + 4] - course.accuracy[one.batch]
        assert one.expected > 0


@pytest.mark.parametrize(
    ("accuracy", "target", "needed"),
    [
        ([0.5, 0.6, 0.7], 0.65, 15),
        ([0.5, 0.6, 0.7], 0.5, 0),
        ([0.5, 0.6, 0.7], 0.8, np.inf),
        ([0.5, 0.7, 0.6], 0.65, np.inf),
        ([0.5, 0.6, 0.6], 0.6, 10),
    ],
)
def test_a_target_is_reached_from_where_the_curve_stays_at_it(
    accuracy: list[float], target: float, needed: float
) -> None:
    found = labels_needed(np.array([0.0, 10.0, 20.0]), np.array(accuracy), target)
    assert found == pytest.approx(needed)


def comparison(ours: list[float], data: CrowdData = DATA) -> Comparison:
    for_sale = data.labels.num_labels - data.labels.num_tasks
    grid = np.array([0, 0.25, 0.5, 0.75]) * for_sale
    random = np.array([[0.5, 0.6, 0.7, 0.8]] * 3)
    curves = {"random": random, "majority": random, OURS: np.array([ours] * 3)}
    return Comparison(data, grid, curves, [Forecast(1, 10, 0.02, 0.01)])


def test_costs_are_relative_to_what_random_has_bought() -> None:
    found = comparison([0.5, 0.7, 0.8, 0.9])
    assert found.cost(OURS, 0.5) == pytest.approx(0.5)
    assert found.cost("majority", 0.5) == pytest.approx(1)
    assert found.cost_interval(OURS, 0.5) == pytest.approx((0.5, 0.5))


def test_the_target_needs_two_cheap_data_sets_without_a_classifier() -> None:
    cheap, dear = comparison([0.5, 0.7, 0.8, 0.9]), comparison([0.5, 0.6, 0.7, 0.8])
    assert campaign.meets_target([cheap, cheap, dear])
    assert not campaign.meets_target([cheap, dear, dear])
    with_classifier = CrowdData("x", DATA.labels, DATA.truth, np.full((300, 3), 1 / 3))
    helped = comparison([0.5, 0.7, 0.8, 0.9], with_classifier)
    assert not campaign.meets_target([cheap, helped])


def test_data_with_pred_probs_are_tried_without_them_too() -> None:
    with_classifier = CrowdData("x", DATA.labels, DATA.truth, np.full((300, 3), 1 / 3))
    alone, helped = campaign.with_and_without_classifier(with_classifier)
    assert alone.pred_probs is None
    assert helped.pred_probs is not None
    assert campaign.with_and_without_classifier(DATA) == [DATA]


def test_the_short_form_prints_every_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert campaign.main(["--short"]) == 0
    printed = capsys.readouterr().out
    for heading in ("Accuracy of the consensus", "Extra labels for random's", "Gain of accuracy"):
        assert heading in printed


def test_the_plot_is_written(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    file = tmp_path / "plots" / "campaign.svg"
    campaign.plot([comparison([0.5, 0.7, 0.8, 0.9])] * 5, file)
    drawn = file.read_text()
    assert drawn.count("<!-- consensus accuracy -->") == 5
    assert "<!-- extra labels bought -->" in drawn
