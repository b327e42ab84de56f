"""Spans as runs of tokens, and the layers in which their classes exclude each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from crowdlab_engine._typing import IntArray
from crowdlab_engine.span_answers import SpanAnswers
from crowdlab_engine.tokens import Tokens

SHARE_OF_OVERLAPS = 0.1
"""From this share of the spans of the rarer class on, two classes overlap on purpose."""


@dataclass(frozen=True, eq=False)
class AlignedSpans:
    """Spans of answers, each a run of tokens.

    Attributes
    ----------
    answer : ndarray of int64, shape (S,)
        Position of the answer that each span belongs to, ascending.
    first, stop : ndarray of int64, shape (S,)
        First token of each span, and the one after its last.
    label : ndarray of int64, shape (S,)
        Class code of each span.
    """

    answer: IntArray
    first: IntArray
    stop: IntArray
    label: IntArray

    @classmethod
    def of(cls, answers: SpanAnswers, tokens: Tokens) -> AlignedSpans:
        """Align spans to the tokens that they hold a part of; spans without any are left out."""
        first, stop = tokens.covered(answers.task, answers.start, answers.end)
        columns = np.stack([answers.answer, first, stop, answers.label], axis=1)[first < stop]
        return cls(*np.unique(columns, axis=0).T.copy())

    def of_classes(self, classes: IntArray) -> AlignedSpans:
        """Return the spans of some classes, which then have the codes from 0 on."""
        which = np.flatnonzero(np.isin(self.label, classes))
        label = np.searchsorted(classes, self.label[which])
        return AlignedSpans(self.answer[which], self.first[which], self.stop[which], label)

    def marks(self) -> tuple[IntArray, IntArray, IntArray]:
        """Return answer, token and span of every token that a span holds."""
        size = self.stop - self.first
        span = np.repeat(np.arange(len(size)), size)
        return self.answer[span], ranges(self.first, size), span

    def exclusive_marks(self) -> tuple[IntArray, IntArray, IntArray]:
        """Return answer, token and span of every marked token, ascending, each once.

        Where spans of one answer overlap, the token is that of the longest; of equally long
        ones, of the first, then of the one with the lowest class code.
        """
        answer, token, span = self.marks()
        rank = np.empty(len(self.first), dtype=np.int64)
        rank[np.lexsort((self.label, self.first, self.first - self.stop))] = np.arange(len(rank))
        order = np.lexsort((rank[span], token, answer))
        answer, token, span = answer[order], token[order], span[order]
        is_first = np.ones(len(order), dtype=np.bool_)
        is_first[1:] = (np.diff(answer) != 0) | (np.diff(token) != 0)
        return answer[is_first], token[is_first], span[is_first]


def ranges(first: IntArray, size: IntArray) -> IntArray:
    """Return first, first + 1, …, as many as each size says, one after the other."""
    before = np.cumsum(size) - size
    every: IntArray = np.arange(int(size.sum())) + np.repeat(first - before, size)
    return every


def layers_of(spans: AlignedSpans, answers: SpanAnswers) -> list[IntArray]:
    """Divide the classes so that those which overlap on purpose are in different layers.

    Two classes overlap on purpose if many of their spans do (`SHARE_OF_OVERLAPS`); those
    count that overlap on a token where another answer to the task lets them, too, or that is
    the only answer.

    Parameters
    ----------
    spans : AlignedSpans
        Spans of K classes.
    answers : SpanAnswers
        The answers that they belong to.

    Returns
    -------
    list of ndarray of int64
        Class codes of each layer, ascending; one layer if no classes overlap on purpose.
    """
    answer, token, span = spans.marks()
    order = np.lexsort((spans.label[span], token, answer))
    answer, token, span = answer[order], token[order], span[order]
    overlaps = (np.diff(answer) == 0) & (np.diff(token) == 0)
    overlaps &= np.diff(spans.label[span]) != 0
    if not overlaps.any():
        return [np.arange(answers.num_classes)]
    # Labels ascend within a token, so that two classes always come in the same order.
    one, other = span[:-1][overlaps], span[1:][overlaps]
    frame = pd.DataFrame(
        {
            "low": spans.label[one],
            "high": spans.label[other],
            "token": token[:-1][overlaps],
            "answer": answer[:-1][overlaps],
            "pair": one * len(spans.first) + other,
        }
    )
    frame["seen_by"] = frame.groupby(["low", "high", "token"])["answer"].transform("nunique")
    num_answers = answers.given.num_annotations[answers.given.task[frame["answer"]]]
    shared = frame[frame["seen_by"] >= np.minimum(num_answers, 2)]
    found = shared.groupby(["low", "high"])["pair"].nunique().reset_index()
    frequency = np.bincount(spans.label, minlength=answers.num_classes)
    rarer = np.minimum(frequency[found["low"]], frequency[found["high"]])
    on_purpose = found["pair"] >= SHARE_OF_OVERLAPS * rarer
    return _coloured(found.loc[on_purpose, ["low", "high"]].to_numpy(), frequency)


def _coloured(pairs: IntArray, frequency: IntArray) -> list[IntArray]:
    """Put each class, the most frequent first, into the first layer that holds no rival."""
    rivals: dict[int, set[int]] = {}
    for low, high in pairs.tolist():
        rivals.setdefault(low, set()).add(high)
        rivals.setdefault(high, set()).add(low)
    layer = np.zeros(len(frequency), dtype=np.int64)
    settled = set(range(len(frequency))) - set(rivals)
    for label in sorted(rivals, key=lambda label: (-frequency[label], label)):
        taken = {int(layer[rival]) for rival in rivals[label] & settled}
        layer[label] = min(set(range(len(frequency))) - taken)
        settled.add(label)
    return [np.flatnonzero(layer == number) for number in range(int(layer.max()) + 1)]
