"""Train a project's classifiers: out-of-sample pred_probs for every task."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

import crowdlab_engine
from backend.features.matrix import FeatureMatrix, feature_matrix
from backend.features.models import NONE, Models
from backend.jobs.foreign import ForeignClassifier, foreign_classifiers, foreign_recipe
from backend.jobs.labels import counted_labels, engine_labels
from backend.jobs.train_sets import train_sets
from backend.jobs.vocabulary import known_codes
from backend.label_studio.questions import Question
from backend.progress import Progress, silent
from backend.store.arrays import Arrays
from backend.store.prediction_sources import OWN
from backend.store.project import ProjectInfo, ProjectStore, Summary
from crowdlab_engine import (
    Crowdlab,
    MultiannotatorLabels,
    NotEnoughLabels,
    Portfolio,
    TrainedPortfolio,
)

log = logging.getLogger(__name__)

WITH_VECTORS = " with a model's vectors"
"""End of the name of a classifier that learns from vectors of a model on disk, too."""

_REST = 10
"""While people are labelling, training takes no more than one part in so many of the time."""


@dataclass(frozen=True)
class TrainedClassifier:
    """One question's out-of-sample pred_probs."""

    question: Question
    tasks: NDArray[Any]
    """Ids of N tasks, ascending: of those of which a classifier says something."""
    pred_probs: NDArray[np.float64] | None
    """Shape (N, K); None if no classifier could be trained."""
    description: str
    """What was trained, or why nothing was."""
    name: str = ""
    """Which of the portfolio was chosen; empty if nothing was trained."""
    others: tuple[ForeignClassifier, ...] = ()
    """Classifiers that somebody else has trained."""

    def rows(self) -> dict[str, Arrays]:
        """Rows for the table of pred_probs of each classifier, by its name."""
        found: dict[str, Arrays] = {}
        if self.pred_probs is not None:
            found[OWN] = {"task": self.tasks, "probs": self.pred_probs}
        return found | {one.name: one.rows for one in self.others}


@dataclass(frozen=True)
class TrainedClassifiers:
    """Classifiers of all questions of a project."""

    data_version: int
    """`ProjectInfo.data_version` that they were trained on."""
    recipe: str
    """Engine version and settings that shape them."""
    questions: tuple[TrainedClassifier, ...]
    seconds: float = 0.0
    """CPU seconds that it took."""
    is_complete: bool = True
    """All of the portfolio were tried, not only those chosen before."""


def train_classifiers(
    store: ProjectStore,
    *,
    folds: int = 5,
    seconds: float = 60.0,
    models: Models = NONE,
    is_busy: bool = False,
    progress: Progress = silent,
) -> TrainedClassifiers | None:
    """Train on what the store holds, and take in others' predictions; None if that was done.

    It may take long and changes nothing, so the caller need not hold the project's lock:
    labels that arrive meanwhile are counted when the result is used.

    What is learnt is CROWDLAB's consensus of the annotators alone, each task weighted by its
    quality. That of the last recompute would hand a classifier its own mistakes back, and
    results would depend on what was computed before.

    Parameters
    ----------
    folds
        Of the cross-validation.
    seconds
        CPU seconds that it may take, all questions together.
    models
        Those by which the project's contents were described.
    is_busy
        People are labelling, so it is soon to be done again: then only what was chosen
        before is trained, and not before ten times the seconds of the last training have
        passed. The whole portfolio is tried when it is not busy.
    """
    info = store.read_info()
    last = store.read_summary()
    own_recipe = f"crowdlab_engine={crowdlab_engine.__version__} folds={folds} seconds={seconds:g}"
    if models.recipe:
        own_recipe += f" {models.recipe}"
    recipe = own_recipe
    if info is not None and (foreign := foreign_recipe(store, info)):
        recipe += f" sources={foreign}"
    if info is None or (last is not None and _is_good(last, info, recipe, is_busy=is_busy)):
        return None
    began = time.process_time()
    tasks = store.tasks.read()
    annotations = known_codes(store.annotations(len(info.questions)).read(), info.questions)
    kept = _own_again(store, info, last, own_recipe)
    if kept is not None:
        others = [
            _others(store, number, one, annotations, tasks) for number, one in enumerate(kept)
        ]
        assert last is not None
        return TrainedClassifiers(
            info.data_version,
            recipe,
            tuple(replace(one, others=some) for one, some in zip(kept, others, strict=True)),
            seconds=last.training_seconds,
        )
    features = feature_matrix(store, info, tasks["task"], models)
    media = store.read_media()
    missing = media.sentences() if media else []
    left_out = [] if features is None else features.sentences()
    previous = _previous_names(last, info)
    trained: list[TrainedClassifier] = []
    for number, question in enumerate(info.questions):
        progress("Training classifiers", number, len(info.questions))
        if question.type.is_set:
            counted = counted_labels(annotations, number)
            of_sets = train_sets(
                question, number, counted, store.answer_book, tasks, features, folds
            )
            trained.append(TrainedClassifier(question, tasks["task"], *of_sets))
            continue
        if not question.type.is_class:
            reason = "none: there is no classifier for answers of this form"
            trained.append(TrainedClassifier(question, tasks["task"], None, reason))
            continue
        counted = counted_labels(annotations, number)
        labels = engine_labels(tasks["task"], counted, number, question)
        left = began + seconds - time.process_time()
        found = _train(
            labels,
            features,
            tasks["content"],
            previous[number],
            folds=folds,
            seconds=max(left / (len(info.questions) - number), 1e-3),
            is_busy=is_busy,
        )
        if isinstance(found, str):
            described = ". ".join([f"none: {found}", *missing]).removesuffix(".")
            trained.append(TrainedClassifier(question, tasks["task"], None, described))
        else:
            described = ". ".join([str(found), *left_out, *missing]).removesuffix(".")
            known = tasks["task"] if features is None else tasks["task"][features.is_known]
            trained.append(
                TrainedClassifier(question, known, found.pred_probs, described, found.name)
            )
    progress("Training classifiers", len(info.questions), len(info.questions))
    return TrainedClassifiers(
        info.data_version,
        recipe,
        tuple(
            replace(one, others=_others(store, number, one, annotations, tasks))
            for number, one in enumerate(trained)
        ),
        seconds=time.process_time() - began,
        is_complete=not (is_busy and any(previous)),
    )


def _own_again(
    store: ProjectStore, info: ProjectInfo, last: Summary | None, recipe: str
) -> list[TrainedClassifier] | None:
    """Own classifiers as they are stored, if only what others say has changed; else None."""
    if last is None or not last.is_complete or last.trained_version != info.data_version:
        return None
    if last.recipe.partition(" sources=")[0] != recipe:
        return None
    if [one.name for one in last.questions] != [one.name for one in info.questions]:
        return None
    found = []
    for number, (question, known) in enumerate(zip(info.questions, last.questions, strict=True)):
        rows = store.pred_probs(number, len(question.classes)).read()
        probs = rows["probs"] if len(rows["task"]) else None
        found.append(
            TrainedClassifier(
                question, rows["task"], probs, known.classifier, known.classifier_name
            )
        )
    return found


def _others(
    store: ProjectStore, number: int, own: TrainedClassifier, annotations: Arrays, tasks: Arrays
) -> tuple[ForeignClassifier, ...]:
    labels = None
    if own.question.type.is_class:
        counted = counted_labels(annotations, number)
        labels = engine_labels(tasks["task"], counted, number, own.question)
    return tuple(
        foreign_classifiers(store, number, own.question, labels, tasks["content"], tasks["task"])
    )


def _is_good(last: Summary, info: ProjectInfo, recipe: str, *, is_busy: bool) -> bool:
    """Whether what was trained last is good enough for now."""
    if last.recipe != recipe:
        return False
    if not is_busy:
        return last.trained_version == info.data_version and last.is_complete
    is_rested = time.time() - last.trained_at >= _REST * last.training_seconds
    return last.trained_version == info.data_version or not is_rested


def _previous_names(last: Summary | None, info: ProjectInfo) -> Sequence[str]:
    """Which classifier was chosen for each question; empty if none was."""
    known = {} if last is None else {one.name: one.classifier_name for one in last.questions}
    return [known.get(question.name, "") for question in info.questions]


def _train(
    labels: MultiannotatorLabels,
    features: FeatureMatrix | None,
    contents: NDArray[Any],
    previous: str,
    *,
    folds: int,
    seconds: float,
    is_busy: bool,
) -> TrainedPortfolio | str:
    """Train on the consensus of the annotators, or say why nothing is trained.

    Tasks without any feature are left out: they would look all alike to a classifier. Whether
    the vectors of a model on disk help is told, out of sample, by training without them as well.
    """
    if features is None:
        return "the tasks hold no text, number, image or sound that can be read"
    if not labels.num_labels:
        return "nobody has answered this question"
    known = np.flatnonzero(features.is_known)
    if not labels.num_annotations[known].any():
        return "none of the tasks with an answer holds anything that can be read"
    alone = Crowdlab().fit(labels)
    forms = {"": features.without_vectors(), WITH_VECTORS: features}
    if not features.is_vector.any():
        del forms[WITH_VECTORS]
    elif is_busy and previous:
        kept = WITH_VECTORS if previous.endswith(WITH_VECTORS) else ""
        forms = {kept: forms[kept]}
    found: list[TrainedPortfolio] = []
    try:
        for suffix, form in forms.items():
            # Without vectors there is as much time as if there were no model.
            left = max(seconds - sum(one.seconds for one in found), 1e-3)
            portfolio = Portfolio(form.is_count, seconds=left, n_splits=folds)
            # Threads of the linear algebra only get into each other's way at these sizes.
            with threadpool_limits(limits=1):
                trained = portfolio.train(
                    form.matrix[known],
                    labels.take(known),
                    alone.consensus_label_[known],
                    sample_weight=np.nan_to_num(alone.consensus_quality_score_)[known],
                    groups=contents[known],
                    previous=previous.removesuffix(WITH_VECTORS),
                    only_previous=is_busy,
                )
            found.append(replace(trained, name=trained.name + suffix))
    except NotEnoughLabels as reason:
        return str(reason)
    return min(found, key=lambda one: one.log_loss)
