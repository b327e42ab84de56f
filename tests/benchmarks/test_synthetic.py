import numpy as np
import pytest

from benchmarks.synthetic import REGIMES, Regime, simulate


@pytest.mark.parametrize("name", REGIMES)
def test_regimes_have_the_sizes_they_state(name: str) -> None:
    regime = REGIMES[name]
    data = simulate(name, regime, 0)
    assert data.truth.shape == (regime.num_tasks,)
    assert data.labels.num_annotators == regime.num_annotators
    assert data.labels.num_classes == regime.num_classes
    assert data.labels.num_annotations.min() >= 1
    assert data.labels.num_annotations.mean() == pytest.approx(regime.labels_per_task, rel=0.2)
    again = simulate(name, regime, 0)
    np.testing.assert_array_equal(data.labels.label, again.labels.label)


def test_accuracy_is_within_the_range() -> None:
    regime = Regime(accuracy=(0.8, 0.8), num_tasks=2000)
    data = simulate("plain", regime, 0)
    right = data.labels.label == data.truth[data.labels.task]
    assert right.mean() == pytest.approx(0.8, abs=0.02)


def test_copiers_agree_with_whom_they_copy() -> None:
    data = simulate("copying", Regime(copiers=1.0, num_annotators=10, labels_per_task=9), 0)
    votes = np.zeros((500, 3))
    np.add.at(votes, (data.labels.task, data.labels.label), 1)
    assert (votes.max(axis=1) == data.labels.num_annotations).all()


def test_half_of_the_labels_of_misleading_tasks_are_misled() -> None:
    regime = Regime(accuracy=(1.0, 1.0), misleading=0.5, num_tasks=4000)
    data = simulate("misleading", regime, 0)
    right = data.labels.label == data.truth[data.labels.task]
    assert right.mean() == pytest.approx(0.75, abs=0.02)
