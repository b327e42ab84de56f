"""Compute consensus and qualities of a project from what the store holds."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from backend.answers.likeness import agrees, likeness_of_codes
from backend.errors import NothingToComputeError
from backend.jobs.dask_cluster import DaskCluster
from backend.jobs.follow import follow_tasks, sums_to_arrays
from backend.jobs.labels import LabelCensus, engine_labels, take_census
from backend.jobs.predictions import NewPredictions, Predictions, StoredPredictions
from backend.jobs.results import TaskScores, consensus_rows, label_quality_rows
from backend.jobs.structured import part_rows, solve_structured
from backend.jobs.train import TrainedClassifiers
from backend.label_studio.questions import NO_LABEL, Question, continued
from backend.progress import Progress, silent
from backend.store.answer_book import AnswerBook
from backend.store.arrays import Arrays
from backend.store.project import (
    JSON,
    ModelScore,
    ProjectInfo,
    ProjectStore,
    QuestionSummary,
    Summary,
)
from backend.store.tables import select
from crowdlab_engine import BlockwiseCrowdlab, Fusion, MultiannotatorLabels, TaskBlock

if TYPE_CHECKING:
    from crowdlab_engine.distributed import DistributedCrowdlab

log = logging.getLogger(__name__)

_LEAST_PROB = 1e-6
"""Probability below which a classifier's loss does not grow."""

Method: TypeAlias = Literal["crowdlab", "fusion"]


@dataclass(frozen=True)
class RecomputeReport:
    """What a recompute changed in the store."""

    num_tasks: int = 0
    """Tasks with a consensus."""
    labels_changed: int = 0
    """Tasks whose consensus label is new or another one."""
    scores_changed: int = 0
    """Tasks whose consensus quality score is new or another one."""
    is_skipped: bool = False
    """Nothing had changed since the last recompute."""

    def __str__(self) -> str:
        if self.is_skipped:
            return f"nothing changed; {self.num_tasks:,} tasks have a consensus"
        return (
            f"{self.num_tasks:,} tasks have a consensus: {self.labels_changed:,} labels and "
            f"{self.scores_changed:,} scores changed"
        )


def recompute_project(
    store: ProjectStore,
    trained: TrainedClassifiers | None = None,
    method: Method = "crowdlab",
    progress: Progress = silent,
    dask: DaskCluster | None = None,
) -> RecomputeReport:
    """Recompute every task's consensus and all qualities.

    Labels are read some blocks at a time, and annotations go on being followed meanwhile; only
    storing the results takes the lock of `Work.STORE`, and brings the tasks up to date that
    were changed since.

    Parameters
    ----------
    trained
        New classifiers; None uses the stored out-of-sample `pred_probs`.
    method
        How the consensus is found.
    dask
        Where large questions are computed; None computes them here.

    Raises
    ------
    NothingToComputeError
        The project was never synced, or no annotation counts as a label.
    """
    info = store.read_info()
    if info is None:
        raise NothingToComputeError(
            f"Project {store.project_id} is not known yet.",
            f"Run `crowdlab connect {store.project_id}` first.",
        )
    if trained and tuple(one.question for one in trained.questions) != info.questions:
        trained = None  # the labeling config changed while they were trained
    last = store.read_summary()
    is_done = last is not None and (last.data_version, last.method) == (info.data_version, method)
    if trained is None and last is not None and is_done:
        most = max((one.num_labeled for one in last.questions), default=0)
        return RecomputeReport(num_tasks=most, is_skipped=True)
    census = take_census(store, info, progress)
    answers = []
    for number, question in enumerate(info.questions):
        progress("Computing consensus", number, len(info.questions))
        predictions = _predictions_of(store, trained, number, question)
        answer = _Answer(number, question, census, store.answer_book)
        if question.type.is_class:
            answer.compute(predictions, method, store, dask)
        else:
            answer.solve(store, predictions, method)
        answer.rate(predictions, _calibrations(trained, last, number))
        answers.append(answer)
    if not any(answer.num_labels for answer in answers):
        _forget_results(store, info, census)
    summary = Summary(
        data_version=info.data_version,
        trained_version=trained.data_version if trained else last.trained_version if last else -1,
        recipe=trained.recipe if trained else last.recipe if last else "",
        method=method,
        computed_at=time.time(),
        questions=tuple(
            answer.summary(*_classifier_of(trained, last, answer.number)) for answer in answers
        ),
        fingerprint=census.fingerprint,
        trained_at=time.time() if trained else last.trained_at if last else 0.0,
        training_seconds=trained.seconds if trained else last.training_seconds if last else 0.0,
        is_complete=trained.is_complete if trained else last is None or last.is_complete,
    )
    return _store_results(store, info, census, answers, trained, summary, progress)


