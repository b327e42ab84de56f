"""Annotators whose answers look like spam, and why.

Four kinds are told apart. *Random*: what the annotator says does not depend on what the
others say about the same tasks. *Constant*: one class, whatever the others say. *Copy*: the
annotator agrees with one colleague far more often than both agree with everybody else. *Too
fast*: a small fraction of the usual time, by somebody who agrees with the others poorly too.
Being fast, biased, or unlucky with hard tasks is no spam.

Each score is a posterior probability, so that little data gives a low score, never a bad one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import add, sub
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import betainc, betaln, ndtr

from crowdlab_engine._typing import AnyArray, BoolArray, FloatArray, IntArray
from crowdlab_engine.agreement import PairSums, pair_agreement
from crowdlab_engine.block import Block, Part
from crowdlab_engine.labels import MultiannotatorLabels
from crowdlab_engine.sparse_counts import SparseCounts

REASONS = ("constant", "copy", "too fast", "random")
"""Reasons; among equal scores the first is named."""

NOT_ENOUGH_DATA = "too little data"

_MOST_LEAD = 5
_LARGEST_CODE = 2**62
_FEWEST_LABELS = 10
"""Labels, or shared tasks, or times, below which nothing is said."""


@dataclass(frozen=True, eq=False)
class OthersSums:
    """Labels of each annotator against the vote of the others on the task; blocks add up.

    The vote of the others is the class that most labels of the task have, the annotator's own
    left out. Tasks on which the others are tied, or absent, count nowhere.

    Attributes
    ----------
    num_annotators, num_classes : int
        Sizes M and K.
    counts : SparseCounts
        Labels; the code is ((annotator 5 + lead) K + label) K + vote of the others, where
        `lead` is how many labels the vote is ahead of the next class, less one, at most 4.
    other_pairs, other_pairs_agreeing : ndarray of int64, shape (M,)
        Ordered pairs of labels by others on the tasks of each annotator, and those that are
        equal: how hard these tasks are.
    """

    num_annotators: int
    num_classes: int
    counts: SparseCounts
    other_pairs: IntArray
    other_pairs_agreeing: IntArray

    @classmethod
    def of(cls, labels: MultiannotatorLabels) -> OthersSums:
        """Sum up a block of tasks.

        Raises
        ------
        ValueError
            There are so many annotators and classes that a count has no code of 64 bits.
        """
        num_annotators, num_classes = labels.num_annotators, labels.num_classes
        if num_annotators * _MOST_LEAD * num_classes**2 > _LARGEST_CODE:
            raise ValueError(
                f"{num_annotators} annotators with {num_classes} classes are too many to count "
                "what each says beside the others: leave out classes or annotators without labels"
            )
        parts = Block.of(labels).parts
        other_pairs = np.zeros(num_annotators)
        agreeing = np.zeros(num_annotators)
        for part in parts:
            peers, equal = part.num_labels - 1, part.equal.astype(np.int64) - 1
            other_pairs += peers * (peers - 1) * np.bincount(part.annotators, None, num_annotators)
            without = equal.sum(axis=0) - 2 * equal
            agreeing += np.bincount(part.annotators, without.reshape(-1), num_annotators)
        return cls(
            num_annotators,
            num_classes,
            SparseCounts.of(_codes(part, num_classes) for part in parts),
            # Sums of integers: exact, as float64 holds every one below 2**53.
            other_pairs.astype(np.int64),
            agreeing.astype(np.int64),
        )

    def __add__(self, other: OthersSums) -> OthersSums:
        """Sums of two blocks together."""
        return self._combine(other, add)

    def __sub__(self, other: OthersSums) -> OthersSums:
        """Sums without a block that they include.

        Raises
        ------
        ValueError
            They do not include it.
        """
        return self._combine(other, sub)

    def _combine(self, other: OthersSums, operation: Callable[[Any, Any], Any]) -> OthersSums:
        if not isinstance(other, OthersSums):
            return NotImplemented
        self._check_sizes(other)
        return OthersSums(
            self.num_annotators,
            self.num_classes,
            operation(self.counts, other.counts),
            operation(self.other_pairs, other.other_pairs),
            operation(self.other_pairs_agreeing, other.other_pairs_agreeing),
        )

    def _check_sizes(self, other: OthersSums) -> None:
        ours = self.num_annotators, self.num_classes
        theirs = other.num_annotators, other.num_classes
        if ours != theirs:
            raise ValueError(
                "blocks have {} annotators and {} classes, and {} and {}: build them from the "
                "same vocabularies".format(*ours, *theirs)
            )


def _codes(part: Part, num_classes: int) -> IntArray:
    """Codes of the labels of a part beside a vote of others, see `OthersSums`."""
    label = part.label.astype(np.int64)
    equal = part.equal.astype(np.int64)
    first = equal.max(axis=0)
    is_top = equal == first
    num_top = is_top.sum(axis=0) // first
    second = np.where(is_top, 0, equal).max(axis=0)
    num_second = (equal == second).sum(axis=0) // np.maximum(second, 1)
    top = np.where(is_top, label, -1).max(axis=0)
    other_top = np.where(is_top, label, num_classes).min(axis=0)

    # One class leads: without an own label of it, the lead is one less; without an own label
    # of the only second class, one more.
    lead = first - second - is_top
    lead += ~is_top & (equal == second) & (num_second == 1)
    # Two classes lead: without an own label of one, the other leads by one.
    lead = np.where(num_top == 1, lead, np.where((num_top == 2) & is_top, 1, 0))
    vote = np.where((num_top == 2) & (label == top), other_top, top)
    is_judged = lead > 0
    lead = np.minimum(lead, _MOST_LEAD) - 1
    code = ((part.annotator * _MOST_LEAD + lead) * num_classes + label) * num_classes + vote
    judged: IntArray = code[is_judged]
    return judged


@dataclass(frozen=True, eq=False)
class _Judged:
    """The cells of `OthersSums`, taken apart; shape (C,) each."""

    annotator: IntArray
    lead: IntArray
    label: IntArray
    vote: IntArray
    count: IntArray
    num_annotators: int
    num_classes: int

    @classmethod
    def of(cls, sums: OthersSums) -> _Judged:
        rest, vote = np.divmod(sums.counts.code, sums.num_classes)
        rest, label = np.divmod(rest, sums.num_classes)
        annotator, lead = np.divmod(rest, _MOST_LEAD)
        count = sums.counts.count
        return cls(annotator, lead, label, vote, count, sums.num_annotators, sums.num_classes)

    def by_annotator(self, values: AnyArray) -> AnyArray:
        sums: AnyArray = np.bincount(self.annotator, values, self.num_annotators)
        return sums


def spam_scores(
    others: OthersSums,
    pairs: PairSums,
    *,
    lead_time: ArrayLike | None = None,
    num_timed: ArrayLike | None = None,
) -> pd.DataFrame:
    """Return how much each annotator looks like a spammer, and why.

    Parameters
    ----------
    others : OthersSums
        Of all tasks, M annotators.
    pairs : PairSums
        Of the same tasks.
    lead_time : array_like of float, shape (M,), optional
        Median time that each annotator took for a task, above 0, in any unit; NaN where it is
        not known. Default: nobody's.
    num_timed : array_like of int, shape (M,), optional
        Number of times that each median is of. Default: enough to know it exactly.

    Returns
    -------
    DataFrame, M rows in the order of annotator codes
        `spam_score` in [0, 1], 1 is surely spam: the largest of the scores `random`,
        `constant`, `copy` and `too_fast`, each the probability that this is what the
        annotator does, or NaN if there is too little data on it (fewer than ten labels beside
        a vote of the others, tasks shared with a colleague, or times). `reason`: "random",
        "constant", "copy" or "too fast" where the score is 0.5 or more; "none" where it is
        less; "too little data" where it is NaN. `copy_of`: code of the colleague whom `copy`
        is about, -1 without one. Labels do not tell who of the two copies: both get the score.

    Raises
    ------
    ValueError
        The sums are of different annotators, or times do not have one entry for each or are
        not above 0.
    """
    sizes = others.num_annotators, others.num_classes
    if sizes != (pairs.num_annotators, pairs.num_classes):
        raise ValueError(
            f"others has {sizes[0]} annotators and {sizes[1]} classes, and pairs "
            f"{pairs.num_annotators} and {pairs.num_classes}: build both from the same labels"
        )
    judged = _Judged.of(others)
    num_judged = judged.by_annotator(judged.count)
    is_judged = num_judged >= _FEWEST_LABELS
    independent, unskilled = _independence(judged, is_judged, _ease(others, judged))
    constant = _constancy(judged)
    copy, copy_of = _copying(pairs)
    too_fast = _haste(lead_time, num_timed, sizes[0]) * unskilled
    by_reason = {
        "random": np.where(is_judged, independent * (1 - constant), np.nan),
        "constant": np.where(is_judged, constant, np.nan),
        "copy": copy,
        "too fast": np.where(is_judged, too_fast, np.nan),
    }
    scores = np.stack([by_reason[reason] for reason in REASONS])
    has_data = ~np.isnan(scores).all(axis=0)
    # Unknown scores come after all others.
    scores = np.nan_to_num(scores, nan=-1.0)
    score = scores.max(axis=0)
    reason = np.where(score >= 0.5, np.array(REASONS)[scores.argmax(axis=0)], "none")
    return pd.DataFrame(
        {
            "spam_score": np.where(has_data, score, np.nan),
            "reason": np.where(has_data, reason, NOT_ENOUGH_DATA),
            **{reason.replace(" ", "_"): values for reason, values in by_reason.items()},
            "copy_of": copy_of,
        }
    )


_SKILL = np.linspace(0.02, 0.98, 49)
_SPAM_SHARE = 0.15
_SPAM_SHARE_OF_FAST = 0.4
_SPAM_WEIGHT = 10.0
_MOST_SPAM = 0.2
"""Above, labels that say nothing about an annotator would make them suspect."""
_STEPS = 50


def _independence(
    judged: _Judged, is_judged: BoolArray, ease: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Probability that labels do not depend on the others', and that they hardly do.

    An honest annotator knows the vote of the others with a probability, the skill, and else
    says anything, with the frequencies of their own labels; a spammer has no skill. The vote
    is worth more the further it leads, and less on tasks on which the others agree less than
    usual: both scale the skill, so that hard tasks say little about anybody. The skills of honest
    annotators are spread as a beta distribution, fitted together with the share of spammers
    by expectation maximization, around prior counts.

    Returns
    -------
    independent, unskilled : ndarray of float64, shape (M,)
        In [0, 1]. Unskilled is a skill below a third of the mean of honest annotators; as it
        counts for those who are too fast, two in five are expected to be spammers.
    """
    ratio = _log_likelihood_ratios(judged, _lead_worth(judged), ease)
    spam_share, mean, spread = _SPAM_SHARE, 0.5, 4.0
    usable = ratio[is_judged]
    prior = _skill_prior(mean, spread)
    for _ in range(_STEPS):
        prior = _skill_prior(mean, spread)
        skill, weight = _posterior(usable, prior, spam_share)
        spam_share = (_SPAM_SHARE * _SPAM_WEIGHT + weight.sum()) / (_SPAM_WEIGHT + len(weight))
        spam_share = min(spam_share, _MOST_SPAM)
        honest = np.concatenate([[2.0], (1 - weight)])
        each = np.concatenate([[0.5], skill @ _SKILL])
        square = np.concatenate([[0.3], skill @ _SKILL**2])
        mean = float(np.average(each, weights=honest))
        variance = float(np.average(square, weights=honest)) - mean**2
        spread = float(np.clip(mean * (1 - mean) / variance - 1, 3.0, 30.0))
    _, independent = _posterior(ratio, prior, spam_share)
    skill, if_fast = _posterior(ratio, prior, _SPAM_SHARE_OF_FAST)
    unskilled = if_fast + (1 - if_fast) * (skill @ (mean / 3 > _SKILL))
    return independent, unskilled


