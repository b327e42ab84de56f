"""One task: who said what, how good each label is, and why the consensus is what it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.answers.likeness import agrees, likeness_of_codes
from backend.answers.words import answer_words
from backend.errors import UnknownTaskError
from backend.insights.levels import Level, levels_of_path, levels_of_paths
from backend.insights.lookup import known_project
from backend.insights.names import AnnotatorNames
from backend.insights.weights import QuestionWeights
from backend.jobs.answer_regions import AnswerRegions
from backend.jobs.labels import counted_labels
from backend.jobs.predictions import StoredPredictions
from backend.label_studio.questions import NO_LABEL, AnswerType, Question
from backend.service import Service
from backend.store.arrays import Arrays
from backend.store.prediction_sources import OWN
from backend.store.project import ProjectInfo, ProjectStore
from backend.store.tables import select
from crowdlab_engine.explanation import contributions

CURRENT_WITHIN = 1e-12
"""A stored quality that is no farther from the sum of contributions is of the same weights."""


@dataclass(frozen=True)
class TaskLabel:
    """What one annotator said of the task."""

    annotation: int
    annotator: int
    name: str
    """E-mail address of the annotator, or `annotator` and the id."""
    label: str
    quality: float | None
    """Label quality score, 0 to 1, higher is better; None until the next recompute."""
    likeness: float
    """How alike it is to the consensus, 0 to 1; a class is either equal or not alike at all."""
    agrees: bool
    """Whether it is as alike to the consensus as `CROWDLAB_MIN_LIKENESS` asks for."""
    updated_at: float
    """Seconds since 1970."""
    lead_time: float | None
    """Seconds that the annotator took; None if Label Studio does not know."""


@dataclass(frozen=True)
class Contribution:
    """What the classifier or one annotator adds to the probability of each class."""

    source: str
    """`model` or `annotator`."""
    annotator: int | None
    """Id of the annotator; None for the classifier."""
    name: str
    weight: float
    """Weight in CROWDLAB's ensemble; larger counts more."""
    by_class: tuple[float, ...]
    """Share of the probability of each class, in the order of the question's classes."""


@dataclass(frozen=True)
class Explanation:
    """CROWDLAB's posterior as a sum, by the present weights."""

    contributions: tuple[Contribution, ...]
    """The classifiers that say something of the task, then the annotators by id."""
    posterior: tuple[float, ...]
    """Probability of each class: the contributions added up."""
    is_current: bool
    """Whether the consensus quality that is shown was computed by these weights. If not, other
    tasks have changed since, and the next recompute brings it up to date."""


@dataclass(frozen=True)
class AttachedAnswer:
    """The consensus on what was asked of a part of an answer."""

    question: str
    """Name of the control."""
    words: str
    quality: float | None
    """Probability that it is right, 0 to 1; None if it is not known."""


@dataclass(frozen=True)
class AnswerPart:
    """One of the parts that an answer consists of."""

    words: str
    quality: float | None
    """Probability that it is right, 0 to 1; None if it is not known."""
    attached: tuple[AttachedAnswer, ...] = ()
    """What was asked of it by controls with `perRegion="true"`."""


@dataclass(frozen=True)
class TaskAnswer:
    """Everything about one question of the task."""

    question: str
    classes: tuple[str, ...]
    consensus: str | None
    """None while nobody has answered the question."""
    quality: float | None
    """Consensus quality score, 0 to 1, higher is better."""
    agreement: float | None
    """Share of the labels that agree with the consensus, 0 to 1."""
    active_learning_score: float | None
    """ActiveLab score, 0 to 1: the lower, the more another label would tell."""
    ground_truth: str | None
    labels: tuple[TaskLabel, ...]
    """Labels that count, by annotator id."""
    parts: tuple[AnswerPart, ...]
    """Parts of the consensus, of a question whose answers are no class; empty for others."""
    explanation: Explanation | None
    """None without a consensus, and by a method of consensus that is no weighted sum."""
    expected_value: float | None = None
    """Weighted mean of labels and predictions, where classes stand for numbers; else None."""
    levels: tuple[Level, ...] = ()
    """From the root down, where answers are paths; else empty."""


