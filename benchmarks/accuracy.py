"""Accuracy of consensus methods on real crowd data: ours and every peer's, in one table.

    python -m benchmarks.accuracy [--data FOLDER ...] [--short] [--output FOLDER]

A folder is a data set, or holds several (see `benchmarks.crowd_data.load`); without any,
only simulated crowds are tried. Peers are slow; what they find is kept in `--cache`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import metrics
from benchmarks.crowd_data import CrowdData, folders, load
from benchmarks.peers import PEERS, Result, run_peer
from benchmarks.synthetic import REGIMES, simulate
from crowdlab_engine.dawid_skene import DawidSkene
from crowdlab_engine.fusion import Fusion
from crowdlab_engine.one_coin import OneCoin

OURS: dict[str, Callable[[], Any]] = {
    "Fusion": Fusion,
    "our DawidSkene": DawidSkene,
    "our OneCoin": OneCoin,
}
FEW_LABELS = (1, 2, 3)
SEEDS = (0, 1, 2)
FEW_LABELS_PEERS = ("majority", "DawidSkene", "OneCoin", "CROWDLAB")
SYNTHETIC_PEERS = ("majority", "DawidSkene", "OneCoin", "CROWDLAB")


@dataclass(frozen=True)
class Run:
    """A method's result on a data set."""

    data: CrowdData
    method: str
    result: Result

    @property
    def is_right(self) -> metrics.BoolArray:
        """Whether the consensus is right, of tasks with known truth."""
        known = self.data.truth >= 0
        return np.asarray(self.result.consensus == self.data.truth)[known]

    def scores(self, majority: Run) -> dict[str, float]:
        """Return one row of the table."""
        data, result = self.data, self.result
        known = data.truth >= 0
        quality = np.nan_to_num(result.quality[known])
        of_majority = np.nan_to_num(
            result.posterior[np.arange(len(known)), majority.result.consensus][known]
        )
        accuracy = float(self.is_right.mean())
        return {
            "accuracy": accuracy,
            "SE": metrics.standard_error(accuracy, int(known.sum())),
            "AUROC majority": metrics.auroc(~majority.is_right, of_majority),
            "lift majority": metrics.lift(~majority.is_right, of_majority),
            "AUROC own": metrics.auroc(~self.is_right, quality),
            "lift own": metrics.lift(~self.is_right, quality),
            "ECE": metrics.calibration_error(self.is_right, quality),
            "rank corr": metrics.rank_correlation(
                result.annotator_quality, annotator_accuracy(data)
            ),
            "CPU s": result.seconds,
        }


def annotator_accuracy(data: CrowdData) -> metrics.FloatArray:
    """Return the share of right labels of each annotator, NaN without any to check."""
    labels = data.labels
    known = data.truth[labels.task] >= 0
    right = known & (labels.label == data.truth[labels.task])
    given = np.bincount(labels.annotator[known], minlength=labels.num_annotators)
    correct = np.bincount(labels.annotator[right], minlength=labels.num_annotators)
    share = np.full(len(given), np.nan)
    np.divide(correct, given, out=share, where=given > 0)
    return share


def run_ours(name: str, data: CrowdData) -> Result:
    """Fit one of our methods."""
    started = time.process_time()
    fitted = OURS[name]().fit(data.labels, data.pred_probs)
    return Result(
        fitted.consensus_label_,
        fitted.consensus_quality_score_,
        fitted.posterior_,
        fitted.annotator_quality_,
        time.process_time() - started,
    )


def run(name: str, data: CrowdData, cache: Path) -> Run | None:
    """Run a method; None if it fails on the data, of which a line is printed."""
    if name in OURS:
        return Run(data, name, run_ours(name, data))
    try:
        return Run(data, name, run_peer(name, data, cache))
    except Exception as error:
        print(f"  {name} fails on {data.name}: {type(error).__name__}: {str(error)[:90]}")
        return None


def full_table(sets: list[CrowdData], cache: Path) -> tuple[pd.DataFrame, dict[str, list[Run]]]:
    """Run every method on every data set."""
    rows: dict[tuple[str, str], dict[str, float]] = {}
    runs: dict[str, list[Run]] = {}
    for data in sets:
        found = [run(name, data, cache) for name in (*PEERS, *OURS)]
        kept = [one for one in found if one is not None]
        runs[data.name] = kept
        for one in kept:
            rows[data.name, one.method] = one.scores(kept[0])
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.index = pd.MultiIndex.from_tuples(rows, names=["data set", "method"])
    return table, runs


def means(table: pd.DataFrame) -> pd.DataFrame:
    """Mean over data sets of methods that ran on all of them."""
    groups = table.groupby(level="method", sort=False)
    complete = groups.size() == table.index.get_level_values(0).nunique()
    return groups.mean()[complete]


def paired_tests(runs: dict[str, list[Run]]) -> pd.DataFrame:
    """Compare Fusion with each peer, task by task."""
    rows = []
    for name, kept in runs.items():
        fusion = next(one for one in kept if one.method == "Fusion")
        for one in kept:
            if one.method in PEERS:
                ours, theirs, p = metrics.mcnemar(fusion.is_right, one.is_right)
                rows.append((name, one.method, ours, theirs, p))
    columns = ["data set", "peer", "only Fusion right", "only peer right", "p"]
    return pd.DataFrame(rows, columns=columns)


