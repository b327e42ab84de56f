"""Consensus on sets of classes: simulated crowds with known truth.

    python -m benchmarks.multilabel [--short]

Each row is the mean over seeds. "exact" is the share of tasks whose set is right as a whole, F1
is per class, averaged over classes. Below, how well some joint scores of a set find the sets
that are wrong (AUROC); "chosen" is `consensus_quality_score_`, the others are from the same
qualities of single classes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from benchmarks.metrics import BoolArray, FloatArray, IntArray, auroc
from crowdlab_engine.multilabel import MultilabelAnswers, MultilabelCrowdlab


@dataclass(frozen=True)
class Regime:
    """A kind of crowd that chooses sets.

    Attributes
    ----------
    num_tasks, num_annotators, num_classes : int
    answers_per_task : int
    sensitivity : tuple of float
        Range of the probability that an honest annotator chooses a class that applies.
    false_alarms : tuple of float
        The same of a class that does not apply.
    spammers : float
        Share of annotators who choose each class by chance.
    confused : float
        Probability that an annotator takes a class for the next one, so that two classes of an
        answer are wrong at once.
    hard : float
        Share of tasks on which annotators miss twice as much and raise twice the false alarms.
    """

    num_tasks: int = 600
    num_annotators: int = 30
    num_classes: int = 8
    answers_per_task: int = 4
    sensitivity: tuple[float, float] = (0.6, 0.95)
    false_alarms: tuple[float, float] = (0.01, 0.12)
    spammers: float = 0.0
    confused: float = 0.0
    hard: float = 0.0


REGIMES = {
    "plain": Regime(),
    "two answers": Regime(answers_per_task=2),
    "spammers": Regime(spammers=0.3),
    "confused": Regime(confused=0.3),
    "hard tasks": Regime(hard=0.3),
    "40 classes": Regime(num_classes=40, false_alarms=(0.001, 0.03)),
    "everything": Regime(spammers=0.2, confused=0.2, hard=0.2, answers_per_task=5),
}

JOINT: dict[str, Callable[[FloatArray], FloatArray]] = {
    "product": lambda quality: np.prod(quality, axis=1),
    "lowest": lambda quality: np.min(quality, axis=1),
    "mean": lambda quality: np.mean(quality, axis=1),
    "two lowest": lambda quality: np.prod(np.sort(quality, axis=1)[:, :2], axis=1),
}


@dataclass(frozen=True, eq=False)
class Crowd:
    """Simulated answers with their truth."""

    task: IntArray
    annotator: IntArray
    said: BoolArray
    """Shape (L, K)."""
    truth: BoolArray
    """Shape (N, K)."""

    def answers(self) -> MultilabelAnswers:
        """The same in the engine's form."""
        return MultilabelAnswers.from_sets(
            self.task,
            self.annotator,
            [np.flatnonzero(row) for row in self.said],
            num_tasks=len(self.truth),
            num_classes=self.truth.shape[1],
            annotator_ids=np.arange(int(self.annotator.max()) + 1),
        )


def simulate(regime: Regime, seed: int) -> Crowd:
    """Draw the answers of a crowd."""
    rng = np.random.default_rng(seed)
    shape = regime.num_annotators, regime.num_classes
    prevalence = rng.uniform(0.03, 0.4, regime.num_classes) * min(1, 8 / regime.num_classes)
    truth = rng.random((regime.num_tasks, regime.num_classes)) < prevalence
    sensitivity = rng.uniform(*regime.sensitivity, shape)
    false_alarms = rng.uniform(*regime.false_alarms, shape)
    is_spammer = rng.random(regime.num_annotators) < regime.spammers
    sensitivity[is_spammer] = false_alarms[is_spammer] = rng.uniform(0.05, 0.5, (1, 1))
    task = np.repeat(np.arange(regime.num_tasks), regime.answers_per_task)
    annotator = np.concatenate(
        [
            np.sort(rng.choice(regime.num_annotators, regime.answers_per_task, replace=False))
            for _ in range(regime.num_tasks)
        ]
    )
    seen = truth[task]
    is_confused = rng.random(len(task)) < regime.confused
    seen[is_confused] = np.roll(seen[is_confused], 1, axis=1)
    hardness = 1 + (rng.random(regime.num_tasks) < regime.hard)[task][:, None]
    hit = 1 - np.minimum(0.6, (1 - sensitivity[annotator]) * hardness)
    chance = np.where(seen, hit, np.minimum(0.6, false_alarms[annotator] * hardness))
    return Crowd(task, annotator, rng.random(seen.shape) < chance, truth)


