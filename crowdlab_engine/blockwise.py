"""CROWDLAB over blocks of tasks: for data that do not fit into memory.

Blocks are walked over a few times, each time to add up a small object of fixed size: the
totals that break ties, then the statistics from which weights follow, twice. The last time
every block is scored and handed out. The results are those of `Crowdlab` on all of it, up
to the rounding of sums.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from crowdlab_engine._random import RandomState
from crowdlab_engine._typing import AnyArray, FloatArray, IntArray
from crowdlab_engine.annotators import AnnotatorSums, annotator_stats
from crowdlab_engine.block import Block, weighted_counts
from crowdlab_engine.calibration import best_temperatures
from crowdlab_engine.crowdlab import (
    ConsensusMethod,
    QualityMethod,
    check_methods,
    model_share,
    weigher,
)
from crowdlab_engine.labels import MultiannotatorLabels
from crowdlab_engine.majority import Ties, VoteTotals
from crowdlab_engine.posterior import scores, with_predictions
from crowdlab_engine.pred_probs import one_or_each
from crowdlab_engine.rounds import find_consensus
from crowdlab_engine.running import RunningSums
from crowdlab_engine.statistics import Statistics
from crowdlab_engine.weights import Weights

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True, eq=False)
class TaskBlock:
    """Some of the tasks of a data set.

    Attributes
    ----------
    labels : MultiannotatorLabels
        Labels of B tasks; annotators and classes are those of the whole data set.
    pred_probs : array_like, shape (B, K) or (P, B, K), optional
        Class probabilities predicted by one classifier, or by P of them.
    ground_truth : ndarray of int64, shape (B,), optional
        Class code of each task that is known for certain, -1 for the others.
    """

    labels: MultiannotatorLabels
    pred_probs: Any = None
    ground_truth: IntArray | None = None

    def arranged(self, row_sum_tolerance: float, *, may_abstain: bool = False) -> Block:
        """Check and arrange it for computing, see `Block.of`."""
        return Block.of(
            self.labels,
            self.pred_probs,
            self.ground_truth,
            row_sum_tolerance=row_sum_tolerance,
            may_abstain=may_abstain,
        )


@dataclass(frozen=True, eq=False)
class BlockScores:
    """What was found for a block.

    Attributes
    ----------
    labels : MultiannotatorLabels
        Labels of the block's B tasks.
    consensus_label : ndarray of int64, shape (B,)
        Class codes; -1 where nothing is known.
    consensus_quality_score : ndarray of float64, shape (B,)
        In [0, 1], higher is better; NaN where there is no consensus.
    annotator_agreement : ndarray of float64, shape (B,)
        Share of the task's labels that equal the consensus, in [0, 1]; NaN without labels.
    label_quality : ndarray of float64, shape (L,)
        Quality of each label, in [0, 1], higher is better; in the order of the block's labels.
    """

    labels: MultiannotatorLabels
    consensus_label: IntArray
    consensus_quality_score: FloatArray
    annotator_agreement: FloatArray
    label_quality: FloatArray

    @property
    def num_annotations(self) -> IntArray:
        """Number of labels of each task, shape (B,)."""
        return self.labels.num_annotations

    def to_frame(self) -> pd.DataFrame:
        """Return one row per task, indexed by task; the consensus label as the class itself."""
        classes = pd.array(self.labels.classes)
        return pd.DataFrame(
            {
                "consensus_label": classes.take(self.consensus_label, allow_fill=True),
                "consensus_quality_score": self.consensus_quality_score,
                "annotator_agreement": self.annotator_agreement,
                "num_annotations": self.num_annotations,
            },
            index=pd.Index(self.labels.task_ids, name="task"),
        )


class BlockwiseCrowdlab(BaseEstimator):  # type: ignore[misc]
    """`Crowdlab` over blocks of tasks; only one of them is in memory at a time.

    Parameters
    ----------
    consensus_method : {"best_quality", "majority_vote"}, default "best_quality"
        See `Crowdlab`; so are the others.
    quality_method : {"crowdlab", "agreement"}, default "crowdlab"
        What the probability of a class is.
    calibrate_probs : bool, default False
        Whether to scale `pred_probs` to the temperature that fits the labels best.
    ties : {"frequent", "rare"}, default "frequent"
        Which class a tied majority vote prefers.
    random_state : int or numpy.random.RandomState, default 0
        Decides what no other tie-break can.
    row_sum_tolerance : float, default 1e-3
        How far a row of `pred_probs` may be from a sum of 1.
    may_abstain : bool, default False
        Whether a row of NaN is allowed in `pred_probs`, see `Crowdlab`.

    Attributes
    ----------
    annotator_stats_ : DataFrame
        One row per annotator, see `crowdlab_engine.annotators.annotator_stats`.
    model_weight_ : float, or ndarray of float64, shape (P,)
        Weight of the classifier; 0 without `pred_probs`. One for each model of an ensemble.
    annotator_weight_ : ndarray of float64, shape (M,)
        Weight of each annotator, in [1e-6, 1]; larger is better.
    temperature_ : float, or ndarray of float64, shape (P,)
        By which `pred_probs` were calibrated; 1 if they were not.
    num_tasks_, num_labels_ : int
        How many tasks with labels, and how many labels there are.
    sums_ : RunningSums
        Sums over all tasks, from which to go on when some of them change.

    Examples
    --------
    >>> labels = MultiannotatorLabels.from_codes(
    ...     task=[0, 0, 0, 1, 1, 2], annotator=[0, 1, 2, 0, 1, 2], label=[1, 1, 0, 0, 0, 1]
    ... )
    >>> found = []
    >>> fitted = BlockwiseCrowdlab().fit(array_blocks(labels, tasks_per_block=2), found.append)
    >>> [block.consensus_label.tolist() for block in found]
    [[1, 0], [1]]
    """

    annotator_stats_: pd.DataFrame
    model_weight_: float | FloatArray
    annotator_weight_: FloatArray
    temperature_: float | FloatArray
    num_tasks_: int
    num_labels_: int
    sums_: RunningSums

    def __init__(
        self,
        consensus_method: ConsensusMethod = "best_quality",
        quality_method: QualityMethod = "crowdlab",
        calibrate_probs: bool = False,
        ties: Ties = "frequent",
        random_state: RandomState = 0,
        row_sum_tolerance: float = 1e-3,
        may_abstain: bool = False,
    ) -> None:
        self.consensus_method = consensus_method
        self.quality_method = quality_method
        self.calibrate_probs = calibrate_probs
        self.ties = ties
        self.random_state = random_state
        self.row_sum_tolerance = row_sum_tolerance
        self.may_abstain = may_abstain

    def fit(
        self, blocks: Iterable[TaskBlock], receive: Callable[[BlockScores], object] | None = None
    ) -> Self:
        """Find the consensus of each task, and score it, every label and every annotator.

        Parameters
        ----------
        blocks : iterable of TaskBlock
            All tasks, each in one block. It is walked over several times and must give the
            same blocks in the same order each time; a generator does not.
        receive : callable, optional
            Takes the scores of each block, in order.

        Returns
        -------
        BlockwiseCrowdlab
            Itself, fitted.

        Raises
        ------
        TypeError
            `blocks` can be walked over only once.
        ValueError
            There is no label; blocks have different annotators, classes or models;
            `pred_probs` has another shape or impossible values; a parameter is unknown.
        """
        check_methods(self.consensus_method, self.quality_method)
        if isinstance(blocks, Iterator):
            raise TypeError(
                f"blocks is a {type(blocks).__name__}, which gives its blocks only once: pass a "
                "list, or an object that makes a new iterator each time"
            )
        arranged = _Arranged(blocks, self.row_sum_tolerance, may_abstain=self.may_abstain)
        if self.calibrate_probs:
            arranged.temperatures = best_temperatures(arranged)
        outcome = find_consensus(
            arranged,
            weigh=weigher(self.quality_method),
            is_majority=self.consensus_method == "majority_vote",
            ties=self.ties,
            random_state=self.random_state,
        )
        found = reduce(
            add,
            (
                score_block(block, outcome.weights, consensus, receive)
                for block, consensus in zip(arranged, outcome.consensus, strict=True)
            ),
        )
        first = arranged.first
        assert first is not None
        assert outcome.totals is not None
        set_fitted(
            self,
            FittedSums(outcome.statistics, outcome.totals, outcome.weights, found),
            temperatures=arranged.temperatures,
            annotator_ids=first.labels.annotator_ids,
            is_ensemble=first.pred_probs.is_ensemble,
        )
        return self


@dataclass(frozen=True, eq=False)
class ScoreSums:
    """Sums over the scores of a block; blocks add up.

    Attributes
    ----------
    annotators : AnnotatorSums
        Sums over the labels of each annotator.
    cell_quality : ndarray of float64, shape (C,)
        Sum of the consensus quality of the labels in each of the annotators' cells.
    """

    annotators: AnnotatorSums
    cell_quality: FloatArray

    def __add__(self, other: ScoreSums) -> ScoreSums:
        """Sums of two blocks together."""
        annotators = self.annotators + other.annotators
        quality = np.zeros(len(annotators.cell))
        for one in (self, other):
            quality[np.searchsorted(annotators.cell, one.annotators.cell)] += one.cell_quality
        return ScoreSums(annotators, quality)

    def mean_quality(self, cells: IntArray) -> FloatArray:
        """Return the mean consensus quality of the labels in cells that have labels."""
        place = np.searchsorted(self.annotators.cell, cells)
        mean: FloatArray = self.cell_quality[place] / self.annotators.given[place]
        return mean


def score_block(
    block: Block,
    weights: Weights,
    consensus: IntArray,
    receive: Callable[[BlockScores], object] | None = None,
) -> ScoreSums:
    """Score a block by the weights of the whole, hand the scores out, and sum them up.

    Parameters
    ----------
    block : Block
        Labels of B tasks and their predictions.
    weights : Weights
        Weights that follow from all blocks.
    consensus : ndarray of int64, shape (B,)
        Class codes; -1 without labels and without a known truth.
    receive : callable, optional
        Takes the scores.
    """
    complete = with_predictions(block, weights, consensus)
    found = scores(block, weights, complete)
    labels = block.labels
    if receive is not None:
        receive(
            BlockScores(
                labels,
                complete,
                found.consensus_quality,
                found.agreement(labels),
                labels.in_callers_order(found.label_quality),
            )
        )
    place = np.searchsorted(
        found.annotators.cell, labels.annotator * labels.num_classes + labels.label
    )
    quality = np.repeat(found.consensus_quality, labels.num_annotations)
    return ScoreSums(found.annotators, weighted_counts(place, quality, len(found.annotators.cell)))


@dataclass(frozen=True, eq=False)
class FittedSums:
    """All that a fit over blocks sums up, and the weights that follow.

    Attributes
    ----------
    statistics : Statistics
        Sums that the weights follow from.
    totals : VoteTotals
        Sums that tie-breaks of the majority vote ask for.
    weights : Weights
        Weights of the classifiers and the annotators.
    scores : ScoreSums
        Sums over all scores.
    """

    statistics: Statistics
    totals: VoteTotals
    weights: Weights
    scores: ScoreSums


def set_fitted(
    estimator: Any,
    found: FittedSums,
    *,
    temperatures: FloatArray | None,
    annotator_ids: AnyArray,
    is_ensemble: bool,
) -> None:
    """Set the fitted attributes that `BlockwiseCrowdlab` documents.

    Parameters
    ----------
    estimator : estimator
        Whose attributes they become.
    found : FittedSums
        Sums over all blocks.
    temperatures : ndarray of float64, shape (P,), or None
        By which `pred_probs` were calibrated; None if they were not.
    annotator_ids : ndarray, shape (M,)
        Identifier of each annotator.
    is_ensemble : bool
        Whether `pred_probs` were a stack of models.
    """
    weights = found.weights
    if temperatures is None:
        temperatures = np.ones(len(weights.model))
    estimator.annotator_stats_ = annotator_stats(
        annotator_ids,
        found.scores.annotators,
        model_share(found.statistics, weights, found.scores.annotators),
        found.scores.mean_quality,
    )
    estimator.model_weight_ = one_or_each(weights.model, is_ensemble=is_ensemble, without=0.0)
    estimator.annotator_weight_ = weights.annotator
    estimator.temperature_ = one_or_each(temperatures, is_ensemble=is_ensemble, without=1.0)
    estimator.num_tasks_ = found.statistics.num_tasks
    estimator.num_labels_ = found.statistics.num_labels
    estimator.sums_ = RunningSums(found.statistics, found.totals)


class _Arranged:
    """The blocks, arranged for computing, anew each time they are walked over."""

    def __init__(
        self, blocks: Iterable[TaskBlock], row_sum_tolerance: float, *, may_abstain: bool
    ) -> None:
        self._blocks = blocks
        self._may_abstain = may_abstain
        self._row_sum_tolerance = row_sum_tolerance
        self.temperatures: FloatArray | None = None
        self.first: Block | None = None

    def __iter__(self) -> Iterator[Block]:
        for number, one in enumerate(self._blocks):
            block = one.arranged(self._row_sum_tolerance, may_abstain=self._may_abstain)
            self.first = self.first or block
            if _sizes(block) != _sizes(self.first):
                raise ValueError(
                    "block {} has {} annotators, {} classes and {} models, the first one has {}, "
                    "{} and {}: give all blocks the vocabularies of the whole".format(
                        number, *_sizes(block), *_sizes(self.first)
                    )
                )
            if self.temperatures is not None:
                block = block.scaled(self.temperatures)
            yield block


def _sizes(block: Block) -> tuple[int, int, int]:
    labels = block.labels
    return labels.num_annotators, labels.num_classes, block.pred_probs.num_models


def array_blocks(
    labels: MultiannotatorLabels,
    pred_probs: Any = None,
    ground_truth: IntArray | None = None,
    *,
    tasks_per_block: int = 2**18,
) -> Iterable[TaskBlock]:
    """Divide a data set into blocks of successive tasks.

    Parameters
    ----------
    labels : MultiannotatorLabels
        Labels of N tasks.
    pred_probs : ndarray or SciPy sparse, shape (N, K), or ndarray (P, N, K), optional
        Class probabilities; a memory map is read block by block.
    ground_truth : ndarray of int64, shape (N,), optional
        Class code of each task that is known for certain, -1 for the others.
    tasks_per_block : int, default 262144
        Most tasks of a block.

    Returns
    -------
    iterable of TaskBlock
        It can be walked over any number of times.
    """
    return _ArrayBlocks(labels, pred_probs, ground_truth, tasks_per_block)


@dataclass(frozen=True, eq=False)
class _ArrayBlocks:
    labels: MultiannotatorLabels
    pred_probs: Any
    ground_truth: IntArray | None
    tasks_per_block: int

    def __iter__(self) -> Iterator[TaskBlock]:
        for start in range(0, self.labels.num_tasks, self.tasks_per_block):
            some = slice(start, min(start + self.tasks_per_block, self.labels.num_tasks))
            probs = self.pred_probs
            if probs is not None:
                probs = probs[:, some] if np.ndim(probs) == 3 else probs[some]
            yield TaskBlock(
                self.labels.take(np.arange(some.start, some.stop)),
                probs,
                None if self.ground_truth is None else self.ground_truth[some],
            )


def parquet_blocks(
    labels: str | Path,
    pred_probs: str | Path | None = None,
    *,
    num_tasks: int,
    num_annotators: int,
    num_classes: int,
    tasks_per_block: int = 2**18,
) -> Iterable[TaskBlock]:
    """Read a data set from Parquet files, block by block. Needs pyarrow.

    Parameters
    ----------
    labels : path
        File with a row per label and the integer columns `task`, `annotator` and `label`,
        codes from 0, sorted by task.
    pred_probs : path, optional
        File with a row per task, in the order of their codes, and K columns of numbers.
    num_tasks, num_annotators, num_classes : int
        Sizes N, M and K.
    tasks_per_block : int, default 262144
        Most tasks of a block.

    Returns
    -------
    iterable of TaskBlock
        It can be walked over any number of times. Walking raises ValueError if labels are
        not sorted by task, codes are out of range, or a file has another number of tasks
        or classes, and ImportError without pyarrow.
    """
    return _ParquetBlocks(
        Path(labels),
        None if pred_probs is None else Path(pred_probs),
        (num_tasks, num_annotators, num_classes),
        tasks_per_block,
    )


_LABEL_COLUMNS = ["task", "annotator", "label"]


@dataclass(frozen=True, eq=False)
class _ParquetBlocks:
    labels: Path
    pred_probs: Path | None
    sizes: tuple[int, int, int]
    tasks_per_block: int

    def __iter__(self) -> Iterator[TaskBlock]:
        num_tasks, num_annotators, num_classes = self.sizes
        label_rows = _Rows(self.labels, np.int64, _LABEL_COLUMNS)
        prob_rows = None if self.pred_probs is None else _Rows(self.pred_probs, np.float64)
        for start in range(0, num_tasks, self.tasks_per_block):
            stop = min(start + self.tasks_per_block, num_tasks)
            codes = label_rows.below(stop)
            if len(codes) and not (start <= codes[0, 0] and (np.diff(codes[:, 0]) >= 0).all()):
                raise ValueError(f"{self.labels} is not sorted by task: sort it")
            probs = None if prob_rows is None else prob_rows.first(stop - start)
            if probs is not None and probs.shape != (stop - start, num_classes):
                raise ValueError(
                    f"{self.pred_probs} has {probs.shape[1]} columns and {start + len(probs)} "
                    f"rows: it needs {num_classes} columns and {num_tasks} rows"
                )
            yield TaskBlock(
                MultiannotatorLabels.from_codes(
                    codes[:, 0] - start,
                    codes[:, 1],
                    codes[:, 2],
                    num_tasks=stop - start,
                    num_annotators=num_annotators,
                    num_classes=num_classes,
                    task_ids=np.arange(start, stop),
                ),
                probs,
            )
        if len(left := label_rows.first(1)):
            raise ValueError(
                f"{self.labels} holds a label of task {left[0, 0]}, but num_tasks is {num_tasks}: "
                "correct one of them"
            )
        if prob_rows is not None and len(prob_rows.first(1)):
            raise ValueError(
                f"{self.pred_probs} has more than {num_tasks} rows: pass one row per task"
            )


class _Rows:
    """Rows of a Parquet file of numbers, read from the front."""

    def __init__(
        self, path: Path, dtype: type[np.generic], columns: Sequence[str] | None = None
    ) -> None:
        from pyarrow.parquet import ParquetFile

        file = ParquetFile(path)
        self._dtype = dtype
        self._width = len(columns or file.schema_arrow.names)
        self._batches = file.iter_batches(batch_size=2**18, columns=columns)
        self._waiting = self._next()

    def _next(self) -> AnyArray | None:
        batch = next(self._batches, None)
        if batch is None:
            return None
        table = np.empty((batch.num_rows, self._width), dtype=self._dtype)
        for column, values in enumerate(batch.columns):
            table[:, column] = values.to_numpy(zero_copy_only=False)
        return table

    def first(self, number: int) -> AnyArray:
        """Take so many rows, or those that are left."""
        taken = 0

        def count(table: AnyArray) -> int:
            nonlocal taken
            some = min(number - taken, len(table))
            taken += some
            return some

        return self._take(count)

    def below(self, end: int) -> AnyArray:
        """Take the rows up to the first whose first column is not below `end`."""
        return self._take(lambda table: int(np.argmax(np.append(table[:, 0] >= end, True))))

    def _take(self, count: Callable[[AnyArray], int]) -> AnyArray:
        taken = [np.empty((0, self._width), dtype=self._dtype)]
        while self._waiting is not None:
            number = count(self._waiting)
            taken.append(self._waiting[:number])
            if number < len(self._waiting):
                self._waiting = self._waiting[number:]
                break
            self._waiting = self._next()
        return np.concatenate(taken)
