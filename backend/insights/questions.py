"""One question of a project at a glance: how good its labels are, and how that came about."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.errors import NothingToComputeError
from backend.insights.weights import QuestionWeights
from backend.jobs.insights import MOST_VOTES, QUALITY_BINS, week_start
from backend.store.arrays import Arrays
from backend.store.project import ProjectStore, QuestionSummary, Summary
from crowdlab_engine.agreement import Estimate


@dataclass(frozen=True)
class Week:
    """Labels that were given in one week."""

    start: float
    """Its Monday, seconds since 1970 (UTC)."""
    num_labels: int
    agreement: float
    """Share of them that equal the present consensus, 0 to 1."""


@dataclass(frozen=True)
class AgreementInsight:
    """How far annotators agree; each coefficient with its 95 % interval, NaN if undefined."""

    alpha: Estimate
    """Krippendorff's alpha for nominal labels: 1 is perfect, 0 is chance."""
    fleiss_kappa: Estimate
    gwet_ac1: Estimate
    percent: Estimate
    """Share of pairs of labels of a task that are equal."""


@dataclass(frozen=True)
class AgreementByValue:
    """How far annotators agree on numbers; each coefficient with its 95 % interval."""

    ordinal: Estimate
    """Krippendorff's alpha that counts how many labels lie between two numbers."""
    interval: Estimate
    """Krippendorff's alpha that counts their squared difference."""


@dataclass(frozen=True)
class AgreementWeek:
    """Agreement on the tasks whose last label was given in one week."""

    start: float
    """Its Monday, seconds since 1970 (UTC)."""
    agreement: AgreementInsight


@dataclass(frozen=True, eq=False)
class QuestionInsight:
    """What the labels of one question say together."""

    number: int
    """Position of the question in the labeling config."""
    summary: QuestionSummary
    method: str
    """How the consensus was found."""
    computed_at: float
    """Seconds since 1970."""
    consensus_accuracy: float | None
    """Estimated share of right consensus labels; see `backend.jobs.accuracy`."""
    majority_accuracy: float | None
    """Estimated share of right labels of a majority vote, ties broken by lot."""
    majority_by_labels: NDArray[np.float64]
    """(V,) estimated share of right labels of a majority vote of 1 to V labels per task."""
    gain_labels: NDArray[np.int64]
    """(G,) further labels of the most doubtful tasks, ascending from 0; empty if unknown."""
    gain_accuracy: NDArray[np.float64]
    """(G,) estimated share of right consensus labels after so many further ones."""
    unanimous: float | None
    """Share of the labelled tasks with labels that are all the same."""
    quality_histogram: NDArray[np.int64]
    """Labelled tasks by consensus quality, in bins of equal width from 0 to 1."""
    votes: NDArray[np.int64]
    """Tasks by number of labels; the last entry counts those of more as well."""
    class_counts: NDArray[np.int64]
    """(K,) tasks by consensus label."""
    majority_counts: NDArray[np.float64]
    """(K,) tasks by majority vote; a task with a tie counts in parts."""
    confusion: NDArray[np.int64]
    """(K, K) labels by the class that was given (rows) and the consensus (columns)."""
    weeks: tuple[Week, ...]
    """Ascending."""
    agreement: AgreementInsight | None
    num_shared: int
    """Tasks with two labels or more, from which agreement is found."""
    agreement_weeks: tuple[AgreementWeek, ...]
    """Ascending, of a year at most."""
    model_weight: float | None
    """Weight of the classifier in CROWDLAB's ensemble; None by another method."""
    annotator_weight: float | None
    """Mean weight of an annotator in the same ensemble."""
    held: tuple[tuple[str, int], ...] = ()
    """Where answers are sets of names: tasks whose consensus holds each, the most frequent
    first."""
    agreement_by_value: AgreementByValue | None = None
    """None if classes are no numbers, and before it was summed up."""

    @property
    def labels_for_majority(self) -> int | None:
        """Labels per task that a majority vote needs to be right as often; None if unknown.

        One more than the votes that could be tried means that it needs at least so many.
        """
        if self.consensus_accuracy is None or not len(self.majority_by_labels):
            return None
        reached = np.flatnonzero(self.majority_by_labels >= self.consensus_accuracy)
        return int(reached[0]) + 1 if len(reached) else len(self.majority_by_labels) + 1

    @property
    def labels_saved(self) -> int | None:
        """Labels that a majority vote would need beyond those there are, to be right as often.

        A lower bound where `labels_for_majority` is one; None if unknown.
        """
        needed = self.labels_for_majority
        if needed is None:
            return None
        return max(0, needed * self.summary.num_labeled - self.summary.num_labels)

    @property
    def gain_per_100(self) -> float | None:
        """How much the estimated accuracy rises by the next hundred labels; None if unknown."""
        if len(self.gain_labels) < 2 or not self.gain_labels[1]:
            return None
        after = np.interp(100, self.gain_labels, self.gain_accuracy)
        return float(after - self.gain_accuracy[0])

    @property
    def gain(self) -> float | None:
        """How many more consensus labels are right than of a majority vote, as a share."""
        if self.consensus_accuracy is None or self.majority_accuracy is None:
            return None
        return self.consensus_accuracy - self.majority_accuracy


