"""Estimate how many labels are right, and what further ones would bring."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.jobs.labels import engine_labels, label_part
from backend.jobs.predictions import StoredPredictions
from backend.label_studio.questions import NO_LABEL
from backend.store.project import ProjectInfo, ProjectStore
from crowdlab_engine import Fusion, MultiannotatorLabels, expected_gain

SAMPLE_BLOCKS = 20
"""Blocks of tasks that the estimate is made from, spread over the project: at most 20,480
tasks, whose mean is within 0.4 per cent of that of all, 19 times of 20."""

_STEPS = 20
_FEWEST_TASKS = 50
_MOST_CELLS = 2**25
"""Cells of all confusion matrices that are worth the memory."""


@dataclass(frozen=True, eq=False)
class AccuracyEstimate:
    """Estimated shares of right labels, 0 to 1."""

    consensus: float
    """Of the stored consensus labels."""
    majority: float
    """Of a majority vote of the same labels, ties broken by lot."""
    majority_by_labels: NDArray[np.float64]
    """(V,) of a majority vote of 1 to V labels per task, drawn from those that tasks have."""
    num_further: NDArray[np.int64]
    """(G,) further labels, ascending from 0."""
    further_accuracy: NDArray[np.float64]
    """(G,) of the consensus, after so many further labels of the most doubtful tasks."""


def estimate_accuracy(
    store: ProjectStore, info: ProjectInfo, number: int
) -> AccuracyEstimate | None:
    """Estimate how many labels of a question are right.

    CROWDLAB's scores put tasks into order; their mean is too low where many annotators agree
    with a good classifier. So the probabilities are those of `crowdlab_engine.Fusion` (mean
    calibration error .05 on five real data sets, see docs/engine.md), at the consensus that is
    stored. What further labels bring is `crowdlab_engine.expected_gain`, up to one more for
    each task.

    Returns
    -------
    AccuracyEstimate or None
        None if there is no label, too many classes and annotators for the model, or answers are
        no class.
    """
    question = info.questions[number]
    if not question.type.is_class:
        return None
    numbers = store.annotations(len(info.questions)).block_numbers()
    places = np.linspace(0, len(numbers) - 1, min(SAMPLE_BLOCKS, len(numbers))).round()
    some = [numbers[place] for place in places.astype(int).tolist()]
    tasks = store.tasks.read_blocks(some)["task"]
    annotations = store.annotations(len(info.questions)).read_blocks(some)
    part = label_part(some, tasks, annotations, info.questions)
    labels = engine_labels(part.tasks, part.counted[number], number, question)
    if not labels.num_labels or labels.num_annotators * labels.num_classes**2 > _MOST_CELLS:
        return None
    predictions = StoredPredictions.read(store, number, len(question.classes))
    pred_probs = None if predictions.is_empty else predictions.mean_of(part.tasks, some)
    posterior = Fusion().fit(labels, pred_probs, part.truth[:, number]).posterior_
    rows = store.consensus(len(info.questions)).read_blocks(some)
    _, mine, theirs = np.intersect1d(part.tasks, rows["task"], return_indices=True)
    consensus = rows["label"][theirs, number]
    is_labeled = consensus != NO_LABEL
    if not is_labeled.any():
        return None
    right = float(posterior[mine[is_labeled], consensus[is_labeled]].mean())
    gain = expected_gain(labels, posterior, horizon=max(_STEPS, len(tasks)), num_steps=_STEPS)
    scale = len(numbers) / len(some)
    return AccuracyEstimate(
        consensus=right,
        majority=_vote_accuracy(labels.task, labels.label, posterior),
        majority_by_labels=_majority_by_labels(labels, posterior),
        num_further=(gain.num_labels * scale).round().astype(np.int64),
        further_accuracy=np.minimum(1.0, right + gain.accuracy - gain.accuracy[0]),
    )


def _majority_by_labels(
    labels: MultiannotatorLabels, posterior: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Accuracy of majority votes of few labels, as far as enough tasks have so many."""
    draw = np.random.default_rng(0).permutation(labels.num_labels)
    order = draw[np.argsort(labels.task[draw], kind="stable")]
    rank = np.arange(len(order)) - np.searchsorted(labels.task[order], labels.task[order])
    found = []
    for number in range(1, int(labels.num_annotations.max()) + 1):
        is_enough = labels.num_annotations >= number
        if np.count_nonzero(is_enough) < _FEWEST_TASKS:
            break
        some = order[(rank < number) & is_enough[labels.task[order]]]
        found.append(_vote_accuracy(labels.task[some], labels.label[some], posterior))
    return np.asarray(found, dtype=np.float64)


def _vote_accuracy(
    task: NDArray[np.int64], label: NDArray[np.int64], posterior: NDArray[np.float64]
) -> float:
    """Mean probability of the most frequent class of each task, tied ones being equal."""
    num_tasks, num_classes = posterior.shape
    cell, votes = np.unique(task * num_classes + label, return_counts=True)
    task, label = np.divmod(cell, num_classes)
    most = np.zeros(num_tasks, dtype=np.int64)
    np.maximum.at(most, task, votes)
    is_top = votes == most[task]
    tied = np.bincount(task[is_top], minlength=num_tasks)
    probability = posterior[task[is_top], label[is_top]] / tied[task[is_top]]
    return float(probability.sum() / np.count_nonzero(tied))
