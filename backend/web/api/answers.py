"""What the API answers: plain dataclasses, and their models for the OpenAPI document."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import numpy as np
import orjson
from flask import Response
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, RootModel, create_model

from backend.insights.annotators import (
    AnnotatorInsight,
    AnnotatorProfile,
    DoubtfulLabel,
    Leaderboard,
)
from backend.insights.questions import AgreementInsight, QuestionInsight, Week
from backend.insights.sources import SourceRow
from backend.jobs.reannotate import ReviewReport
from backend.jobs.review_plan import PlannedTask, ReviewPlan
from backend.overview import ProjectOverview
from backend.store.prediction_sources import PredictionSource
from backend.store.project import ModelVersion
from backend.store.review import ReviewPolicy
from crowdlab_engine.agreement import Estimate

JSON = dict[str, Any]


@dataclass(frozen=True)
class Problem:
    """Why a request was not answered."""

    error: str
    """What was wrong, and what to do about it."""


@dataclass(frozen=True)
class ProjectList:
    """Projects that the service looks after."""

    num_projects: int
    """All of them, shown or not."""
    projects: tuple[ProjectOverview, ...]
    """By number."""


@dataclass(frozen=True)
class ClassCounts:
    """One class of a question by number of tasks."""

    name: str
    num_consensus: int
    """Tasks whose consensus it is."""
    num_majority: float
    """Tasks whose majority vote it is; one with a tie counts in parts."""


@dataclass(frozen=True)
class HeldName:
    """A name in answers that are sets, by number of tasks."""

    name: str
    num_consensus: int
    """Tasks whose consensus holds it."""


@dataclass(frozen=True)
class ConfusionCell:
    """Labels of one class on tasks of one consensus."""

    given: str
    """Class that was given."""
    consensus: str
    """Class that is the consensus."""
    num_labels: int


@dataclass(frozen=True)
class Coefficient:
    """A coefficient of agreement; null where it is not defined."""

    value: float | None
    low: float | None
    """Lower end of its 95 % interval."""
    high: float | None
    """Upper end of its 95 % interval."""

    @classmethod
    def of(cls, one: Estimate) -> Coefficient:
        """Plain form of an estimate."""
        return cls(_defined(one.value), _defined(one.low), _defined(one.high))


@dataclass(frozen=True)
class Agreement:
    """How far annotators agree."""

    krippendorff_alpha: Coefficient
    """For nominal labels: 1 is perfect, 0 is chance."""
    fleiss_kappa: Coefficient
    gwet_ac1: Coefficient
    percent: Coefficient
    """Share of pairs of labels of a task that are equal, 0 to 1."""

    @classmethod
    def of(cls, one: AgreementInsight) -> Agreement:
        """Plain form of what pages show."""
        return cls(
            krippendorff_alpha=Coefficient.of(one.alpha),
            fleiss_kappa=Coefficient.of(one.fleiss_kappa),
            gwet_ac1=Coefficient.of(one.gwet_ac1),
            percent=Coefficient.of(one.percent),
        )


@dataclass(frozen=True)
class NumericAgreement:
    """How far annotators agree, where classes are numbers."""

    ordinal_alpha: Coefficient
    """Krippendorff's, which counts how many labels lie between two numbers."""
    interval_alpha: Coefficient
    """Krippendorff's, which counts their squared difference."""


@dataclass(frozen=True)
class WeekOfAgreement:
    """Agreement on the tasks whose last label was given in one week."""

    start: float
    """Its Monday, seconds since 1970 (UTC)."""
    agreement: Agreement


@dataclass(frozen=True)
class FurtherLabels:
    """What further labels of the most doubtful tasks would bring."""

    num_labels: int
    accuracy: float
    """Estimated share of right consensus labels after them, 0 to 1."""


