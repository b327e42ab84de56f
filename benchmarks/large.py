"""Crowds of any size, drawn by a seed: labels sorted by task, and a classifier's guesses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Size:
    """How large a crowd is."""

    num_tasks: int
    num_annotators: int
    num_classes: int
    labels_per_task: tuple[int, int]
    """Fewest and most labels of a task, drawn evenly."""

    def __str__(self) -> str:
        fewest, most = self.labels_per_task
        labels = f"{fewest}" if fewest == most else f"{fewest}–{most}"
        return (
            f"{self.num_tasks:,} tasks × {labels} labels, {self.num_annotators:,} annotators, "
            f"{self.num_classes} classes"
        )


@dataclass(frozen=True)
class LargeCrowd:
    """Labels in long form, as codes, and out-of-sample `pred_probs`."""

    size: Size
    task: NDArray[np.int64]
    annotator: NDArray[np.int64]
    label: NDArray[np.int64]
    pred_probs: NDArray[np.float64]

    def wide(self) -> NDArray[np.float64]:
        """Return labels as an array of tasks by annotators, NaN where there is none."""
        matrix = np.full((self.size.num_tasks, self.size.num_annotators), np.nan)
        matrix[self.task, self.annotator] = self.label
        return matrix


def draw(size: Size, seed: int = 0) -> LargeCrowd:
    """Draw a crowd whose annotators are right in 40 to 95 of 100 labels."""
    random = np.random.default_rng(seed)
    truth = random.integers(size.num_classes, size=size.num_tasks)
    fewest, most = size.labels_per_task
    counts = random.integers(fewest, most + 1, size.num_tasks)
    task = np.repeat(np.arange(size.num_tasks), counts)
    slot = np.arange(len(task)) - np.repeat(np.cumsum(counts) - counts, counts)
    # Steps of one size from a random start never meet the same annotator twice.
    start = random.integers(size.num_annotators, size=size.num_tasks)
    step = random.integers(1, max(2, size.num_annotators // most), size.num_tasks)
    annotator = (start[task] + slot * step[task]) % size.num_annotators
    cell = np.sort(task * size.num_annotators + annotator)
    annotator = cell % size.num_annotators
    skill = random.uniform(0.4, 0.95, size.num_annotators)
    is_right = random.random(len(task)) < skill[annotator]
    label = np.where(is_right, truth[task], random.integers(size.num_classes, size=len(task)))
    probs = random.dirichlet(np.full(size.num_classes, 0.5), size.num_tasks)
    probs[np.arange(size.num_tasks), truth] += random.uniform(0, 1.5, size.num_tasks)
    probs /= probs.sum(axis=1, keepdims=True)
    return LargeCrowd(size, task, annotator, label, probs)
