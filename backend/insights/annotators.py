"""The leaderboard, and one annotator seen closely."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backend.answers.likeness import agrees, likeness_of_codes
from backend.answers.words import answer_words
from backend.errors import UnknownAnnotatorError, UnknownQuestionError
from backend.insights.names import AnnotatorNames
from backend.insights.questions import Week, require_summary
from backend.jobs.insights import LEAD_BINS, SPAM_REASONS, lead_quantile, week_start
from backend.label_studio.questions import NO_LABEL
from backend.store.arrays import Arrays
from backend.store.project import JSON, ProjectStore, QuestionSummary
from backend.store.tables import select
from crowdlab_engine.spam import NOT_ENOUGH_DATA

_NOT_JUDGED = (None, NOT_ENOUGH_DATA, None)

_NORMAL = 1.959963984540054
"""Half width of the central 95 % of the normal distribution."""


@dataclass(frozen=True, eq=False)
class AnnotatorInsight:
    """One annotator's part in one question."""

    annotator: int
    """Id of the user in Label Studio."""
    name: str
    """E-mail address, or `annotator` and the id."""
    quality: float
    """Annotator quality score, 0 to 1, higher is better."""
    quality_low: float
    """Lower end of its 95 % interval; see `quality_interval`."""
    quality_high: float
    """Upper end of its 95 % interval."""
    agreement_with_consensus: float
    """Share of the labels on tasks with several labels that agree with the consensus, 0 to 1."""
    agreement_with_ground_truth: float | None
    """Share of right labels where the truth is known."""
    num_ground_truth: int
    """Labels on tasks whose truth is known."""
    worst_class: str
    """Class in which the labels are doubted most."""
    num_labels: int
    """Labels that count: the newest of each task."""
    share: float
    """Share of all labels of the question."""
    num_skipped: int
    """Tasks that were skipped."""
    median_seconds: float | None
    """Median time for one task."""
    p90_seconds: float | None
    """Time that nine of ten tasks do not exceed."""
    num_long: int
    """Tasks that took more than ten times the median."""
    last_active: float
    """Seconds since 1970."""
    weeks: tuple[Week, ...]
    """Ascending."""
    spam_score: float | None
    """How much the labels look like spam, 0 to 1, 1 is surely; None with too little data."""
    spam_reason: str
    """Why: random, constant, copy, too fast; none; or too little data."""
    spam_copy_of: int | None
    """Colleague whose answers are the same, if that is the reason."""
    enough_data: bool
    """Whether there are enough labels on shared tasks to judge."""


@dataclass(frozen=True)
class Leaderboard:
    """Annotators of one question."""

    question: str
    classifier: str
    """What gave the pred_probs, or why there are none."""
    model_weight: float | None
    """Weight of the classifier in CROWDLAB's ensemble; None by another method."""
    num_annotators: int
    """All of them, shown or not."""
    annotators: tuple[AnnotatorInsight, ...]
    """The best first; those with too little data come last."""

    def part(self, some: slice) -> Leaderboard:
        """Show some of the annotators only."""
        return replace(self, annotators=self.annotators[some])


@dataclass(frozen=True)
class DoubtfulLabel:
    """A label of an annotator that is probably wrong."""

    task: int
    annotation: int
    """Id of the annotation that holds it."""
    given: str
    """What was said."""
    consensus: str
    """What the consensus is."""
    quality: float
    """Label quality score, 0 to 1, higher is better."""
    likeness: float
    """How alike it is to the consensus, 0 to 1; a class is either equal or not alike at all."""


@dataclass(frozen=True)
class Colleague:
    """Another annotator of the same tasks."""

    annotator: int
    name: str
    num_shared: int
    """Tasks that both labelled."""
    agreement: float
    """Share of these to which both gave the same label, 0 to 1."""
    cohen_kappa: float
    """Agreement beyond chance, at most 1, 0 by chance; NaN where it is not defined."""


@dataclass(frozen=True, eq=False)
class AnnotatorProfile:
    """One annotator seen closely."""

    insight: AnnotatorInsight
    rank: int
    """Place on the leaderboard, from 1."""
    num_annotators: int
    """Those on the leaderboard."""
    classes: tuple[str, ...]
    confusion: NDArray[np.int64]
    """(K, K) labels by the class that was given (rows) and the consensus (columns)."""
    colleagues: tuple[Colleague, ...]
    """Up to a hundred of those who share the most tasks, the most shared first."""

    @property
    def recall(self) -> NDArray[np.float64]:
        """(K,) share of the tasks of each consensus class that were labelled so; NaN if none."""
        return _ratio(np.diagonal(self.confusion), self.confusion.sum(axis=0))

    @property
    def precision(self) -> NDArray[np.float64]:
        """(K,) share of the labels of each class that equal the consensus; NaN if none."""
        return _ratio(np.diagonal(self.confusion), self.confusion.sum(axis=1))


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    ratio = np.full(len(whole), np.nan)
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio


