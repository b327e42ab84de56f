"""Simulated crowds with known truth, for tests of models."""

import numpy as np

from crowdlab_engine import MultiannotatorLabels


class Crowd:
    """Tasks whose labels follow given confusion matrices.

    Parameters
    ----------
    confusion : ndarray, shape (M, K, K)
        Probability of each label given the true class, of each annotator.
    """

    def __init__(
        self,
        confusion: np.ndarray,
        num_tasks: int,
        labels_per_task: int,
        seed: int = 0,
        prevalence: np.ndarray | None = None,
    ) -> None:
        rng = np.random.RandomState(seed)
        num_annotators, num_classes, _ = confusion.shape
        self.truth = rng.choice(num_classes, size=num_tasks, p=prevalence)
        chosen = np.array(
            [rng.permutation(num_annotators)[:labels_per_task] for _ in range(num_tasks)]
        )
        task, annotator = np.repeat(np.arange(num_tasks), labels_per_task), chosen.ravel()
        cumulative = confusion[annotator, self.truth[task]].cumsum(axis=1)
        label = (rng.uniform(size=(len(task), 1)) > cumulative).sum(axis=1)
        self.labels = MultiannotatorLabels.from_codes(
            task,
            annotator,
            np.minimum(label, num_classes - 1),
            num_tasks=num_tasks,
            num_annotators=num_annotators,
            num_classes=num_classes,
        )

    def accuracy(self, consensus: np.ndarray) -> float:
        return float((consensus == self.truth).mean())


def one_coins(accuracies: list[float], num_classes: int) -> np.ndarray:
    """Confusion matrices of annotators who err evenly."""
    right = np.array(accuracies)[:, None, None]
    others = (1 - np.eye(num_classes)) / (num_classes - 1)
    return right * np.eye(num_classes) + (1 - right) * others