@dataclass(frozen=True)
class QuestionOverview:
    """What the labels of one question say together."""

    question: str
    classes: tuple[ClassCounts, ...]
    """In the order of the labeling config."""
    num_tasks: int
    """Tasks of the project."""
    num_labeled: int
    """Those with a consensus."""
    num_labels: int
    """Labels that count."""
    num_annotators: int
    num_ground_truth: int
    """Tasks whose truth is known."""
    mean_quality: float | None
    """Mean consensus quality score, 0 to 1."""
    ground_truth_accuracy: float | None
    """Share of right consensus labels where the truth is known."""
    consensus_accuracy: float | None
    """Estimated share of right consensus labels, 0 to 1; null before it was estimated."""
    majority_accuracy: float | None
    """The same of a majority vote, ties broken by lot."""
    gain: float | None
    """How many more consensus labels are right than of a majority vote, as a share."""
    labels_for_majority: int | None
    """Labels per task that a majority vote needs to be right as often, or one more than could
    be tried; null if unknown."""
    labels_saved: int | None
    """Labels that it would need beyond those there are."""
    further_labels: tuple[FurtherLabels, ...]
    """By number of labels, from 0; empty before it was estimated."""
    gain_per_100: float | None
    """How much the estimated accuracy rises by the next hundred labels."""
    agreement: Agreement | None
    """Null before it was summed up."""
    num_shared: int
    """Tasks with two labels or more, from which agreement is found."""
    agreement_weeks: tuple[WeekOfAgreement, ...]
    """Ascending, of a year at most."""
    unanimous: float | None
    """Share of the labelled tasks with labels that are all the same."""
    quality_histogram: tuple[int, ...]
    """Labelled tasks by consensus quality, in bins of equal width from 0 to 1."""
    votes: tuple[int, ...]
    """Tasks by number of labels, from 0; the last entry counts those of more as well."""
    confusion: tuple[ConfusionCell, ...]
    """Cells of the confusion matrix that are not 0."""
    weeks: tuple[Week, ...]
    """Ascending."""
    method: str
    """How the consensus was found."""
    classifier: str
    """What gave the pred_probs, or why there are none."""
    model_weight: float | None
    """Weight of the classifier in CROWDLAB's ensemble; null by another method."""
    annotator_weight: float | None
    """Mean weight of an annotator in the same ensemble."""
    computed_at: float
    """Seconds since 1970."""
    numeric_agreement: NumericAgreement | None = None
    """Null where classes are no numbers."""
    held: tuple[HeldName, ...] = ()
    """Where answers are sets of names, the most frequent first; else empty."""

    @classmethod
    def of(cls, one: QuestionInsight) -> QuestionOverview:
        """Plain form of what pages show."""
        summary = one.summary
        counts = zip(
            summary.classes, one.class_counts.tolist(), one.majority_counts.tolist(), strict=True
        )
        return cls(
            question=summary.name,
            classes=tuple(ClassCounts(*row) for row in counts),
            num_tasks=summary.num_tasks,
            num_labeled=summary.num_labeled,
            num_labels=summary.num_labels,
            num_annotators=len(summary.annotators),
            num_ground_truth=summary.num_ground_truth,
            mean_quality=summary.mean_quality,
            ground_truth_accuracy=summary.ground_truth_accuracy,
            consensus_accuracy=one.consensus_accuracy,
            majority_accuracy=one.majority_accuracy,
            gain=one.gain,
            labels_for_majority=one.labels_for_majority,
            labels_saved=one.labels_saved,
            further_labels=tuple(
                FurtherLabels(*row)
                for row in zip(one.gain_labels.tolist(), one.gain_accuracy.tolist(), strict=True)
            ),
            gain_per_100=one.gain_per_100,
            agreement=None if one.agreement is None else Agreement.of(one.agreement),
            num_shared=one.num_shared,
            agreement_weeks=tuple(
                WeekOfAgreement(week.start, Agreement.of(week.agreement))
                for week in one.agreement_weeks
            ),
            unanimous=one.unanimous,
            quality_histogram=tuple(one.quality_histogram.tolist()),
            votes=tuple(one.votes.tolist()),
            confusion=_cells(one.confusion, summary.classes),
            weeks=one.weeks,
            method=one.method,
            classifier=summary.classifier,
            model_weight=one.model_weight,
            annotator_weight=one.annotator_weight,
            computed_at=one.computed_at,
            held=tuple(HeldName(*row) for row in one.held),
            numeric_agreement=(
                None
                if one.agreement_by_value is None
                else NumericAgreement(
                    Coefficient.of(one.agreement_by_value.ordinal),
                    Coefficient.of(one.agreement_by_value.interval),
                )
            ),
        )


@dataclass(frozen=True)
class Questions:
    """Questions of a project at a glance."""

    project: int
    questions: tuple[QuestionOverview, ...]
    """In the order of the labeling config."""


