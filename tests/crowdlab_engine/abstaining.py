"""Crowds whose classifiers say nothing of some tasks."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crowdlab_engine import MultiannotatorLabels


@dataclass(frozen=True, eq=False)
class PartlyPredicted:
    """Labels, and two classifiers, the second of which says nothing of some tasks."""

    labels: MultiannotatorLabels
    complete: NDArray[np.float64]
    """Shape (2, N, K)."""
    partial: NDArray[np.float64]
    """The same with rows of NaN, shape (2, N, K)."""

    @property
    def is_silent(self) -> NDArray[np.bool_]:
        """Tasks of which the second classifier says nothing, shape (N,)."""
        return np.isnan(self.partial[1]).all(axis=1)


def partly_predicted(seed: int = 0, num_tasks: int = 60, num_classes: int = 3) -> PartlyPredicted:
    """Draw a crowd of five; every tenth task has no label."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(num_classes, size=num_tasks)
    given = (rng.random((num_tasks, 5)) < 0.5) & (np.arange(num_tasks) % 10 != 0)[:, None]
    task, annotator = np.nonzero(given)
    is_right = rng.random(len(task)) < 0.75
    label = np.where(is_right, truth[task], rng.integers(num_classes, size=len(task)))
    labels = MultiannotatorLabels.from_codes(
        task, annotator, label, num_tasks=num_tasks, num_annotators=5, num_classes=num_classes
    )
    complete = rng.dirichlet(np.ones(num_classes), size=(2, num_tasks))
    complete[:, np.arange(num_tasks), truth] += 1
    complete /= complete.sum(axis=2, keepdims=True)
    partial = complete.copy()
    partial[1, rng.random(num_tasks) < 0.5] = np.nan
    return PartlyPredicted(labels, complete, partial)