def question_insights(store: ProjectStore) -> list[QuestionInsight]:
    """Every question of a project, in the order of its labeling config.

    Raises
    ------
    NothingToComputeError
        Nothing was computed for the project yet.
    """
    summary = require_summary(store)
    return [_insight_of(store, summary, number) for number in range(len(summary.questions))]


def require_summary(store: ProjectStore) -> Summary:
    """Return what the last recompute found.

    Raises
    ------
    NothingToComputeError
        Nothing was computed for the project yet.
    """
    summary = store.read_summary()
    if summary is None:
        raise NothingToComputeError(
            f"Nothing was computed for project {store.project_id} yet.",
            f"Run `crowdlab connect {store.project_id}`; the project needs tasks with labels.",
        )
    return summary


def _insight_of(store: ProjectStore, summary: Summary, number: int) -> QuestionInsight:
    question, order = _by_value(summary.questions[number])
    sums = store.read_insights(number) or {}
    num_classes = len(order)
    num_labeled = int(sums["quality_histogram"].sum()) if sums else 0
    confusion = np.zeros((num_classes, num_classes), dtype=np.int64)
    if sums:
        where = np.stack([sums["confusion_given"], sums["confusion_consensus"]])
        is_known = (where < num_classes).all(axis=0)
        np.add.at(confusion, tuple(where[:, is_known]), sums["confusion_count"][is_known])
    return QuestionInsight(
        number=number,
        summary=question,
        method=summary.method,
        computed_at=summary.computed_at,
        consensus_accuracy=_number(sums, "accuracy", 0),
        majority_accuracy=_number(sums, "accuracy", 1),
        majority_by_labels=sums.get("majority_by_labels", np.zeros(0)),
        gain_labels=sums.get("gain_labels", np.zeros(0, dtype=np.int64)),
        gain_accuracy=sums.get("gain_accuracy", np.zeros(0)),
        unanimous=float(sums["unanimous"][0]) / num_labeled if num_labeled else None,
        quality_histogram=sums.get("quality_histogram", np.zeros(QUALITY_BINS, dtype=np.int64)),
        votes=sums.get("votes", np.zeros(MOST_VOTES + 1, dtype=np.int64)),
        class_counts=_fitted(sums.get("class_counts", np.zeros(0, np.int64)), num_classes)[order],
        majority_counts=_fitted(sums.get("majority_counts", np.zeros(0)), num_classes)[order],
        confusion=confusion[np.ix_(order, order)],
        weeks=_weeks_of(sums),
        agreement=_agreement(sums["agreement"]) if sums else None,
        num_shared=int(sums["num_shared"][0]) if sums else 0,
        agreement_weeks=_agreement_weeks(sums),
        model_weight=question.model_weight,
        annotator_weight=_mean_weight(store, number),
        held=_held(sums),
        agreement_by_value=(
            AgreementByValue(*(Estimate(*row) for row in sums["agreement_by_value"].tolist()))
            if "agreement_by_value" in sums
            else None
        ),
    )


def _by_value(question: QuestionSummary) -> tuple[QuestionSummary, list[int]]:
    """Question with the classes in the order in which people read them, and that order.

    Numbers that annotators bring have their codes by when they came.
    """
    order = list(range(len(question.classes)))
    if question.values is not None:
        values = question.values
        order.sort(key=values.__getitem__)
        question = replace(
            question,
            classes=tuple(question.classes[code] for code in order),
            values=tuple(values[code] for code in order),
        )
    return question, order


def _fitted(counts: NDArray[Any], num_classes: int) -> NDArray[Any]:
    """Counts by class, where classes may have come in since the other was computed."""
    return np.pad(counts[:num_classes], (0, max(0, num_classes - len(counts))))


def _number(sums: Arrays, name: str, place: int) -> float | None:
    """Entry of an array, None where there is none or it is NaN."""
    if name not in sums or np.isnan(sums[name][place]):
        return None
    return float(sums[name][place])


def _held(sums: Arrays) -> tuple[tuple[str, int], ...]:
    if "held_names" not in sums:
        return ()
    names = json.loads(sums["held_names"].tobytes())
    return tuple(zip(names, sums["held_counts"].tolist(), strict=True))


def _agreement(rows: NDArray[np.float64]) -> AgreementInsight:
    alpha, fleiss, ac1, percent = (Estimate(*row) for row in rows.tolist())
    return AgreementInsight(alpha, fleiss, ac1, percent)


def _agreement_weeks(sums: Arrays) -> tuple[AgreementWeek, ...]:
    if not sums:
        return ()
    return tuple(
        AgreementWeek(week_start(week), _agreement(rows))
        for week, rows in zip(
            sums["agreement_week"].tolist(), sums["agreement_by_week"], strict=True
        )
    )


def _weeks_of(sums: Arrays) -> tuple[Week, ...]:
    if not sums:
        return ()
    numbers, place = np.unique(sums["week"], return_inverse=True)
    labels = np.bincount(place, sums["week_labels"])
    agreeing = np.bincount(place, sums["week_agreeing"])
    return tuple(
        Week(week_start(number), round(count), same / count)
        for number, count, same in zip(
            numbers.tolist(), labels.tolist(), agreeing.tolist(), strict=True
        )
    )


def _mean_weight(store: ProjectStore, number: int) -> float | None:
    """Mean weight of those who have labelled, None by another method than CROWDLAB."""
    found = QuestionWeights.read(store, number)
    return None if found is None else found.newcomer