def _skill_prior(mean: float, spread: float) -> FloatArray:
    """Beta distribution of honest annotators' skill on the grid, few of them close to 0."""
    a, b = max(1.5, mean * spread), max(1.0, (1 - mean) * spread)
    density = _SKILL ** (a - 1) * (1 - _SKILL) ** (b - 1)
    prior: FloatArray = density / density.sum()
    return prior


def _posterior(
    log_ratio: FloatArray, prior: FloatArray, spam_share: float
) -> tuple[FloatArray, FloatArray]:
    """Distribution of skill if honest, shape (M, G), and probability of no skill, (M,)."""
    top = log_ratio.max(axis=1, initial=-np.inf, keepdims=True)
    joint = np.exp(log_ratio - top) * prior
    evidence = joint.sum(axis=1)
    log_odds = np.log(spam_share / (1 - spam_share)) - np.log(evidence) - top[:, 0]
    return joint / evidence[:, None], 1 / (1 + np.exp(-np.clip(log_odds, -700, 700)))


def _lead_worth(judged: _Judged) -> FloatArray:
    """Chance-corrected agreement with votes of each lead, as a share of the best, (5,)."""
    worth: FloatArray = np.zeros(_MOST_LEAD)
    for lead in range(_MOST_LEAD):
        here = judged.lead == lead
        count, num_classes = judged.count[here], judged.num_classes
        total = count.sum()
        if total < _FEWEST_LABELS:
            worth[lead] = np.nan
            continue
        said = np.bincount(judged.label[here], count, num_classes) / total
        voted = np.bincount(judged.vote[here], count, num_classes) / total
        observed = count[judged.label[here] == judged.vote[here]].sum() / total
        chance = said @ voted
        worth[lead] = (observed - chance) / (1 - chance) if chance < 1 else 0.0
    known = ~np.isnan(worth)
    if not known.any() or np.nanmax(worth) <= 0:
        return np.ones(_MOST_LEAD)
    worth = np.interp(np.arange(_MOST_LEAD), np.flatnonzero(known), worth[known])
    # A vote that leads by more is worth no less.
    worth = np.maximum.accumulate(np.clip(worth, 0.02, 1))
    scaled: FloatArray = worth / worth.max()
    return scaled


