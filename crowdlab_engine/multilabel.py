"""Consensus where an answer is a set of classes: one binary CROWDLAB per class."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.sparse import csc_array
from sklearn.base import BaseEstimator

from crowdlab_engine._typing import AnyArray, BoolArray, FloatArray, IntArray
from crowdlab_engine.crowdlab import Crowdlab
from crowdlab_engine.fusion import Fusion
from crowdlab_engine.labels import MultiannotatorLabels

if TYPE_CHECKING:
    from typing_extensions import Self

Method = Literal["crowdlab", "fusion"]

_LEAST_PROB = 1e-12

_METHODS: dict[str, Any] = {"crowdlab": Crowdlab, "fusion": Fusion}


@dataclass(frozen=True, eq=False)
class MultilabelAnswers:
    """Sets of classes that M annotators gave to N tasks, L answers in all.

    An empty set is an answer: none of the K classes applies.

    Attributes
    ----------
    task, annotator : ndarray of int64, shape (L,)
        Codes.
    chosen : csc_array of bool, shape (L, K)
        Which classes each answer holds.
    num_tasks : int
    annotator_ids : ndarray, shape (M,)
    """

    task: IntArray
    annotator: IntArray
    chosen: csc_array
    num_tasks: int
    annotator_ids: AnyArray

    @classmethod
    def from_sets(
        cls,
        task: ArrayLike,
        annotator: ArrayLike,
        chosen: Sequence[Iterable[int]],
        *,
        num_tasks: int,
        num_classes: int,
        annotator_ids: ArrayLike | None = None,
    ) -> Self:
        """Build from one set of class codes per answer.

        Parameters
        ----------
        task, annotator : array_like of int, shape (L,)
            Codes from 0; an annotator answers a task at most once.
        chosen : sequence of iterables of int, length L
            Class codes of each answer.
        num_tasks, num_classes : int
        annotator_ids : array_like, shape (M,), optional
            Default: the codes.

        Raises
        ------
        ValueError
            Lengths differ or a code is out of range.
        """
        tasks, people = np.asarray(task, dtype=np.int64), np.asarray(annotator, dtype=np.int64)
        sets = [np.unique(np.asarray(list(one), dtype=np.int64)) for one in chosen]
        if not len(tasks) == len(people) == len(sets):
            raise ValueError(
                f"there are {len(tasks)} tasks, {len(people)} annotators and {len(sets)} sets: "
                "pass one of each per answer"
            )
        code = np.concatenate([np.empty(0, dtype=np.int64), *sets])
        wrong = np.flatnonzero((code < 0) | (code >= num_classes))
        if wrong.size:
            raise ValueError(f"class code {code[wrong[0]]} is outside 0..{num_classes - 1}")
        if len(tasks) and not 0 <= tasks.min() <= tasks.max() < num_tasks:
            raise ValueError(f"a task code is outside 0..{num_tasks - 1}")
        given = np.arange(people.max(initial=-1) + 1)
        ids = given if annotator_ids is None else np.asarray(annotator_ids)
        if len(people) and not 0 <= people.min() <= people.max() < len(ids):
            raise ValueError(f"an annotator code is outside 0..{len(ids) - 1}")
        row = np.repeat(np.arange(len(sets)), [len(one) for one in sets])
        held = csc_array(
            (np.ones(len(row), dtype=bool), (row, code)), shape=(len(sets), num_classes)
        )
        return cls(tasks, people, held, num_tasks, ids)

    @property
    def num_classes(self) -> int:
        """Number of classes K."""
        return int(self.chosen.shape[1])

    def holds(self, code: int) -> BoolArray:
        """Whether each answer holds a class, shape (L,)."""
        held = np.zeros(len(self.task), dtype=bool)
        held[self.chosen.indices[self.chosen.indptr[code] : self.chosen.indptr[code + 1]]] = True
        return held


class MultilabelCrowdlab(BaseEstimator):  # type: ignore[misc]
    """Consensus set of classes, its quality, and the quality of answers and annotators.

    Whether a class applies is a question of two answers for each class, which `Crowdlab`
    answers with weights of its own: annotators can be good at one class and bad at another.
    A class that nobody chose anywhere does not apply.

    Parameters
    ----------
    method : {"crowdlab", "fusion"}, default "crowdlab"
        What answers it; `Fusion` knows that to miss a class is another error than to choose it
        wrongly, and needs more answers per annotator.

    Attributes
    ----------
    consensus_ : ndarray of bool, shape (N, K)
        Which classes apply.
    class_quality_ : ndarray of float64, shape (N, K)
        Probability that this is right, per class; NaN without answers.
    consensus_quality_score_ : ndarray of float64, shape (N,)
        How far the whole set can be trusted, in [0, 1], higher is better: the square root of the
        probability that all classes are right, as `Fusion` has it, times the smallest share of
        answers that say the same of a class as the consensus; NaN without answers. `Fusion` sees
        that to miss a class is another error than to choose it wrongly, so that its probabilities
        find more of the wrong sets than `class_quality_` does, and classes do not err
        independently, so that a product alone finds fewer (`benchmarks/multilabel.py`).
    annotator_agreement_ : ndarray of float64, shape (N,)
        Share of the task's answers that equal the consensus set; NaN without answers.
    num_annotations_ : ndarray of int64, shape (N,)
    answer_quality_ : ndarray of float64, shape (L,)
        Probability that each answer is right as a whole, in the order of the answers.
    annotator_stats_ : DataFrame
        A row per annotator, by the index of their ids. `annotator_quality`: mean over classes
        of the annotator's quality, each weighted by how often anybody chose it;
        `agreement_with_consensus`: share of classes, chosen by the annotator or by the
        consensus, that both hold; `worst_class`: class of the lowest quality, -1 without any;
        `num_examples_labeled`; `enough_data`: whether the annotator shares a task with others.
    model_weight_ : ndarray of float64, shape (K,)
        Weight of the classifier for each class; 0 without one, and by another method.
    """

    def __init__(self, method: Method = "crowdlab") -> None:
        self.method = method

    def fit(self, answers: MultilabelAnswers, pred_probs: ArrayLike | None = None) -> Self:
        """Find the consensus.

        Parameters
        ----------
        answers : MultilabelAnswers
            Of N tasks, M annotators and K classes.
        pred_probs : array_like of float, shape (N, K), optional
            A classifier's out-of-sample probability that each class applies.

        Raises
        ------
        ValueError
            There is no answer, `pred_probs` have another shape or leave [0, 1], or `method` is
            unknown.
        """
        if self.method not in _METHODS:
            raise ValueError(f"method is {self.method!r}: choose one of {', '.join(_METHODS)}")
        if not len(answers.task):
            raise ValueError("there is no answer: nothing can be a consensus")
        shape = answers.num_tasks, answers.num_classes
        probs = None if pred_probs is None else _checked(pred_probs, shape)
        self.num_annotations_ = np.bincount(answers.task, minlength=answers.num_tasks)
        has_answer = self.num_annotations_ > 0
        self.consensus_ = np.zeros(shape, dtype=bool)
        self.class_quality_ = np.where(has_answer[:, None], np.ones(shape), np.nan)
        self.answer_quality_ = np.ones(len(answers.task))
        self.model_weight_ = np.zeros(answers.num_classes)
        people = len(answers.annotator_ids)
        quality = np.full((people, answers.num_classes), np.nan)
        enough = np.zeros(people, dtype=bool)
        both, either = np.zeros(people), np.zeros(people)
        equal = np.ones(len(answers.task), dtype=bool)
        support = np.where(has_answer, 1.0, np.nan)
        log_right = np.zeros(answers.num_tasks)
        for code in range(answers.num_classes):
            held = answers.holds(code)
            if not held.any():
                continue
            fitted, applying = self._fit_class(
                answers, held, None if probs is None else probs[:, code]
            )
            applies = (fitted.consensus_label_ == 1) & has_answer
            right = np.where(applies, applying, 1.0 - applying)
            log_right += np.log(np.maximum(right, _LEAST_PROB))
            self.consensus_[:, code] = applies
            self.class_quality_[has_answer, code] = fitted.consensus_quality_score_[has_answer]
            self.answer_quality_ *= fitted.label_quality_
            if self.method == "crowdlab":
                self.model_weight_[code] = float(np.mean(fitted.model_weight_))
            stats = fitted.annotator_stats_.sort_index()
            quality[stats.index, code] = stats["annotator_quality"]
            enough[stats.index] |= stats["enough_data"].to_numpy(dtype=bool)
            agreed = applies[answers.task]
            equal &= held == agreed
            same = np.bincount(answers.task, held == agreed, answers.num_tasks)
            np.minimum(support, same / np.maximum(self.num_annotations_, 1), out=support)
            both += np.bincount(answers.annotator, held & agreed, people)
            either += np.bincount(answers.annotator, held | agreed, people)
        self.consensus_quality_score_ = np.exp(log_right / 2) * support
        agreeing = np.bincount(answers.task, equal, answers.num_tasks)
        self.annotator_agreement_ = np.full(answers.num_tasks, np.nan)
        np.divide(agreeing, self.num_annotations_, out=self.annotator_agreement_, where=has_answer)
        self.annotator_stats_ = _stats(answers, quality, enough, both, either)
        return self

    def _fit_class(
        self, answers: MultilabelAnswers, held: BoolArray, applies: FloatArray | None
    ) -> tuple[Any, FloatArray]:
        """Find the consensus on whether one class applies: code 1 says that it does.

        Returns
        -------
        estimator
            Fitted by `method`.
        ndarray of float64, shape (N,)
            Probability that the class applies, as `Fusion` has it.
        """
        labels = MultiannotatorLabels.from_codes(
            answers.task,
            answers.annotator,
            held.astype(np.int64),
            num_tasks=answers.num_tasks,
            num_annotators=len(answers.annotator_ids),
            num_classes=2,
        )
        probs = None if applies is None else np.stack([1.0 - applies, applies], axis=1)
        fused = Fusion().fit(labels, probs)
        fitted = fused if self.method == "fusion" else _METHODS[self.method]().fit(labels, probs)
        return fitted, np.nan_to_num(fused.posterior_[:, 1], nan=0.5)


def _checked(pred_probs: ArrayLike, shape: tuple[int, int]) -> FloatArray:
    probs = np.asarray(pred_probs, dtype=np.float64)
    if probs.shape != shape:
        raise ValueError(f"pred_probs have shape {probs.shape}, expected {shape}")
    if not ((probs >= 0) & (probs <= 1)).all():
        raise ValueError("pred_probs hold a value outside 0..1 or NaN: pass probabilities")
    return probs


def _stats(
    answers: MultilabelAnswers,
    quality: FloatArray,
    enough: BoolArray,
    both: FloatArray,
    either: FloatArray,
) -> pd.DataFrame:
    chosen = np.diff(answers.chosen.indptr).astype(np.float64)
    weight = np.where(np.isnan(quality), 0.0, chosen)
    total = weight.sum(axis=1)
    is_judged = total > 0
    mean = np.ones(len(total))
    np.divide((weight * np.nan_to_num(quality)).sum(axis=1), total, out=mean, where=is_judged)
    jaccard = np.ones(len(total))
    np.divide(both, either, out=jaccard, where=either > 0)
    worst = np.where(is_judged, np.argmin(np.nan_to_num(quality, nan=np.inf), axis=1), -1)
    columns: dict[str, Any] = {
        "annotator_quality": mean,
        "agreement_with_consensus": jaccard,
        "worst_class": worst,
        "num_examples_labeled": np.bincount(answers.annotator, minlength=len(total)),
        "enough_data": enough,
    }
    table = pd.DataFrame(columns, index=pd.Index(answers.annotator_ids, name="annotator"))
    return table[table["num_examples_labeled"] > 0].sort_values("annotator_quality", kind="stable")
