"""Train a project's classifiers: out-of-sample pred_probs for every task."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from threadpoolctl import threadpool_limits

import crowdlab_engine
from backend.jobs.labels import counted_labels, engine_labels
from backend.label_studio.controls import Question
from backend.progress import Progress, silent
from backend.store.arrays import Arrays
from backend.store.project import ProjectStore
from crowdlab_engine import (
    MultiannotatorLabels,
    NotEnoughLabels,
    majority_vote,
    out_of_sample_pred_probs,
)

log = logging.getLogger(__name__)

_DENSE_WIDTH = 4096
"""Features up to this width are given to the classifier as a dense array."""


@dataclass(frozen=True)
class TrainedClassifier:
    """One question's out-of-sample pred_probs."""

    question: Question
    tasks: NDArray[Any]
    """Ids of the N tasks, ascending."""
    pred_probs: NDArray[np.float64] | None
    """Shape (N, K); None if no classifier could be trained."""
    description: str
    """What was trained, or why nothing was."""

    def rows(self) -> Arrays:
        """Rows for the table of pred_probs."""
        if self.pred_probs is None:
            return {"task": self.tasks[:0], "probs": np.empty((0, len(self.question.classes)))}
        return {"task": self.tasks, "probs": self.pred_probs}


@dataclass(frozen=True)
class TrainedClassifiers:
    """Classifiers of all questions of a project."""

    data_version: int
    """`ProjectInfo.data_version` that they were trained on."""
    recipe: str
    """Engine version and settings that shape them."""
    questions: tuple[TrainedClassifier, ...]


def train_classifiers(
    store: ProjectStore, *, folds: int = 5, progress: Progress = silent
) -> TrainedClassifiers | None:
    """Train on what the store holds, unless that was done; None then.

    It may take long and changes nothing, so the caller need not hold the project's lock:
    labels that arrive meanwhile are counted when the result is used.
    """
    info = store.read_info()
    last = store.read_summary()
    recipe = f"crowdlab_engine={crowdlab_engine.__version__} folds={folds}"
    if info is None or (
        last is not None and last.trained_version == info.data_version and last.recipe == recipe
    ):
        return None
    tasks = store.tasks.read()
    annotations = store.annotations(len(info.questions)).read()
    matrix = _features(store, tasks, info.feature_width)
    trained = []
    for number, question in enumerate(info.questions):
        progress("Training classifiers", number, len(info.questions))
        counted = counted_labels(annotations, number)
        labels = engine_labels(tasks["task"], counted, number, question)
        pred_probs, description = _train(labels, matrix, tasks["content"], folds)
        trained.append(TrainedClassifier(question, tasks["task"], pred_probs, description))
    progress("Training classifiers", len(info.questions), len(info.questions))
    return TrainedClassifiers(info.data_version, recipe, tuple(trained))


def _features(
    store: ProjectStore, tasks: Arrays, width: int
) -> csr_array | NDArray[np.float64] | None:
    """Features of all tasks, in the order of the tasks; None if there are none."""
    rows = store.features.read()
    # A task can be deleted between the two reads.
    rows = {name: values[np.isin(rows["task"], tasks["task"])] for name, values in rows.items()}
    if not len(rows["task"]):
        return None
    position = np.searchsorted(tasks["task"], rows["task"])
    # Of hashed words most never occur; a classifier would still carry a weight for each.
    used, column = np.unique(rows["index"], return_inverse=True)
    matrix = csr_array(
        (rows["value"].astype(np.float64), (position, column)),
        shape=(len(tasks["task"]), len(used)),
    )
    return matrix.toarray() if width <= _DENSE_WIDTH else matrix


def _train(
    labels: MultiannotatorLabels,
    features: csr_array | NDArray[np.float64] | None,
    contents: NDArray[Any],
    folds: int,
) -> tuple[NDArray[np.float64] | None, str]:
    """Out-of-sample pred_probs of a classifier trained on the majority vote, and its name."""
    if features is None:
        return None, "none: the tasks hold no text or image that can be read"
    try:
        # Threads of the linear algebra only get into each other's way at these sizes.
        with threadpool_limits(limits=1):
            pred_probs = out_of_sample_pred_probs(
                features,
                majority_vote(labels),
                num_classes=labels.num_classes,
                groups=contents,
                n_splits=folds,
            )
    except NotEnoughLabels as reason:
        return None, f"none: {reason}"
    return pred_probs, "logistic regression on task features"