@dataclass(frozen=True)
class Leaderboards:
    """Annotators of a project."""

    project: int
    questions: tuple[Leaderboard, ...]


@dataclass(frozen=True)
class ClassRates:
    """How an annotator does on one class."""

    name: str
    precision: float | None
    """Share of their labels of the class that equal the consensus; null without any."""
    recall: float | None
    """Share of their tasks of this consensus that they labelled so; null without any."""


@dataclass(frozen=True)
class ShownColleague:
    """Another annotator of the same tasks."""

    annotator: int
    name: str
    num_shared: int
    """Tasks that both labelled."""
    agreement: float
    """Share of these to which both gave the same label, 0 to 1."""
    cohen_kappa: float | None
    """Agreement beyond chance, at most 1, 0 by chance; null where it is not defined."""


@dataclass(frozen=True)
class AnnotatorAnswer:
    """One annotator's part in one question."""

    question: str
    rank: int
    """Place on the leaderboard, from 1."""
    num_annotators: int
    """Those on the leaderboard."""
    statistics: AnnotatorInsight
    """The annotator's row of the leaderboard."""
    classes: tuple[ClassRates, ...]
    """In the order of the labeling config."""
    confusion: tuple[ConfusionCell, ...]
    """Cells of the annotator's confusion matrix that are not 0."""
    colleagues: tuple[ShownColleague, ...]
    """Up to a hundred of those who share the most tasks, the most shared first."""
    doubtful_labels: tuple[DoubtfulLabel, ...]
    """Labels that differ from the consensus, the most doubtful first."""

    @classmethod
    def of(
        cls, question: str, profile: AnnotatorProfile, doubtful: list[DoubtfulLabel]
    ) -> AnnotatorAnswer:
        """Plain form of what pages show."""
        rates = zip(
            profile.classes, profile.precision.tolist(), profile.recall.tolist(), strict=True
        )
        return cls(
            question=question,
            rank=profile.rank,
            num_annotators=profile.num_annotators,
            statistics=profile.insight,
            classes=tuple(
                ClassRates(name, _defined(precision), _defined(recall))
                for name, precision, recall in rates
            ),
            confusion=_cells(profile.confusion, profile.classes),
            colleagues=tuple(
                ShownColleague(
                    one.annotator,
                    one.name,
                    one.num_shared,
                    one.agreement,
                    _defined(one.cohen_kappa),
                )
                for one in profile.colleagues
            ),
            doubtful_labels=tuple(doubtful),
        )


@dataclass(frozen=True)
class Annotator:
    """One annotator of a project."""

    project: int
    annotator: int
    name: str
    questions: tuple[AnnotatorAnswer, ...]
    """Those that the annotator has answered."""


@dataclass(frozen=True)
class ShownVersion(ModelVersion):
    """A model version, and whether it can be seen."""

    is_current: bool = False
    """Label Studio shows it."""
    can_be_restored: bool = False
    """`crowdlab rollback` can show it again."""


@dataclass(frozen=True)
class VersionList:
    """Model versions of a project."""

    project: int
    versions: tuple[ShownVersion, ...]
    """The oldest first."""


@dataclass(frozen=True)
class AuditTrail:
    """What the service did to a project in Label Studio, the newest first."""

    project: int
    entries: tuple[JSON, ...]
    """Each with `at` (seconds since 1970), `action`, and what belongs to it."""


@dataclass(frozen=True)
class DeadLetter:
    """An event that could not be applied."""

    died_at: float
    """Seconds since 1970."""
    reason: str
    event: str
    """The event as it came, up to its first 10,000 characters."""


@dataclass(frozen=True)
class DeadLetterList:
    """Events that could not be applied, the oldest first."""

    project: int
    num_dead_letters: int
    """All of them, shown or not."""
    dead_letters: tuple[DeadLetter, ...]


@dataclass(frozen=True)
class Accepted:
    """Work that a worker will do."""

    project: int
    effect: str
    """What will be done."""


@dataclass(frozen=True)
class ShownTask(PlannedTask):
    """A task that a policy chose, and why."""

    waits: bool = False
    """Whether it is open for a label anyway, so that nothing need be asked."""
    reason: str = ""
    """Why it was chosen, in words."""


