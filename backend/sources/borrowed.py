"""Predictions of another model version in Label Studio, as probabilities."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.answers.forms import class_of, structured_form
from backend.label_studio.questions import Question
from backend.sources.brought import numbers_in
from backend.sources.checks import FULL, Claims
from backend.sources.report import Fault

META_NAMES = ("pred_probs", "probabilities", "probs")
"""Under which of these names full probabilities stand in `meta`."""


def borrowed_claims(predictions: Iterable[Mapping[str, Any]], question: Question) -> Claims:
    """Read what predictions say of a question; those that leave it open are passed over.

    Full probabilities can stand in the `meta` of the prediction, or of its region that answers
    the question: an object from class to number, or a list in the order of the labeling config.
    Else the answer is one class, with the region's or the prediction's score.

    Parameters
    ----------
    predictions
        As Label Studio gives them. Of several for a task the newest counts.
    """
    newest: dict[int, Mapping[str, Any]] = {}
    for prediction in sorted(predictions, key=lambda one: int(one.get("id") or 0)):
        newest[int(prediction["task"])] = prediction
    keys: list[str] = []
    places: list[str] = []
    rows: list[NDArray[np.float64]] = []
    said: list[int] = []
    faults: list[Fault] = []
    for task, prediction in sorted(newest.items()):
        found = _row_of(prediction, question)
        if found is None:
            continue
        row, code, fault = found
        keys.append(str(task))
        places.append(f"prediction {prediction.get('id')}")
        rows.append(row)
        said.append(code)
        faults.append(fault)
    width = len(question.classes)
    return Claims(
        keys,
        places,
        question.classes,
        np.array(rows).reshape(len(rows), width),
        np.asarray(said, dtype=np.int64),
        np.asarray(faults, dtype=np.int64),
    )


def _row_of(
    prediction: Mapping[str, Any], question: Question
) -> tuple[NDArray[np.float64], int, Fault] | None:
    """Probabilities, the class that is all that is said (else `FULL`), and what is wrong."""
    result = prediction.get("result")
    regions = question.regions_in(result) if isinstance(result, list) else []
    holders: list[Mapping[str, Any]] = [*regions, prediction]
    for holder in holders:
        meta = holder.get("meta")
        if isinstance(meta, Mapping):
            value = next((meta[name] for name in META_NAMES if name in meta), None)
            if value is not None:
                row, fault = numbers_in(value, question)
                return row, FULL, fault
    if not regions:
        return None
    score = next(
        (
            float(holder["score"])
            for holder in holders
            if isinstance(holder.get("score"), int | float)
            and not isinstance(holder["score"], bool)
        ),
        1.0,
    )
    width = len(question.classes)
    if not 0 <= score <= 1:
        return np.full(width, score), FULL, Fault.RANGE
    if question.type.is_set:
        answer = structured_form(question).answer_in(question, regions)
        if answer is None:
            return None
        chosen = np.array([name in answer for name in question.classes])
        return np.where(chosen, score, 1 - score), FULL, Fault.NONE
    name = class_of(question, regions)
    if name is None:
        return np.full(width, np.nan), FULL, Fault.UNKNOWN_CLASS
    row = np.full(width, (1 - score) / max(1, width - 1))
    code = question.classes.index(name)
    row[code] = score if width > 1 else 1.0
    return row, code, Fault.NONE
