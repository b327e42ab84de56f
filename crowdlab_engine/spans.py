"""Consensus of annotators who mark spans of texts, such as names of persons and places.

Spans are aligned to tokens; on every token an annotator says a class, or "outside". Tokens
that somebody marked are the units to find a consensus on, and spans are rebuilt from it.
Tokens that nobody marked are no units: nearly all tokens of a text are outside, whoever
looks, and agreement on them would make every annotator look alike.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone

from crowdlab_engine._typing import AnyArray, BoolArray, FloatArray, IntArray
from crowdlab_engine.aligned_spans import AlignedSpans, layers_of, ranges
from crowdlab_engine.annotators import NO_CLASS
from crowdlab_engine.block import weighted_counts
from crowdlab_engine.fusion import Fusion
from crowdlab_engine.labels import MultiannotatorLabels
from crowdlab_engine.span_answers import SpanAnswers
from crowdlab_engine.tokens import Tokens

if TYPE_CHECKING:
    from typing_extensions import Self

PRIOR_SPANS = 2.0
"""How many spans the share that all annotators miss counts for, in that of each."""


def refined_tokens(tokens: Tokens, answers: SpanAnswers) -> Tokens:
    """Cut tokens where annotators agree that a span begins or ends inside.

    A cut is made where at least half of those who marked a part of the token made it. Any
    other span that holds a part of a token is taken to hold it all.

    Parameters
    ----------
    tokens : Tokens
        Of the texts of the N tasks.
    answers : SpanAnswers
        Spans in these texts.

    Returns
    -------
    Tokens

    Raises
    ------
    ValueError
        The spans are not of these texts.
    """
    answers.check_against(tokens)
    if not answers.num_spans:
        return tokens
    first, stop = tokens.covered(answers.task, answers.start, answers.end)
    has_tokens = np.flatnonzero(first < stop)
    answer, first, last = answers.answer[has_tokens], first[has_tokens], stop[has_tokens] - 1
    start, end = answers.start[has_tokens], answers.end[has_tokens]
    cut_start, cut_end = start > tokens.start[first], end < tokens.end[last]
    cuts = np.unique(
        np.stack(
            [
                np.concatenate([first[cut_start], last[cut_end]]),
                np.concatenate([start[cut_start], end[cut_end]]),
                np.concatenate([answer[cut_start], answer[cut_end]]),
            ],
            axis=1,
        ),
        axis=0,
    )
    if not len(cuts):
        return tokens
    places, num_cutting = np.unique(cuts[:, :2], axis=0, return_counts=True)
    size = last + 1 - first
    touched = np.unique(ranges(first, size) * answers.num_answers + np.repeat(answer, size))
    num_touching = np.bincount(touched // answers.num_answers, minlength=len(tokens))
    is_agreed = 2 * num_cutting >= num_touching[places[:, 0]]
    return tokens.split(*places[is_agreed].T)


class SpanConsensus(BaseEstimator):  # type: ignore[misc]
    """Consensus spans and their quality, and the quality of answers and annotators.

    A token has the class of the longest span of an answer that holds a part of it; of
    equally long ones the first, then the class with the lowest code. Classes that
    annotators let overlap on purpose (see `layers_of`) are decided apart, in layers, so
    that spans of both can hold a token. Spans of one class that follow each other directly
    stay apart where most annotators, by their quality, keep them apart. A span neither
    begins nor ends with whitespace.

    Parameters
    ----------
    estimator : estimator, optional
        Finds the consensus of tokens: `Fusion`, `Crowdlab` or one alike; cloned, never
        fitted itself. Default: `Fusion()`, which learns that who leaves a token out says less
        than who marks it (`python -m benchmarks.spans` compares them).

    Attributes
    ----------
    spans_ : DataFrame
        Consensus spans, ascending by task and start; columns `task`, `start`, `end` (code
        points), `label` (class code), and `quality`: how well supported exactly
        this span is, in [0, 1], higher is better; the mean of the probability of its least
        probable token or boundary, and of the share of annotators, by their quality, who
        gave it.
    task_quality_ : ndarray of float64, shape (N,)
        How far all spans of the task together can be trusted, in [0, 1], higher is better: the
        probability that all are right and none is missing, times the mean quality of its n
        answers to the power of 1 - 2 / n; NaN without answers. Probabilities of single tokens do
        not tell that who differs in one span differs in others: with the second factor more of
        the wrong tasks are found, if there are more answers than two (`benchmarks/spans.py`).
    answer_quality_ : ndarray of float64, shape (A,)
        Mean probability that what the answer says on tokens that somebody marked is right,
        in [0, 1], higher is better; that of the task where nobody marked any. In the order
        in which the caller gave the answers.
    num_annotations_ : ndarray of int64, shape (N,)
        Number of answers to each task.
    annotator_stats_ : DataFrame
        One row per annotator, the worst first; annotators without answers come last.
        Columns: `annotator_quality`, in [0, 1], higher is better: `span_f1`, or, where there
        is none, `agreement_with_consensus`; `agreement_with_consensus`, the share of the
        annotator's answers that equal the consensus; `worst_class`, the class whose spans by
        the annotator are least often in the consensus, -1 without spans;
        `num_examples_labeled`, their answers;
        `enough_data`, whether they share a task with another annotator; `span_f1`, harmonic
        mean of precision and recall of their spans against the consensus, NaN where
        neither has any; `token_quality`, the estimator's quality over tokens that somebody
        marked, NaN without such tokens.
    token_label_ : ndarray of int64, shape (T,)
        Class code of each token, K for outside, -1 in tasks without answers; where spans
        overlap, that of the one of the highest quality.
    token_quality_ : ndarray of float64, shape (T,)
        How probable that is, in [0, 1]; 1 where nobody marked the token, NaN in tasks without
        answers.
    layers_ : list of ndarray of int64
        Class codes that exclude each other.

    Examples
    --------
    >>> from crowdlab_engine.tokens import tokenize
    >>> answers = SpanAnswers.from_codes(
    ...     task=[0, 0, 0], annotator=[0, 1, 2],
    ...     answer=[0, 1, 2], start=[0, 0, 4], end=[3, 3, 9], label=[0, 0, 0],
    ...     classes=["person"],
    ... )
    >>> fitted = SpanConsensus().fit(answers, tokenize(["Ada lived in London"]))
    >>> fitted.spans_[["start", "end"]].values.tolist()
    [[0, 3]]
    """

    def __init__(self, estimator: Any | None = None) -> None:
        self.estimator = estimator

    def fit(
        self, answers: SpanAnswers, tokens: Tokens, pred_probs: ArrayLike | None = None
    ) -> Self:
        """Find the consensus of each task.

        Parameters
        ----------
        answers : SpanAnswers
            Answers of M annotators to N tasks.
        tokens : Tokens
            T tokens of the tasks' texts, see `tokenize` and `refined_tokens`.
        pred_probs : array_like, shape (T, K + 1), optional
            Out-of-sample probabilities of each token's class, the last column "outside".

        Returns
        -------
        SpanConsensus
            Itself, fitted.

        Raises
        ------
        ValueError
            There is no answer; spans are not of these texts; `pred_probs` has another shape.
        """
        if not answers.num_answers:
            raise ValueError("there is no answer: a consensus needs at least one")
        answers.check_against(tokens)
        probs = _check_pred_probs(pred_probs, len(tokens), answers.num_classes)
        estimator = Fusion() if self.estimator is None else self.estimator
        spans = AlignedSpans.of(answers, tokens)
        self.layers_ = layers_of(spans, answers)
        layers = [
            _fit_layer(estimator, classes, spans.of_classes(classes), answers, tokens, probs)
            for classes in self.layers_
        ]
        found = ConsensusSpans.joined([layer.spans for layer in layers])
        token_quality = _token_quality(answers.given, layers)
        match = _matches(spans, found, answers.num_classes)
        found = found.supported(_support(answers, spans, found, tokens, match, token_quality))
        self.spans_ = found.frame(tokens)
        self.num_annotations_ = answers.given.num_annotations.copy()
        self._set_tokens(tokens, found, layers, answers)
        self._score(answers, tokens, spans, found, layers)
        self.annotator_stats_ = _annotator_stats(
            answers, spans, found, tokens, match >= 0, token_quality
        )
        return self

    def _set_tokens(
        self,
        tokens: Tokens,
        found: ConsensusSpans,
        layers: list[_FittedLayer],
        answers: SpanAnswers,
    ) -> None:
        """Set what is found of tokens; where spans overlap, that of the most probable one."""
        has_answers = answers.given.num_annotations[tokens.text] > 0
        label = np.where(has_answers, answers.num_classes, -1)
        order = np.argsort(found.quality, kind="stable")
        size = (found.stop - found.first)[order]
        label[ranges(found.first[order], size)] = np.repeat(found.label[order], size)
        quality = np.where(has_answers, 1.0, np.nan)
        for layer in layers:
            quality[layer.unit] = np.minimum(quality[layer.unit], layer.unit_quality)
        self.token_label_, self.token_quality_ = label, quality

    def _score(
        self,
        answers: SpanAnswers,
        tokens: Tokens,
        spans: AlignedSpans,
        found: ConsensusSpans,
        layers: list[_FittedLayer],
    ) -> None:
        """Set the qualities of tasks, answers and annotators."""
        given = answers.given
        log_quality = np.sum([layer.log_task_quality for layer in layers], axis=0)
        right = np.exp(log_quality) * _nothing_missed(answers, spans, found, tokens)
        count = np.sum([layer.num_units for layer in layers], axis=0)
        total = np.sum([layer.answer_quality for layer in layers], axis=0)
        fits = np.where(count > 0, total / np.maximum(count, 1), 1.0)
        number = np.maximum(given.num_annotations, 1)
        fit = (given.sum_by_task(fits) / number) ** np.maximum(1 - 2 / number, 0)
        self.task_quality_ = np.where(given.num_annotations > 0, right * fit, np.nan)
        of_answers = np.where(count > 0, fits, self.task_quality_[given.task])
        self.answer_quality_ = given.in_callers_order(of_answers)


@dataclass(frozen=True, eq=False)
class ConsensusSpans:
    """Spans that are the consensus, each a run of tokens.

    Attributes
    ----------
    first, stop : ndarray of int64, shape (C,)
        First token of each span, and the one after its last.
    label : ndarray of int64, shape (C,)
        Class code of each span.
    quality : ndarray of float64, shape (C,)
        How probable each is, in [0, 1].
    """

    first: IntArray
    stop: IntArray
    label: IntArray
    quality: FloatArray

    @classmethod
    def joined(cls, parts: list[ConsensusSpans]) -> ConsensusSpans:
        """Join the spans of several layers, ascending."""
        first, stop, label, quality = (
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("first", "stop", "label", "quality")
        )
        order = np.lexsort((label, stop, first))
        return cls(first[order], stop[order], label[order], quality[order])

    def supported(self, support: FloatArray) -> ConsensusSpans:
        """Return the spans with the mean of their quality and their support."""
        return replace(self, quality=(self.quality + support) / 2)

    def frame(self, tokens: Tokens) -> pd.DataFrame:
        """Return the spans as a table, see `SpanConsensus.spans_`."""
        return pd.DataFrame(
            {
                "task": tokens.text[self.first],
                "start": tokens.start[self.first],
                "end": tokens.end[self.stop - 1],
                "label": self.label,
                "quality": self.quality,
            }
        )


@dataclass(frozen=True, eq=False)
class _FittedLayer:
    """What is found of classes that exclude each other.

    Attributes
    ----------
    spans : ConsensusSpans
        Consensus spans of these classes.
    unit : ndarray of int64, shape (U,)
        Tokens that somebody marked, ascending.
    unit_quality : ndarray of float64, shape (U,)
        How probable the class of each is.
    log_task_quality : ndarray of float64, shape (N,)
        Log-probability that all runs of marked tokens are right; 0 without any.
    answer_quality, num_units : ndarray of float64, shape (A,)
        Sum over marked tokens of the quality of what each answer says, and their number.
    token_quality : ndarray of float64, shape (M,)
        Quality of each annotator; NaN without marked tokens.
    """

    spans: ConsensusSpans
    unit: IntArray
    unit_quality: FloatArray
    log_task_quality: FloatArray
    answer_quality: FloatArray
    num_units: FloatArray
    token_quality: FloatArray


def _fit_layer(
    estimator: Any,
    classes: IntArray,
    spans: AlignedSpans,
    answers: SpanAnswers,
    tokens: Tokens,
    pred_probs: FloatArray | None,
) -> _FittedLayer:
    """Find the consensus of the tokens of a layer, and its spans."""
    given, outside = answers.given, len(classes)
    probs = None if pred_probs is None else _of_layer(pred_probs, classes)
    answer, token, span = spans.exclusive_marks()
    unit = _units(token, probs, tokens, answers)
    if not len(unit):
        return _empty_layer(answers)
    task = tokens.text[unit]
    num_answers = given.num_annotations[task]
    unit_of = np.repeat(np.arange(len(unit)), num_answers)
    answer_of = ranges(answers.first_answer[task], num_answers)
    place = np.searchsorted(unit, token)
    label = np.full(len(unit_of), outside)
    before = np.cumsum(num_answers) - num_answers
    label[before[place] + answer - answers.first_answer[task[place]]] = spans.label[span]
    labels = MultiannotatorLabels.from_codes(
        unit_of,
        given.annotator[answer_of],
        label,
        num_tasks=len(unit),
        annotator_ids=given.annotator_ids,
        num_classes=outside + 1,
    )
    fitted = clone(estimator).fit(labels, None if probs is None else probs[unit])
    of_annotators = fitted.annotator_stats_["annotator_quality"].reindex(given.annotator_ids)
    token_quality = of_annotators.to_numpy(dtype=np.float64)

    consensus, quality = fitted.consensus_label_, fitted.consensus_quality_score_
    follows = np.zeros(len(unit), dtype=np.bool_)
    follows[1:] = (np.diff(unit) == 1) & (np.diff(task) == 0)
    weight = np.nan_to_num(token_quality[given.annotator[answer]])
    is_right = spans.label[span] == consensus[place]
    continues, agreed = _junctions(
        answer[is_right], place[is_right], span[is_right], weight[is_right], follows, consensus
    )
    continues &= consensus < outside
    agreed[consensus == outside] = 1.0
    # A run of marked tokens stands or falls with its weakest part.
    run = np.flatnonzero(~follows)
    weakest = np.minimum.reduceat(np.minimum(quality, agreed), run)
    log_quality = np.log(np.maximum(weakest, np.finfo(np.float64).tiny))
    return _FittedLayer(
        spans=_rebuilt(unit, consensus, quality, follows, continues, agreed, classes),
        unit=unit,
        unit_quality=quality,
        log_task_quality=weighted_counts(task[run], log_quality, given.num_tasks),
        answer_quality=weighted_counts(answer_of, fitted.label_quality_, given.num_labels),
        num_units=np.bincount(answer_of, minlength=given.num_labels).astype(np.float64),
        token_quality=token_quality,
    )


def _empty_layer(answers: SpanAnswers) -> _FittedLayer:
    """Return what is found where nobody marks a token."""
    given = answers.given
    nothing = np.empty(0, dtype=np.int64)
    return _FittedLayer(
        spans=ConsensusSpans(nothing, nothing, nothing, np.empty(0)),
        unit=nothing,
        unit_quality=np.empty(0),
        log_task_quality=np.zeros(given.num_tasks),
        answer_quality=np.zeros(given.num_labels),
        num_units=np.zeros(given.num_labels),
        token_quality=np.full(given.num_annotators, np.nan),
    )


def _of_layer(pred_probs: FloatArray, classes: IntArray) -> FloatArray:
    """Return the probabilities of some classes, and of anything else as "outside"."""
    chosen = pred_probs[:, classes]
    outside = np.maximum(pred_probs.sum(axis=1) - chosen.sum(axis=1), 0.0)
    return np.column_stack([chosen, outside])


def _units(
    token: IntArray, probs: FloatArray | None, tokens: Tokens, answers: SpanAnswers
) -> IntArray:
    """Return the tokens that an annotator or the model marks, of tasks with answers."""
    is_marked = np.zeros(len(tokens), dtype=np.bool_)
    is_marked[token] = True
    if probs is not None:
        has_answers = answers.given.num_annotations[tokens.text] > 0
        is_marked |= has_answers & (probs.argmax(axis=1) < probs.shape[1] - 1)
    return np.flatnonzero(is_marked)


def _junctions(
    answer: IntArray,
    place: IntArray,
    span: IntArray,
    weight: FloatArray,
    follows: BoolArray,
    consensus: IntArray,
) -> tuple[BoolArray, FloatArray]:
    """Decide whether a token continues the span of the one before.

    Parameters
    ----------
    answer, place, span, weight : ndarray, shape (R,)
        Marks that equal the consensus, ascending by answer and unit: their answer, unit,
        span, and the weight of who made it.
    follows : ndarray of bool, shape (U,)
        Whether each unit is the token after the unit before, in the same text.
    consensus : ndarray of int64, shape (U,)
        Class of each unit.

    Returns
    -------
    continues : ndarray of bool, shape (U,)
        Whether it does: at least half of the weight of those who mark both is for it.
    agreed : ndarray of float64, shape (U,)
        Share of the weight that is for the decision; 1 without any.
    """
    joins = follows.copy()
    joins[1:] &= np.diff(consensus) == 0
    marks_both = np.zeros(len(place), dtype=np.bool_)
    marks_both[1:] = (np.diff(answer) == 0) & (np.diff(place) == 1)
    marks_both &= joins[place]
    is_same = np.zeros(len(place), dtype=np.bool_)
    is_same[1:] = np.diff(span) == 0
    both = np.bincount(place[marks_both], weight[marks_both], len(consensus))
    marks_both &= is_same
    together = np.bincount(place[marks_both], weight[marks_both], len(consensus))
    continues = joins & (2 * together >= both)
    share = np.divide(together, both, out=np.ones(len(both)), where=both > 0)
    return continues, np.where(joins & ~continues, 1 - share, share)


def _rebuilt(
    unit: IntArray,
    consensus: IntArray,
    quality: FloatArray,
    follows: BoolArray,
    continues: BoolArray,
    agreed: FloatArray,
    classes: IntArray,
) -> ConsensusSpans:
    """Build spans from the consensus of units.

    A span is as probable as the least probable of its tokens, of the tokens beside it, and
    of the decisions to begin, go on and end it.
    """
    inside = consensus < len(classes)
    begins = np.flatnonzero(inside & ~continues)
    if not len(begins):
        return ConsensusSpans(begins, begins, begins, np.empty(0))
    span_of = np.cumsum(inside & ~continues) - 1
    size = np.bincount(span_of[inside], minlength=len(begins))
    last = begins + size - 1
    weakest = np.ones(len(begins))
    np.minimum.at(weakest, span_of[inside], np.minimum(quality, agreed)[inside])
    beside = np.flatnonzero(follows[begins])
    weakest[beside] = np.minimum(weakest[beside], quality[begins[beside] - 1])
    beside = np.flatnonzero(np.append(follows[1:], False)[last])
    after = last[beside] + 1
    weakest[beside] = np.minimum(weakest[beside], np.minimum(quality[after], agreed[after]))
    return ConsensusSpans(unit[begins], unit[last] + 1, classes[consensus[begins]], weakest)


def _nothing_missed(
    answers: SpanAnswers, spans: AlignedSpans, found: ConsensusSpans, tokens: Tokens
) -> FloatArray:
    """How probable it is that no span of a task was missed by all its annotators, (N,).

    Each annotator misses a share of spans, whoever else does. Texts hold spans in proportion
    to their tokens.
    """
    given = answers.given
    num_spans = np.bincount(tokens.text[found.first], minlength=given.num_tasks)
    to_find = np.bincount(given.annotator, num_spans[given.task], given.num_annotators)
    seen = np.bincount(given.annotator[_answers_touching(spans, found)], minlength=len(to_find))
    missed = (to_find - seen).sum() / max(to_find.sum(), 1)
    miss = (to_find - seen + PRIOR_SPANS * missed) / (to_find + PRIOR_SPANS)
    log_miss = np.log(np.maximum(miss, np.finfo(np.float64).tiny))
    all_miss = np.exp(given.sum_by_task(log_miss[given.annotator]))
    size = np.where(given.num_annotations > 0, tokens.num_tokens, 0)
    density = len(found.first) / max((size * (1 - all_miss)).sum(), 1)
    nothing_missed: FloatArray = np.exp(-density * size * all_miss)
    return nothing_missed


def _answers_touching(spans: AlignedSpans, found: ConsensusSpans) -> IntArray:
    """Return the answer of every pair of an answer and a consensus span it has a part of."""
    size = found.stop - found.first
    span_of, token_of = np.repeat(np.arange(len(size)), size), ranges(found.first, size)
    order = np.argsort(token_of, kind="stable")
    span_of, token_of = span_of[order], token_of[order]
    answer, token, _ = spans.marks()
    first = np.searchsorted(token_of, token, side="left")
    size = np.searchsorted(token_of, token, side="right") - first
    pairs = np.unique(np.repeat(answer, size) * len(found.first) + span_of[ranges(first, size)])
    return pairs // max(len(found.first), 1)


def _token_quality(given: MultiannotatorLabels, layers: list[_FittedLayer]) -> FloatArray:
    """Mean over layers of the quality of each annotator, by the number of tokens, (M,)."""
    size = [np.bincount(given.annotator, layer.num_units, given.num_annotators) for layer in layers]
    quality = [np.nan_to_num(layer.token_quality) for layer in layers]
    return _ratio(np.sum(np.multiply(size, quality), axis=0), np.sum(size, axis=0))


def _matches(spans: AlignedSpans, found: ConsensusSpans, num_classes: int) -> IntArray:
    """Return the consensus span that each span equals, shape (S,); -1 if it is none."""
    if not len(found.first):
        return np.full(len(spans.first), -1)
    longest = max((one.stop - one.first).max(initial=0) for one in (spans, found))

    def keys(some: AlignedSpans | ConsensusSpans) -> IntArray:
        size = some.stop - some.first
        numbers: IntArray = (some.first * (longest + 1) + size) * num_classes + some.label
        return numbers

    known, wanted = keys(found), keys(spans)
    place = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return np.where(known[place] == wanted, place, -1)


def _support(
    answers: SpanAnswers,
    spans: AlignedSpans,
    found: ConsensusSpans,
    tokens: Tokens,
    match: IntArray,
    weight: FloatArray,
) -> FloatArray:
    """Return the share of annotators, by weight, who gave exactly each consensus span."""
    given = answers.given
    of_answer = np.nan_to_num(weight)[given.annotator]
    is_equal = match >= 0
    support = np.bincount(match[is_equal], of_answer[spans.answer[is_equal]], len(found.first))
    total = given.sum_by_task(of_answer)[tokens.text[found.first]]
    return np.divide(support, total, out=np.zeros(len(support)), where=total > 0)


def _annotator_stats(
    answers: SpanAnswers,
    spans: AlignedSpans,
    found: ConsensusSpans,
    tokens: Tokens,
    is_right: BoolArray,
    token_quality: FloatArray,
) -> pd.DataFrame:
    """Summarise each annotator, see `SpanConsensus.annotator_stats_`."""
    given, num_annotators = answers.given, answers.given.num_annotators
    num_right = np.bincount(spans.answer[is_right], minlength=given.num_labels)
    num_marked = np.bincount(spans.answer, minlength=given.num_labels)
    to_find = np.bincount(tokens.text[found.first], minlength=given.num_tasks)[given.task]
    is_equal = (num_right == num_marked) & (num_right == to_find)

    def by_annotator(values: AnyArray) -> FloatArray:
        return weighted_counts(given.annotator, values, num_annotators)

    num_answers = by_annotator(np.ones(given.num_labels))
    span_f1 = _ratio(2 * by_annotator(num_right), by_annotator(num_marked + to_find))
    agreement = _ratio(by_annotator(is_equal), num_answers)
    quality = np.where(np.isnan(span_f1), agreement, span_f1)
    frame = pd.DataFrame(
        {
            "annotator_quality": quality,
            "agreement_with_consensus": agreement,
            "worst_class": _worst_class(
                given.annotator[spans.answer], spans.label, is_right, num_annotators
            ),
            "num_examples_labeled": num_answers.astype(np.int64),
            "enough_data": by_annotator(given.num_annotations[given.task] > 1) > 0,
            "span_f1": span_f1,
            "token_quality": token_quality,
        },
        index=pd.Index(given.annotator_ids, name="annotator"),
    )
    worst_first: pd.DataFrame = frame.iloc[np.lexsort((agreement, quality))]
    return worst_first


def _worst_class(
    annotator: IntArray, label: IntArray, is_right: BoolArray, num_annotators: int
) -> IntArray:
    """Return the class of which each annotator's spans are least often the consensus.

    Among equals: the class marked most often, then the lowest code.
    """
    frame = pd.DataFrame({"annotator": annotator, "label": label, "is_right": is_right})
    by_class = frame.groupby(["annotator", "label"])["is_right"].agg(["mean", "size"]).reset_index()
    by_class = by_class.sort_values(
        ["annotator", "mean", "size", "label"], ascending=[True, True, False, True]
    )
    worst = by_class.drop_duplicates("annotator")
    classes = np.full(num_annotators, NO_CLASS)
    classes[worst["annotator"]] = worst["label"]
    return classes


def _ratio(part: FloatArray, whole: FloatArray) -> FloatArray:
    """Divide, with NaN where there is nothing to divide by."""
    ratio: FloatArray = np.full(len(whole), np.nan)
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio


def _check_pred_probs(
    pred_probs: ArrayLike | None, num_tokens: int, num_classes: int
) -> FloatArray | None:
    """Return pred_probs as an array of one row per token; rows are checked when used."""
    if pred_probs is None:
        return None
    probs = np.asarray(pred_probs, dtype=np.float64)
    if probs.shape != (num_tokens, num_classes + 1):
        raise ValueError(
            f"pred_probs has shape {probs.shape} for {num_tokens} tokens and {num_classes} "
            "classes: pass one row per token, one column per class and a last one for outside"
        )
    return probs