def quality_interval(quality: float, num_labels: int) -> tuple[float, float]:
    """95 % interval of an annotator quality, as if it were a share of right labels.

    It is Wilson's score interval, which stays inside 0 and 1 for few labels.
    """
    if not num_labels or math.isnan(quality):
        return 0.0, 1.0
    square = _NORMAL**2 / num_labels
    middle = (quality + square / 2) / (1 + square)
    half = math.sqrt(square * (quality * (1 - quality) + square / 4)) / (1 + square)
    return min(quality, max(0.0, middle - half)), max(quality, min(1.0, middle + half))


def leaderboards(store: ProjectStore, *, show_names: bool = True) -> list[Leaderboard]:
    """Leaderboard of every question of a project, in the order of its labeling config.

    Raises
    ------
    NothingToComputeError
        Nothing was computed for the project yet.
    """
    return [
        Leaderboard(
            question=question.name,
            classifier=question.classifier,
            model_weight=question.model_weight,
            num_annotators=len(question.annotators),
            annotators=tuple(leaderboard(store, number, show_names=show_names)),
        )
        for number, question in enumerate(require_summary(store).questions)
    ]


def leaderboard(
    store: ProjectStore, number: int, *, show_names: bool = True
) -> list[AnnotatorInsight]:
    """Annotators of a question, best first; those with too little data come last.

    Raises
    ------
    NothingToComputeError
        Nothing was computed for the project yet.
    UnknownQuestionError
        The project has no such question.
    """
    question = _question(store, number)
    sums = store.read_insights(number)
    names = AnnotatorNames.read(store, show_names=show_names)
    people = _People(sums) if sums is not None else None
    return [
        _insight_of(question, row, names.of(row["annotator"]), people)
        for row in question.annotators
    ]


def annotator_profile(
    store: ProjectStore, number: int, annotator: int, *, show_names: bool = True
) -> AnnotatorProfile:
    """One annotator of a question, seen closely.

    Raises
    ------
    NothingToComputeError
        Nothing was computed for the project yet.
    UnknownQuestionError, UnknownAnnotatorError
        The project has no such question, or nobody of this id has answered it.
    """
    question = _question(store, number)
    found = leaderboard(store, number, show_names=show_names)
    rank = next((at for at, one in enumerate(found, start=1) if one.annotator == annotator), None)
    if rank is None:
        raise UnknownAnnotatorError(
            f"No annotator {annotator} has answered {question.name!r} in project "
            f"{store.project_id}.",
            "The leaderboard lists those who have.",
        )
    num_classes = len(question.classes)
    confusion = np.zeros((num_classes, num_classes), dtype=np.int64)
    sums = store.read_insights(number)
    if sums is not None:
        own = sums["confusion_annotator"] == annotator
        where = (sums["confusion_given"][own], sums["confusion_consensus"][own])
        np.add.at(confusion, where, sums["confusion_count"][own])
    names = AnnotatorNames.read(store, show_names=show_names)
    colleagues = tuple(_colleagues(sums, annotator, names)) if sums is not None else ()
    return AnnotatorProfile(
        found[rank - 1], rank, len(found), question.classes, confusion, colleagues
    )


def _colleagues(sums: Arrays, annotator: int, names: AnnotatorNames) -> Iterator[Colleague]:
    own = np.flatnonzero(sums["pair_annotator"] == annotator)
    for place in own[np.argsort(-sums["pair_shared"][own], kind="stable")].tolist():
        colleague, shared = int(sums["pair_colleague"][place]), int(sums["pair_shared"][place])
        yield Colleague(
            annotator=colleague,
            name=names.of(colleague),
            num_shared=shared,
            agreement=float(sums["pair_agreeing"][place]) / shared,
            cohen_kappa=float(sums["pair_kappa"][place]),
        )


def doubtful_labels(
    store: ProjectStore, number: int, annotator: int, limit: int = 20
) -> list[DoubtfulLabel]:
    """Labels of an annotator that do not agree with the consensus, the most doubtful first."""
    _question(store, number)
    info = store.read_info()
    if info is None or number >= len(info.questions):
        return []
    question, num_questions = info.questions[number], len(info.questions)
    consensus = store.consensus(num_questions).read()
    found: list[_Doubt] = []
    for part in store.label_quality(num_questions).parts():
        own = (part["annotator"] == annotator) & (part["label"][:, number] != NO_LABEL)
        rows = select(part, own)
        place = np.searchsorted(consensus["task"], rows["task"])
        place = np.minimum(place, max(len(consensus["task"]) - 1, 0))
        agreed = consensus["label"][place, number]
        is_known = (consensus["task"][place] == rows["task"]) & (agreed != NO_LABEL)
        differs = is_known & (agreed != rows["label"][:, number])
        which = np.flatnonzero(differs)
        alike = likeness_of_codes(
            store.answer_book, question, rows["label"][which, number], agreed[which]
        )
        which, alike = which[~agrees(alike)], alike[~agrees(alike)]
        quality = rows["quality"][:, number]
        order = np.argsort(quality[which], kind="stable")[:limit]
        for row, likeness in zip(which[order].tolist(), alike[order].tolist(), strict=True):
            task, annotation = int(rows["task"][row]), int(rows["annotation"][row])
            given = int(rows["label"][row, number])
            found.append(
                _Doubt(float(quality[row]), task, annotation, given, int(agreed[row]), likeness)
            )
    chosen = sorted(found)[:limit]
    tasks = [one.task for one in chosen]
    own_words = answer_words(store, question, tasks, [one.given for one in chosen])
    agreed_words = answer_words(store, question, tasks, [one.consensus for one in chosen])
    return [
        DoubtfulLabel(
            task=one.task,
            annotation=one.annotation,
            given=own or "",
            consensus=consensus or "",
            quality=one.quality,
            likeness=one.likeness,
        )
        for one, own, consensus in zip(chosen, own_words, agreed_words, strict=True)
    ]


