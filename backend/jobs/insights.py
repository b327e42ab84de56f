"""Sum up what pages show of a project: quality, time, confusion, and each annotator's part."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.answers.likeness import agrees, likeness_of_codes
from backend.jobs.accuracy import AccuracyEstimate, estimate_accuracy
from backend.jobs.labels import counted_labels, engine_labels
from backend.jobs.vocabulary import known_codes
from backend.label_studio.questions import NO_LABEL, Question
from backend.progress import Progress, silent
from backend.store.answer_book import AnswerBook
from backend.store.arrays import Arrays
from backend.store.project import ProjectInfo, ProjectStore, QuestionSummary
from backend.store.tables import BLOCKS_AT_ONCE, select
from crowdlab_engine import MultiannotatorLabels
from crowdlab_engine.agreement import (
    Agreement,
    AgreementSums,
    Estimate,
    PairSums,
    agreement,
    pair_agreement,
)
from crowdlab_engine.spam import NOT_ENOUGH_DATA, REASONS, OthersSums, spam_scores

COEFFICIENTS = ("alpha_nominal", "fleiss_kappa", "gwet_ac1", "percent")
"""Coefficients of agreement, in the order in which they are stored."""

COEFFICIENTS_BY_VALUE = ("alpha_ordinal", "alpha_interval")
"""Those of classes that stand for numbers, in the order in which they are stored."""

SPAM_REASONS = [*REASONS, "none", NOT_ENOUGH_DATA]
"""What is stored as a number, by position."""

MOST_HELD = 1000
"""Names in consensus sets that are counted for the pages."""

MOST_AGREEMENT_WEEKS = 52
MOST_COLLEAGUES = 100
_WEEK_REPLICATES = 200

QUALITY_BINS = 20
"""Bins of equal width of the histogram of consensus quality, from 0 to 1."""

MOST_VOTES = 12
"""Tasks of more labels are counted with those of as many."""

LEAD_BINS = np.concatenate([[0.0], np.geomspace(0.1, 86_400.0, 120)])
"""Edges of the histogram of lead times, in seconds: successive ones differ by 12 %."""

_MONDAY = 3
"""Days from a Monday to 1970-01-01."""
_DAY = 86_400_000_000
_MOST_WEEKS = 2**16


def store_insights(store: ProjectStore, progress: Progress = silent) -> bool:
    """Bring what pages show of a project up to the last recompute; False if it was already.

    Blocks are read one after the other; events go on being followed meanwhile.
    """
    info, summary = store.read_info(), store.read_summary()
    if info is None or summary is None:
        return False
    newest = store.read_insights(0)
    if newest is not None and newest["data_version"][0] == summary.data_version:
        return False
    if [one.name for one in info.questions] != [one.name for one in summary.questions]:
        return False  # the labeling config has changed since
    sums = [
        _QuestionSums(number, question, _people_of(summary.questions[number]), store.answer_book)
        for number, question in enumerate(info.questions)
    ]
    for rows in _parts_of(store, info, progress):
        for one in sums:
            one.add(rows)
    estimates = [estimate_accuracy(store, info, one.number) for one in sums]
    now = time.time()
    with store.lock(), store.transaction() as changes:
        for one, estimate in zip(sums, estimates, strict=True):
            arrays = one.arrays() | _accuracy_arrays(estimate)
            arrays["computed_at"] = np.asarray([now])
            arrays["data_version"] = np.asarray([summary.data_version])
            store.stage_insights(changes, one.number, arrays)
        store.stage_insights_at(changes, now)
    return True


def _people_of(summary: QuestionSummary) -> NDArray[np.int64]:
    return np.asarray(sorted(row["annotator"] for row in summary.annotators), dtype=np.int64)


def week_start(number: int) -> float:
    """Monday of a week by its number, seconds since 1970 (UTC)."""
    return (number * 7 - _MONDAY) * _DAY / 1e6


@dataclass(frozen=True, eq=False)
class _Rows:
    """What the tables hold of some successive blocks."""

    annotations: Arrays
    consensus: Arrays


def _parts_of(store: ProjectStore, info: ProjectInfo, progress: Progress) -> Iterator[_Rows]:
    num_questions = len(info.questions)
    annotations = store.annotations(num_questions)
    consensus = store.consensus(num_questions)
    numbers = annotations.block_numbers()
    for start in range(0, len(numbers), BLOCKS_AT_ONCE):
        progress("Summing up for the pages", start, len(numbers))
        some = numbers[start : start + BLOCKS_AT_ONCE]
        yield _Rows(
            known_codes(annotations.read_blocks(some), info.questions),
            consensus.read_blocks(some),
        )


@dataclass(eq=False)
class _QuestionSums:
    """Sums over the labels of one question; parts of the tasks add up."""

    number: int
    question: Question
    annotators: NDArray[np.int64]
    """Ids of those who had answered it at the last recompute, ascending."""
    book: AnswerBook

    def __post_init__(self) -> None:
        num_people, num_classes = len(self.annotators), len(self.question.classes)
        values = self.question.values
        # Numbers are coded by when they came; how far two are apart is told by their order.
        self._values = None if values is None else np.sort(values)
        self._rank = None if values is None else np.argsort(np.argsort(values))
        self.quality_histogram = np.zeros(QUALITY_BINS, dtype=np.int64)
        self.votes = np.zeros(MOST_VOTES + 1, dtype=np.int64)
        self.unanimous = 0
        self.held: Counter[str] = Counter()
        self.class_counts = np.zeros(num_classes, dtype=np.int64)
        self.majority_counts = np.zeros(num_classes)
        self.last_active = np.zeros(num_people, dtype=np.int64)
        self.lead_histogram = np.zeros((num_people, len(LEAD_BINS)), dtype=np.int64)
        self.weeks, self.confusion = _Tally(2), _Tally(1)
        nothing = MultiannotatorLabels.from_codes(
            [], [], [], num_tasks=0, num_annotators=num_people, num_classes=num_classes
        )
        self.agreement = AgreementSums.of(nothing)
        self.agreement_by_week: dict[int, AgreementSums] = {}
        self.pairs = PairSums.of(nothing)
        self.others = OthersSums.of(nothing)

    def add(self, rows: _Rows) -> None:
        """Add the tasks of a part."""
        number = self.number
        found = rows.consensus["label"][:, number]
        is_known = found != NO_LABEL
        if self.question.type.is_class:
            is_known &= found < len(self.class_counts)
        consensus = select(rows.consensus, is_known)
        label = consensus["label"][:, number]
        quality = consensus["quality"][:, number]
        self.quality_histogram += np.histogram(quality, QUALITY_BINS, (0.0, 1.0))[0]
        votes = np.minimum(consensus["num_annotations"][:, number], MOST_VOTES)
        self.votes += np.bincount(votes, minlength=MOST_VOTES + 1)
        if self.question.type.is_class:
            self.class_counts += np.bincount(label, minlength=len(self.class_counts))
        if self.question.type.is_set:
            self._add_held(label)
        self.unanimous += int((consensus["agreement"][:, number] == 1.0).sum())
        counted = counted_labels(rows.annotations, number)
        # What came after the results were stored waits for the next time.
        counted = select(
            counted,
            np.isin(counted["task"], consensus["task"])
            & np.isin(counted["annotator"], self.annotators),
        )
        if not len(counted["task"]):
            return
        self._add_people(counted, label[np.searchsorted(consensus["task"], counted["task"])])
        if self.question.type.is_class:
            self._add_majority(counted)
            self._add_agreement(counted)

    def _add_held(self, consensus: NDArray[np.int64]) -> None:
        """Add the names that consensus sets hold."""
        numbers, counts = np.unique(consensus, return_counts=True)
        answers = self.book.read(numbers.tolist())
        for number, count in zip(numbers.tolist(), counts.tolist(), strict=True):
            for name in answers.get(number, ()):
                self.held[name] += count

    def _add_majority(self, counted: Arrays) -> None:
        """Add the most frequent class of each task, tied ones in equal parts."""
        num_classes = len(self.class_counts)
        given = counted["codes"][:, self.number].astype(np.int64)
        _, task = np.unique(counted["task"], return_inverse=True)
        cell, votes = np.unique(task * num_classes + given, return_counts=True)
        task, label = np.divmod(cell, num_classes)
        most = np.zeros(task.max() + 1, dtype=np.int64)
        np.maximum.at(most, task, votes)
        is_top = votes == most[task]
        share = is_top / np.bincount(task, weights=is_top)[task]
        self.majority_counts += np.bincount(label, weights=share, minlength=num_classes)

    def _add_people(self, counted: Arrays, consensus: NDArray[np.int64]) -> None:
        num_classes = len(self.class_counts)
        given = counted["codes"][:, self.number].astype(np.int64)
        person = np.searchsorted(self.annotators, counted["annotator"])
        alike = likeness_of_codes(self.book, self.question, given, consensus)
        is_like = agrees(alike).astype(np.int64)
        week = person * _MOST_WEEKS + _week_of(counted["updated_at"])
        self.weeks.add(week, np.ones_like(is_like), is_like)
        if self.question.type.is_class:
            cell = (person * num_classes + given) * num_classes + consensus
            self.confusion.add(cell, np.ones_like(cell))
        lead_time = counted["lead_time"]
        is_timed = np.isfinite(lead_time)
        bins = np.searchsorted(LEAD_BINS, lead_time[is_timed], side="right") - 1
        cell = person[is_timed] * len(LEAD_BINS) + bins
        counts = np.bincount(cell, minlength=self.lead_histogram.size)
        self.lead_histogram += counts.reshape(self.lead_histogram.shape)
        np.maximum.at(self.last_active, person, counted["updated_at"])

    def _add_agreement(self, counted: Arrays) -> None:
        tasks = np.unique(counted["task"])
        if self._rank is not None:
            codes = counted["codes"].copy()
            codes[:, self.number] = self._rank[codes[:, self.number]]
            counted = {**counted, "codes": codes}
        labels = engine_labels(tasks, counted, self.number, self.question, self.annotators)
        self.agreement += AgreementSums.of(labels)
        self.pairs += PairSums.of(labels)
        self.others += OthersSums.of(labels)
        last = np.zeros(len(tasks), dtype=np.int64)
        np.maximum.at(last, labels.task, counted["updated_at"])
        week = _week_of(last)
        for number in np.unique(week).tolist():
            some = AgreementSums.of(labels.take(np.flatnonzero(week == number)))
            known = self.agreement_by_week.get(number)
            self.agreement_by_week[number] = some if known is None else known + some

    def arrays(self) -> Arrays:
        """Plain form, for storage."""
        num_classes = len(self.class_counts)
        person, week = np.divmod(self.weeks.keys, _MOST_WEEKS)
        cell, consensus = np.divmod(self.confusion.keys, num_classes)
        who, given = np.divmod(cell, num_classes)
        return {
            "quality_histogram": self.quality_histogram,
            "votes": self.votes,
            "class_counts": self.class_counts,
            "majority_counts": self.majority_counts,
            "unanimous": np.asarray([self.unanimous]),
            "annotator": self.annotators,
            "last_active": self.last_active,
            "lead_histogram": self.lead_histogram.astype(np.int32),
            "week_annotator": self.annotators[person],
            "week": week,
            "week_labels": self.weeks.counts[:, 0],
            "week_agreeing": self.weeks.counts[:, 1],
            "confusion_annotator": self.annotators[who],
            "confusion_given": given,
            "confusion_consensus": consensus,
            "confusion_count": self.confusion.counts[:, 0],
            **self._held_arrays(),
            **self._agreement_arrays(),
            **self._pair_arrays(),
            **self._spam_arrays(),
        }

    def _held_arrays(self) -> Arrays:
        """The most frequent names in consensus sets, with the number of sets."""
        most = self.held.most_common(MOST_HELD)
        names = json.dumps([name for name, _ in most]).encode()
        return {
            "held_names": np.frombuffer(names, dtype=np.uint8),
            "held_counts": np.asarray([count for _, count in most], dtype=np.int64),
        }

    def _agreement_arrays(self) -> Arrays:
        """Coefficients with their intervals, of all tasks and of those done in each week."""
        weeks = sorted(self.agreement_by_week)[-MOST_AGREEMENT_WEEKS:]
        found = [
            _estimates(agreement(self.agreement_by_week[week], num_replicates=_WEEK_REPLICATES))
            for week in weeks
        ]
        whole = agreement(self.agreement, values=self._values)
        by_value: Arrays = {}
        if self._values is not None:
            by_value["agreement_by_value"] = np.asarray(_estimates(whole, COEFFICIENTS_BY_VALUE))
        return {
            **by_value,
            "agreement": np.asarray(_estimates(whole)),
            "num_shared": np.asarray([whole.num_shared]),
            "agreement_week": np.asarray(weeks, dtype=np.int64),
            "agreement_by_week": np.asarray(found).reshape(-1, len(COEFFICIENTS), 3),
        }

    def _pair_arrays(self) -> Arrays:
        """Agreement of pairs; of each annotator those who share the most tasks are kept."""
        found = pair_agreement(self.pairs)
        one = np.concatenate([found.annotator_a, found.annotator_b])
        other = np.concatenate([found.annotator_b, found.annotator_a])
        shared = np.tile(found.shared, 2)
        order = np.lexsort((other, -shared, one))
        rank = np.arange(len(order)) - np.searchsorted(one[order], one[order])
        kept = order[rank < MOST_COLLEAGUES]
        return {
            "pair_annotator": self.annotators[one[kept]],
            "pair_colleague": self.annotators[other[kept]],
            "pair_shared": shared[kept],
            "pair_agreeing": np.tile(found.agreeing, 2)[kept],
            "pair_kappa": np.tile(found.cohen_kappa, 2)[kept],
        }

    def _spam_arrays(self) -> Arrays:
        num_timed = self.lead_histogram.sum(axis=1)
        found = spam_scores(
            self.others,
            self.pairs,
            lead_time=[lead_quantile(counts, 0.5) for counts in self.lead_histogram],
            num_timed=num_timed,
        )
        reasons = found["reason"].map(SPAM_REASONS.index)
        copied = found["copy_of"].to_numpy(dtype=np.int64)
        everybody = np.append(self.annotators, -1)
        return {
            "spam_score": found["spam_score"].to_numpy(dtype=np.float64),
            "spam_reason": reasons.to_numpy(dtype=np.int64),
            "spam_copy_of": everybody[copied],
        }


def lead_quantile(counts: NDArray[np.integer[Any]], share: float) -> float:
    """Time that a share of tasks did not exceed, in seconds, within 6 per cent; NaN if none.

    Parameters
    ----------
    counts
        Tasks by time, in the bins of `LEAD_BINS`.
    """
    total = int(counts.sum())
    if not total:
        return float("nan")
    upper = np.append(LEAD_BINS[1:], LEAD_BINS[-1])
    middle = np.sqrt(np.maximum(LEAD_BINS, LEAD_BINS[1] / 2) * upper)
    return float(middle[np.searchsorted(np.cumsum(counts), share * total)])


def _accuracy_arrays(estimate: AccuracyEstimate | None) -> Arrays:
    if estimate is None:
        return {
            "accuracy": np.full(2, np.nan),
            "majority_by_labels": np.empty(0),
            "gain_labels": np.empty(0, dtype=np.int64),
            "gain_accuracy": np.empty(0),
        }
    return {
        "accuracy": np.asarray([estimate.consensus, estimate.majority]),
        "majority_by_labels": estimate.majority_by_labels,
        "gain_labels": estimate.num_further,
        "gain_accuracy": estimate.further_accuracy,
    }


def _estimates(
    found: Agreement, coefficients: Sequence[str] = COEFFICIENTS
) -> list[tuple[float, float, float]]:
    """Value and interval of each of some coefficients."""
    every: list[Estimate] = [getattr(found, name) for name in coefficients]
    return [(one.value, one.low, one.high) for one in every]


def _week_of(moments: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers of weeks, from moments in microseconds since 1970."""
    return (moments // _DAY + _MONDAY) // 7


class _Tally:
    """Counts by key; only keys that occur are held."""

    def __init__(self, width: int) -> None:
        self.keys = np.empty(0, dtype=np.int64)
        """Ascending."""
        self.counts: NDArray[np.int64] = np.empty((0, width), dtype=np.int64)

    def add(self, keys: NDArray[np.int64], *counts: NDArray[np.int64]) -> None:
        """Add counts, one array of them per column, to those of their keys."""
        joined = np.concatenate([self.keys, keys])
        added = np.concatenate([self.counts, np.stack(counts, axis=1)])
        self.keys, place = np.unique(joined, return_inverse=True)
        self.counts = np.stack(
            [np.bincount(place, column, len(self.keys)).astype(np.int64) for column in added.T],
            axis=1,
        )