def _forget_results(store: ProjectStore, info: ProjectInfo, census: LabelCensus) -> None:
    with store.lock(), store.transaction() as changes:
        store.stage_forget_results(changes, len(info.questions))
    raise NothingToComputeError(
        f"Project {store.project_id} ({info.title}) has no label yet: "
        f"{census.num_tasks:,} tasks, {census.num_annotations:,} annotations, none of "
        "which counts (skipped, empty, or ground truth).",
        "Label some tasks in Label Studio, each by several annotators.",
    )


def _predictions_of(
    store: ProjectStore, trained: TrainedClassifiers | None, number: int, question: Question
) -> Predictions:
    num_classes = len(question.classes)
    if trained:
        return NewPredictions.of_rows(trained.questions[number].rows(), num_classes)
    return StoredPredictions.read(store, number, num_classes)


def _classifier_of(
    trained: TrainedClassifiers | None, last: Summary | None, number: int
) -> tuple[str, str]:
    """What gave the pred_probs of a question, or why there are none; and its name."""
    if trained:
        return trained.questions[number].description, trained.questions[number].name
    if last is None:
        return "none: not trained yet", ""
    return last.questions[number].classifier, last.questions[number].classifier_name


def _calibrations(
    trained: TrainedClassifiers | None, last: Summary | None, number: int
) -> dict[str, str]:
    """How each classifier's probabilities were calibrated, in words."""
    if trained:
        return {one.name: one.calibration for one in trained.questions[number].others}
    return (
        {} if last is None else {one.name: one.calibration for one in last.questions[number].models}
    )


def _store_results(
    store: ProjectStore,
    info: ProjectInfo,
    census: LabelCensus,
    answers: Sequence[_Answer],
    trained: TrainedClassifiers | None,
    summary: Summary,
    progress: Progress,
) -> RecomputeReport:
    """Put the results in the place of the old ones, and follow what changed meanwhile."""
    num_questions = len(info.questions)
    difference = _Difference()
    table = store.consensus(num_questions)
    qualities = store.label_quality(num_questions)

    def consensus() -> Iterator[Arrays]:
        for place, part in enumerate(census.parts):
            progress("Storing results", place, len(census.parts))
            rows = consensus_rows(part.tasks, [answer.parts[place] for answer in answers])
            difference.add(table.read_blocks(part.blocks), rows)
            yield rows

    drafts = [
        (table, table.draft(consensus())),
        (
            qualities,
            qualities.draft(
                label_quality_rows(part.counted, [one.parts[place] for one in answers])
                for place, part in enumerate(census.parts)
            ),
        ),
    ]
    parts = store.consensus_parts
    qualities_of_parts = {one.number: one.part_quality for one in answers if one.part_quality}
    drafts.append((parts, parts.draft(part_rows(census, qualities_of_parts))))
    models: list[tuple[str, ...]] = []
    for number, one in enumerate(trained.questions if trained else ()):
        found = one.rows()
        for model, rows in found.items():
            probs = store.pred_probs(number, len(one.question.classes), model)
            drafts.append((probs, probs.draft([rows])))
        models.append(NewPredictions.of_rows(found, len(one.question.classes)).models)
    with store.lock():
        now = store.read_info()
        if now is None or not continued(now.questions, info.questions):
            raise NothingToComputeError(
                f"The labeling config of project {store.project_id} changed while it was computed.",
                "The next sync pulls the project anew.",
            )
        with store.transaction() as changes:
            for number, names in enumerate(models):
                store.stage_models(changes, number, names)
            for one_table, draft in drafts:
                one_table.stage_draft(changes, draft)
            for answer in answers:
                store.stage_statistics(changes, answer.number, answer.sums)
            store.stage_forget_changed(changes, info.data_version)
            store.stage_summary(changes, summary)
        late = store.changed_since(info.data_version)
        if len(late) and now.data_version != info.data_version:
            follow_tasks(store, now, late)
    report = difference.report()
    log.info("project %s: recompute: %s", store.project_id, report)
    return report