@dataclass(frozen=True)
class TaskDetail:
    """One task of a project."""

    project: int
    task: int
    answers: tuple[TaskAnswer, ...]
    """Per question."""
    skipped_by: tuple[str, ...]
    """Names of those who skipped the task."""


def task_detail(service: Service, project_id: int, task: int) -> TaskDetail:
    """Show one task with its labels, their quality, and the reasons for its consensus.

    Raises
    ------
    UnknownProjectError, UnknownTaskError
        There is no such project or task.
    """
    info = known_project(service, project_id)
    store = service.store(project_id)
    if not len(store.tasks.read([task])["task"]):
        raise UnknownTaskError(
            f"Project {project_id} has no task {task}, as far as this service knows.",
            f"New tasks are known after the next sync; `crowdlab sync {project_id}` does one.",
        )
    names = AnnotatorNames.read(store, show_names=service.settings.show_names)
    rows = _Rows.read(store, info, task, names)
    is_skipped = rows.annotations["is_cancelled"] == 1
    skipped_by = np.unique(rows.annotations["annotator"][is_skipped]).tolist()
    return TaskDetail(
        project=project_id,
        task=task,
        answers=tuple(
            _answer_of(store, rows, number, question)
            for number, question in enumerate(info.questions)
        ),
        skipped_by=tuple(names.of(one) for one in skipped_by),
    )


@dataclass(frozen=True, eq=False)
class _Rows:
    """What the tables hold of one task."""

    task: int
    annotations: Arrays
    consensus: Arrays
    label_quality: Arrays
    regions: AnswerRegions
    names: AnnotatorNames

    @classmethod
    def read(
        cls, store: ProjectStore, info: ProjectInfo, task: int, names: AnnotatorNames
    ) -> _Rows:
        num_questions = len(info.questions)
        consensus = store.consensus(num_questions).read([task])
        return cls(
            task,
            store.annotations(num_questions).read([task]),
            consensus,
            store.label_quality(num_questions).read([task]),
            AnswerRegions(store, info, consensus),
            names,
        )


def _answer_of(store: ProjectStore, rows: _Rows, number: int, question: Question) -> TaskAnswer:
    truth = counted_labels(rows.annotations, number, ground_truth=True)["codes"]
    labels = _counted(rows.label_quality, number)
    code = int(rows.consensus["label"][0, number]) if len(rows.consensus["task"]) else NO_LABEL
    has_consensus = code != NO_LABEL
    alike = likeness_of_codes(
        store.answer_book, question, labels["label"], np.full(len(labels["label"]), code)
    )
    quality = float(rows.consensus["quality"][0, number]) if has_consensus else None
    weights = QuestionWeights.read(store, number) if has_consensus else None
    given = [*labels["label"].tolist(), code, *truth[:1, number].tolist()]
    told = answer_words(store, question, [rows.task] * len(given), given)
    words = {one: words for one, words in zip(given, told, strict=True) if words is not None}
    score = explanation = None
    if weights is not None and quality is not None:
        (score,) = weights.active_learning_scores(
            np.array([rows.task]), np.array([quality]), labels["task"], labels["annotator"]
        ).tolist()
        explanation = _explain(store, rows, number, question, weights, labels, code, quality)
    expected = levels = None
    if weights is not None and question.values is not None:
        expected = _expected_value(store, rows, number, question, weights, labels)
    if has_consensus:
        levels = _levels_of(store, question, code, labels["label"].tolist(), explanation)
    return TaskAnswer(
        question=question.name,
        classes=question.classes,
        consensus=words[code] if has_consensus else None,
        quality=quality,
        agreement=float(rows.consensus["agreement"][0, number]) if has_consensus else None,
        active_learning_score=score,
        ground_truth=words[int(truth[0, number])] if len(truth) else None,
        labels=_labels_of(rows, words, labels, alike),
        parts=_parts_of(rows, number) if has_consensus else (),
        explanation=explanation,
        expected_value=expected,
        levels=levels or (),
    )


def _parts_of(rows: _Rows, number: int) -> tuple[AnswerPart, ...]:
    return tuple(
        AnswerPart(part.words, part.quality, tuple(AttachedAnswer(*one) for one in part.attached))
        for part in rows.regions.parts_of(0, number)
    )


