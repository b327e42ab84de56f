"""Statistics of annotators: quality, agreement with the consensus, worst class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from crowdlab_engine.labels import MultiannotatorLabels
from crowdlab_engine.statistics import Statistics

if TYPE_CHECKING:
    from crowdlab_engine._typing import AnyArray, FloatArray, IntArray

NO_CLASS = -1
"""Worst class of an annotator without labels."""


def annotator_stats(
    labels: MultiannotatorLabels,
    statistics: Statistics,
    consensus: IntArray,
    consensus_quality: FloatArray,
    label_quality: FloatArray,
    model_share: float,
) -> pd.DataFrame:
    """Summarise each annotator, the worst first.

    Parameters
    ----------
    labels : MultiannotatorLabels
        Labels of N tasks by M annotators.
    statistics : Statistics
        Of these labels and this consensus.
    consensus : ndarray of int64, shape (N,)
        Consensus labels, as class codes.
    consensus_quality : ndarray of float64, shape (N,)
        Quality of the consensus labels; higher is better.
    label_quality : ndarray of float64, shape (L,)
        Quality of each label, in the order of `labels`; higher is better.
    model_share : float
        See `annotator_quality`.

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
    quality = annotator_quality(labels, statistics, label_quality, model_share)
    agreement = _ratio(statistics.labels_agreeing, statistics.labels_given)
    frame = pd.DataFrame(
        {
            "annotator_quality": quality,
            "agreement_with_consensus": agreement,
            "worst_class": worst_class(labels, consensus, consensus_quality),
            "num_examples_labeled": statistics.labels_given,
            "enough_data": statistics.shared_given > 0,
        },
        index=pd.Index(labels.annotator_ids, name="annotator"),
    )
    worst_first: pd.DataFrame = frame.iloc[np.lexsort((agreement, quality))]
    return worst_first


def annotator_quality(
    labels: MultiannotatorLabels,
    statistics: Statistics,
    label_quality: FloatArray,
    model_share: float,
) -> FloatArray:
    """Return the quality of each annotator (arXiv 2210.06812, eqs. 13-18).

    It mixes the mean quality of the annotator's labels with the share that equals the
    consensus on tasks labelled by others too. An annotator without such a task is judged
    by label quality alone.

    Parameters
    ----------
    labels, statistics, label_quality
        See `annotator_stats`.
    model_share : float
        Weight of the first term, in [0, 1]: how much of the total weight of a typical
        task is the classifier's.

    Returns
    -------
    ndarray of float64, shape (M,)
        In [0, 1], higher is better; NaN for annotators without labels.
    """
    quality_sums = np.bincount(
        labels.annotator, weights=label_quality, minlength=labels.num_annotators
    )
    mean_quality = _ratio(quality_sums, statistics.labels_given)
    shared_agreement = _ratio(statistics.shared_agreeing, statistics.shared_given)
    return np.where(
        statistics.shared_given > 0,
        model_share * mean_quality + (1 - model_share) * shared_agreement,
        mean_quality,
    )


def worst_class(
    labels: MultiannotatorLabels, consensus: IntArray, consensus_quality: FloatArray
) -> IntArray:
    """Return the class whose labels by each annotator equal the consensus least often.

    Among equals: the class given most often, then the one whose tasks have the highest
    mean consensus quality, then the lowest code.

    Parameters
    ----------
    labels, consensus, consensus_quality
        See `annotator_stats`.

    Returns
    -------
    ndarray of int64, shape (M,)
        Class codes, among those the annotator has used; -1 for annotators without labels.
    """
    num_classes = labels.num_classes
    cell = labels.annotator * num_classes + labels.label
    num_cells = labels.num_annotators * num_classes
    given = np.bincount(cell, minlength=num_cells)
    agreeing = np.bincount(cell[labels.label == consensus[labels.task]], minlength=num_cells)
    used = np.flatnonzero(given)
    annotator = used // num_classes
    agreement, count = agreeing[used] / given[used], given[used]
    order = np.lexsort((-count, agreement, annotator))
    present, first = np.unique(annotator[order], return_index=True)
    worst_cell = order[first]
    of_annotator = np.searchsorted(present, annotator)
    is_candidate = (agreement == agreement[worst_cell][of_annotator]) & (
        count == count[worst_cell][of_annotator]
    )
    candidates = used[is_candidate]
    quality = _mean_quality(labels, cell, candidates, consensus_quality)
    order = np.lexsort((candidates, -quality, candidates // num_classes))
    first = np.unique(candidates[order] // num_classes, return_index=True)[1]
    worst = np.full(labels.num_annotators, NO_CLASS, dtype=np.int64)
    worst[present] = candidates[order[first]] % num_classes
    return worst


def _mean_quality(
    labels: MultiannotatorLabels, cell: IntArray, candidates: IntArray, quality: FloatArray
) -> FloatArray:
    """Mean consensus quality of the labels in each candidate cell; 0 where it decides nothing.

    Equal means occur in practice, and rounding decides them: these are pandas' means, which
    compensate for it, as the reference's do.
    """
    owner = candidates // labels.num_classes
    contested = candidates[np.bincount(owner)[owner] > 1]
    is_contested = np.zeros(labels.num_annotators * labels.num_classes, dtype=np.bool_)
    is_contested[contested] = True
    chosen = is_contested[cell]
    by_cell = pd.Series(quality[labels.task[chosen]]).groupby(cell[chosen]).mean()
    return np.asarray(by_cell.reindex(candidates, fill_value=0.0), dtype=np.float64)


def _ratio(part: AnyArray, whole: IntArray) -> FloatArray:
    """Divide, with NaN where there is nothing to divide by."""
    ratio = np.full(len(whole), np.nan)
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio
