"""A labelling campaign replayed: accuracy of the consensus against labels bought.

    python -m benchmarks.campaign [--data FOLDER ...] [--short] [--plot FILE]

A folder is a data set, or holds several (see `benchmarks.crowd_data.load`); without any, a
simulated crowd is tried. Every task starts with one label. Labels are then bought in batches,
one for each task that a policy chooses; which annotator's is revealed was drawn beforehand,
the same for all policies. After each batch the consensus is CROWDLAB's, whatever the policy.

- random: tasks that have labels left, at random.
- majority: the smallest share of the most frequent label first, then the fewest labels.
- ActiveLab: `active_learning_scores` and `choose_tasks`.

Random's final accuracy is what it has when it has bought a quarter, a half or three quarters
of all labels that could be bought (with all of them, policies are equal). A policy has reached
it from where its accuracy stays at least as high. Data sets with `pred_probs` are also tried
without: those were trained on all labels, so they know something of labels not yet bought.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.crowd_data import CrowdData, folders, load
from benchmarks.synthetic import Regime, simulate
from crowdlab_engine import (
    Crowdlab,
    Fusion,
    MultiannotatorLabels,
    active_learning_scores,
    choose_tasks,
    expected_gain,
)
from crowdlab_engine._typing import FloatArray, IntArray

SHARES = (0.25, 0.5, 0.75)
"""Of all labels that can be bought, how many random has bought."""

TARGET_SHARE = 0.5
TARGET_COST = 0.6
TARGET_SETS = 2

NUM_BATCHES, SHORT_NUM_BATCHES = 50, 15
NUM_SEEDS, SHORT_NUM_SEEDS = 5, 2
FORECASTS = (0.06, 0.2, 0.5)
"""Of the batches, after how many the gain is estimated."""

LOOK_AHEAD = 0.2
"""For how many batches."""

Policy = Callable[[MultiannotatorLabels, "FloatArray | None"], tuple[FloatArray, IntArray]]


class Pool:
    """Real labels, revealed in an order drawn at random."""

    def __init__(self, labels: MultiannotatorLabels, seed: int) -> None:
        self._labels = labels
        drawn = np.random.RandomState(seed).uniform(size=labels.num_labels)
        order = np.lexsort((drawn, labels.task))
        starts = np.cumsum(labels.num_annotations) - labels.num_annotations
        self._rank = np.empty_like(order)
        self._rank[order] = np.arange(len(order)) - starts[labels.task[order]]

    def revealed(self, counts: IntArray) -> MultiannotatorLabels:
        """Return the first labels of each task, as many as `counts` says."""
        labels = self._labels
        kept = self._rank < counts[labels.task]
        return MultiannotatorLabels.from_codes(
            labels.task[kept],
            labels.annotator[kept],
            labels.label[kept],
            num_tasks=labels.num_tasks,
            num_annotators=labels.num_annotators,
            num_classes=labels.num_classes,
        )


def at_random(labels: MultiannotatorLabels, _: FloatArray | None) -> tuple[FloatArray, IntArray]:
    """Rank all tasks the same."""
    return np.zeros(labels.num_tasks), np.zeros(labels.num_tasks, dtype=np.int64)


def by_majority(labels: MultiannotatorLabels, _: FloatArray | None) -> tuple[FloatArray, IntArray]:
    """Rank by the share of the most frequent label."""
    votes = np.zeros((labels.num_tasks, labels.num_classes))
    np.add.at(votes, (labels.task, labels.label), 1)
    return votes.max(axis=1) / np.maximum(votes.sum(axis=1), 1), labels.num_annotations


def by_active_lab(
    labels: MultiannotatorLabels, pred_probs: FloatArray | None
) -> tuple[FloatArray, IntArray]:
    """Rank by ActiveLab score."""
    return active_learning_scores(labels, pred_probs).labeled, labels.num_annotations


OURS = "ActiveLab"
POLICIES: dict[str, Policy] = {"random": at_random, "majority": by_majority, OURS: by_active_lab}


@dataclass
class Forecast:
    """What `expected_gain` said at one time of a campaign, and what came of it."""

    batch: int
    num_labels: int
    expected: float
    real: float = np.nan


@dataclass
class Course:
    """Accuracy of the consensus after each batch of a campaign."""

    num_labels: list[int] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    forecasts: list[Forecast] = field(default_factory=list)


def run_campaign(
    data: CrowdData, policy: str, seed: int, num_batches: int, *, forecast: bool = False
) -> Course:
    """Buy labels up to the largest of `SHARES`, in equal batches."""
    pool = Pool(data.labels, seed)
    generator = np.random.RandomState(seed)
    available = data.labels.num_annotations
    counts = np.minimum(available, 1)
    for_sale = int((available - counts).sum())
    budget = round(max(SHARES) * for_sale)
    edges = np.linspace(0, budget, num_batches + 1).astype(np.int64)
    known = data.truth >= 0
    course = Course()
    bought = 0
    for batch in range(num_batches + 1):
        labels = pool.revealed(counts)
        consensus = Crowdlab().fit(labels, data.pred_probs).consensus_label_
        course.num_labels.append(bought)
        course.accuracy.append(float((consensus == data.truth)[known].mean()))
        if forecast and batch in [round(share * num_batches) for share in FORECASTS]:
            ahead = int(edges[batch + round(LOOK_AHEAD * num_batches)] - edges[batch])
            course.forecasts.append(look_ahead(data, labels, batch, ahead))
        if batch == num_batches:
            break
        scores, ties = POLICIES[policy](labels, data.pred_probs)
        chosen = choose_tasks(
            scores,
            ties,
            budget=int(edges[batch + 1]) - bought,
            is_open=counts < available,
            random_state=generator,
        )
        counts = counts.copy()
        counts[chosen] += 1
        bought += len(chosen)
    for one in course.forecasts:
        real = course.accuracy[one.batch + round(LOOK_AHEAD * num_batches)]
        one.real = real - course.accuracy[one.batch]
    return course


def look_ahead(
    data: CrowdData, labels: MultiannotatorLabels, batch: int, num_labels: int
) -> Forecast:
    """Estimate what the next labels bring; the policy knows only the labels so far."""
    fitted = Fusion().fit(labels, data.pred_probs)
    found = expected_gain(
        labels,
        fitted.posterior_,
        horizon=num_labels,
        is_open=labels.num_annotations < data.labels.num_annotations,
    )
    return Forecast(batch, num_labels, float(found.accuracy[-1] - found.accuracy[0]))


@dataclass
class Comparison:
    """Campaigns on one data set: of each policy, accuracy by seed and label, shape (S, G)."""

    data: CrowdData
    num_labels: FloatArray
    accuracy: dict[str, FloatArray]
    forecasts: list[Forecast]

    def at(self, share: float) -> int:
        """Position of a share of what can be bought."""
        for_sale = self.data.labels.num_annotations.sum() - np.count_nonzero(
            self.data.labels.num_annotations
        )
        return int(np.argmin(np.abs(self.num_labels - share * for_sale)))

    def cost(self, policy: str, share: float, seeds: IntArray | None = None) -> float:
        """Labels that a policy needs for random's accuracy, relative to random's own.

        Infinite if it is not reached with as many labels as random has bought.
        """
        rows = np.arange(len(self.accuracy[policy])) if seeds is None else seeds
        end = self.at(share)
        target = self.accuracy["random"][rows, end].mean()
        curve = self.accuracy[policy][rows].mean(axis=0)
        return labels_needed(self.num_labels[: end + 1], curve[: end + 1], target) / float(
            self.num_labels[end]
        )

    def cost_interval(self, policy: str, share: float) -> tuple[float, float]:
        """Middle 90 % of the cost if seeds are drawn again."""
        rng = np.random.RandomState(0)
        number = len(self.accuracy[policy])
        costs = [self.cost(policy, share, rng.randint(number, size=number)) for _ in range(500)]
        low, high = np.quantile(costs, [0.05, 0.95], method="nearest")
        return float(low), float(high)


def labels_needed(num_labels: FloatArray, accuracy: FloatArray, target: float) -> float:
    """Return from how many labels on an accuracy stays at a target, interpolated.

    Parameters
    ----------
    num_labels, accuracy : ndarray of float64, shape (G,)
        A curve, labels ascending.
    target : float
        Accuracy to reach.

    Returns
    -------
    float
        Infinite if the curve ends below the target.
    """
    below = np.flatnonzero(accuracy < target)
    if not below.size:
        return float(num_labels[0])
    last = below[-1]
    if last + 1 == len(accuracy):
        return float("inf")
    part = (target - accuracy[last]) / (accuracy[last + 1] - accuracy[last])
    return float(num_labels[last] + part * (num_labels[last + 1] - num_labels[last]))


def compare(data: CrowdData, num_seeds: int, num_batches: int) -> Comparison:
    """Run every policy with every seed."""
    accuracy: dict[str, FloatArray] = {}
    forecasts: list[Forecast] = []
    grid: FloatArray = np.empty(0)
    for policy in POLICIES:
        rows = []
        for seed in range(num_seeds):
            course = run_campaign(data, policy, seed, num_batches, forecast=policy == OURS)
            if not grid.size:
                grid = np.asarray(course.num_labels, dtype=np.float64)
            rows.append(np.interp(grid, course.num_labels, course.accuracy))
            forecasts += course.forecasts
        accuracy[policy] = np.array(rows)
    return Comparison(data, grid, accuracy, forecasts)


def costs_table(comparisons: list[Comparison]) -> Table:
    """Labels needed for random's accuracy, relative to random's own."""
    table = Table(title="Extra labels for random's accuracy, share of random's (90 % interval)")
    table.add_column("data set")
    for heading in ("labels for sale", "random buys", "accuracy", "majority", OURS):
        table.add_column(heading, justify="right")
    for one in comparisons:
        for share in SHARES:
            end = one.at(share)
            accuracy = one.accuracy["random"][:, end].mean()
            cells = []
            for policy in ("majority", OURS):
                low, high = one.cost_interval(policy, share)
                cells.append(f"{one.cost(policy, share):.2f} ({low:.2f}–{high:.2f})")
            table.add_row(
                one.data.name,
                f"{one.num_labels[-1] / max(SHARES):,.0f}",
                f"{share:.0%}",
                f"{accuracy:.4f}",
                *cells,
                end_section=share == SHARES[-1],
            )
    return table


def accuracy_table(comparisons: list[Comparison]) -> Table:
    """Accuracy by policy and labels bought, with the standard error over seeds."""
    shares = (0.0, 0.1, *SHARES)
    table = Table(title="Accuracy of the consensus by share of labels bought (± standard error)")
    table.add_column("data set")
    table.add_column("policy")
    for share in shares:
        table.add_column(f"{share:.0%}", justify="right")
    for one in comparisons:
        for policy, rows in one.accuracy.items():
            cells = []
            for share in shares:
                values = rows[:, one.at(share)]
                error = values.std(ddof=1) / np.sqrt(len(values))
                cells.append(f"{values.mean():.4f} ± {error:.4f}")
            table.add_row(one.data.name, policy, *cells, end_section=policy == OURS)
    return table


def forecasts_table(comparisons: list[Comparison]) -> Table:
    """What `expected_gain` said, and what came of it."""
    table = Table(title="Gain of accuracy per 100 further labels: expected and real, mean of seeds")
    table.add_column("data set")
    for heading in ("after labels", "next labels", "expected, %", "real, %", "expected / real"):
        table.add_column(heading, justify="right")
    for one in comparisons:
        batches = sorted({forecast.batch for forecast in one.forecasts})
        for batch in batches:
            found = [forecast for forecast in one.forecasts if forecast.batch == batch]
            ahead = found[0].num_labels
            expected = float(np.mean([forecast.expected for forecast in found]))
            real = float(np.mean([forecast.real for forecast in found]))
            table.add_row(
                one.data.name,
                f"{one.num_labels[batch]:,.0f}",
                f"{ahead:,}",
                f"{1e4 * expected / ahead:.3f}",
                f"{1e4 * real / ahead:.3f}",
                f"{expected / real:.1f}" if real > 0 else "no real gain",
                end_section=batch == batches[-1],
            )
    return table


def plot(comparisons: list[Comparison], file: Path) -> None:
    """Draw accuracy against labels bought, with the range of the standard error."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    columns = min(4, len(comparisons))
    rows = -(-len(comparisons) // columns)
    figure, panels = plt.subplots(
        rows, columns, figsize=(4 * columns, 3.4 * rows), squeeze=False, layout="constrained"
    )
    for panel, one in zip(panels.ravel(), comparisons, strict=False):
        for policy, values in one.accuracy.items():
            mean = values.mean(axis=0)
            error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
            panel.plot(one.num_labels, mean, label=policy)
            panel.fill_between(one.num_labels, mean - error, mean + error, alpha=0.2)
        panel.set(title=one.data.name, xlabel="extra labels bought", ylabel="consensus accuracy")
    for panel in panels.ravel()[len(comparisons) :]:
        panel.set_axis_off()
    panels[0][0].legend(fontsize="small")
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120)
    plt.close(figure)