def _levels_of(
    store: ProjectStore,
    question: Question,
    consensus: int,
    labels: Sequence[int],
    explanation: Explanation | None,
) -> tuple[Level, ...]:
    if question.type is AnswerType.PATH and explanation is not None:
        return levels_of_path(question.classes, consensus, labels, explanation.posterior)
    if question.type is AnswerType.PATHS:
        answers = store.answer_book.read([consensus, *labels])
        return levels_of_paths(answers[consensus], [answers[code] for code in labels])
    return ()


def _counted(rows: Arrays, number: int) -> Arrays:
    """Labels of one question, by annotator."""
    answers = select(rows, rows["label"][:, number] != NO_LABEL)
    one = {
        **{name: answers[name] for name in ("task", "annotation", "annotator")},
        "label": answers["label"][:, number],
        "quality": answers["quality"][:, number],
    }
    return select(one, np.argsort(one["annotator"]))


def _labels_of(
    rows: _Rows, words: Mapping[int, str], labels: Arrays, alike: NDArray[np.float64]
) -> tuple[TaskLabel, ...]:
    told = rows.annotations
    place = {annotation: place for place, annotation in enumerate(told["annotation"].tolist())}
    found = []
    for annotation, annotator, label, quality, likeness, is_like in zip(
        *(labels[name].tolist() for name in ("annotation", "annotator", "label", "quality")),
        alike.tolist(),
        agrees(alike).tolist(),
        strict=True,
    ):
        where = place.get(annotation)
        lead_time = float("nan") if where is None else float(told["lead_time"][where])
        found.append(
            TaskLabel(
                annotation=annotation,
                annotator=annotator,
                name=rows.names.of(annotator),
                label=words[label],
                quality=None if np.isnan(quality) else quality,
                likeness=likeness,
                agrees=is_like,
                updated_at=0.0 if where is None else float(told["updated_at"][where]) / 1e6,
                lead_time=None if np.isnan(lead_time) else lead_time,
            )
        )
    return tuple(found)


def _explain(
    store: ProjectStore,
    rows: _Rows,
    number: int,
    question: Question,
    weights: QuestionWeights,
    labels: Arrays,
    consensus: int,
    quality: float,
) -> Explanation | None:
    """Divide the probability of each class; None if an annotator has no weight yet."""
    codes = weights.codes_of(labels["annotator"])
    if (codes < 0).any():
        return None
    stored = StoredPredictions.read(store, number, len(question.classes))
    if len(stored.models) != len(weights.weights.model):
        return None
    predicted = stored.at(np.array([rows.task]))[:, 0]
    shares = contributions(weights.weights, predicted, codes, labels["label"].astype(np.int64))
    parts = [
        Contribution("model", None, "classifier" if name == OWN else name, weight, tuple(row))
        for name, weight, row, said in zip(
            stored.models,
            weights.weights.model.tolist(),
            shares.models.tolist(),
            predicted,
            strict=True,
        )
        if not np.isnan(said).any()
    ]
    parts += [
        Contribution("annotator", annotator, rows.names.of(annotator), weight, tuple(row))
        for annotator, weight, row in zip(
            labels["annotator"].tolist(),
            weights.weights.annotator[codes].tolist(),
            shares.annotators.tolist(),
            strict=True,
        )
    ]
    posterior = shares.posterior.tolist()
    return Explanation(
        tuple(parts), tuple(posterior), abs(posterior[consensus] - quality) <= CURRENT_WITHIN
    )


def _expected_value(
    store: ProjectStore,
    rows: _Rows,
    number: int,
    question: Question,
    weights: QuestionWeights,
    labels: Arrays,
) -> float | None:
    """Mean number that labels and predictions say; None where a class has no weight yet."""
    values = question.values or ()
    if len(values) != weights.num_classes:
        return None
    stored = StoredPredictions.read(store, number, len(question.classes))
    if len(stored.models) != len(weights.weights.model):
        return None
    predicted = stored.at(np.array([rows.task]))
    (expected,) = weights.expected_values(
        np.array([rows.task]),
        labels["task"],
        labels["annotator"],
        labels["label"],
        predicted if len(predicted) else None,
        values,
    ).tolist()
    return None if np.isnan(expected) else expected