def majority(crowd: Crowd) -> BoolArray:
    """Each class that more than half of the answers hold."""
    votes = np.zeros(crowd.truth.shape)
    np.add.at(votes, crowd.task, crowd.said)
    return np.asarray(votes > np.bincount(crowd.task, minlength=len(votes))[:, None] / 2)


def best_annotator(crowd: Crowd) -> BoolArray:
    """Each task's answer by whoever is right most often, as only the truth can tell."""
    right = (crowd.said == crowd.truth[crowd.task]).all(axis=1)
    given = np.bincount(crowd.annotator)
    share = np.bincount(crowd.annotator, right) / np.maximum(given, 1)
    order = np.lexsort((share[crowd.annotator], crowd.task))
    last = np.append(np.diff(crowd.task[order]) > 0, True)
    return np.asarray(crowd.said[order[last]])


def scores_of(found: BoolArray, truth: BoolArray) -> dict[str, float]:
    """How right some consensus is."""
    return {
        "exact": float((found == truth).all(axis=1).mean()),
        "F1": float(f1_score(truth, found, average="macro", zero_division=0)),
    }


def run(seeds: range) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Consensus by regime and method, and AUROC by regime and joint score."""
    consensus, joint = [], []
    for name, regime in REGIMES.items():
        for seed in seeds:
            crowd = simulate(regime, seed)
            answers = crowd.answers()
            fitted = MultilabelCrowdlab().fit(answers)
            fused = MultilabelCrowdlab("fusion").fit(answers)
            methods: dict[str, NDArray[np.bool_]] = {
                "majority": majority(crowd),
                "best annotator": best_annotator(crowd),
                "CROWDLAB": fitted.consensus_,
                "Fusion": fused.consensus_,
            }
            for method, found in methods.items():
                scores = scores_of(found, crowd.truth)
                consensus.append({"crowd": name, "method": method, **scores})
            is_wrong = (fitted.consensus_ != crowd.truth).any(axis=1)
            found_by = {
                score: auroc(is_wrong, of(fitted.class_quality_)) for score, of in JOINT.items()
            }
            found_by["agreement"] = auroc(is_wrong, fitted.annotator_agreement_)
            found_by["chosen"] = auroc(is_wrong, fitted.consensus_quality_score_)
            is_wrong = (fused.consensus_ != crowd.truth).any(axis=1)
            found_by["Fusion: product"] = auroc(is_wrong, JOINT["product"](fused.class_quality_))
            found_by["Fusion: chosen"] = auroc(is_wrong, fused.consensus_quality_score_)
            joint.append({"crowd": name, **found_by})
    of_methods = pd.DataFrame(consensus).groupby(["crowd", "method"], sort=False).mean()
    table = of_methods.unstack("method").pipe(pd.DataFrame)
    return table, pd.DataFrame(joint).groupby("crowd", sort=False).mean()


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--short", action="store_true", help="one seed, and a smaller timing")
    arguments = parser.parse_args()
    of_methods, joint = run(range(1 if arguments.short else 10))
    print(of_methods.round(3).to_string(), end="\n\n")
    print("AUROC of joint scores\n" + joint.round(3).to_string(), end="\n\n")
    print("Mean over crowds\n" + joint.mean().round(3).to_string(), end="\n\n")
    size = 10_000 if arguments.short else 100_000
    regime = Regime(num_tasks=size // 4, num_classes=100, false_alarms=(0.001, 0.01))
    answers = simulate(regime, 0).answers()
    began, cpu = time.perf_counter(), time.process_time()
    MultilabelCrowdlab().fit(answers)
    print(
        f"{size:,} answers, 100 classes: {time.perf_counter() - began:.1f} s, "
        f"{time.process_time() - cpu:.1f} s of processor time"
    )


if __name__ == "__main__":
    main()
