"""What a second classifier brings that says something of a part of the tasks only.

    python -m benchmarks.partial_predictions [--short]

Simulated crowds with known truth; each row is the mean over seeds. One classifier knows all tasks,
a better one a share of them, and is too sure of itself. "alone": the first classifier and the
annotators. "uniform": the second one says that all classes are as likely where it knows nothing.
"abstains": it says nothing there, and its weight does not count. "calibrated": the same, after
`crowdlab_engine.recalibration`. Log loss is of the probability of the truth.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmarks.metrics import FloatArray, IntArray
from crowdlab_engine import Crowdlab, MultiannotatorLabels
from crowdlab_engine.recalibration import recalibrate_probs

NUM_CLASSES = 4
COVERAGES = (0.1, 0.3, 0.6, 1.0)


@dataclass(frozen=True, eq=False)
class Crowd:
    """Labels, two classifiers, and the truth."""

    labels: MultiannotatorLabels
    first: FloatArray
    second: FloatArray
    """NaN where it says nothing."""
    truth: IntArray


def simulate(seed: int, num_tasks: int, coverage: float) -> Crowd:
    """Draw thirty people of whom two to four label each task."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(NUM_CLASSES, size=num_tasks)
    skill = rng.uniform(0.45, 0.85, size=30)
    size = rng.integers(2, 5, size=num_tasks)
    task = np.repeat(np.arange(num_tasks), size)
    annotator = np.concatenate([rng.choice(30, one, replace=False) for one in size])
    is_right = rng.random(len(task)) < skill[annotator]
    label = np.where(is_right, truth[task], rng.integers(NUM_CLASSES, size=len(task)))
    labels = MultiannotatorLabels.from_codes(
        task, annotator, label, num_tasks=num_tasks, num_annotators=30, num_classes=NUM_CLASSES
    )
    second = _classifier(rng, truth, 2.5) ** 3  # too sure
    second /= second.sum(axis=1, keepdims=True)
    second[rng.random(num_tasks) >= coverage] = np.nan
    return Crowd(labels, _classifier(rng, truth, 1.0), second, truth)


def _classifier(rng: np.random.Generator, truth: IntArray, strength: float) -> FloatArray:
    logits = rng.normal(size=(len(truth), NUM_CLASSES))
    logits[np.arange(len(truth)), truth] += strength
    odds: FloatArray = np.exp(logits)
    odds /= odds.sum(axis=1, keepdims=True)
    return odds


def compare(crowd: Crowd) -> list[dict[str, object]]:
    """Accuracy and log loss of each way."""
    is_silent = np.isnan(crowd.second)
    uniform = np.where(is_silent, 1 / NUM_CLASSES, crowd.second)
    calibrated = recalibrate_probs(crowd.labels, crowd.second).pred_probs
    ways = {
        "alone": crowd.first,
        "uniform": np.stack([crowd.first, uniform]),
        "abstains": np.stack([crowd.first, crowd.second]),
        "calibrated": np.stack([crowd.first, calibrated]),
    }
    rows: list[dict[str, object]] = []
    for way, probs in ways.items():
        fitted = Crowdlab(may_abstain=True, keep_posterior=True).fit(crowd.labels, probs)
        at_truth = fitted.posterior_[np.arange(len(crowd.truth)), crowd.truth]
        rows.append(
            {
                "way": way,
                "accuracy": float((fitted.consensus_label_ == crowd.truth).mean()),
                "log loss": float(-np.log(np.maximum(at_truth, 1e-6)).mean()),
                "weight of the second": float(np.atleast_1d(fitted.model_weight_)[-1])
                if way != "alone"
                else float("nan"),
            }
        )
    return rows


def table(num_tasks: int, seeds: int) -> pd.DataFrame:
    """Mean over seeds, by coverage and way."""
    rows = [
        {"coverage": coverage, **row}
        for coverage in COVERAGES
        for seed in range(seeds)
        for row in compare(simulate(seed, num_tasks, coverage))
    ]
    return pd.DataFrame(rows).groupby(["coverage", "way"], sort=False).mean()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--short", action="store_true", help="few tasks and seeds")
    short = parser.parse_args().short
    found = table(300 if short else 3000, 2 if short else 10)
    print(found.round(4).to_string())


if __name__ == "__main__":
    main()
