"""How far annotators agree with each other, beyond what chance explains.

Coefficients depend on a task only through its multiset of labels, so the mergeable sums are a
table of the multisets that occur and how many tasks have each. A million tasks with five
labels of five classes have at most 126 of them: coefficients and their bootstrap intervals
cost what the table costs, and are the same however the tasks were divided into blocks.

Pairs of annotators are counted apart, in `PairSums`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_array

from crowdlab_engine._typing import AnyArray, FloatArray, IntArray
from crowdlab_engine.labels import MultiannotatorLabels, shown
from crowdlab_engine.sparse_counts import SparseCounts

Level: TypeAlias = Literal["nominal", "ordinal", "interval"]

_LARGEST_CODE = 2**62
_TASKS_AT_ONCE = 2**16
_WEIGHTS_AT_ONCE = 2**22
_RARE = 10
"""Multisets of fewer tasks are drawn together."""
_CELLS_AT_ONCE = 2**19
_MOST_DENSE_ANNOTATORS = 2_000


@dataclass(frozen=True, eq=False)
class AgreementSums:
    """Numbers of tasks by the multiset of their labels; blocks add and subtract.

    Build it with `of`.

    Attributes
    ----------
    num_classes : int
        Number of classes K.
    num_tasks : ndarray of int64, shape (S,)
        Tasks that have each of the S multisets, above 0.
    num_labels : ndarray of int64, shape (S,)
        Size of each multiset, at least 1, ascending.
    label : ndarray of int64, shape (num_labels.sum(),)
        Class codes of all multisets, one after the other, each ascending; multisets of the
        same size stand in lexicographic order.
    """

    num_classes: int
    num_tasks: IntArray
    num_labels: IntArray
    label: IntArray

    @classmethod
    def of(cls, labels: MultiannotatorLabels) -> AgreementSums:
        """Sum up a block of tasks; those without labels count nowhere."""
        tables: dict[int, _Table] = {}
        sizes = np.bincount(labels.num_annotations)
        for size in (np.flatnonzero(sizes[1:]) + 1).tolist():
            tasks = np.flatnonzero(labels.num_annotations == size)
            step = max(1, _TASKS_AT_ONCE // size)
            pieces = []
            for start in range(0, len(tasks), step):
                some = tasks[start : start + step]
                column = np.empty((size, len(some)), dtype=np.int64)
                labels.columns(labels.label, some, out=column)
                column.sort(axis=0)
                pieces.append(_distinct(column, np.ones(len(some), np.int64), labels.num_classes))
            tables[size] = _merged(pieces, labels.num_classes)
        return cls._of_tables(labels.num_classes, tables)

    @classmethod
    def _of_tables(cls, num_classes: int, tables: dict[int, _Table]) -> AgreementSums:
        none = np.empty(0, dtype=np.int64)
        sizes = sorted(tables)
        count = [tables[size][1] for size in sizes]
        return cls(
            num_classes,
            np.concatenate([none, *count]),
            np.repeat(np.array(sizes, dtype=np.int64), [len(one) for one in count]),
            np.concatenate([none, *(tables[size][0].T.reshape(-1) for size in sizes)]),
        )

    def _tables(self) -> Iterator[tuple[int, _Table]]:
        """Walk over the sizes of multisets: the size, its multisets as columns, their tasks."""
        start = 0
        for size in np.unique(self.num_labels).tolist():
            count = self.num_tasks[self.num_labels == size]
            end = start + size * len(count)
            yield size, (self.label[start:end].reshape(-1, size).T, count)
            start = end

    def __add__(self, other: AgreementSums) -> AgreementSums:
        """Sums of two blocks together."""
        return self._combine(other, 1)

    def __sub__(self, other: AgreementSums) -> AgreementSums:
        """Sums without a block that they include.

        Raises
        ------
        ValueError
            They do not include it.
        """
        return self._combine(other, -1)

    def _combine(self, other: AgreementSums, sign: int) -> AgreementSums:
        if not isinstance(other, AgreementSums):
            return NotImplemented
        if self.num_classes != other.num_classes:
            raise ValueError(
                f"blocks have {self.num_classes} and {other.num_classes} classes: build them "
                "from the same vocabulary"
            )
        ours, theirs = dict(self._tables()), dict(other._tables())
        tables = dict(ours)
        for size, (column, count) in theirs.items():
            pieces = [ours[size]] if size in ours else []
            tables[size] = _merged([*pieces, (column, sign * count)], self.num_classes)
            if (tables[size][1] < 0).any():
                raise ValueError(
                    f"the block to be taken away has tasks with {size} labels that are not in "
                    "these sums: subtract only what was added"
                )
        return self._of_tables(self.num_classes, tables)

    @cached_property
    def class_counts(self) -> csr_array:
        """Labels of each class in each multiset, shape (S, K)."""
        row = np.repeat(np.arange(len(self.num_labels)), self.num_labels)
        shape = (len(self.num_labels), self.num_classes)
        return csr_array((np.ones(len(row)), (row, self.label)), shape=shape)

    @cached_property
    def equal_pairs(self) -> FloatArray:
        """Ordered pairs of equal labels in each multiset, shape (S,)."""
        counts = self.class_counts
        squares: FloatArray = (counts * counts).sum(axis=1)
        return squares - self.num_labels

    @cached_property
    def is_shared(self) -> FloatArray:
        """1 for each multiset of two labels or more, else 0, shape (S,)."""
        return (self.num_labels > 1).astype(np.float64)


_Table: TypeAlias = tuple[IntArray, IntArray]
"""Multisets of one size as columns, shape (n, S), in lexicographic order, and their tasks."""


def _distinct(column: IntArray, count: IntArray, num_classes: int) -> _Table:
    """Merge equal columns, shape (n, m), and add up their counts; zeros are left out."""
    code = column[0]
    largest = num_classes
    for row in column[1:]:
        if largest > _LARGEST_CODE // num_classes:
            different, code = np.unique(code, return_inverse=True)
            largest = len(different)
        code = code * num_classes + row
        largest *= num_classes
    _, first, place = np.unique(code, return_index=True, return_inverse=True)
    sums = np.bincount(place, weights=count, minlength=len(first)).astype(np.int64)
    is_left = sums != 0
    return column[:, first[is_left]], sums[is_left]


def _merged(pieces: list[_Table], num_classes: int) -> _Table:
    columns, counts = zip(*pieces, strict=True)
    return _distinct(np.concatenate(columns, axis=1), np.concatenate(counts), num_classes)


def percent_agreement(sums: AgreementSums) -> float:
    """Return the share of pairs of labels of the same task that are equal, averaged over tasks.

    Parameters
    ----------
    sums : AgreementSums
        Of all tasks.

    Returns
    -------
    float
        In [0, 1], higher is better; NaN if no task has two labels. Tasks with fewer count
        nowhere. Equals the observed agreement of Fleiss' kappa and Gwet's AC1.
    """
    return float(_percent(_Resampled(sums, sums.num_tasks[:, None].astype(np.float64)))[0])


def fleiss_kappa(sums: AgreementSums) -> float:
    """Return Fleiss' kappa, for any number of labels of a task.

    Agreement by chance is what two labels drawn from all would have. A task counts as one
    whatever its number of labels. J. L. Fleiss, "Measuring nominal scale agreement among many
    raters", 1971; with missing labels as in K. L. Gwet, "Handbook of Inter-Rater
    Reliability", 4th ed. 2014, section 2.4.

    Parameters
    ----------
    sums : AgreementSums
        Of all tasks.

    Returns
    -------
    float
        At most 1, higher is better, 0 by chance; NaN if no task has two labels, or all labels
        are of one class. Tasks with a single label tell how frequent classes are, as in
        irrCAC 0.4.4 (statsmodels 0.15 wants as many labels of each task).
    """
    return float(_fleiss(_Resampled(sums, sums.num_tasks[:, None].astype(np.float64)))[0])


def gwet_ac1(sums: AgreementSums) -> float:
    """Return Gwet's AC1, which stays meaningful where one class is very frequent.

    Agreement by chance is that of labels given at random to tasks that are hard to label.
    K. L. Gwet, "Computing inter-rater reliability and its variance in the presence of high
    agreement", 2008.

    Parameters
    ----------
    sums : AgreementSums
        Of all tasks. All K classes count, those that nobody chose included: irrCAC 0.4.4 does
        so if it is told the categories.

    Returns
    -------
    float
        At most 1, higher is better, 0 by chance; NaN if no task has two labels, or K is 1.
        Tasks with a single label tell how frequent classes are, as in irrCAC.
    """
    return float(_ac1(_Resampled(sums, sums.num_tasks[:, None].astype(np.float64)))[0])


def krippendorff_alpha(
    sums: AgreementSums, level: Level = "nominal", *, values: ArrayLike | None = None
) -> float:
    """Return Krippendorff's alpha.

    One minus the ratio of the disagreement of labels of the same task and of labels drawn
    from all. K. Krippendorff, "Computing Krippendorff's alpha-reliability", 2011.

    Parameters
    ----------
    sums : AgreementSums
        Of all tasks.
    level : {"nominal", "ordinal", "interval"}, default "nominal"
        How far two classes differ: at all; by how many labels lie between them, in the order
        of class codes; or by the square of the difference of their values.
    values : array_like of float, shape (K,), optional
        Number that each class stands for; needed for "interval", and used for nothing else.

    Returns
    -------
    float
        At most 1, higher is better, 0 by chance; NaN if no task has two labels, or all their
        labels are of one class. Tasks with fewer labels count nowhere, as in the package
        krippendorff 0.9.0, which raises an error where no task has two.

    Raises
    ------
    ValueError
        `level` is unknown, or `values` are missing, not K finite numbers, or not wanted.
    """
    if level not in get_args(Level):
        raise ValueError(f"level is {level!r}: choose one of {list(get_args(Level))}")
    if (values is None) == (level == "interval"):
        raise ValueError(
            f"level {level!r} with values={values!r}: the number that each class stands for is "
            'needed for "interval", and for nothing else'
        )
    numbers = None if values is None else _checked_values(values, sums.num_classes)
    return float(
        _alpha(_Resampled(sums, sums.num_tasks[:, None].astype(np.float64)), level, numbers)[0]
    )


@dataclass(frozen=True)
class Estimate:
    """A coefficient and its confidence interval.

    Attributes
    ----------
    value : float
        The coefficient; NaN where it is not defined.
    low, high : float
        Ends of the interval; NaN where `value` is.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Agreement:
    """Coefficients of agreement with their confidence intervals.

    Attributes
    ----------
    num_tasks : int
        Tasks with a label.
    num_shared : int
        Tasks with two labels or more.
    percent, fleiss_kappa, gwet_ac1, alpha_nominal, alpha_ordinal : Estimate
        See the functions of these names, and `krippendorff_alpha`.
    alpha_interval : Estimate or None
        None if it is not known which numbers the classes stand for.
    """

    num_tasks: int
    num_shared: int
    percent: Estimate
    fleiss_kappa: Estimate
    gwet_ac1: Estimate
    alpha_nominal: Estimate
    alpha_ordinal: Estimate
    alpha_interval: Estimate | None