class _Doubt(NamedTuple):
    """A label that differs from the consensus, in codes; sorted as they are shown."""

    quality: float
    task: int
    annotation: int
    given: int
    consensus: int
    likeness: float


def _question(store: ProjectStore, number: int) -> QuestionSummary:
    questions = require_summary(store).questions
    if not 0 <= number < len(questions):
        raise UnknownQuestionError(
            f"Project {store.project_id} has no question number {number}.",
            f"It has {len(questions)}, counted from 0.",
        )
    return questions[number]


_WEEK_COLUMNS = ("week_annotator", "week", "week_labels", "week_agreeing")


class _People:
    """What was summed up for each annotator."""

    def __init__(self, sums: Arrays) -> None:
        self.place = {number: place for place, number in enumerate(sums["annotator"].tolist())}
        self.sums = sums
        order = np.argsort(sums["week_annotator"], kind="stable")
        self._weeks = select({name: sums[name] for name in _WEEK_COLUMNS}, order)

    def seconds(self, annotator: int) -> tuple[float | None, float | None, int]:
        """Median and 90th percentile of the time for one task, and how many took long."""
        place = self.place.get(annotator)
        if place is None:
            return None, None, 0
        counts = self.sums["lead_histogram"][place]
        if not counts.any():
            return None, None, 0
        median = lead_quantile(counts, 0.5)
        long = int(counts[10 * median < LEAD_BINS].sum())
        return median, lead_quantile(counts, 0.9), long

    def last_active(self, annotator: int) -> float:
        place = self.place.get(annotator)
        return 0.0 if place is None else float(self.sums["last_active"][place]) / 1e6

    def spam(self, annotator: int) -> tuple[float | None, str, int | None]:
        place = self.place.get(annotator)
        if place is None or np.isnan(self.sums["spam_score"][place]):
            return _NOT_JUDGED
        reason = SPAM_REASONS[int(self.sums["spam_reason"][place])]
        copy_of = int(self.sums["spam_copy_of"][place]) if reason == "copy" else None
        return float(self.sums["spam_score"][place]), reason, copy_of

    def weeks(self, annotator: int) -> tuple[Week, ...]:
        rows = self._weeks
        own = slice(*np.searchsorted(rows["week_annotator"], [annotator, annotator + 1]))
        return tuple(
            Week(week_start(number), count, same / count)
            for number, count, same in zip(
                rows["week"][own].tolist(),
                rows["week_labels"][own].tolist(),
                rows["week_agreeing"][own].tolist(),
                strict=True,
            )
        )


def _insight_of(
    question: QuestionSummary, row: JSON, name: str, people: _People | None
) -> AnnotatorInsight:
    annotator, num_labels = int(row["annotator"]), int(row["num_labels"])
    quality = float(row["quality"])
    low, high = quality_interval(quality, num_labels)
    median, p90, num_long = people.seconds(annotator) if people else (None, None, 0)
    spam_score, spam_reason, copy_of = people.spam(annotator) if people else _NOT_JUDGED
    truth = row["agreement_with_ground_truth"]
    return AnnotatorInsight(
        annotator=annotator,
        name=name,
        quality=quality,
        quality_low=low,
        quality_high=high,
        agreement_with_consensus=float(row["agreement_with_consensus"]),
        agreement_with_ground_truth=None if truth is None else float(truth),
        num_ground_truth=int(row["num_ground_truth"]),
        worst_class=str(row["worst_class"]),
        num_labels=num_labels,
        share=num_labels / question.num_labels if question.num_labels else 0.0,
        num_skipped=int(row["num_skipped"]),
        median_seconds=median,
        p90_seconds=p90,
        num_long=num_long,
        last_active=people.last_active(annotator) if people else 0.0,
        weeks=people.weeks(annotator) if people else (),
        spam_score=spam_score,
        spam_reason=spam_reason,
        spam_copy_of=copy_of,
        enough_data=bool(row["enough_data"]),
    )