def _ease(others: OthersSums, judged: _Judged) -> FloatArray:
    """How far others agree on each annotator's tasks, as a share of the usual, (M,), in [0, 1].

    Chance-corrected; a hundred pairs of the usual kind steady the ratio.
    """
    pairs, agreeing = others.other_pairs, others.other_pairs_agreeing
    if not pairs.any() or not len(judged.count):
        return np.ones(len(pairs))
    share = np.bincount(judged.label, judged.count, judged.num_classes) / judged.count.sum()
    chance = (share**2).sum()
    usual = agreeing.sum() / pairs.sum() - chance
    if usual <= 0:
        return np.ones(len(pairs))
    excess = agreeing - chance * pairs
    ease: FloatArray = np.clip((excess + 100 * usual) / (usual * (pairs + 100)), 0.02, 1)
    return ease


def _log_likelihood_ratios(judged: _Judged, worth: FloatArray, ease: FloatArray) -> FloatArray:
    """Log likelihood of each skill against none, shape (M, G)."""
    num_annotators, num_classes = judged.num_annotators, judged.num_classes
    given = SparseCounts.weighted(judged.annotator * num_classes + judged.label, judged.count)
    own = given.at(judged.annotator * num_classes + judged.label)
    total = judged.by_annotator(judged.count)[judged.annotator]
    frequency = (own + 0.5) / (total + 0.5 * num_classes)
    is_vote = judged.label == judged.vote
    ratio = np.zeros((num_annotators, len(_SKILL)))
    for position, skill in enumerate(_SKILL):
        known = skill * worth[judged.lead] * ease[judged.annotator]
        each = np.log1p(-known + is_vote * known / frequency)
        ratio[:, position] = judged.by_annotator(judged.count * each)
    return ratio