@dataclass(eq=False)
class _Answer:
    """Consensus and qualities of one question."""

    number: int
    question: Question
    census: LabelCensus
    book: AnswerBook
    parts: list[TaskScores] = field(default_factory=list)
    sums: Arrays | None = None
    """Sums that changes are followed by; None by another method than CROWDLAB."""
    model_weight: float | None = 0.0
    annotator_stats: pd.DataFrame | None = None
    part_quality: tuple[NDArray[np.float64], ...] = ()
    """Quality of each part of each task's consensus, of answers that consist of parts."""
    own_classifier: str = ""
    not_counted: str = ""
    """What of the answers could not be used, and why."""
    model_weights: tuple[float | None, ...] = ()
    """Weight of each classifier."""
    models: tuple[ModelScore, ...] = ()
    """Classifiers that counted, if any but the service's own did."""

    @property
    def num_labels(self) -> int:
        """Number of labels that count."""
        return sum(len(part.counted[self.number]["task"]) for part in self.census.parts)

    def compute(
        self,
        predictions: Predictions,
        method: Method,
        store: ProjectStore,
        dask: DaskCluster | None,
    ) -> None:
        """Find the consensus, on Dask if the question is large and Dask can be had."""
        if not self.num_labels:
            self.parts = [TaskScores.unanswered(len(part.tasks)) for part in self.census.parts]
            return
        blocks = _Blocks(self, None if predictions.is_empty else predictions)
        if method == "fusion":
            self._compute_fusion(blocks)
            return
        on_dask = dask.fit(store, blocks, self.num_labels) if dask else None
        fitted: BlockwiseCrowdlab | DistributedCrowdlab
        if on_dask is not None:
            fitted, self.parts = on_dask
        else:
            found = self.parts
            fitted = BlockwiseCrowdlab(may_abstain=predictions.may_abstain).fit(
                blocks, lambda scores: found.append(TaskScores.of_block(scores))
            )
        self.sums = sums_to_arrays(fitted.sums_, self.census.annotators[self.number])
        self.model_weights = tuple(np.atleast_1d(fitted.model_weight_).tolist())
        self.model_weight = float(np.sum(fitted.model_weight_))
        self.annotator_stats = fitted.annotator_stats_

    def solve(
        self,
        store: ProjectStore,
        predictions: Predictions,
        method: Method,
    ) -> None:
        """Find the consensus of answers that are no class."""
        if not self.num_labels:
            self.parts = [TaskScores.unanswered(len(part.tasks)) for part in self.census.parts]
            return
        solution, codes = solve_structured(
            store, self.census, self.number, self.question, predictions, method
        )
        first_task = first_label = 0
        for part in self.census.parts:
            last_task = first_task + len(part.tasks)
            last_label = first_label + len(part.counted[self.number]["task"])
            tasks = slice(first_task, last_task)
            labels = np.bincount(
                np.searchsorted(part.tasks, part.counted[self.number]["task"]),
                minlength=len(part.tasks),
            )
            self.parts.append(
                TaskScores.of(
                    codes[tasks],
                    solution.quality[tasks],
                    solution.agreement[tasks],
                    labels,
                    solution.answer_quality[first_label:last_label],
                )
            )
            first_task, first_label = last_task, last_label
        self.part_quality = tuple(solution.part_quality)
        self.model_weight = solution.model_weight
        self.annotator_stats = solution.annotator_stats
        self.own_classifier = solution.classifier
        self.not_counted = solution.not_counted

    def rate(self, predictions: Predictions, calibrations: Mapping[str, str]) -> None:
        """Score the classifiers by the consensus."""
        if predictions.is_empty:
            return
        num_models = len(predictions.models)
        said, checked, right = np.zeros((3, num_models), dtype=np.int64)
        loss = np.zeros(num_models)
        for part, found in zip(self.census.parts, self.parts, strict=True):
            probs = predictions.each(part.tasks, part.blocks)
            is_said = ~np.isnan(probs).any(axis=2)
            said += is_said.sum(axis=1)
            if not self.question.type.is_class:
                continue
            has_label = found.label != NO_LABEL
            at_label = probs[:, np.arange(len(part.tasks)), np.where(has_label, found.label, 0)]
            is_checked = is_said & has_label
            checked += is_checked.sum(axis=1)
            loss -= np.where(is_checked, np.log(np.maximum(at_label, _LEAST_PROB)), 0).sum(axis=1)
            best = np.where(np.isnan(probs), -1, probs).argmax(axis=2)
            right += (is_checked & (best == found.label)).sum(axis=1)
        weights = self.model_weights if len(self.model_weights) == num_models else ()
        self.models = tuple(
            ModelScore(
                name=name,
                num_tasks=int(said[place]),
                coverage=float(said[place] / max(1, self.census.num_tasks)),
                weight=weights[place] if weights else None,
                log_loss=float(loss[place] / checked[place]) if checked[place] else None,
                accuracy=float(right[place] / checked[place]) if checked[place] else None,
                calibration=calibrations.get(name, "by the service"),
            )
            for place, name in enumerate(predictions.models)
        )

    def _compute_fusion(self, blocks: _Blocks) -> None:
        """Find the consensus by a method that needs all labels at once."""
        whole, pred_probs = blocks.joined()
        fitted = Fusion().fit(whole, pred_probs)
        tasks = np.cumsum([0, *(len(part.tasks) for part in self.census.parts)])
        labels = np.cumsum(
            [0, *(len(part.counted[self.number]["task"]) for part in self.census.parts)]
        )
        has_label = fitted.num_annotations_ > 0
        for place in range(len(self.census.parts)):
            some = slice(tasks[place], tasks[place + 1])
            self.parts.append(
                TaskScores(
                    np.where(has_label, fitted.consensus_label_, NO_LABEL)[some],
                    np.where(has_label, fitted.consensus_quality_score_, np.nan)[some],
                    fitted.annotator_agreement_[some],
                    fitted.num_annotations_[some],
                    fitted.label_quality_[labels[place] : labels[place + 1]],
                )
            )
        self.model_weight = None
        self.annotator_stats = fitted.annotator_stats_

    def summary(self, classifier: str, classifier_name: str) -> QuestionSummary:
        """What was found, at a glance."""
        num_labeled = num_truth = num_checked = num_right = 0
        quality = 0.0
        for part, found in zip(self.census.parts, self.parts, strict=True):
            truth = part.truth[:, self.number]
            has_label = found.label != NO_LABEL
            is_checked = has_label & (truth != NO_LABEL)
            num_labeled += int(has_label.sum())
            num_truth += int((truth != NO_LABEL).sum())
            num_checked += int(is_checked.sum())
            num_right += int(self._is_right(found.label[is_checked], truth[is_checked]).sum())
            quality += float(found.quality[has_label].sum())
        has_labels = self.annotator_stats is not None
        return QuestionSummary(
            name=self.question.name,
            classes=self.question.classes,
            num_tasks=self.census.num_tasks,
            num_labeled=num_labeled,
            num_labels=self.num_labels,
            num_ground_truth=num_truth,
            mean_quality=quality / num_labeled if num_labeled else None,
            ground_truth_accuracy=num_right / num_checked if num_checked else None,
            classifier=(
                self.own_classifier or classifier
                if has_labels
                else "none: nobody has answered this question"
            ),
            model_weight=self.model_weight,
            annotators=self._leaderboard(),
            classifier_name=classifier_name,
            values=self.question.values,
            is_class=self.question.type.is_class,
            not_counted=self.not_counted,
            models=self.models,
        )

    def _is_right(self, said: NDArray[Any], truth: NDArray[Any]) -> NDArray[np.bool_]:
        """Whether answers agree with those that are known for certain, all by their codes."""
        return agrees(likeness_of_codes(self.book, self.question, said, truth))

    def _leaderboard(self) -> tuple[JSON, ...]:
        """Annotators, the best first; too little data comes last."""
        if self.annotator_stats is None:
            return ()
        annotators = self.census.annotators[self.number]
        num_checked = np.zeros(len(annotators), dtype=np.int64)
        num_right = np.zeros(len(annotators), dtype=np.int64)
        for part in self.census.parts:
            counted = part.counted[self.number]
            truth = part.truth[np.searchsorted(part.tasks, counted["task"]), self.number]
            is_checked = truth != NO_LABEL
            said = counted["codes"][is_checked, self.number]
            person = np.searchsorted(annotators, counted["annotator"])[is_checked]
            num_checked += np.bincount(person, minlength=len(annotators))
            person = person[self._is_right(said, truth[is_checked])]
            num_right += np.bincount(person, minlength=len(annotators))
        rows = []
        table = self.annotator_stats
        for annotator, row in zip(table.index.tolist(), table.to_dict("records"), strict=True):
            place = int(np.searchsorted(annotators, annotator))
            checked = int(num_checked[place])
            rows.append(
                {
                    "annotator": int(annotator),
                    "quality": float(row["annotator_quality"]),
                    "agreement_with_consensus": float(row["agreement_with_consensus"]),
                    "agreement_with_ground_truth": (
                        float(num_right[place] / checked) if checked else None
                    ),
                    "num_ground_truth": checked,
                    "worst_class": (
                        self.question.classes[int(row["worst_class"])]
                        if row["worst_class"] >= 0
                        else ""
                    ),
                    "num_labels": int(row["num_examples_labeled"]),
                    "num_skipped": self.census.num_skipped[int(annotator)],
                    "enough_data": bool(row["enough_data"]),
                }
            )
        return tuple(sorted(rows, key=lambda row: (not row["enough_data"], -row["quality"])))


