"""Answers that mark spans of texts, as several annotators give them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from crowdlab_engine._typing import AnyArray, IntArray
from crowdlab_engine.labels import MultiannotatorLabels, shown
from crowdlab_engine.tokens import Tokens


@dataclass(frozen=True, eq=False)
class SpanAnswers:
    """Answers of M annotators on N texts, each any number of spans of K classes.

    Build it with `from_codes`, which checks its input. An answer without spans says that
    the text has none.

    Attributes
    ----------
    given : MultiannotatorLabels
        Who answered which task, in the order of tasks, then annotators; its labels are 0.
    answer : ndarray of int64, shape (S,)
        Position in `given` of the answer that each span belongs to, ascending.
    start, end : ndarray of int64, shape (S,)
        First code point of each span, and the one after its last.
    label : ndarray of int64, shape (S,)
        Class code of each span.
    classes : ndarray, shape (K,)
        Each class, as the caller calls it.

    Examples
    --------
    >>> SpanAnswers.from_codes(
    ...     task=[0, 0], annotator=[0, 1], answer=[0, 1], start=[0, 0], end=[3, 3], label=[0, 0],
    ...     classes=["person"],
    ... )
    SpanAnswers(num_tasks=1, num_annotators=2, num_classes=1, num_answers=2, num_spans=2)
    """

    given: MultiannotatorLabels
    answer: IntArray
    start: IntArray
    end: IntArray
    label: IntArray
    classes: AnyArray

    @classmethod
    def from_codes(
        cls,
        task: ArrayLike,
        annotator: ArrayLike,
        answer: ArrayLike,
        start: ArrayLike,
        end: ArrayLike,
        label: ArrayLike,
        *,
        num_tasks: int | None = None,
        num_annotators: int | None = None,
        annotator_ids: ArrayLike | None = None,
        classes: ArrayLike,
    ) -> SpanAnswers:
        """Build from integer codes.

        Parameters
        ----------
        task, annotator : array_like of int, shape (A,)
            Who gave each answer to which task; each (task, annotator) at most once.
        answer, start, end, label : array_like of int, shape (S,)
            Spans in any order: which of the A answers each belongs to, its first code
            point and the one after its last, its class code. Repeated spans count once.
        num_tasks, num_annotators : int, optional
            Sizes N and M. Default: the largest code plus one.
        annotator_ids : array_like, shape (M,), optional
            Identifier of each annotator. Default: the codes.
        classes : array_like, shape (K,)
            All classes, in the order of their codes.

        Raises
        ------
        ValueError
            As in `MultiannotatorLabels.from_codes`; lengths differ; a span is empty, begins
            before its text, or belongs to no answer; a class is unknown.
        """
        tasks = np.asarray(task)
        given = MultiannotatorLabels.from_codes(
            tasks,
            annotator,
            np.zeros(len(tasks), dtype=np.int64),
            num_tasks=num_tasks,
            num_annotators=num_annotators,
            num_classes=1,
            annotator_ids=annotator_ids,
        )
        columns = [np.asarray(values) for values in (answer, start, end, label)]
        if len({len(column) for column in columns}) > 1:
            raise ValueError(
                "answer, start, end and label have {}, {}, {} and {} entries: each span needs one "
                "entry in all four".format(*(len(column) for column in columns))
            )
        columns = [column.astype(np.int64) for column in columns]
        class_values = np.asarray(classes)
        _check_spans(*columns, num_answers=len(tasks), num_classes=len(class_values))
        if given.sorting is not None:
            rank = np.empty_like(given.sorting)
            rank[given.sorting] = np.arange(len(rank))
            columns[0] = rank[columns[0]]
        spans = np.unique(np.stack(columns, axis=1), axis=0) if len(columns[0]) else None
        fixed = columns if spans is None else [column.copy() for column in spans.T]
        answer_codes, starts, ends, label_codes = fixed
        return cls(given, answer_codes, starts, ends, label_codes, class_values)

    @property
    def num_classes(self) -> int:
        """Number of classes K."""
        return len(self.classes)

    @property
    def num_answers(self) -> int:
        """Number of answers A."""
        return self.given.num_labels

    @property
    def num_spans(self) -> int:
        """Number of spans S."""
        return len(self.answer)

    @cached_property
    def task(self) -> IntArray:
        """Task of each span, shape (S,)."""
        tasks: IntArray = self.given.task[self.answer]
        return tasks

    @cached_property
    def first_answer(self) -> IntArray:
        """Position of the first answer to each task, shape (N,)."""
        return np.cumsum(self.given.num_annotations) - self.given.num_annotations

    def check_against(self, tokens: Tokens) -> None:
        """Refuse texts that are not those of the answers.

        Raises
        ------
        ValueError
            Their number differs, or a span ends after its text.
        """
        if tokens.num_texts != self.given.num_tasks:
            raise ValueError(
                f"there are {tokens.num_texts} texts but {self.given.num_tasks} tasks: pass one "
                "text for each task"
            )
        outside = np.flatnonzero(self.end > tokens.length[self.task])
        if outside.size:
            span = outside[0]
            raise ValueError(
                f"span {self.start[span]}..{self.end[span]} of task {self.task[span]} ends after "
                f"its text of {tokens.length[self.task[span]]} code points: drop it"
            )

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(num_tasks={self.given.num_tasks}, "
            f"num_annotators={self.given.num_annotators}, num_classes={self.num_classes}, "
            f"num_answers={self.num_answers}, num_spans={self.num_spans})"
        )


def _check_spans(
    answer: IntArray,
    start: IntArray,
    end: IntArray,
    label: IntArray,
    *,
    num_answers: int,
    num_classes: int,
) -> None:
    """Refuse spans that cannot be."""
    for name, codes, size in (("answer", answer, num_answers), ("label", label, num_classes)):
        wrong = np.flatnonzero((codes < 0) | (codes >= size))
        if wrong.size:
            raise ValueError(
                f"{name} code {shown(codes, wrong[0])} of span {wrong[0]} is outside "
                f"0..{size - 1}: correct it or drop the span"
            )
    wrong = np.flatnonzero((start < 0) | (end <= start))
    if wrong.size:
        raise ValueError(
            f"span {wrong[0]} is {start[wrong[0]]}..{end[wrong[0]]}: it must begin at 0 or later "
            "and end after its beginning"
        )