_CONSTANT_RATE = 0.75


def _constancy(judged: _Judged) -> FloatArray:
    """Probability that the annotator's favourite class is their answer whatever the vote, (M,).

    It is judged on tasks for which the others voted for another class, so that a class that
    is frequent is no constant answer. The rate at which it is said there has to be above 0.75,
    and above half way from the rate of all annotators to 1.
    """
    num_annotators, num_classes = judged.num_annotators, judged.num_classes
    if not num_classes:
        return np.zeros(num_annotators)
    cell = judged.annotator * num_classes + judged.label
    given = SparseCounts.weighted(cell, judged.count)
    owner, label = np.divmod(given.code, num_classes)
    order = np.lexsort((given.count, owner))
    is_last = np.diff(owner[order], append=-1) != 0
    favourite = np.full(num_annotators, -1, dtype=np.int64)
    favourite[owner[order[is_last]]] = label[order[is_last]]

    is_other = judged.label != judged.vote
    said_wrongly = np.bincount(judged.label[is_other], judged.count[is_other], num_classes)
    voted = np.bincount(judged.vote, judged.count, num_classes)
    # One more, for those who have no favourite; there may be no class at all.
    usual = np.append(said_wrongly / np.maximum(voted.sum() - voted, 1), 0.0)
    threshold = np.maximum(_CONSTANT_RATE, (1 + usual[favourite]) / 2)

    is_against = judged.vote != favourite[judged.annotator]
    trials = judged.by_annotator(judged.count * is_against)
    says = judged.label == favourite[judged.annotator]
    times = judged.by_annotator(judged.count * (is_against & says))
    # Three in four honest annotators would not: a prior of four labels.
    score: FloatArray = 1 - betainc(1 + times, 3 + trials - times, threshold)
    return score


_COPY_SHARE = 0.05
_COPY_SPREAD = 100.0
_COPY_GRID = np.linspace(0.5, 1, 26)


