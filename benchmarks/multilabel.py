"""Consensus on sets of classes: simulated crowds with known truth.

    python -m benchmarks.multilabel [--short]

Each row is the mean over seeds. "exact" is the share of tasks whose set is right as a whole, F1
is per class, averaged over classes. Below, how well some joint scores of a set find the sets
that are wrong (AUROC); "chosen" is `consensus_quality_score_`, the others are from the
qualities of single classes, and "ceiling" is the probability of the set for who knows how each
annotator errs, and how often.
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
    regime: Regime
    prevalence: FloatArray
    """Of each class, shape (K,)."""
    sensitivity: FloatArray
    """Of each annotator to each class, shape (M, K)."""
    false_alarms: FloatArray
    """Shape (M, K)."""

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
    said = rng.random(seen.shape) < chance
    return Crowd(task, annotator, said, truth, regime, prevalence, sensitivity, false_alarms)


def ceiling(crowd: Crowd, found: BoolArray) -> FloatArray:
    """Probability that each set found is right, for who knows how all was drawn, shape (N,)."""
    regime = crowd.regime
    of_found, of_all = [], []
    for share, factor in ((1 - regime.hard, 1), (regime.hard, 2)):
        if share:
            hit = 1 - np.minimum(0.6, (1 - crowd.sensitivity) * factor)[crowd.annotator]
            alarm = np.minimum(0.6, crowd.false_alarms * factor)[crowd.annotator]
            seen = np.log(np.where(crowd.said, hit, 1 - hit))
            unseen = np.log(np.where(crowd.said, alarm, 1 - alarm))
            likely = _likely_sets if regime.confused else _likely_classes
            log_found, log_all = likely(crowd, found, seen, unseen)
            of_found.append(np.log(share) + log_found)
            of_all.append(np.log(share) + log_all)
    difference: FloatArray = np.logaddexp.reduce(of_found) - np.logaddexp.reduce(of_all)
    return np.exp(difference)


def _likely_classes(
    crowd: Crowd, found: BoolArray, seen: FloatArray, unseen: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Log-probability of what is said with the set found, and with any, where classes do not mix.

    Parameters
    ----------
    seen, unseen
        Log-probability of what each answer says of each class, if it is seen, and if not.
    """
    log = np.zeros((2, *found.shape))
    np.add.at(log[1], crowd.task, seen)
    np.add.at(log[0], crowd.task, unseen)
    log += np.log([1 - crowd.prevalence, crowd.prevalence])[:, None]
    of_found: FloatArray = np.where(found, log[1], log[0]).sum(axis=1)
    of_all: FloatArray = np.logaddexp(log[0], log[1]).sum(axis=1)
    return of_found, of_all


def _likely_sets(
    crowd: Crowd, found: BoolArray, seen: FloatArray, unseen: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """The same where annotators take classes for others, so that all sets have to be looked at."""
    num_classes = found.shape[1]
    sets = (np.arange(2**num_classes)[:, None] >> np.arange(num_classes) & 1).astype(bool)
    log = np.zeros((len(found), len(sets)))
    as_it_is, confused = (
        seen @ some.T + unseen @ ~some.T for some in (sets, np.roll(sets, 1, axis=1))
    )
    share = crowd.regime.confused
    np.add.at(log, crowd.task, np.logaddexp(np.log1p(-share) + as_it_is, np.log(share) + confused))
    log += np.where(sets, np.log(crowd.prevalence), np.log1p(-crowd.prevalence)).sum(axis=1)
    place = found @ (1 << np.arange(num_classes))
    return log[np.arange(len(found)), place], np.logaddexp.reduce(log, axis=1)


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
            found_by["ceiling"] = auroc(is_wrong, ceiling(crowd, fitted.consensus_))
            is_wrong = (fused.consensus_ != crowd.truth).any(axis=1)
            found_by["Fusion: product"] = auroc(is_wrong, JOINT["product"](fused.class_quality_))
            found_by["Fusion: chosen"] = auroc(is_wrong, fused.consensus_quality_score_)
            found_by["Fusion: ceiling"] = auroc(is_wrong, ceiling(crowd, fused.consensus_))
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
