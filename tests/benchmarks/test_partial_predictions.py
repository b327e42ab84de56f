"""What the benchmark of partial predictions shows."""

from benchmarks.partial_predictions import table


def test_who_abstains_helps_where_it_speaks() -> None:
    found = table(400, 2)
    accuracy, loss = found["accuracy"].unstack(), found["log loss"].unstack()
    assert (accuracy["calibrated"] >= accuracy["alone"]).all()
    assert (loss.loc[[0.1, 0.3, 0.6], "abstains"] < loss.loc[[0.1, 0.3, 0.6], "uniform"]).all()
    assert accuracy["abstains"].is_monotonic_increasing
