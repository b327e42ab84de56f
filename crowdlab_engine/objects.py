"""Consensus of drawn objects: which there are, of which class, where, and how sure that is.

Drawings of the same object are found (`crowdlab_engine.matching`); then whoever answered the
task has said something of each object: its class, or, by drawing nothing there, that there is
none. So existence and class are found as if "absent" were one more class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from crowdlab_engine._typing import AnyArray, BoolArray, FloatArray, IntArray
from crowdlab_engine.annotators import annotator_stats, annotator_sums, contested_quality
from crowdlab_engine.block import Block
from crowdlab_engine.crowdlab import Crowdlab
from crowdlab_engine.dawid_skene import DawidSkene
from crowdlab_engine.drawings import Drawings
from crowdlab_engine.drawn_places import presence_posterior
from crowdlab_engine.fusion import Fusion
from crowdlab_engine.labels import MultiannotatorLabels
from crowdlab_engine.matching import match
from crowdlab_engine.one_coin import OneCoin
from crowdlab_engine.shapes import Boxes, Shape

if TYPE_CHECKING:
    from typing_extensions import Self

NO_OBJECT = -1
"""Object of a drawing that the consensus does not have."""

_PLACING_ROUNDS = 3
_PRIOR_OBJECTS = 3.0
"""How many objects an annotator is believed to have drawn as well as everybody."""

_STEPS_PER_DOUBLING = 2
_DECIMALS = 9
_LEAST_VARIANCE = 1e-9
_LEAST_PROB = 1e-12


@dataclass(frozen=True, eq=False)
class _Candidates:
    """Places where somebody has drawn, and what each annotator has said of them.

    A task without any drawing has one place, of which all have said that nothing is there.

    Attributes
    ----------
    place : ndarray of int64, shape (D,)
        Place of each drawing.
    task : ndarray of int64, shape (P,)
        Task of each place, those without drawings last.
    num_drawn : int
        Number of places with drawings.
    statements : MultiannotatorLabels
        Of each place by each who answered its task: a class, or K for "absent".
    answer : ndarray of int64, shape (S,)
        Answer of each statement, in the order of the statements.
    of_drawing : ndarray of int64, shape (D,)
        Statement that each drawing makes.
    """

    place: IntArray
    task: IntArray
    num_drawn: int
    statements: MultiannotatorLabels
    answer: IntArray
    of_drawing: IntArray


@dataclass(frozen=True, eq=False)
class _ByContent:
    """Statements in an order that does not depend on what tasks and annotators are called.

    `Crowdlab` draws lots where nothing else settles a vote, one task after the other, and
    adds up in the order of annotators, which can make equals unequal in the last digit.

    Attributes
    ----------
    statements : MultiannotatorLabels
        Places in order of their coordinates, annotators by what they have said.
    place_rank, annotator_rank : ndarray of int64, shapes (P,) and (M,)
        Code of each place and each annotator in it.
    """

    statements: MultiannotatorLabels
    place_rank: IntArray
    annotator_rank: IntArray


class ObjectConsensus(BaseEstimator):  # type: ignore[misc]
    """Consensus of objects that several annotators have drawn on images.

    Whether there is an object, and of which class, follows from those who drew it and those
    who answered the task without drawing it: by the mean of what `Crowdlab` and `Fusion` hold
    probable. The former keeps more of what few have drawn, but its weights tell little where
    at most places nothing is, which the latter has no trouble with. How sure the consensus
    is of an object, is told by `Fusion`, and of all objects of a task by the mean of
    `DawidSkene` (where answers are few, `OneCoin`) and a model of how people draw
    (`crowdlab_engine.drawn_places`), whose probabilities hold better when they are multiplied.
    The place is a weighted median of the drawings, each weighing the more the closer its
    annotator usually is: by the inverse mean square of 1 - similarity to the consensus, rounded
    to powers of the root of 2; it starts from equal weights and is found anew twice.

    Parameters
    ----------
    shape : Boxes or Points, optional
        What is drawn, and how alike drawings of the same object are. Default: `Boxes()`.

    Attributes
    ----------
    object_task_, object_label_ : ndarray of int64, shape (B,)
        Task and class code of each object of the consensus, ascending by task.
    object_coordinates_ : ndarray of float64, shape (B, C)
        Where it is.
    object_quality_ : ndarray of float64, shape (B,)
        `object_existence_` times `object_class_` times `object_closeness_`, in [0, 1];
        higher is better.
    object_existence_, object_class_ : ndarray of float64, shape (B,)
        Probability that there is an object, and, if so, that it is of this class.
    object_closeness_ : ndarray of float64, shape (B,)
        Mean similarity of its drawings to it, one drawing being added that is as close as
        its annotators' usually are; in [0, 1].
    object_size_ : ndarray of int64, shape (B,)
        Number of its drawings.
    task_quality_ : ndarray of float64, shape (N,)
        Probability that the objects of the task are right and complete, were they
        independent: the product over all places where somebody drew, times the probability
        that nobody missed the same object; in [0, 1]. NaN without answers.
    answer_agrees_ : ndarray of bool, shape (A,)
        Whether each answer has the objects of the consensus, of the same classes, and no
        others.
    answer_quality_ : ndarray of float64, shape (A,)
        Mean quality of what each answer says of the places of its task, in [0, 1].
    drawing_object_ : ndarray of int64, shape (D,)
        Object of the consensus that each drawing is of, -1 if there is none.
    drawing_quality_ : ndarray of float64, shape (D,)
        Probability that there is an object of the drawing's class, times similarity to the
        consensus, in [0, 1].
    annotator_weight_ : ndarray of float64, shape (M,)
        Weight of each annotator's statements on existence and class, in [1e-6, 1].
    annotator_stats_ : DataFrame
        One row per annotator, the worst first; see `Crowdlab.annotator_stats_`. A shared
        place on which an annotator agrees with the consensus counts by how close the drawing
        is to it; their mean is `annotator_quality`. `worst_class` is K where an annotator
        goes wrong most often by drawing nothing. `num_examples_labeled` counts answers.
        Further columns: `precision`, the share of the annotator's drawings that the
        consensus has, with the same class; `recall`, the share of the objects of their tasks
        that they have drawn so; `mean_iou` of boxes, or `mean_distance` of points in parts of
        the image's diagonal, of these drawings to the consensus. NaN where there is nothing
        to divide by.

    Examples
    --------
    >>> drawings = Drawings.from_codes(
    ...     task=[0, 0, 0, 1, 1],
    ...     annotator=[0, 1, 2, 0, 1],
    ...     answer=[0, 1, 2, 0],
    ...     label=[0, 0, 0, 0],
    ...     coordinates=[[9, 9, 20, 20, 0], [10, 10, 20, 20, 0], [11, 11, 20, 20, 0],
    ...                  [70, 70, 9, 9, 0]],
    ... )
    >>> fitted = ObjectConsensus().fit(drawings)
    >>> fitted.object_task_
    array([0])
    >>> fitted.object_coordinates_.round()
    array([[10., 10., 20., 20.,  0.]])
    """

    def __init__(self, shape: Shape | None = None) -> None:
        self.shape = shape

    def fit(self, drawings: Drawings) -> Self:
        """Find the objects of each task, and score them, the answers and the annotators.

        Parameters
        ----------
        drawings : Drawings
            Answers of M annotators to N tasks.

        Returns
        -------
        ObjectConsensus
            Itself, fitted.

        Raises
        ------
        TypeError
            `drawings` is not a `Drawings`.
        ValueError
            There is no answer; a drawing has other coordinates than the shape, or
            impossible ones.
        """
        shape = self._shape
        coordinates = _check(drawings, shape)
        self._drawings = drawings
        candidates = _candidates(drawings, coordinates, shape)
        by_content = _by_content(candidates, coordinates)
        decided = Crowdlab(keep_posterior=True).fit(by_content.statements)
        fused = Fusion().fit(by_content.statements).posterior_[by_content.place_rank]
        joint = self._joint_posterior(by_content)[by_content.place_rank]
        self.annotator_weight_ = decided.annotator_weight_[by_content.annotator_rank]

        absent = drawings.num_classes
        mean = (decided.posterior_[by_content.place_rank] + fused) / 2
        label, exists = _decide(mean, candidates.num_drawn)
        consensus = np.where(exists, label, absent)
        is_drawn_object = exists[candidates.place]
        middle = _middle(drawings, coordinates, shape, candidates.place, is_drawn_object)
        similarity = shape.similarity(
            coordinates, middle[candidates.place], drawings.diagonal[drawings.task]
        )
        self._describe(candidates, consensus, middle, similarity, fused)
        self._score(candidates, consensus, similarity, fused, joint)
        return self

    def objects(self) -> pd.DataFrame:
        """Return the objects of the consensus, one row each, ascending by task.

        Returns
        -------
        DataFrame
            Columns: `task` and `label`, as the caller calls them; the shape's coordinates;
            `quality`, `existence`, `class_quality`, `closeness` and `num_drawings`.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            `fit` was not called.
        """
        check_is_fitted(self, "object_task_")
        columns = dict(zip(self._shape.columns, self.object_coordinates_.T, strict=True))
        return pd.DataFrame(
            {
                "task": self._drawings.task_ids[self.object_task_],
                "label": self._drawings.classes[self.object_label_],
                **columns,
                "quality": self.object_quality_,
                "existence": self.object_existence_,
                "class_quality": self.object_class_,
                "closeness": self.object_closeness_,
                "num_drawings": self.object_size_,
            }
        )

    @property
    def _shape(self) -> Shape:
        return Boxes() if self.shape is None else self.shape

    def _joint_posterior(self, by_content: _ByContent) -> FloatArray:
        """Return class probabilities of each place that hold when those of many are multiplied.

        They are the mean of two. `presence_posterior` knows that what one alone has drawn is
        often nothing, and what two have hardly ever; `DawidSkene` that some places mislead
        many. Of n answers, the share 1 / (n - 1)² of the latter is that of `OneCoin`, as few
        do not tell how annotators err.
        """
        drawings, statements = self._drawings, by_content.statements
        share = 1 / np.maximum(statements.num_annotations - 1, 1)[:, None] ** 2
        many = DawidSkene().fit(statements).posterior_
        few = OneCoin().fit(statements).posterior_
        num_answers = np.zeros(drawings.num_annotators, dtype=np.int64)
        num_answers[by_content.annotator_rank] = np.bincount(
            drawings.answer_annotator, minlength=drawings.num_annotators
        )
        num_tasks = len(np.unique(drawings.answer_task))
        present = presence_posterior(statements, num_answers, num_tasks)
        joint: FloatArray = (present + (1 - share) * many + share * few) / 2
        return joint

    def _describe(
        self,
        candidates: _Candidates,
        consensus: IntArray,
        middle: FloatArray,
        similarity: FloatArray,
        sure: FloatArray,
    ) -> None:
        """Set what is known of each object, and which drawings are of it."""
        absent = self._drawings.num_classes
        objects = np.flatnonzero(consensus[: candidates.num_drawn] < absent)
        number = np.full(len(consensus), NO_OBJECT)
        number[objects] = np.arange(len(objects))
        self.drawing_object_ = number[candidates.place]

        label = consensus[objects]
        existence = 1 - sure[objects, absent]
        of_class = sure[objects, label] / np.maximum(existence, _LEAST_PROB)
        self.object_task_, self.object_label_ = candidates.task[objects], label
        self.object_coordinates_ = middle[objects]
        self.object_existence_ = np.clip(existence, 0.0, 1.0)
        self.object_class_ = np.clip(of_class, 0.0, 1.0)
        self.object_size_ = np.bincount(candidates.place, minlength=len(consensus))[objects]
        self.object_closeness_ = self._closeness(similarity)
        self.object_quality_ = self.object_existence_ * self.object_class_ * self.object_closeness_

    def _closeness(self, similarity: FloatArray) -> FloatArray:
        """Return how close the drawings of each object are, see `object_closeness_`."""
        num_objects, annotator = len(self.object_task_), self._drawings.annotator
        drawn = np.flatnonzero(self.drawing_object_ != NO_OBJECT)
        of = self.drawing_object_[drawn]
        shared = drawn[self.object_size_[of] > 1]
        usual = _shrunken_mean(similarity[shared], annotator[shared], self._drawings.num_annotators)
        size = self.object_size_
        total = np.bincount(of, weights=similarity[drawn], minlength=num_objects)
        expected = np.bincount(of, weights=usual[annotator[drawn]], minlength=num_objects)
        closeness: FloatArray = (total + expected / np.maximum(size, 1)) / (size + 1)
        return closeness

    def _score(
        self,
        candidates: _Candidates,
        consensus: IntArray,
        similarity: FloatArray,
        sure: FloatArray,
        joint: FloatArray,
    ) -> None:
        """Set the quality of tasks, answers, drawings and annotators."""
        drawings, statements = self._drawings, candidates.statements
        place = np.repeat(np.arange(len(consensus)), statements.num_annotations)
        said = statements.label
        closeness = np.ones(len(said))
        closeness[candidates.of_drawing] = similarity
        quality = sure[place, said] * closeness
        agrees = said == consensus[place]

        self.drawing_quality_ = quality[candidates.of_drawing]
        total = np.bincount(candidates.answer, weights=quality, minlength=drawings.num_answers)
        number = np.bincount(candidates.answer, minlength=drawings.num_answers)
        self.answer_quality_ = total / number
        self.answer_agrees_ = np.ones(drawings.num_answers, dtype=np.bool_)
        self.answer_agrees_[candidates.answer[~agrees]] = False
        self.task_quality_ = self._task_quality(candidates, consensus, joint)
        self.annotator_stats_ = self._stats(candidates, consensus, quality, agrees * closeness)

    def _task_quality(
        self, candidates: _Candidates, consensus: IntArray, sure: FloatArray
    ) -> FloatArray:
        """Return the quality of each task, shape (N,), see `task_quality_`.

        Where objects are drawn independently of each other, those that all have missed are
        as many as there are objects in a task times the probability that all miss one.
        """
        drawings = self._drawings
        right = np.maximum(sure[np.arange(len(consensus)), consensus], _LEAST_PROB)
        log_right = np.bincount(
            candidates.task, weights=np.log(right), minlength=drawings.num_tasks
        )
        recall = self._recall(candidates, consensus)
        log_missed = np.bincount(
            drawings.answer_task,
            weights=np.log(np.maximum(1 - recall, _LEAST_PROB))[drawings.answer_annotator],
            minlength=drawings.num_tasks,
        )
        num_answered = max(len(np.unique(drawings.answer_task)), 1)
        unseen = len(self.object_task_) / num_answered * np.exp(log_missed)
        quality: FloatArray = np.exp(log_right - unseen)
        quality[np.bincount(drawings.answer_task, minlength=drawings.num_tasks) == 0] = np.nan
        return quality

    def _recall(self, candidates: _Candidates, consensus: IntArray) -> FloatArray:
        """Return how often each annotator draws an object that somebody else has drawn."""
        statements, absent = candidates.statements, self._drawings.num_classes
        place = np.repeat(np.arange(len(consensus)), statements.num_annotations)
        drew = statements.label != absent
        num_drew = np.bincount(place, weights=drew, minlength=len(consensus))[place]
        is_told = np.flatnonzero((consensus[place] != absent) & (num_drew - drew > 0))
        return _shrunken_mean(
            drew[is_told].astype(np.float64),
            statements.annotator[is_told],
            self._drawings.num_annotators,
        )

    def _stats(
        self,
        candidates: _Candidates,
        consensus: IntArray,
        quality: FloatArray,
        agreement: FloatArray,
    ) -> pd.DataFrame:
        """Summarise each annotator, see `annotator_stats_`."""
        drawings, statements, shape = self._drawings, candidates.statements, self._shape
        sums = annotator_sums(Block.of(statements), consensus, quality)
        of_places = self._place_quality(candidates, consensus)
        frame = annotator_stats(
            drawings.annotator_ids,
            sums,
            0.0,
            lambda cells: contested_quality(statements, of_places, cells),
        ).reindex(drawings.annotator_ids)

        num_annotators, absent = drawings.num_annotators, drawings.num_classes
        place = np.repeat(np.arange(len(consensus)), statements.num_annotations)
        annotator = statements.annotator
        is_counted = (statements.num_annotations > 1)[place]
        is_counted |= ~frame["enough_data"].to_numpy()[annotator]

        def mean(values: AnyArray, which: BoolArray) -> FloatArray:
            count = np.bincount(annotator[which], minlength=num_annotators)
            total = np.bincount(annotator[which], weights=values[which], minlength=num_annotators)
            share = np.full(num_annotators, np.nan)
            np.divide(total, count, out=share, where=count > 0)
            return share

        drew = statements.label != absent
        hit = drew & (statements.label == consensus[place])
        frame["annotator_quality"] = mean(agreement, is_counted)
        frame["num_examples_labeled"] = np.bincount(
            drawings.answer_annotator, minlength=num_annotators
        )
        frame["precision"] = mean(hit, drew)
        frame["recall"] = mean(hit, consensus[place] != absent)
        frame[f"mean_{shape.measure}"] = shape.measured(mean(agreement, hit))
        return frame.sort_values(
            ["annotator_quality", "agreement_with_consensus"], kind="stable", na_position="last"
        )

    def _place_quality(self, candidates: _Candidates, consensus: IntArray) -> FloatArray:
        """Return the quality of what the consensus says of each place, shape (P,)."""
        quality = np.ones(len(consensus))
        quality[np.flatnonzero(consensus < self._drawings.num_classes)] = self.object_quality_
        return quality


def _check(drawings: Drawings, shape: Shape) -> FloatArray:
    """Return the coordinates of the drawings, or say why there is no consensus of them."""
    if not isinstance(drawings, Drawings):
        raise TypeError(
            f"drawings is a {type(drawings).__name__}: build it with Drawings.from_codes"
        )
    if drawings.num_answers == 0:
        raise ValueError(
            f"none of the {drawings.num_tasks} tasks has an answer: a consensus needs at least one"
        )
    if drawings.num_drawings == 0:
        return np.empty((0, len(shape.columns)))
    if drawings.coordinates.shape[1] != len(shape.columns):
        raise ValueError(
            f"drawings have {drawings.coordinates.shape[1]} coordinates: "
            f"{type(shape).__name__} need {', '.join(shape.columns)}"
        )
    shape.check(drawings.coordinates)
    return drawings.coordinates


def _candidates(drawings: Drawings, coordinates: FloatArray, shape: Shape) -> _Candidates:
    task = drawings.task
    place = match(
        task, drawings.annotator, drawings.label, coordinates, drawings.diagonal[task], shape
    )
    num_drawn = int(place.max()) + 1 if len(place) else 0
    drawn_task = np.zeros(num_drawn, dtype=np.int64)
    drawn_task[place] = task

    num_answers = np.bincount(drawings.answer_task, minlength=drawings.num_tasks)
    nothing = np.setdiff1d(np.flatnonzero(num_answers), drawn_task)
    place_task = np.concatenate([drawn_task, nothing])
    size = num_answers[place_task]
    first = np.cumsum(size) - size
    order = np.lexsort((drawings.answer_annotator, drawings.answer_task))
    first_answer = np.cumsum(num_answers) - num_answers
    step = np.arange(size.sum()) - np.repeat(first, size)
    answer = order[np.repeat(first_answer[place_task], size) + step]

    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    of_drawing = first[place] + rank[drawings.answer] - first_answer[task]
    said = np.full(len(answer), drawings.num_classes)
    said[of_drawing] = drawings.label
    statements = MultiannotatorLabels.from_codes(
        np.repeat(np.arange(len(place_task)), size),
        drawings.answer_annotator[answer],
        said,
        num_tasks=len(place_task),
        annotator_ids=drawings.annotator_ids,
        num_classes=drawings.num_classes + 1,
    )
    return _Candidates(place, place_task, num_drawn, statements, answer, of_drawing)


def _by_content(candidates: _Candidates, coordinates: FloatArray) -> _ByContent:
    statements = candidates.statements
    rows = np.lexsort((*coordinates.T[::-1], candidates.place))
    first = rows[np.flatnonzero(np.diff(candidates.place[rows], prepend=-1))]
    place_rank = np.arange(statements.num_tasks)
    place_rank[np.lexsort(coordinates[first].T[::-1])] = np.arange(candidates.num_drawn)

    what = np.minimum(place_rank, candidates.num_drawn)[statements.task]
    code = _scattered(what * statements.num_classes + statements.label)
    order = np.argsort(statements.annotator, kind="stable")
    present, start = np.unique(statements.annotator[order], return_index=True)
    said = np.zeros(statements.num_annotators, dtype=np.uint64)
    said[present] = np.add.reduceat(code[order], start)
    annotator_rank = np.argsort(np.argsort(said, kind="stable"))
    return _ByContent(
        MultiannotatorLabels.from_codes(
            place_rank[statements.task],
            annotator_rank[statements.annotator],
            statements.label,
            num_tasks=statements.num_tasks,
            num_annotators=statements.num_annotators,
            num_classes=statements.num_classes,
        ),
        place_rank,
        annotator_rank,
    )


def _scattered(numbers: IntArray) -> NDArray[np.uint64]:
    """Return numbers whose sums tell apart which went in: the finaliser of SplitMix64.

    Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
    """
    mixed = numbers.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    scattered: NDArray[np.uint64] = mixed ^ (mixed >> np.uint64(31))
    return scattered


def _decide(posterior: FloatArray, num_drawn: int) -> tuple[IntArray, BoolArray]:
    """Return the most probable class of each place, and whether there is an object at all."""
    absent = posterior.shape[1] - 1
    if absent == 0:
        return np.zeros(len(posterior), dtype=np.int64), np.zeros(len(posterior), dtype=np.bool_)
    label = np.round(posterior[:, :absent], _DECIMALS).argmax(axis=1)
    exists = np.round(posterior[:, absent], _DECIMALS) <= 0.5
    exists[num_drawn:] = False
    return label, exists


def _middle(
    drawings: Drawings,
    coordinates: FloatArray,
    shape: Shape,
    place: IntArray,
    is_object: BoolArray,
) -> FloatArray:
    """Return the weighted median of the drawings at each place, see `ObjectConsensus`."""
    annotator, diagonal = drawings.annotator, drawings.diagonal[drawings.task]
    told = np.flatnonzero(is_object & (np.bincount(place)[place] > 1)) if len(place) else place
    weight: FloatArray = np.ones(len(place))
    for _ in range(_PLACING_ROUNDS - 1):
        middle = shape.middle(coordinates, place, weight)
        error = (1 - shape.similarity(coordinates, middle[place], diagonal)) ** 2
        variance = _shrunken_mean(error[told], annotator[told], drawings.num_annotators)
        # In steps, so that one more drawing seldom moves objects of other tasks.
        steps = np.rint(_STEPS_PER_DOUBLING * np.log2(variance + _LEAST_VARIANCE))
        weight = 2 ** (-steps[annotator] / _STEPS_PER_DOUBLING)
    return shape.middle(coordinates, place, weight)


def _shrunken_mean(values: FloatArray, annotator: IntArray, num_annotators: int) -> FloatArray:
    """Return the mean of each annotator, drawn towards that of all; 1 without any value."""
    overall = values.mean() if len(values) else 1.0
    total = np.bincount(annotator, weights=values, minlength=num_annotators)
    count = np.bincount(annotator, minlength=num_annotators)
    mean: FloatArray = (total + _PRIOR_OBJECTS * overall) / (count + _PRIOR_OBJECTS)
    return mean