def agreement(
    sums: AgreementSums,
    *,
    values: ArrayLike | None = None,
    confidence: float = 0.95,
    num_replicates: int = 1000,
    seed: int = 0,
) -> Agreement:
    """Return all coefficients with bootstrap intervals over tasks.

    In each replicate every task counts as often as a Poisson number of mean 1 says, drawn for
    all tasks with the same labels at once; intervals are percentiles of the replicates. They
    are the same whatever the blocks that the sums were added up from. Replicates in which a
    coefficient is not defined are left out. B. Efron, R. Tibshirani, "An Introduction to the
    Bootstrap", 1993, section 13.3; N. Chamandy et al., "Estimating uncertainty for massive
    data streams", 2012.

    Parameters
    ----------
    sums : AgreementSums
        Of all tasks.
    values : array_like of float, shape (K,), optional
        Number that each class stands for. Default: none, and no `alpha_interval`.
    confidence : float, default 0.95
        Probability that an interval is to cover, in (0, 1).
    num_replicates : int, default 1000
        Number of replicates, at least 1.
    seed : int, default 0
        Of the random numbers.

    Returns
    -------
    Agreement

    Raises
    ------
    ValueError
        `values` are not K finite numbers, `confidence` is not in (0, 1), or `num_replicates`
        is below 1.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}: choose a number between 0 and 1")
    if num_replicates < 1:
        raise ValueError(f"num_replicates is {num_replicates}: draw at least one")
    coefficients: dict[str, Callable[[_Resampled], FloatArray]] = {
        "percent": _percent,
        "fleiss_kappa": _fleiss,
        "gwet_ac1": _ac1,
        "alpha_nominal": lambda tasks: _alpha(tasks, "nominal", None),
        "alpha_ordinal": lambda tasks: _alpha(tasks, "ordinal", None),
    }
    if values is not None:
        numbers = _checked_values(values, sums.num_classes)
        coefficients["alpha_interval"] = lambda tasks: _alpha(tasks, "interval", numbers)
    whole = _Resampled(sums, sums.num_tasks[:, None].astype(np.float64))
    replicates: dict[str, list[FloatArray]] = {name: [] for name in coefficients}
    for drawn in _replicates(sums, num_replicates, seed):
        for name, coefficient in coefficients.items():
            replicates[name].append(coefficient(drawn))
    estimates: dict[str, Any] = {
        name: _estimate(coefficient(whole)[0], np.concatenate(replicates[name]), confidence)
        for name, coefficient in coefficients.items()
    }
    return Agreement(
        num_tasks=int(sums.num_tasks.sum()),
        num_shared=int(sums.num_tasks[sums.num_labels > 1].sum()),
        **{"alpha_interval": None, **estimates},
    )


def _checked_values(values: ArrayLike, num_classes: int) -> FloatArray:
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.shape != (num_classes,):
        raise ValueError(
            f"values has shape {numbers.shape}: pass one number for each of {num_classes} classes"
        )
    wrong = np.flatnonzero(~np.isfinite(numbers))
    if wrong.size:
        raise ValueError(
            f"values holds {shown(numbers, int(wrong[0]))} for class {wrong[0]}: pass a finite "
            "number"
        )
    return numbers


def _estimate(value: float, replicates: FloatArray, confidence: float) -> Estimate:
    defined = replicates[~np.isnan(replicates)]
    if np.isnan(value) or not defined.size:
        return Estimate(float(value), np.nan, np.nan)
    tail = (1 - confidence) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    return Estimate(float(value), float(low), float(high))


@dataclass(frozen=True, eq=False)
class _Resampled:
    """Tasks, and how often each of R replicates counts the multisets: `weights`, shape (S, R)."""

    sums: AgreementSums
    weights: FloatArray

    @cached_property
    def num_tasks(self) -> FloatArray:
        """Number of tasks, shape (R,)."""
        num_tasks: FloatArray = self.weights.sum(axis=0)
        return num_tasks

    @cached_property
    def num_shared(self) -> FloatArray:
        """Number of tasks with two labels or more, shape (R,)."""
        num_shared: FloatArray = self.sums.is_shared @ self.weights
        return num_shared

    @cached_property
    def percent(self) -> FloatArray:
        """Percent agreement, shape (R,)."""
        size = self.sums.num_labels
        share = (self.sums.equal_pairs / np.maximum(size * (size - 1), 1)) @ self.weights
        return _ratio(share, self.num_shared)

    @cached_property
    def class_shares(self) -> FloatArray:
        """Share of each class in the labels of a task, averaged over tasks, shape (K, R)."""
        return _ratio(self._by_class(1 / self.sums.num_labels), self.num_tasks)

    @cached_property
    def shared_labels(self) -> FloatArray:
        """Labels of each class on tasks with two labels or more, shape (K, R)."""
        return self._by_class(self.sums.is_shared)

    @cached_property
    def shared_labels_by_peer(self) -> FloatArray:
        """The same, each label divided by the share of its task's labels that it may meet."""
        size = self.sums.num_labels
        return self._by_class(self.sums.is_shared * size / np.maximum(size - 1, 1))

    def _by_class(self, factor: FloatArray) -> FloatArray:
        counts = self.sums.class_counts
        data = counts.data * np.repeat(factor, np.diff(counts.indptr))
        scaled = csr_array((data, counts.indices, counts.indptr), shape=counts.shape)
        sums: FloatArray = scaled.T @ self.weights
        return sums