def with_and_without_classifier(data: CrowdData) -> list[CrowdData]:
    """Return the data, and without `pred_probs` if there are any."""
    if data.pred_probs is None:
        return [data]
    alone = replace(data, pred_probs=None)
    return [alone, replace(data, name=f"{data.name} + classifier")]


def meets_target(comparisons: list[Comparison]) -> bool:
    """Whether ActiveLab is cheap enough on enough data sets, without a classifier's help."""
    cheap = [
        one
        for one in comparisons
        if one.data.pred_probs is None and one.cost(OURS, TARGET_SHARE) <= TARGET_COST
    ]
    return len(cheap) >= TARGET_SETS


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; 1 if the target is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, action="append", default=[])
    parser.add_argument("--short", action="store_true", help="few batches and seeds, no target")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="such as .cache/campaign.png")
    options = parser.parse_args(arguments)

    sets = [load(folder) for root in options.data for folder in folders(root)]
    if not sets:
        regime = Regime(num_tasks=500, labels_per_task=8, accuracy=(0.5, 0.9), spammers=0.1)
        sets = [simulate("simulated", regime, 0)]
    num_seeds = SHORT_NUM_SEEDS if options.short else NUM_SEEDS
    num_batches = SHORT_NUM_BATCHES if options.short else NUM_BATCHES
    comparisons = [
        compare(one, num_seeds, num_batches)
        for data in sets
        for one in with_and_without_classifier(data)
    ]
    console = Console(width=130)
    for table in (accuracy_table, costs_table, forecasts_table):
        console.print(table(comparisons))
    if options.plot is not None:
        plot(comparisons, options.plot)
    if options.short or not options.data:
        return 0
    is_met = meets_target(comparisons)
    console.print(
        f"Target: at most {TARGET_COST:.0%} of random's labels for its accuracy at "
        f"{TARGET_SHARE:.0%} of the labels for sale, on {TARGET_SETS} data sets or more, "
        "without a classifier: "
        f"{'met' if is_met else '[red]missed[/]'}."
    )
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())
