"""Probabilities that stand in the data of a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.label_studio.questions import Question
from backend.sources.checks import row_fault
from backend.sources.report import Fault


def takes_predictions(question: Question) -> bool:
    """Whether a classifier's probabilities say something of a question's answers."""
    return question.type.is_class or (question.type.is_set and not question.is_open)


def brought_probs(
    value: Any, question: Question, questions: Sequence[Question]
) -> tuple[NDArray[np.float64], Fault] | None:
    """Read the probabilities of one task for a question.

    Parameters
    ----------
    value
        What stands in the task's data: a list, one number per class in the order of the labeling
        config; or an object, class to number; or an object, question to either.
    question
        Whose probabilities are wanted.
    questions
        All of the project. Without the name of a question, the value is for the only one that
        takes probabilities, or for those whose classes it names.

    Returns
    -------
    tuple or None
        Probabilities in the order of the classes, shape (K,), NaN if something is wrong with
        them, and what; None if nothing is said of the question.
    """
    if value is None or not takes_predictions(question):
        return None
    if isinstance(value, Mapping) and any(one.name in value for one in questions):
        value = value.get(question.name)
        if value is None:
            return None
    elif sum(takes_predictions(one) for one in questions) > 1 and not (
        isinstance(value, Mapping) and any(name in value for name in question.classes)
    ):
        return None
    row, fault = numbers_in(value, question)
    if fault is Fault.NONE:
        fault = row_fault(row, is_set=question.type.is_set)
    if fault is not Fault.NONE:
        return np.full(len(question.classes), np.nan), fault
    row = np.clip(row, 0.0, 1.0)
    return (row if question.type.is_set else row / row.sum()), Fault.NONE


def numbers_in(value: Any, question: Question) -> tuple[NDArray[np.float64], Fault]:
    """Numbers in the order of the classes, as they stand in JSON, and what is wrong with them.

    Parameters
    ----------
    value
        A list of them, or an object from class to number, 0 for those that it leaves out.

    Returns
    -------
    ndarray of float64, shape (K,)
        NaN if something is wrong; sum and range are checked elsewhere.
    Fault
        What it is.
    """
    nothing = np.full(len(question.classes), np.nan)
    if isinstance(value, Mapping):
        if any(name not in question.classes for name in value):
            return nothing, Fault.UNKNOWN_CLASS
        numbers = [value.get(name, 0.0) for name in question.classes]
    elif isinstance(value, list):
        if len(value) != len(question.classes):
            return nothing, Fault.LENGTH
        numbers = value
    else:
        return nothing, Fault.NO_NUMBER
    if any(isinstance(one, bool) or not isinstance(one, int | float) for one in numbers):
        return nothing, Fault.NO_NUMBER
    try:
        return np.asarray([float(one) for one in numbers]), Fault.NONE
    except OverflowError:
        return nothing, Fault.RANGE