@dataclass(frozen=True, eq=False)
class _Blocks:
    """The parts of a census as blocks of one question, each time they are walked over."""

    answer: _Answer
    predictions: Predictions | None

    def __iter__(self) -> Iterator[TaskBlock]:
        answer = self.answer
        annotators = answer.census.annotators[answer.number]
        for part in answer.census.parts:
            counted = part.counted[answer.number]
            yield TaskBlock(
                engine_labels(part.tasks, counted, answer.number, answer.question, annotators),
                None if self.predictions is None else self.predictions.of(part.tasks, part.blocks),
            )

    def joined(self) -> tuple[MultiannotatorLabels, NDArray[np.float64] | None]:
        """All labels and pred_probs as one block."""
        answer = self.answer
        parts = answer.census.parts
        counted = {
            name: np.concatenate([part.counted[answer.number][name] for part in parts])
            for name in ("task", "annotator", "codes")
        }
        tasks = np.concatenate([part.tasks for part in parts])
        annotators = answer.census.annotators[answer.number]
        labels = engine_labels(tasks, counted, answer.number, answer.question, annotators)
        if self.predictions is None:
            return labels, None
        return labels, np.concatenate(
            [self.predictions.mean_of(part.tasks, part.blocks) for part in parts]
        )


class _Difference:
    """How results differ from those they replace."""

    def __init__(self) -> None:
        self._num_tasks = self._labels = self._scores = 0

    def add(self, old: Arrays, new: Arrays) -> None:
        """Compare some blocks."""
        self._num_tasks += len(new["task"])
        if not np.array_equal(old["task"], new["task"]):
            both, in_old, in_new = np.intersect1d(
                old["task"], new["task"], assume_unique=True, return_indices=True
            )
            others = len(old["task"]) + len(new["task"]) - 2 * len(both)
            self._labels += others
            self._scores += others
            old, new = select(old, in_old), select(new, in_new)
        before, after = old["quality"], new["quality"]
        is_same = (before == after) | (np.isnan(before) & np.isnan(after))
        self._scores += int((~is_same).any(axis=1).sum())
        self._labels += int((old["label"] != new["label"]).any(axis=1).sum())

    def report(self) -> RecomputeReport:
        """What was found in all blocks."""
        return RecomputeReport(self._num_tasks, self._labels, self._scores)