def _copying(pairs: PairSums) -> tuple[FloatArray, IntArray]:
    """Probability that the annotator and one colleague share answers, and that colleague, (M,).

    Who copies somebody who hardly ever errs is found only with many labels. Skills multiply:
    the chance-corrected agreement of two is expected to be what each has
    with everybody else, one times the other, over what all have. Copies of at least half of
    the answers stand against it, with a prior that is shared by all colleagues.
    """
    num_annotators = pairs.num_annotators
    found = pair_agreement(pairs)
    a, b, shared = found.annotator_a, found.annotator_b, found.shared
    excess = found.agreeing - found.chance * shared
    room = (1 - found.chance) * shared

    def of_both(values: AnyArray) -> AnyArray:
        sums: AnyArray = np.bincount(a, values, num_annotators)
        return sums + np.bincount(b, values, num_annotators)

    all_excess, all_room = of_both(excess), of_both(room)
    enough = shared >= _FEWEST_LABELS
    score = np.full(num_annotators, np.nan)
    copy_of = np.full(num_annotators, -1, dtype=np.int64)
    a, b, shared, agreeing = a[enough], b[enough], shared[enough], found.agreeing[enough]
    excess, room, chance = excess[enough], room[enough], found.chance[enough]
    if not len(a):
        return score, copy_of

    def with_others(annotator: IntArray) -> FloatArray:
        rest = np.maximum(all_room[annotator] - room, 0)
        # Ten tasks' worth of the mean of all steadies those who share little.
        kappa: FloatArray = (all_excess[annotator] - excess + 10 * mean) / (rest + 10)
        return np.clip(kappa, 0, 1)

    mean = float(np.clip(all_excess.sum() / max(all_room.sum(), 1), 0.05, 1))
    kappa = np.clip(with_others(a) * with_others(b) / mean, 0, 0.98)
    expected = np.clip(chance + (1 - chance) * kappa, 1e-3, 1 - 1e-3)
    different = shared - agreeing
    yes, no = _COPY_SPREAD * expected, _COPY_SPREAD * (1 - expected)
    honest = betaln(yes + agreeing, no + different) - betaln(yes, no)
    copied = np.full(len(a), -np.inf)
    for share in _COPY_GRID:
        rate = np.clip(share + (1 - share) * expected, 0, 1 - 1e-3)
        each = agreeing * np.log(rate) + different * np.log1p(-rate)
        copied = np.logaddexp(copied, each - np.log(len(_COPY_GRID)))
    num_colleagues = np.bincount(a, minlength=num_annotators)
    num_colleagues += np.bincount(b, minlength=num_annotators)
    prior = _COPY_SHARE / np.maximum(num_colleagues[a], num_colleagues[b])
    log_odds = np.clip(np.log(prior / (1 - prior)) + copied - honest, -700, 700)
    probability = 1 / (1 + np.exp(-log_odds))

    owner, colleague = np.concatenate([a, b]), np.concatenate([b, a])
    probability = np.tile(probability, 2)
    order = np.lexsort((probability, owner))
    last = order[np.diff(owner[order], append=-1) != 0]
    score[owner[last]] = probability[last]
    copy_of[owner[last]] = colleague[last]
    return score, copy_of


_FAST = 0.25
_LOG_TIME_DEVIATION = 1.0


def _haste(
    lead_time: ArrayLike | None, num_timed: ArrayLike | None, num_annotators: int
) -> FloatArray:
    """Probability that the annotator's median time is below a quarter of the usual one, (M,).

    The median of a time whose logarithm has deviation 1 is known to 1.25 over the root of
    the number of times. The usual one is the median of all annotators'.
    """
    if lead_time is None:
        return np.full(num_annotators, np.nan)
    times = _checked("lead_time", lead_time, num_annotators)
    counts: FloatArray = np.full(num_annotators, np.inf)
    if num_timed is not None:
        counts = _checked("num_timed", num_timed, num_annotators)
    wrong = np.flatnonzero(times <= 0)
    if wrong.size:
        raise ValueError(
            f"lead_time is {times[wrong[0]]} for annotator {wrong[0]}: pass times above 0, or NaN"
        )
    is_known = ~np.isnan(times) & (counts >= _FEWEST_LABELS)
    haste = np.full(num_annotators, np.nan)
    if is_known.any():
        ratio = np.log(times[is_known]) - np.log(np.median(times[is_known]))
        deviation = 1.25 * _LOG_TIME_DEVIATION / np.sqrt(counts[is_known])
        haste[is_known] = ndtr((np.log(_FAST) - ratio) / np.maximum(deviation, 0.05))
    return haste


def _checked(name: str, values: ArrayLike, num_annotators: int) -> FloatArray:
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.shape != (num_annotators,):
        raise ValueError(
            f"{name} has shape {numbers.shape}: pass one entry for each of {num_annotators} "
            "annotators"
        )
    return numbers
