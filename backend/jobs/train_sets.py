"""Train classifiers for answers that are sets of classes: one against the rest for each class."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from backend.features.matrix import FeatureMatrix
from backend.label_studio.questions import Question
from backend.store.answer_book import AnswerBook
from backend.store.arrays import Arrays
from crowdlab_engine import NotEnoughLabels, out_of_sample_pred_probs

MOST_CLASSES = 100
"""Classes up to which a classifier is trained for each."""


def train_sets(
    question: Question,
    number: int,
    counted: Arrays,
    book: AnswerBook,
    tasks: Arrays,
    features: FeatureMatrix | None,
    folds: int,
) -> tuple[NDArray[np.float64] | None, str]:
    """Out-of-sample probability that each class applies, and what was trained.

    A class is learned from the tasks where more than half of the answers hold it. One that is
    too rare, or holds for nearly all tasks, has the same probability everywhere: its share.

    Parameters
    ----------
    question
        Its answers are sets of the config's classes.
    number
        Its position.
    counted
        Annotations that count, from `counted_labels`.
    tasks
        `task`, ids of all N tasks, ascending, and `content`, hashes of what a classifier sees.
    features
        Features of all tasks; None if there are none. Tasks without any are not learnt from,
        and have the same probability of each class: its share.

    Returns
    -------
    ndarray of float64, shape (N, K), or None
        None if no classifier could be trained.
    str
        What was trained, or why nothing was.
    """
    if features is None:
        return None, "none: the tasks hold no text, number, image or sound that can be read"
    if question.is_open or len(question.classes) > MOST_CLASSES:
        return None, f"none: there is one for up to {MOST_CLASSES} classes that the config names"
    held, has_answer = _held_by_most(question, number, counted, book, tasks["task"])
    has_answer &= features.is_known
    # For so many classifiers, to try each with and without vectors of a model takes too long.
    matrix = features.without_vectors().matrix
    share = (held[has_answer].sum(axis=0) + 1) / (has_answer.sum() + 2)
    pred_probs = np.tile(share, (len(held), 1))
    num_trained, reason = 0, "nobody has answered this question"
    for code in range(len(question.classes)):
        try:
            with threadpool_limits(limits=1):
                found = out_of_sample_pred_probs(
                    matrix,
                    np.where(has_answer, held[:, code].astype(np.int64), -1),
                    num_classes=2,
                    groups=tasks["content"],
                    n_splits=folds,
                )
        except NotEnoughLabels as error:
            reason = str(error)
            continue
        pred_probs[features.is_known, code] = found[features.is_known, 1]
        num_trained += 1
    if not num_trained:
        return None, f"none: {reason}"
    learnt = f"{num_trained} of {len(question.classes)}"
    described = f"logistic regression on task features, for {learnt} classes"
    return np.clip(pred_probs, 0.0, 1.0), ". ".join([described, *features.sentences()])


def _held_by_most(
    question: Question, number: int, counted: Arrays, book: AnswerBook, tasks: NDArray[Any]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether more than half of a task's answers hold each class, and whether it has any."""
    place = np.searchsorted(tasks, counted["task"])
    num_answers = np.bincount(place, minlength=len(tasks))
    numbers, which = np.unique(counted["codes"][:, number], return_inverse=True)
    answers = book.read(numbers.tolist())
    holds = np.asarray(
        [[name in answers.get(one, ()) for name in question.classes] for one in numbers.tolist()],
        dtype=bool,
    ).reshape(len(numbers), len(question.classes))
    votes = np.stack(
        [np.bincount(place, holds[which, code], len(tasks)) for code in range(holds.shape[1])],
        axis=1,
    )
    return votes > num_answers[:, None] / 2, num_answers > 0