def _replicates(sums: AgreementSums, num_replicates: int, seed: int) -> Iterator[_Resampled]:
    """Draw replicates, few at a time if there are many multisets.

    Each takes its numbers after those of the one before, so that the step does not matter.
    """
    generator = np.random.default_rng(seed)
    step = max(1, _WEIGHTS_AT_ONCE // max(1, len(sums.num_tasks)))
    is_rare = sums.num_tasks < _RARE
    often = sums.num_tasks[~is_rare]
    num_rare = int(is_rare.sum())
    multiset = np.repeat(np.arange(num_rare), sums.num_tasks[is_rare])
    for start in range(0, num_replicates, step):
        drawn = np.empty((min(step, num_replicates - start), len(sums.num_tasks)))
        for weights in drawn:
            weights[~is_rare] = generator.poisson(often)
            # A Poisson number of draws from tasks is a Poisson number of each multiset, and
            # costs less than one draw for each where tasks are few.
            num_drawn = generator.poisson(len(multiset))
            tasks = generator.integers(max(1, len(multiset)), size=num_drawn, dtype=np.uint32)
            weights[is_rare] = np.bincount(multiset[tasks], minlength=num_rare)
        yield _Resampled(sums, np.ascontiguousarray(drawn.T))


def _percent(tasks: _Resampled) -> FloatArray:
    return tasks.percent


def _fleiss(tasks: _Resampled) -> FloatArray:
    return _chance_corrected(tasks.percent, (tasks.class_shares**2).sum(axis=0))


def _ac1(tasks: _Resampled) -> FloatArray:
    num_classes = tasks.sums.num_classes
    if num_classes < 2:
        return np.full(len(tasks.percent), np.nan)
    share = tasks.class_shares
    return _chance_corrected(tasks.percent, (share * (1 - share)).sum(axis=0) / (num_classes - 1))


def _alpha(tasks: _Resampled, level: Level, values: FloatArray | None) -> FloatArray:
    """Krippendorff's alpha of each replicate, shape (R,).

    A task's disagreement is the sum over pairs of its labels of their squared distance. Where
    that is a difference of numbers, sums over pairs are variances; the distance of ordinal
    classes is that of their mean ranks.
    """
    sums, labels = tasks.sums, tasks.shared_labels
    total = labels.sum(axis=0)
    per_peer = sums.is_shared / np.maximum(sums.num_labels - 1, 1)
    if level == "nominal":
        different = sums.num_labels * (sums.num_labels - 1) - sums.equal_pairs
        observed = (different * per_peer) @ tasks.weights
        return _alpha_of(total, observed, total**2 - (labels**2).sum(axis=0))
    number = labels.cumsum(axis=0) - labels / 2 if values is None else values[:, None]
    # Around their mean, so that squares lose no digits; without labels there is none.
    number = np.nan_to_num(number - _ratio((labels * number).sum(axis=0), total))
    task_sums = sums.class_counts @ number
    task_sums *= task_sums
    squared = np.einsum("s,sr,sr->r", per_peer, task_sums, tasks.weights)
    observed = (tasks.shared_labels_by_peer * number**2).sum(axis=0) - squared
    expected = total * (labels * number**2).sum(axis=0) - (labels * number).sum(axis=0) ** 2
    is_used = labels > 0
    largest = np.where(is_used, number, -np.inf).max(axis=0, initial=-np.inf)
    smallest = np.where(is_used, number, np.inf).min(axis=0, initial=np.inf)
    return _alpha_of(total, observed, np.where(largest > smallest, expected, 0))


def _alpha_of(num_labels: FloatArray, observed: FloatArray, expected: FloatArray) -> FloatArray:
    """Alpha from sums over pairs of labels: of the same task, by task size, and of all tasks."""
    alpha: FloatArray = 1 - (num_labels - 1) * _ratio(observed, expected)
    return alpha


def _chance_corrected(observed: FloatArray, by_chance: FloatArray) -> FloatArray:
    return _ratio(observed - by_chance, 1 - by_chance)


def _ratio(part: AnyArray, whole: AnyArray) -> FloatArray:
    """Divide, with NaN where there is nothing to divide by."""
    ratio = np.full(np.broadcast_shapes(part.shape, whole.shape), np.nan)
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio


@dataclass(frozen=True, eq=False)
class PairSums:
    """Labels that pairs of annotators gave to the same tasks; blocks add and subtract.

    Build it with `of`. Memory grows with the pairs that share a task, not with all.

    Attributes
    ----------
    num_annotators, num_classes : int
        Sizes M and K.
    counts : SparseCounts
        Tasks by what both said: the code is ((a M + b) K + label of a) K + label of b, with
        a < b.
    """

    num_annotators: int
    num_classes: int
    counts: SparseCounts

    @classmethod
    def of(cls, labels: MultiannotatorLabels) -> PairSums:
        """Sum up a block of tasks.

        Time grows with the square of the number of labels of a task.

        Raises
        ------
        ValueError
            There are so many annotators and classes that a pair has no code of 64 bits.
        """
        num_annotators, num_classes = labels.num_annotators, labels.num_classes
        if (num_annotators * num_classes) ** 2 > _LARGEST_CODE:
            raise ValueError(
                f"{num_annotators} annotators with {num_classes} classes are too many to count "
                f"pairs: their product is to stay below {int(_LARGEST_CODE**0.5)}"
            )
        return cls(num_annotators, num_classes, SparseCounts.of(_pair_codes(labels)))

    def __add__(self, other: PairSums) -> PairSums:
        """Sums of two blocks together."""
        if not isinstance(other, PairSums):
            return NotImplemented
        self._check_sizes(other)
        return PairSums(self.num_annotators, self.num_classes, self.counts + other.counts)

    def __sub__(self, other: PairSums) -> PairSums:
        """Sums without a block that they include.

        Raises
        ------
        ValueError
            They do not include it.
        """
        if not isinstance(other, PairSums):
            return NotImplemented
        self._check_sizes(other)
        return PairSums(self.num_annotators, self.num_classes, self.counts - other.counts)

    def _check_sizes(self, other: PairSums) -> None:
        ours = self.num_annotators, self.num_classes
        theirs = other.num_annotators, other.num_classes
        if ours != theirs:
            raise ValueError(
                "blocks have {} annotators and {} classes, and {} and {}: build them from the "
                "same vocabularies".format(*ours, *theirs)
            )


def _pair_codes(labels: MultiannotatorLabels) -> Iterator[IntArray]:
    """Codes of all pairs of labels of the same task, see `PairSums`."""
    num_annotators, num_classes = labels.num_annotators, labels.num_classes
    sizes = np.bincount(labels.num_annotations)
    for size in (np.flatnonzero(sizes[2:]) + 2).tolist():
        tasks = np.flatnonzero(labels.num_annotations == size)
        step = max(1, _TASKS_AT_ONCE // size)
        for start in range(0, len(tasks), step):
            some = tasks[start : start + step]
            shape = (size, len(some))
            annotator = labels.columns(labels.annotator, some, np.empty(shape, np.int64))
            label = labels.columns(labels.label, some, np.empty(shape, np.int64))
            for one in range(size - 1):
                # Annotators of a task ascend.
                pair = annotator[one] * num_annotators + annotator[one + 1 :]
                code = (pair * num_classes + label[one]) * num_classes + label[one + 1 :]
                yield code.reshape(-1)


@dataclass(frozen=True, eq=False)
class PairAgreement:
    """How far each pair of annotators agrees; pairs without a shared task are left out.

    Attributes
    ----------
    annotator_a, annotator_b : ndarray of int64, shape (Q,)
        Codes of the two, a < b; pairs ascend.
    shared : ndarray of int64, shape (Q,)
        Tasks that both labelled, above 0.
    agreeing : ndarray of int64, shape (Q,)
        Of these, tasks to which both gave the same label.
    chance : ndarray of float64, shape (Q,)
        Share of shared tasks, in [0, 1], on which they would agree by chance: if each had
        given these labels in random order.
    """

    annotator_a: IntArray
    annotator_b: IntArray
    shared: IntArray
    agreeing: IntArray
    chance: FloatArray

    @property
    def agreement(self) -> FloatArray:
        """Share of the shared tasks to which both gave the same label, in [0, 1], (Q,)."""
        return self.agreeing / self.shared

    @property
    def cohen_kappa(self) -> FloatArray:
        """Cohen's kappa, at most 1, higher is better, 0 by chance, shape (Q,).

        NaN where both gave one and the same label only, as `sklearn.metrics.cohen_kappa_score`.
        J. Cohen, "A coefficient of agreement for nominal scales", 1960.
        """
        return _chance_corrected(self.agreement, self.chance)

    def matrix(self, values: AnyArray, num_annotators: int) -> FloatArray:
        """Arrange values of pairs, shape (Q,), as a symmetric matrix, shape (M, M).

        NaN where annotators share no task, and on the diagonal.

        Raises
        ------
        ValueError
            There are more than 2,000 annotators.
        """
        if num_annotators > _MOST_DENSE_ANNOTATORS:
            raise ValueError(
                f"{num_annotators} annotators are too many for a matrix of all pairs, "
                f"{_MOST_DENSE_ANNOTATORS} are the most: use the list of pairs"
            )
        matrix = np.full((num_annotators, num_annotators), np.nan)
        matrix[self.annotator_a, self.annotator_b] = values
        matrix[self.annotator_b, self.annotator_a] = values
        return matrix


def pair_agreement(sums: PairSums) -> PairAgreement:
    """Return how far each pair of annotators agrees on the tasks that both labelled."""
    code, count = sums.counts.code, sums.counts.count
    pieces: list[_Pairs] = [_PAIRS_OF_NONE]
    start = 0
    while start < len(code):
        # A pair is in one piece.
        last_pair = code[min(start + _CELLS_AT_ONCE, len(code)) - 1] // sums.num_classes**2
        end = int(np.searchsorted(code, (last_pair + 1) * sums.num_classes**2))
        pieces.append(_pairs_of(code[start:end], count[start:end], sums.num_classes))
        start = end
    columns: list[AnyArray] = [np.concatenate(column) for column in zip(*pieces, strict=True)]
    pair, shared, agreeing, chance = columns
    annotator_a, annotator_b = np.divmod(pair, max(1, sums.num_annotators))
    return PairAgreement(annotator_a, annotator_b, shared, agreeing, chance)


_Pairs: TypeAlias = tuple[IntArray, IntArray, IntArray, FloatArray]

_NONE: IntArray = np.empty(0, dtype=np.int64)
_PAIRS_OF_NONE: _Pairs = (_NONE, _NONE, _NONE, np.empty(0))


def _pairs_of(code: IntArray, count: IntArray, num_classes: int) -> _Pairs:
    """Codes of pairs, and their `shared`, `agreeing` and `chance`, see `PairAgreement`."""
    pair_code, labels = np.divmod(code, num_classes**2)
    label_a, label_b = np.divmod(labels, num_classes)
    is_first = np.diff(pair_code, prepend=-1) != 0
    pair = is_first.cumsum() - 1
    num_pairs = int(pair[-1]) + 1
    of_b = SparseCounts.weighted(pair * num_classes + label_b, count)
    # The sum over classes of what a and b gave of each, as one over the labels of a.
    given_by_b = of_b.at(pair * num_classes + label_a)
    shared = np.bincount(pair, count, num_pairs)
    return (
        pair_code[is_first],
        shared.astype(np.int64),
        np.bincount(pair, count * (label_a == label_b), num_pairs).astype(np.int64),
        np.bincount(pair, count * given_by_b, num_pairs) / shared**2,
    )
