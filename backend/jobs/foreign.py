"""Predictions of other classifiers, as out-of-sample pred_probs that can be counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.label_studio.questions import Question
from backend.sources.brought import takes_predictions
from backend.sources.checks import FULL
from backend.sources.report import Fault
from backend.store.arrays import Arrays
from backend.store.prediction_sources import TASK_DATA, PredictionSource
from backend.store.project import ProjectInfo, ProjectStore
from backend.store.tables import select
from crowdlab_engine import MultiannotatorLabels
from crowdlab_engine.recalibration import recalibrate_probs, recalibrate_scores


@dataclass(frozen=True)
class ForeignClassifier:
    """What another classifier says of a question."""

    name: str
    rows: Arrays
    """`task`, ascending, and calibrated `probs`, (N, K)."""
    calibration: str
    """How its probabilities were calibrated, in words."""


def foreign_recipe(store: ProjectStore, info: ProjectInfo) -> str:
    """What the other classifiers are; empty if there are none."""
    parts = [store.prediction_sources.fingerprint()]
    if info.pred_probs_key:
        parts.append(f"data:{info.pred_probs_key}")
    return "+".join(part for part in parts if part)


def foreign_classifiers(
    store: ProjectStore,
    number: int,
    question: Question,
    labels: MultiannotatorLabels | None,
    contents: NDArray[Any],
    tasks: NDArray[np.int64],
) -> list[ForeignClassifier]:
    """Other classifiers of a question, calibrated on the annotators' labels out of sample.

    Parameters
    ----------
    number
        Position of the question.
    labels
        Labels of the N tasks; None if answers are no class, so that nothing is calibrated.
    contents
        Hashes of what a classifier sees of each task, (N,).
    tasks
        Ids of the tasks, ascending, (N,).
    """
    if not takes_predictions(question):
        return []
    found: list[tuple[str, Arrays]] = []
    brought = store.brought(number, len(question.classes)).read()
    brought = select(brought, brought["fault"] == Fault.NONE)
    if len(brought["task"]):
        found.append((TASK_DATA, {**brought, "said": np.full(len(brought["task"]), FULL)}))
    for source in store.prediction_sources.all():
        if source.question == question.name:
            rows = store.prediction_sources.table(source).read()
            found.append((source.name, _of_classes(rows, source, question)))
    some = ((name, select(rows, np.isin(rows["task"], tasks))) for name, rows in found)
    return [
        _calibrated(name, rows, labels, contents, tasks) for name, rows in some if len(rows["task"])
    ]


def _of_classes(rows: Arrays, source: PredictionSource, question: Question) -> Arrays:
    """Probabilities in the order of the question's classes, which others may have become."""
    probs = np.zeros((len(rows["task"]), len(question.classes)))
    place = {name: code for code, name in enumerate(question.classes)}
    code_of = np.full(len(source.classes) + 1, FULL)
    for column, name in enumerate(source.classes):
        if name in place:
            probs[:, place[name]] = rows["probs"][:, column]
            code_of[column] = place[name]
    said = code_of[rows["said"]]
    is_there: NDArray[np.bool_] = (said != FULL) == (rows["said"] != FULL)
    if not question.type.is_set:
        total = probs.sum(axis=1, keepdims=True)
        is_there &= total[:, 0] > 0
        probs = np.divide(probs, total, out=probs, where=total > 0)
    return select({**rows, "probs": probs, "said": said}, is_there)


def _calibrated(
    name: str,
    rows: Arrays,
    labels: MultiannotatorLabels | None,
    contents: NDArray[Any],
    tasks: NDArray[np.int64],
) -> ForeignClassifier:
    raw: Arrays = {"task": rows["task"], "probs": rows["probs"]}
    if labels is None or not labels.num_labels:
        return ForeignClassifier(name, raw, "not calibrated")
    place = np.searchsorted(tasks, rows["task"])
    said = rows["said"]
    is_score: NDArray[np.bool_] = said != FULL
    words: list[str] = []
    probs = np.array(rows["probs"], dtype=np.float64)
    if not is_score.all():
        every = np.full((len(tasks), probs.shape[1]), np.nan)
        every[place[~is_score]] = probs[~is_score]
        scaled = recalibrate_probs(labels, every, groups=contents)
        probs[~is_score] = scaled.pred_probs[place[~is_score]]
        words.append(
            f"temperature {scaled.temperature:.2f}"
            if scaled.temperature is not None
            else "not calibrated: too few labelled tasks"
        )
    if is_score.any():
        code = np.full(len(tasks), -1, dtype=np.int64)
        code[place[is_score]] = said[is_score]
        score = np.zeros(len(tasks))
        score[place[is_score]] = probs[is_score, said[is_score]]
        risen = recalibrate_scores(labels, code, score, groups=contents)
        probs[is_score] = risen.pred_probs[place[is_score]]
        words.append(
            "isotonic regression on scores"
            if risen.is_calibrated
            else "scores not calibrated: too few labelled tasks"
        )
    return ForeignClassifier(name, {"task": rows["task"], "probs": probs}, ", ".join(words))
