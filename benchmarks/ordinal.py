"""Consensus and expected value where classes are numbers: simulated crowds with known truth.

    python -m benchmarks.ordinal [--short]

Annotators see the true number with an offset and a spread of their own, and say the nearest
number that there is. Each row is the mean over seeds: "right" is the share of tasks with the true
number, RMSE and MAE are errors of what each method says, AUROC tells how well the consensus
quality finds the tasks whose consensus is wrong, "far" those that are wrong by two or more, and
"ceiling" how well the probability finds them that follows from the true spreads and offsets.
"expected value" is what pages show; "posterior" the mean of a posterior that knows no order.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from benchmarks.metrics import FloatArray, IntArray, auroc
from crowdlab_engine import Crowdlab, Fusion, MultiannotatorLabels
from crowdlab_engine.majority import majority_vote
from crowdlab_engine.ordinal import expected_values, literal
from crowdlab_engine.posterior import posterior
from crowdlab_engine.pred_probs import PredProbs
from crowdlab_engine.weights import Weights


@dataclass(frozen=True)
class Regime:
    """A kind of crowd that rates.

    Attributes
    ----------
    num_tasks, num_annotators, num_values : int
    labels_per_task : int
    spread : tuple of float
        Range of the standard deviation of an annotator, in steps between numbers.
    offset : float
        Standard deviation of the annotators' offsets.
    spammers : float
        Share of annotators who say any number.
    """

    num_tasks: int = 800
    num_annotators: int = 30
    num_values: int = 5
    labels_per_task: int = 4
    spread: tuple[float, float] = (0.3, 1.0)
    offset: float = 0.0
    spammers: float = 0.0


REGIMES = {
    "plain": Regime(),
    "two labels": Regime(labels_per_task=2),
    "spammers": Regime(spammers=0.3),
    "offsets": Regime(offset=0.4),
    "eleven": Regime(num_values=11, spread=(0.3, 1.5)),
    "everything": Regime(num_values=7, spammers=0.2, offset=0.3, labels_per_task=5),
}


@dataclass(frozen=True, eq=False)
class Ratings:
    """Simulated labels with their truth; numbers are 0 to K - 1."""

    labels: MultiannotatorLabels
    truth: FloatArray
    """Shape (N,)."""
    chance: FloatArray
    """Of each annotator to say a number (last axis) of each true one, shape (M, K, K)."""

    def true_posterior(self) -> FloatArray:
        """Probability of each number of each task, for who knows the annotators, shape (N, K)."""
        said = self.labels
        log = np.zeros((len(self.truth), self.chance.shape[1]))
        likelihood = np.maximum(self.chance[said.annotator, :, said.label], 1e-300)
        np.add.at(log, said.task, np.log(likelihood))
        weight: FloatArray = np.exp(log - log.max(axis=1, keepdims=True))
        weight /= weight.sum(axis=1, keepdims=True)
        return weight


def simulate(regime: Regime, seed: int) -> Ratings:
    """Draw labels and the true numbers."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, regime.num_values, regime.num_tasks)
    spread = rng.uniform(*regime.spread, regime.num_annotators)
    offset = rng.normal(0, regime.offset, regime.num_annotators)
    task = np.repeat(np.arange(regime.num_tasks), regime.labels_per_task)
    annotator = np.concatenate(
        [
            rng.choice(regime.num_annotators, regime.labels_per_task, replace=False)
            for _ in range(regime.num_tasks)
        ]
    )
    seen = truth[task] + offset[annotator] + spread[annotator] * rng.normal(size=len(task))
    said = np.clip(np.rint(seen), 0, regime.num_values - 1).astype(np.int64)
    is_spammer = rng.random(regime.num_annotators) < regime.spammers
    is_spam = is_spammer[annotator]
    said[is_spam] = rng.integers(0, regime.num_values, is_spam.sum())
    labels = MultiannotatorLabels.from_codes(
        task, annotator, said, num_tasks=regime.num_tasks, num_classes=regime.num_values
    )
    chance = _chances(np.arange(regime.num_values), offset, spread)
    chance[is_spammer] = 1 / regime.num_values
    return Ratings(labels, truth.astype(np.float64), chance)


def _chances(values: IntArray, offset: FloatArray, spread: FloatArray) -> FloatArray:
    """Probability that the nearest number to what is seen is each one, shape (M, K, K)."""
    edges = np.concatenate([[-np.inf], values[:-1] + 0.5, [np.inf]])
    seen = values[None, :, None] + offset[:, None, None]
    chances: FloatArray = np.diff(norm.cdf((edges - seen) / spread[:, None, None]), axis=2)
    return chances


def run(seeds: range) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Errors by crowd and method, and AUROC by crowd and method."""
    errors, found = [], []
    for name, regime in REGIMES.items():
        for seed in seeds:
            ratings = simulate(regime, seed)
            labels, truth = ratings.labels, ratings.truth
            per_task = labels.label.reshape(regime.num_tasks, regime.labels_per_task)
            values = np.arange(regime.num_values)
            said: dict[str, FloatArray] = {
                "majority": majority_vote(labels).astype(np.float64),
                "mean": per_task.mean(axis=1),
                "median": np.median(per_task, axis=1),
            }
            for method, model in (
                ("Crowdlab", Crowdlab(keep_posterior=True)),
                ("Fusion", Fusion()),
            ):
                fitted = model.fit(labels)
                consensus = fitted.consensus_label_.astype(np.float64)
                said[method] = consensus
                said[f"{method} posterior"] = expected_values(fitted.posterior_, values)
                if method == "Crowdlab":
                    weights = Weights(np.empty(0), fitted.annotator_weight_, 0.0, 0.0)
                    literally = posterior(labels, PredProbs.none(), literal(weights))
                    said["expected value"] = expected_values(literally, values)
                quality = fitted.consensus_quality_score_
                far = np.abs(consensus - truth) >= 2
                found.append(
                    {
                        "crowd": name,
                        "method": method,
                        "AUROC": auroc(consensus != truth, quality),
                        "AUROC far": auroc(far, quality),
                    }
                )
                best = ratings.true_posterior()[np.arange(len(truth)), fitted.consensus_label_]
                ceiling = {"crowd": name, "method": f"{method}: ceiling"}
                found.append({**ceiling, "AUROC": auroc(consensus != truth, best)})
            for way, numbers in said.items():
                errors.append(
                    {
                        "crowd": name,
                        "method": way,
                        "right": float((np.rint(numbers) == truth).mean()),
                        "RMSE": float(np.sqrt(np.mean((numbers - truth) ** 2))),
                        "MAE": float(np.abs(numbers - truth).mean()),
                    }
                )
    return _mean(errors), _mean(found)


def _mean(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Mean over seeds, a row per method, a column per measure and crowd."""
    means = pd.DataFrame(rows).groupby(["method", "crowd"], sort=False).mean()
    return means.unstack("crowd").pipe(pd.DataFrame)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--short", action="store_true", help="one seed")
    arguments = parser.parse_args()
    of_methods, of_quality = run(range(1 if arguments.short else 10))
    for measure in ("right", "RMSE", "MAE"):
        print(f"{measure}\n{of_methods[measure].round(3).to_string()}\n")
    print(of_quality.round(3).to_string())


if __name__ == "__main__":
    main()