@dataclass(frozen=True)
class ShownPlan:
    """What a policy asks for."""

    project: int
    policy: ReviewPolicy
    tasks: tuple[ShownTask, ...]
    """Chosen tasks, the lowest score first."""
    num_tasks: int
    """Tasks that were ranked."""
    left_out: dict[str, int]
    """Reason to the number of tasks that it kept from being chosen."""
    excluded: tuple[int, ...]
    """Annotators whose labels do not count as given, by id."""

    @classmethod
    def of(cls, plan: ReviewPlan) -> ShownPlan:
        """Plain form of a plan."""
        return cls(
            project=plan.project,
            policy=plan.policy,
            tasks=tuple(
                ShownTask(**asdict(one), waits=one.waits, reason=one.reason) for one in plan.tasks
            ),
            num_tasks=plan.num_tasks,
            left_out=plan.left_out,
            excluded=plan.excluded,
        )


@dataclass(frozen=True)
class AppliedPlan:
    """What was asked for, and what came of it."""

    plan: ShownPlan
    report: ReviewReport


@dataclass(frozen=True)
class Withdrawal:
    """Requests that were taken back."""

    project: int
    report: ReviewReport
    num_requests: int
    """Requests that wait for a label still."""


@dataclass(frozen=True)
class ReviewRequest:
    """A request for one more label of a task."""

    task: int
    state: str
    """open: waits for a label; noted: not in Label Studio yet; withdrawing: not taken back yet."""
    requested_at: float
    """Seconds since 1970."""
    was_labeled: bool
    """Whether Label Studio took the task for done."""
    old_overlap: int
    """Labels that Label Studio collected before."""
    new_overlap: int
    """Labels that it collects by the request."""
    num_annotators: int
    """People who had labelled the task then."""
    last_annotation: int
    """Largest id of its annotations then; 0 without."""
    num_extra: int
    """Labels that requests for the task have brought so far."""
    score: float
    """ActiveLab score then, 0 to 1."""
    quality: float | None
    """Consensus quality score then, 0 to 1; null without labels."""


@dataclass(frozen=True)
class ReviewRequestList:
    """Requests that wait for a label."""

    project: int
    num_requests: int
    """All of them, shown or not."""
    requests: tuple[ReviewRequest, ...]
    """The newest first."""


@dataclass(frozen=True)
class GroundTruth:
    """The consensus of a task as its ground truth in Label Studio."""

    project: int
    task: int
    annotation: int
    """Id of the annotation that says so."""


@dataclass(frozen=True)
class Done:
    """What was done."""

    project: int
    effect: str
    """In words."""


@dataclass(frozen=True)
class SourceList:
    """Classifiers of a project's questions."""

    project: int
    sources: tuple[SourceRow, ...]
    """By question, the service's own first."""


@dataclass(frozen=True)
class TakenPredictions:
    """Predictions that were taken in; the consensus is computed anew with them."""

    project: int
    sources: tuple[PredictionSource, ...]


class _Answer(RootModel[Any]):
    model_config = ConfigDict(use_attribute_docstrings=True)


WRAPPED = ".answer"
"""How the names of models end that only wrap a dataclass."""


@cache
def model_of(content: type) -> type[BaseModel]:
    """Model of an answer that is such a dataclass, for the OpenAPI document."""
    return create_model(
        f"{content.__name__}{WRAPPED}",
        __base__=_Answer,
        __doc__=content.__doc__,
        root=(content, ...),
    )


def answer(content: object, status: int = 200) -> Response:
    """HTTP answer of a dataclass; numbers that are not finite become null."""
    return Response(orjson.dumps(content), status, mimetype="application/json")


def shown_version(version: ModelVersion, current: str, kept: set[str]) -> ShownVersion:
    """A version with what can be done with it."""
    return ShownVersion(
        **asdict(version), is_current=version.name == current, can_be_restored=version.name in kept
    )


def _defined(value: float) -> float | None:
    """The same value, None for one that is not defined (NaN)."""
    return None if math.isnan(value) else value


def _cells(confusion: NDArray[np.int64], classes: Sequence[str]) -> tuple[ConfusionCell, ...]:
    """Cells of a confusion matrix, (K, K), that are not 0."""
    given, consensus = np.nonzero(confusion)
    return tuple(
        ConfusionCell(classes[one], classes[other], count)
        for one, other, count in zip(
            given.tolist(), consensus.tolist(), confusion[given, consensus].tolist(), strict=True
        )
    )
