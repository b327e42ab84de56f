"""Statistics of annotators: quality, agreement with the consensus, worst class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd

from crowdlab_engine._typing import AnyArray, BoolArray, FloatArray, IntArray
from crowdlab_engine.block import Block, Part
from crowdlab_engine.labels import MultiannotatorLabels

NO_CLASS = -1
"""Worst class of an annotator without labels."""

_DENSE_CELLS = 2**13
_MOST_DENSE_CELLS = 2**26


@dataclass(frozen=True, eq=False)
class AnnotatorSums:
    """Sums over the labels of each annotator, and of each annotator and class; blocks add up.

    Attributes
    ----------
    num_classes : int
        Number of classes K.
    shared_given, shared_agreeing : ndarray of int64, shape (M,)
        Labels on shared tasks, and those of them that equal the consensus.
    label_quality : ndarray of float64, shape (M,)
        Sum of the quality of all labels.
    cell : ndarray of int64, shape (C,)
        Annotator times K plus class, for each class that each annotator has used, ascending.
    given, agreeing : ndarray of int64, shape (C,)
        Labels of each cell, and those of them that equal the consensus.
    """

    num_classes: int
    shared_given: IntArray
    shared_agreeing: IntArray
    label_quality: FloatArray
    cell: IntArray
    given: IntArray
    agreeing: IntArray

    @property
    def labels_given(self) -> IntArray:
        """Number of labels of each annotator, shape (M,)."""
        return self._by_annotator(self.given)

    @property
    def labels_agreeing(self) -> IntArray:
        """Of these, labels that equal the consensus, shape (M,)."""
        return self._by_annotator(self.agreeing)

    def _by_annotator(self, of_cells: IntArray) -> IntArray:
        annotator = self.cell // self.num_classes
        sums = np.bincount(annotator, weights=of_cells, minlength=len(self.shared_given))
        return sums.astype(np.int64)

    def __add__(self, other: AnnotatorSums) -> AnnotatorSums:
        """Sums of two blocks together."""
        cell, place = np.unique(np.concatenate([self.cell, other.cell]), return_inverse=True)

        def merged(ours: IntArray, theirs: IntArray) -> IntArray:
            return np.bincount(place, np.concatenate([ours, theirs]), len(cell)).astype(np.int64)

        return AnnotatorSums(
            self.num_classes,
            self.shared_given + other.shared_given,
            self.shared_agreeing + other.shared_agreeing,
            self.label_quality + other.label_quality,
            cell,
            merged(self.given, other.given),
            merged(self.agreeing, other.agreeing),
        )


class AnnotatorTally:
    """Adds up `AnnotatorSums` part by part.

    Parameters
    ----------
    num_annotators, num_classes : int
        Sizes M and K.
    """

    def __init__(self, num_annotators: int, num_classes: int) -> None:
        self._sizes = num_annotators, num_classes
        self._alone_given = np.zeros(num_annotators, dtype=np.int64)
        self._alone_agreeing = np.zeros(num_annotators, dtype=np.int64)
        self._label_quality = np.zeros(num_annotators)
        num_cells = num_annotators * num_classes
        self._is_dense = num_cells <= _MOST_DENSE_CELLS
        # Counting costs as much as there are cells, so it waits for as many labels.
        self._enough = num_cells if num_cells > _DENSE_CELLS else 0
        self._waiting: list[IntArray] = []
        self._num_waiting = 0
        self._counts = np.zeros(2 * num_cells if self._is_dense else 0, dtype=np.int64)

    def add(
        self,
        part: Part,
        agrees: BoolArray,
        label_quality: FloatArray,
        is_shared: BoolArray,
    ) -> None:
        """Add the labels of a part.

        Parameters
        ----------
        part : Part
            Labels, n for each of m tasks.
        agrees : ndarray of bool, shape (n, m)
            Whether each label equals the consensus.
        label_quality : ndarray of float64, shape (n, m)
            Quality of each label.
        is_shared : ndarray of bool, shape (m,)
            Whether each task is shared.
        """
        num_annotators, num_classes = self._sizes
        annotators = part.annotators
        self._label_quality += np.bincount(
            annotators, weights=label_quality.reshape(-1), minlength=num_annotators
        )
        if part.num_labels == 1:
            alone = ~is_shared
            self._alone_given += np.bincount(annotators[alone], minlength=num_annotators)
            alone &= agrees[0]
            self._alone_agreeing += np.bincount(annotators[alone], minlength=num_annotators)
        code = annotators * (2 * num_classes)
        code += part.label.reshape(-1) * part.label.dtype.type(2) + agrees.reshape(-1)
        self._waiting.append(code)
        self._num_waiting += len(code)
        if self._is_dense and self._num_waiting >= self._enough:
            self._count()

    def _count(self) -> None:
        code = self._waiting[0] if len(self._waiting) == 1 else np.concatenate(self._waiting)
        self._waiting, self._num_waiting = [], 0
        self._counts += np.bincount(code, minlength=len(self._counts))

    def sums(self) -> AnnotatorSums:
        """Return what was added up."""
        num_annotators, num_classes = self._sizes
        if self._is_dense:
            if self._waiting:
                self._count()
            counts = self._counts.reshape(-1, 2)
            given, agreeing = counts.sum(axis=1), counts[:, 1]
            cell = np.flatnonzero(given)
            given, agreeing = given[cell], agreeing[cell]
        else:
            code = np.concatenate([np.empty(0, dtype=np.int64), *self._waiting])
            cell, place = np.unique(code >> 1, return_inverse=True)
            given = np.bincount(place, minlength=len(cell))
            agreeing = np.bincount(place[(code & 1) == 1], minlength=len(cell))
        annotator = cell // num_classes

        def shared(of_cells: IntArray, alone: IntArray) -> IntArray:
            by_annotator = np.bincount(annotator, weights=of_cells, minlength=num_annotators)
            return by_annotator.astype(np.int64) - alone

        return AnnotatorSums(
            num_classes=num_classes,
            shared_given=shared(given, self._alone_given),
            shared_agreeing=shared(agreeing, self._alone_agreeing),
            label_quality=self._label_quality,
            cell=cell,
            given=given,
            agreeing=agreeing,
        )


def annotator_sums(block: Block, consensus: IntArray, label_quality: FloatArray) -> AnnotatorSums:
    """Sum up the labels of a block.

    Parameters
    ----------
    block : Block
        Labels of N tasks by M annotators.
    consensus : ndarray of int64, shape (N,)
        Consensus labels, as class codes.
    label_quality : ndarray of float64, shape (L,)
        Quality of each label, in the order of the block's labels; higher is better.
    """
    labels = block.labels
    tally = AnnotatorTally(labels.num_annotators, labels.num_classes)
    for part in block.parts:
        tasks = part.tasks
        tally.add(
            part,
            part.label == consensus[tasks],
            labels.columns(label_quality, tasks, np.empty(part.label.shape)),
            block.is_shared[tasks],
        )
    return tally.sums()


MeanQuality: TypeAlias = Callable[[IntArray], FloatArray]
"""Mean consensus quality of the labels in each of some cells, see `AnnotatorSums.cell`."""


def annotator_stats(
    annotator_ids: AnyArray, sums: AnnotatorSums, model_share: float, mean_quality: MeanQuality
) -> pd.DataFrame:
    """Summarise each annotator, the worst first.

    Parameters
    ----------
    annotator_ids : ndarray, shape (M,)
        Identifier of each annotator.
    sums : AnnotatorSums
        Over all labels.
    model_share : float
        See `annotator_quality`.
    mean_quality : callable
        See `worst_class`.

    Returns
    -------
    DataFrame, M rows
        Indexed by annotator, sorted by `annotator_quality`, then
        `agreement_with_consensus`; annotators without labels, of which all scores are NaN,
        come last. Columns: `annotator_quality` in [0, 1], higher is better;
        `agreement_with_consensus` in [0, 1], the share of the annotator's labels that
        equal the consensus; `worst_class`, the class code that the annotator gives with
        the least agreement, -1 without labels; `num_examples_labeled`; `enough_data`,
        whether the annotator shares a task with another one, or with a known truth.
    """
    quality = annotator_quality(sums, model_share)
    agreement = _ratio(sums.labels_agreeing, sums.labels_given)
    frame = pd.DataFrame(
        {
            "annotator_quality": quality,
            "agreement_with_consensus": agreement,
            "worst_class": worst_class(sums, mean_quality),
            "num_examples_labeled": sums.labels_given,
            "enough_data": sums.shared_given > 0,
        },
        index=pd.Index(annotator_ids, name="annotator"),
    )
    worst_first: pd.DataFrame = frame.iloc[np.lexsort((agreement, quality))]
    return worst_first


def annotator_quality(sums: AnnotatorSums, model_share: float) -> FloatArray:
    """Return the quality of each annotator (arXiv 2210.06812, eqs. 13-18).

    It mixes the mean quality of the annotator's labels with the share that equals the
    consensus on shared tasks. An annotator without such a task is judged by label quality
    alone.

    Parameters
    ----------
    sums : AnnotatorSums
        Over all labels.
    model_share : float
        Weight of the first term, in [0, 1]: how much of the total weight of a typical
        task is the classifier's.

    Returns
    -------
    ndarray of float64, shape (M,)
        In [0, 1], higher is better; NaN for annotators without labels.
    """
    mean_quality = _ratio(sums.label_quality, sums.labels_given)
    shared_agreement = _ratio(sums.shared_agreeing, sums.shared_given)
    return np.where(
        sums.shared_given > 0,
        model_share * mean_quality + (1 - model_share) * shared_agreement,
        mean_quality,
    )


def worst_class(sums: AnnotatorSums, mean_quality: MeanQuality) -> IntArray:
    """Return the class whose labels by each annotator equal the consensus least often.

    Among equals: the class given most often, then the one whose tasks have the highest
    mean consensus quality, then the lowest code.

    Parameters
    ----------
    sums : AnnotatorSums
        Over all labels.
    mean_quality : callable
        Mean consensus quality of the labels in cells, asked for where it decides.

    Returns
    -------
    ndarray of int64, shape (M,)
        Class codes, among those the annotator has used; -1 for annotators without labels.
    """
    annotator, code = np.divmod(sums.cell, sums.num_classes)
    agreement, given = sums.agreeing / sums.given, sums.given
    first = np.flatnonzero(np.diff(annotator, prepend=-1))
    size = np.diff(first, append=len(annotator))
    is_least = agreement == np.repeat(np.minimum.reduceat(agreement, first), size)
    often = np.where(is_least, given, 0)
    is_candidate = is_least & (often == np.repeat(np.maximum.reduceat(often, first), size))

    annotator, code, cell = annotator[is_candidate], code[is_candidate], sums.cell[is_candidate]
    is_contested = np.bincount(annotator)[annotator] > 1
    quality = np.zeros(len(cell))
    if is_contested.any():
        quality[is_contested] = mean_quality(cell[is_contested])
    order = np.lexsort((code, -quality, annotator))
    present, first = np.unique(annotator[order], return_index=True)
    worst = np.full(len(sums.shared_given), NO_CLASS, dtype=np.int64)
    worst[present] = code[order[first]]
    return worst


def contested_quality(
    labels: MultiannotatorLabels, consensus_quality: FloatArray, cells: IntArray
) -> FloatArray:
    """Return the mean consensus quality of the labels in some cells.

    Equal means occur in practice, and rounding decides them: these are pandas' means, which
    compensate for it, as the reference's do.

    Parameters
    ----------
    labels : MultiannotatorLabels
        All labels.
    consensus_quality : ndarray of float64, shape (N,)
        Quality of the consensus of each task.
    cells : ndarray of int64
        Annotator times K plus class, ascending; each has labels.
    """
    is_asked = np.zeros(labels.num_annotators, dtype=np.bool_)
    is_asked[cells // labels.num_classes] = True
    near = np.flatnonzero(is_asked[labels.annotator])
    cell = labels.annotator[near] * labels.num_classes + labels.label[near]
    is_in = np.isin(cell, cells)
    near, cell = near[is_in], cell[is_in]
    quality = pd.Series(consensus_quality[labels.tasks_at(near)])
    means = quality.groupby(cell).mean()
    return np.asarray(means.reindex(cells), dtype=np.float64)


def _ratio(part: AnyArray, whole: IntArray) -> FloatArray:
    """Divide, with NaN where there is nothing to divide by."""
    ratio = np.full(len(whole), np.nan)
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio
