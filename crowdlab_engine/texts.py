"""Consensus of free texts: the answer that is closest to all others.

Transcriptions, translations and short answers are no classes: two good ones may differ in a
letter. So nothing is voted on; an answer is the better the closer it is to the others, and
the others count by how close their annotators usually are. That is CROWDLAB's idea
(arXiv 2210.06812) with closeness in the place of agreement. The consensus is always an
answer that somebody gave.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from crowdlab_engine._typing import FloatArray, IntArray
from crowdlab_engine.edit_distance import edit_distances
from crowdlab_engine.labels import MultiannotatorLabels
from crowdlab_engine.weights import MIN_WEIGHT

if TYPE_CHECKING:
    from typing_extensions import Self

Closeness: TypeAlias = Callable[[Sequence[str], Sequence[str]], ArrayLike]

_UNRELATED_PAIRS = 20_000
"""Answers to different tasks that are compared, to see how close texts are by chance."""

_PRIOR_ANSWERS = 2.0
"""An annotator's closeness is drawn to the mean of all as if by so many answers."""


def normalised(text: str) -> str:
    """Return a text as it is compared: without differences that are not meant.

    Unicode compatibility forms are one (NFKC), so are upper and lower case; white space at
    the ends is dropped, and any other run of it is one space.
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def edit_closeness(first: Sequence[str], second: Sequence[str]) -> FloatArray:
    """Return how close texts are: 1 less the share of characters to be edited.

    Parameters
    ----------
    first, second : sequence of str, length Q
        The texts of each pair.

    Returns
    -------
    ndarray of float64, shape (Q,)
        From 0 (nothing in common) to 1 (equal): 1 less the edit distance by the length of
        the longer text.
    """
    longer = np.array(
        [max(len(one), len(other), 1) for one, other in zip(first, second, strict=True)],
        dtype=np.float64,
    )
    closeness: FloatArray = 1.0 - edit_distances(first, second) / longer
    return closeness


class TextConsensus(BaseEstimator):  # type: ignore[misc]
    """The answer closest to all others, and how good answers and annotators are.

    Answers are compared in the form of `normalised`. Each task's consensus is the answer of
    largest weighted mean closeness, to itself and to the others; the weight of an annotator
    is (c - b) / (1 - b), of the mean closeness c of their answers to those of others, and
    that of unrelated answers b. Weights and means are found in turns.

    Parameters
    ----------
    closeness : callable, optional
        From two lists of Q normalised texts to Q numbers in [0, 1], 1 for texts that mean
        the same, such as the cosine of embeddings. Equal texts are not asked about. Default:
        `edit_closeness`.
    max_iter : int, default 20
        Most turns.
    strictness : float, default 6.0
        Power to which closeness is raised, above 0: the larger, the more a small difference
        counts, and the more quality tells whether a text is right to the letter. At 1 it
        tells how much of it is.

    longest : int, default 2000
        Characters of a text that are compared; what comes after makes no difference.

    Attributes
    ----------
    consensus_ : list of str or None, length N
        Consensus of each task, as its annotator wrote it; None without answers.
    consensus_answer_ : ndarray of int64, shape (N,)
        Which of the caller's answers that is; -1 without answers.
    consensus_quality_score_ : ndarray of float64, shape (N,)
        How close the consensus is to the answers, each weighted by its annotator; to
        itself it is as close as its annotator usually is. In [0, 1], higher is better; NaN
        without answers.
    annotator_agreement_ : ndarray of float64, shape (N,)
        Share of the task's answers that equal the consensus when normalised; NaN without.
    num_annotations_ : ndarray of int64, shape (N,)
        Number of answers of each task.
    answer_quality_ : ndarray of float64, shape (L,)
        The same closeness of each answer, in the caller's order.
    annotator_weight_ : ndarray of float64, shape (M,)
        In [1e-6, 1], larger is better.
    annotator_stats_ : DataFrame
        One row per annotator, the worst first. `annotator_quality`: mean closeness to the
        others' answers, in [0, 1]; few answers are drawn to the mean of all annotators, and
        without answers it is NaN. `agreement_with_consensus`: share of answers that equal
        the consensus. `worst_class`: always -1, as texts have no classes.
        `num_examples_labeled`: number of answers. `enough_data`: whether another annotator
        answered one of the same tasks.

    Examples
    --------
    >>> fitted = TextConsensus().fit(
    ...     task=[0, 0, 0, 1], annotator=[0, 1, 2, 0],
    ...     texts=["The cat sat", "the cat sat", "teh cart", "on the mat"],
    ... )
    >>> fitted.consensus_
    ['The cat sat', 'on the mat']
    """

    def __init__(
        self,
        closeness: Closeness | None = None,
        max_iter: int = 20,
        strictness: float = 6.0,
        longest: int = 2_000,
    ) -> None:
        self.closeness = closeness
        self.max_iter = max_iter
        self.strictness = strictness
        self.longest = longest

    def fit(
        self,
        task: ArrayLike,
        annotator: ArrayLike,
        texts: Sequence[str],
        *,
        num_tasks: int | None = None,
        annotator_ids: ArrayLike | None = None,
    ) -> Self:
        """Find the consensus of each task.

        Parameters
        ----------
        task, annotator : array_like of int, shape (L,)
            Codes from 0; each (task, annotator) at most once.
        texts : sequence of str, length L
            The answers.
        num_tasks : int, optional
            Number of tasks N. Default: the largest code plus one.
        annotator_ids : array_like, shape (M,), optional
            Identifier of each annotator. Default: the codes themselves.

        Returns
        -------
        TextConsensus
            Itself, fitted.

        Raises
        ------
        ValueError
            Codes are no codes, lengths differ, a (task, annotator) occurs twice, there is
            no answer, `strictness` is not above 0, or `closeness` returns anything but
            numbers in [0, 1].
        TypeError
            An answer is no string.
        """
        if not all(isinstance(text, str) for text in texts):
            wrong = next(text for text in texts if not isinstance(text, str))
            raise TypeError(f"texts holds {wrong!r}: every answer has to be a string")
        if not self.strictness > 0:
            raise ValueError(f"strictness is {self.strictness}: pass a number above 0")
        plain = [normalised(text[: 4 * self.longest])[: self.longest] for text in texts]
        known, code = np.unique(np.array(plain, dtype=object), return_inverse=True)
        # Equal texts are one class, so that answers are labels like any others.
        labels = MultiannotatorLabels.from_codes(
            task,
            annotator,
            code,
            num_tasks=num_tasks,
            annotator_ids=annotator_ids,
            num_classes=len(known),
        )
        if not labels.num_labels:
            raise ValueError("there is no answer: a consensus needs at least one")
        one, other = _pairs(labels)
        close = self._closeness(known.tolist(), labels.label[one], labels.label[other])
        by_chance = self._closeness_by_chance(known.tolist(), labels)

        weight: FloatArray = np.ones(labels.num_annotators)
        best: IntArray = np.empty(0, dtype=np.int64)
        for _ in range(max(1, self.max_iter)):
            by_others, usual = _usual_closeness(labels, one, other, close, weight)
            quality = _quality(labels, one, other, close, weight, usual)
            before, best = best, _closest(labels, one, other, close, weight)
            weight = _weights(usual, by_chance)
            if np.array_equal(before, best):
                break
        self.annotator_weight_ = weight
        self._set_results(labels, texts, best, quality, usual, by_others)
        return self

    def _closeness(self, known: Sequence[str], one: IntArray, other: IntArray) -> FloatArray:
        """Closeness of pairs of texts, given by their codes; each is computed once."""
        low, high = np.minimum(one, other), np.maximum(one, other)
        pair, place = np.unique(low * len(known) + high, return_inverse=True)
        low, high = np.divmod(pair, len(known))
        differ = np.flatnonzero(low != high)
        found = np.ones(len(pair))
        if differ.size:
            measure = edit_closeness if self.closeness is None else self.closeness
            values = np.asarray(
                measure(
                    [known[code] for code in low[differ].tolist()],
                    [known[code] for code in high[differ].tolist()],
                ),
                dtype=np.float64,
            )
            is_right = values.shape == differ.shape and ((values >= 0) & (values <= 1)).all()
            if not is_right:
                raise ValueError(
                    f"closeness returned an array of shape {values.shape} for {differ.size} "
                    "pairs: it has to return one number in [0, 1] for each"
                )
            found[differ] = values**self.strictness
        closeness: FloatArray = found[place]
        return closeness

    def _closeness_by_chance(self, known: Sequence[str], labels: MultiannotatorLabels) -> float:
        """Mean closeness of answers to different tasks; 0 if there is one task only."""
        step = max(1, labels.num_labels // 2)
        one = np.arange(min(labels.num_labels, _UNRELATED_PAIRS))
        other = (one + step) % labels.num_labels
        is_apart = labels.task[one] != labels.task[other]
        if not is_apart.any():
            return 0.0
        one, other = one[is_apart], other[is_apart]
        close = self._closeness(known, labels.label[one], labels.label[other])
        return min(float(close.mean()), 1 - MIN_WEIGHT)

    def _set_results(
        self,
        labels: MultiannotatorLabels,
        texts: Sequence[str],
        best: IntArray,
        quality: FloatArray,
        usual: FloatArray,
        by_others: FloatArray,
    ) -> None:
        place = np.arange(labels.num_labels) if labels.sorting is None else labels.sorting
        has_answer = np.flatnonzero(labels.num_annotations)
        self.consensus_answer_ = np.full(labels.num_tasks, -1)
        self.consensus_answer_[has_answer] = place[best]
        self.consensus_: list[str | None] = [
            None if position < 0 else texts[position]
            for position in self.consensus_answer_.tolist()
        ]
        self.num_annotations_ = labels.num_annotations.copy()
        self.consensus_quality_score_ = np.full(labels.num_tasks, np.nan)
        self.consensus_quality_score_[has_answer] = quality[best]
        winner = np.full(labels.num_tasks, -1)
        winner[has_answer] = labels.label[best]
        agrees = labels.label == winner[labels.task]
        self.annotator_agreement_ = np.full(labels.num_tasks, np.nan)
        agreeing = labels.sum_by_task(agrees.astype(np.float64))
        self.annotator_agreement_[has_answer] = (
            agreeing[has_answer] / labels.num_annotations[has_answer]
        )
        self.answer_quality_ = labels.in_callers_order(quality)
        num_answers = np.bincount(labels.annotator, minlength=labels.num_annotators)
        agreement = np.full(labels.num_annotators, np.nan)
        np.divide(
            np.bincount(labels.annotator[agrees], minlength=labels.num_annotators),
            num_answers,
            out=agreement,
            where=num_answers > 0,
        )
        is_shared = ~np.isnan(by_others)
        shared = np.bincount(labels.annotator[is_shared], minlength=labels.num_annotators)
        frame = pd.DataFrame(
            {
                "annotator_quality": np.where(num_answers > 0, usual, np.nan),
                "agreement_with_consensus": agreement,
                "worst_class": -1,
                "num_examples_labeled": num_answers,
                "enough_data": shared > 0,
            },
            index=pd.Index(labels.annotator_ids, name="annotator"),
        )
        order = np.lexsort((agreement, frame["annotator_quality"].to_numpy()))
        self.annotator_stats_: pd.DataFrame = frame.iloc[order]


def _pairs(labels: MultiannotatorLabels) -> tuple[IntArray, IntArray]:
    """Return the positions of all pairs of answers to one task."""
    first, second = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    starts = np.cumsum(labels.num_annotations) - labels.num_annotations
    for size in np.unique(labels.num_annotations[labels.num_annotations > 1]).tolist():
        some = starts[labels.num_annotations == size]
        low, high = np.triu_indices(size, 1)
        first.append((some[:, None] + low).ravel())
        second.append((some[:, None] + high).ravel())
    return np.concatenate(first), np.concatenate(second)


def _sum_of_others(
    labels: MultiannotatorLabels,
    one: IntArray,
    other: IntArray,
    values: FloatArray,
    weight: FloatArray,
) -> FloatArray:
    """Add up, for each answer, a value for each other one, by the weight of its annotator."""
    size = labels.num_labels
    given = weight[labels.annotator]
    sums = np.zeros(size)
    sums += np.bincount(one, weights=given[other] * values, minlength=size)
    sums += np.bincount(other, weights=given[one] * values, minlength=size)
    return sums


def _usual_closeness(
    labels: MultiannotatorLabels,
    one: IntArray,
    other: IntArray,
    close: FloatArray,
    weight: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """How close answers are to the others.

    Returns
    -------
    by_others : ndarray of float64, shape (L,)
        Of each answer; NaN without others.
    usual : ndarray of float64, shape (M,)
        Mean of each annotator's answers, few of them drawn to the mean of all.
    """
    total = _sum_of_others(labels, one, other, np.ones(len(one)), weight)
    sums = _sum_of_others(labels, one, other, close, weight)
    by_others = np.full(labels.num_labels, np.nan)
    is_shared = total > 0
    by_others[is_shared] = sums[is_shared] / total[is_shared]
    annotator = labels.annotator[is_shared]
    count = np.bincount(annotator, minlength=labels.num_annotators)
    added = np.bincount(annotator, weights=by_others[is_shared], minlength=labels.num_annotators)
    mean = float(by_others[is_shared].mean()) if is_shared.any() else 1.0
    usual: FloatArray = (added + _PRIOR_ANSWERS * mean) / (count + _PRIOR_ANSWERS)
    return by_others, usual


def _weights(usual: FloatArray, by_chance: float) -> FloatArray:
    """Return how much annotators count, from how close they usually are, shape (M,)."""
    return np.maximum(MIN_WEIGHT, (usual - by_chance) / (1 - by_chance))


def _closest(
    labels: MultiannotatorLabels,
    one: IntArray,
    other: IntArray,
    close: FloatArray,
    weight: FloatArray,
) -> IntArray:
    """Return the position of the consensus of each task with answers, ascending by task."""
    score = weight[labels.annotator] + _sum_of_others(labels, one, other, close, weight)
    order = np.lexsort((-score, labels.task))
    is_first = np.diff(labels.task[order], prepend=-1) != 0
    best: IntArray = order[is_first]
    return best


def _quality(
    labels: MultiannotatorLabels,
    one: IntArray,
    other: IntArray,
    close: FloatArray,
    weight: FloatArray,
    usual: FloatArray,
) -> FloatArray:
    """Weighted mean closeness of each answer to the answers of its task, shape (L,)."""
    own = weight[labels.annotator]
    total = own + _sum_of_others(labels, one, other, np.ones(len(one)), weight)
    sums = own * usual[labels.annotator]
    sums = sums + _sum_of_others(labels, one, other, close, weight)
    return np.clip(sums / total, 0.0, 1.0)