def few_labels_table(sets: list[CrowdData], cache: Path) -> pd.DataFrame:
    """Mean accuracy with one to three labels kept of each task."""
    rows = []
    for data in sets:
        for most in FEW_LABELS:
            for seed in SEEDS:
                part = data.with_labels_per_task(most, seed)
                for name in (*FEW_LABELS_PEERS, *OURS):
                    one = run(name, part, cache)
                    if one is not None:
                        rows.append((data.name, most, name, one.is_right.mean()))
    frame = pd.DataFrame(rows, columns=["data set", "labels", "method", "accuracy"])
    table = frame.pivot_table("accuracy", ["labels", "data set"], "method", sort=False)
    by_labels = frame.groupby(["labels", "method"])["accuracy"].mean().unstack()
    by_labels.index = pd.MultiIndex.from_product([by_labels.index, ["mean"]])
    overall = frame.groupby("method")["accuracy"].mean().to_frame(("all", "mean")).T
    return pd.concat([table, by_labels, overall])


def synthetic_table(cache: Path, seeds: tuple[int, ...]) -> pd.DataFrame:
    """Accuracy and calibration error in simulated regimes."""
    rows = []
    for regime_name, regime in REGIMES.items():
        for seed in seeds:
            data = simulate(regime_name, regime, seed)
            for name in (*SYNTHETIC_PEERS, *OURS):
                one = run(name, data, cache)
                if one is not None:
                    quality = np.nan_to_num(one.result.quality)
                    error = metrics.calibration_error(one.is_right, quality)
                    rows.append((regime_name, name, one.is_right.mean(), error))
    frame = pd.DataFrame(rows, columns=["regime", "method", "accuracy", "ECE"])
    table = frame.pivot_table(["accuracy", "ECE"], "regime", "method", sort=False)
    table.loc["mean"] = table.mean()
    return table


def plot(table: pd.DataFrame, runs: dict[str, list[Run]], output: Path) -> None:
    """Draw accuracy by method and set, and how well scores are calibrated."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    output.mkdir(parents=True, exist_ok=True)
    accuracy = table["accuracy"].unstack("method", sort=False)
    errors = table["SE"].unstack("method", sort=False)
    axes = accuracy.plot.bar(yerr=errors, figsize=(12, 5), width=0.85, colormap="tab20")
    axes.set(ylim=(0.5, 1), ylabel="accuracy", xlabel="")
    axes.legend(ncols=6, fontsize="small", loc="lower center", bbox_to_anchor=(0.5, 1.0))
    plt.xticks(rotation=0)
    plt.tight_layout()
    plt.savefig(output / "accuracy.png", dpi=120)
    plt.close()

    shown = ("DawidSkene", "CROWDLAB", "Fusion")
    figure, panels = plt.subplots(1, len(runs), figsize=(3.2 * len(runs), 3.4), squeeze=False)
    for panel, (name, kept) in zip(panels[0], runs.items(), strict=True):
        panel.plot([0, 1], [0, 1], color="0.7", linewidth=1)
        for one in kept:
            if one.method in shown:
                known = one.data.truth >= 0
                quality = np.nan_to_num(one.result.quality[known])
                bins = np.clip((quality * 10).astype(int), 0, 9)
                counts = np.bincount(bins, minlength=10)
                used = counts >= 5
                centre = np.bincount(bins, weights=quality, minlength=10)[used] / counts[used]
                right = np.bincount(bins, weights=one.is_right, minlength=10)[used] / counts[used]
                panel.plot(centre, right, marker="o", markersize=3, label=one.method)
        panel.set(title=name, xlabel="quality score", xlim=(0, 1.02), ylim=(0, 1.02))
    panels[0][0].set_ylabel("share right")
    panels[0][0].legend(fontsize="small")
    figure.tight_layout()
    figure.savefig(output / "calibration.png", dpi=120)
    plt.close(figure)


def main(arguments: list[str] | None = None) -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--data", type=Path, action="append", default=[])
    parser.add_argument("--short", action="store_true", help="each data set, or draw, once")
    parser.add_argument("--output", type=Path, help="folder for plots, such as .cache/accuracy")
    parser.add_argument("--cache", type=Path, default=Path(".cache") / "peers")
    options = parser.parse_args(arguments)

    sets = [load(folder) for root in options.data for folder in folders(root)]
    if not sets:
        print("Simulated crowds\n")
        print(synthetic_table(options.cache, SEEDS[:1] if options.short else SEEDS).to_string())
        return
    with pd.option_context("display.width", 200, "display.max_columns", 30, "display.precision", 4):
        table, runs = full_table(sets, options.cache)
        print("\nEvery label\n")
        for name, block in table.groupby(level="data set", sort=False):
            print(f"{name}\n{block.droplevel('data set')}\n")
        print(f"mean over {len(sets)} data sets\n{means(table)}\n")
        print(f"Fusion against each peer, exact McNemar test\n{paired_tests(runs).to_string()}\n")
        if options.output is not None:
            plot(table, runs, options.output)
        if options.short:
            return
        print("One to three labels of each task: accuracy, mean over three draws\n")
        print(few_labels_table(sets, options.cache).to_string(), "\n")
        print("Simulated crowds, mean over three draws\n")
        print(synthetic_table(options.cache, SEEDS).to_string())


if __name__ == "__main__":
    main()
