"""Simulated crowds of many kinds, to see where a method breaks.

Real data sets with known truth are few; these cover what they do not: spammers, biases,
copied labels, tasks that mislead everybody, few labels, many classes, rare classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.crowd_data import CrowdData
from crowdlab_engine import MultiannotatorLabels


@dataclass(frozen=True)
class Regime:
    """A kind of crowd.

    Attributes
    ----------
    num_tasks, num_annotators, num_classes : int
        Sizes N, M and K.
    labels_per_task : int
        Mean number of labels of a task; every task has one or more.
    accuracy : tuple of float
        Range of the share of right labels of an honest annotator.
    bias : float
        How much of an annotator's errors go to one class of their own, in [0, 1].
    spammers : float
        Share of annotators who label without looking: half at random, half always the same.
    copiers : float
        Share of annotators who repeat another one's label where that one labelled too.
    misleading : float
        Share of tasks that look like one other class: annotators see that class with
        probability 1/2.
    imbalance : float
        Prevalence of each class relative to the one before.
    long_tail : bool
        Whether a few annotators give most labels, and many a single one.
    """

    num_tasks: int = 500
    num_annotators: int = 50
    num_classes: int = 3
    labels_per_task: int = 5
    accuracy: tuple[float, float] = (0.55, 0.9)
    bias: float = 0.0
    spammers: float = 0.0
    copiers: float = 0.0
    misleading: float = 0.0
    imbalance: float = 1.0
    long_tail: bool = False


REGIMES = {
    "plain": Regime(),
    "one label": Regime(labels_per_task=1),
    "two labels": Regime(labels_per_task=2),
    "spammers": Regime(spammers=0.4),
    "biased": Regime(num_classes=2, bias=1.0, accuracy=(0.5, 0.9), labels_per_task=7),
    "copying": Regime(copiers=0.3),
    "misleading": Regime(misleading=0.3, labels_per_task=10, accuracy=(0.7, 0.95)),
    "24 classes": Regime(num_classes=24, num_tasks=1000, spammers=0.2),
    "rare class": Regime(num_classes=2, imbalance=0.08),
    "long tail": Regime(long_tail=True, num_annotators=400, spammers=0.2),
    "tiny": Regime(num_tasks=20, num_annotators=6),
    "experts": Regime(accuracy=(0.93, 0.99), labels_per_task=3),
    "weak": Regime(num_classes=2, accuracy=(0.5, 0.7), labels_per_task=9),
    "40 labels": Regime(num_tasks=100, labels_per_task=40, accuracy=(0.4, 0.7)),
    "mixed": Regime(
        num_classes=5, spammers=0.2, copiers=0.1, misleading=0.2, bias=0.5, imbalance=0.7
    ),
}


def simulate(name: str, regime: Regime, seed: int) -> CrowdData:
    """Draw a data set of a regime."""
    rng = np.random.RandomState(seed)
    num_classes, num_annotators = regime.num_classes, regime.num_annotators
    prevalence = regime.imbalance ** np.arange(num_classes)
    truth = rng.choice(num_classes, size=regime.num_tasks, p=prevalence / prevalence.sum())
    confusion = _confusions(regime, rng)
    activity: NDArray[np.float64] = np.ones(num_annotators)
    if regime.long_tail:
        activity = 1 / np.arange(1, num_annotators + 1) ** 1.3
    sizes = np.clip(
        rng.poisson(regime.labels_per_task - 1, regime.num_tasks) + 1, 1, num_annotators
    )
    if regime.labels_per_task == 1:
        sizes[:] = 1
    looks_like = truth.copy()
    is_misleading = rng.uniform(size=regime.num_tasks) < regime.misleading
    looks_like[is_misleading] = (
        truth[is_misleading] + rng.randint(1, num_classes, size=is_misleading.sum())
    ) % num_classes
    leader = np.arange(num_annotators)
    is_copier = rng.uniform(size=num_annotators) < regime.copiers
    leader[is_copier] = rng.randint(max(1, num_annotators // 10), size=is_copier.sum())

    rows: list[tuple[int, int, int]] = []
    for task in range(regime.num_tasks):
        chosen = rng.choice(
            num_annotators, size=sizes[task], replace=False, p=activity / activity.sum()
        )
        said: dict[int, int] = {}
        for annotator in chosen:
            source = leader[annotator]
            if source not in said:
                seen = looks_like[task] if rng.uniform() < 0.5 else truth[task]
                said[source] = int(rng.choice(num_classes, p=confusion[source, seen]))
            rows.append((task, int(annotator), said[source]))
    table = np.array(rows)
    labels = MultiannotatorLabels.from_codes(
        table[:, 0],
        table[:, 1],
        table[:, 2],
        num_tasks=regime.num_tasks,
        num_annotators=num_annotators,
        num_classes=num_classes,
    )
    return CrowdData(f"{name}/{seed}", labels, truth)


def _confusions(regime: Regime, rng: np.random.RandomState) -> NDArray[np.float64]:
    """Draw the confusion matrix of each annotator, shape (M, K, K)."""
    num_classes, num_annotators = regime.num_classes, regime.num_annotators
    right = rng.uniform(*regime.accuracy, size=num_annotators)[:, None, None]
    spread = np.full((num_annotators, num_classes, num_classes), 1 / max(num_classes - 1, 1))
    spread[:, np.arange(num_classes), np.arange(num_classes)] = 0
    favourite = rng.randint(num_classes, size=num_annotators)
    pulled = np.zeros_like(spread)
    pulled[np.arange(num_annotators), :, favourite] = 1
    errors = (1 - regime.bias) * spread + regime.bias * pulled
    confusion = right * np.eye(num_classes) + (1 - right) * errors
    is_spammer = rng.uniform(size=num_annotators) < regime.spammers
    constant = np.arange(num_annotators) % 2 == 0
    confusion[is_spammer & constant] = pulled[is_spammer & constant]
    confusion[is_spammer & ~constant] = 1 / num_classes
    return np.asarray(confusion)
