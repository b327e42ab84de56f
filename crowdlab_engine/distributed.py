"""CROWDLAB on a Dask cluster: for data sets that are too large for one machine.

Tasks are divided into partitions. Each pass maps all partitions to sums of fixed size, which
Dask adds up in a tree; weights follow from them as in memory, and the last pass scores the
partitions where they are. Between passes only each task's consensus label is kept, on the
workers. A partition that a lost worker held is computed again.

Needs Dask: `pip install "crowdlab-engine[distributed]"`, on every worker too.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from operator import add, attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import dask.bag
import numpy as np
import pandas as pd
import pyarrow as pa
from dask.bag import Bag
from dask.delayed import delayed
from distributed import Client
from pyarrow import parquet
from sklearn.base import BaseEstimator

from crowdlab_engine._random import RandomState, random_generator
from crowdlab_engine._typing import AnyArray, FloatArray, IntArray
from crowdlab_engine.block import Block
from crowdlab_engine.blockwise import (
    BlockScores,
    FittedSums,
    ScoreSums,
    TaskBlock,
    score_block,
    set_fitted,
)
from crowdlab_engine.calibration import added, find_temperatures, summed_cross_entropies
from crowdlab_engine.crowdlab import ConsensusMethod, QualityMethod, check_methods, weigher
from crowdlab_engine.majority import Ties, VoteTotals, vote, vote_totals
from crowdlab_engine.parquet_partitions import parquet_partitions
from crowdlab_engine.posterior import most_probable
from crowdlab_engine.running import RunningSums
from crowdlab_engine.statistics import Statistics, statistics
from crowdlab_engine.weights import Weights

if TYPE_CHECKING:
    from typing_extensions import Self

_NO_LABEL = "no partition has a label: a consensus needs at least one"

_SUMS_AT_ONCE = 8
"""How many partial sums one task of Dask adds up."""


class DistributedCrowdlab(BaseEstimator):  # type: ignore[misc]
    """`Crowdlab` over partitions of tasks on the workers of a Dask cluster.

    Parameters
    ----------
    consensus_method : {"best_quality", "majority_vote"}, default "best_quality"
        See `Crowdlab`; so are the others up to `may_abstain`.
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
    retries : int, default 2
        How often a partition that failed is tried again, as storage can be away for a moment.
        A lost worker is another thing: Dask's `distributed.scheduler.allowed-failures`.

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
    received_ : list
        What `receive` returned for each partition, in order.
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
        retries: int = 2,
    ) -> None:
        self.consensus_method = consensus_method
        self.quality_method = quality_method
        self.calibrate_probs = calibrate_probs
        self.ties = ties
        self.random_state = random_state
        self.row_sum_tolerance = row_sum_tolerance
        self.may_abstain = may_abstain
        self.retries = retries

    def fit(
        self,
        partitions: Sequence[Callable[[], TaskBlock]],
        client: Client,
        receive: Callable[[int, BlockScores], Any] | None = None,
    ) -> Self:
        """Find the consensus of each task, and score it, every label and every annotator.

        Parameters
        ----------
        partitions : sequence of callable
            Each gives a part of the tasks, always the same, wherever it is called; see
            `parquet_partitions`. They are sent to the workers, and called there up to four
            times (six if `calibrate_probs`), or more often where workers are lost.
        client : distributed.Client
            Connection to the scheduler.
        receive : callable, optional
            Called on a worker with the number of each partition and its scores. It can be
            called twice for a partition, even at the same time, if a worker is lost: the
            second call must leave what one call leaves. What it returns comes back, so it
            should be small.

        Returns
        -------
        DistributedCrowdlab
            Itself, fitted.

        Raises
        ------
        ValueError
            There is no label; partitions have different annotators, classes or models;
            `pred_probs` has another shape or impossible values; a parameter is unknown.
        distributed.KilledWorker
            Several workers died of the same partition, most likely for want of memory.
        """
        check_methods(self.consensus_method, self.quality_method)
        if not partitions:
            raise ValueError(_NO_LABEL)
        passes = _Passes(
            partitions,
            client,
            self.row_sum_tolerance,
            may_abstain=self.may_abstain,
            retries=self.retries,
        )
        counted = passes.counted()
        if self.calibrate_probs and counted.num_models:
            passes.temperatures = find_temperatures(
                partial(passes.cross_entropies, counted.num_models)
            )
        weigh = weigher(self.quality_method)

        rounds = passes.kept(_vote, totals=counted.totals, ties=self.ties)
        rounds = _draw(passes, rounds, counted.totals, self.ties, self.random_state)
        sums = passes.sum_of(rounds, "statistics")
        weights = weigh(sums)
        if self.consensus_method == "best_quality":
            rounds = passes.kept(_improve, rounds, weights=weights)
            sums = passes.sum_of(rounds, "statistics")
            weights = weigh(sums)
        scored = passes.kept(_score, rounds, weights=weights, receive=receive)
        found: ScoreSums = passes.sum_of(scored, "sums")
        self.received_: list[Any] = passes.all_of(scored, "received")
        set_fitted(
            self,
            FittedSums(sums, counted.totals, weights, found),
            temperatures=passes.temperatures,
            annotator_ids=counted.annotator_ids,
            is_ensemble=counted.is_ensemble,
        )
        return self


def fit_parquet(
    labels: str | Path,
    output: str | Path,
    *,
    client: Client,
    pred_probs: str | Path | None = None,
    num_tasks: int,
    num_annotators: int,
    num_classes: int,
    tasks_per_partition: int = 2**18,
    estimator: DistributedCrowdlab | None = None,
) -> DistributedCrowdlab:
    """Find the consensus of a data set in Parquet files, and write it into Parquet files.

    Client and workers must see `labels`, `pred_probs` and `output` under the same paths, be it
    on one machine or on a shared file system. The output folder appears when it is complete:

    - `consensus/part-*.parquet`: `task`, `consensus_label` (-1 where nothing is known),
      `consensus_quality_score`, `annotator_agreement`, `num_annotations`,
    - `label_quality/part-*.parquet`: `task`, `annotator`, `label`, `label_quality`,
    - `annotators.parquet`: `annotator_stats_`,
    - `_SUCCESS`: JSON with parameters, weights, and the number of rows of each part.

    Parameters
    ----------
    labels, pred_probs, num_tasks, num_annotators, num_classes, tasks_per_partition
        See `parquet_partitions`.
    output : path
        Folder to make.
    client : distributed.Client
        Connection to the scheduler.
    estimator : DistributedCrowdlab, optional
        What to fit. Default: one with default parameters.

    Returns
    -------
    DistributedCrowdlab
        The estimator, fitted.

    Raises
    ------
    FileExistsError
        `output` exists.
    FileNotFoundError, ValueError
        See `parquet_partitions` and `DistributedCrowdlab.fit`; nothing is left behind.
    """
    output = Path(output).absolute()
    if output.exists():
        raise FileExistsError(f"{output} exists: pass another folder, or remove it first")
    partitions = parquet_partitions(
        Path(labels).absolute(),
        None if pred_probs is None else Path(pred_probs).absolute(),
        num_tasks=num_tasks,
        num_annotators=num_annotators,
        num_classes=num_classes,
        tasks_per_partition=tasks_per_partition,
    )
    fitted = DistributedCrowdlab() if estimator is None else estimator
    draft = output.with_name(f".{output.name}.{uuid4().hex}")
    writer = _PartWriter(str(draft))
    try:
        for folder in (_CONSENSUS, _LABEL_QUALITY):
            (draft / folder).mkdir(parents=True)
        fitted.fit(partitions, client, writer)
        stats = pa.Table.from_pandas(fitted.annotator_stats_)
        parquet.write_table(stats, draft / "annotators.parquet")
        for unfinished in draft.rglob(".*"):  # of workers that were lost
            unfinished.unlink(missing_ok=True)
        (draft / "_SUCCESS").write_text(json.dumps(_manifest(fitted), indent=1, default=str))
        draft.rename(output)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return fitted


_CONSENSUS, _LABEL_QUALITY = "consensus", "label_quality"


def _manifest(fitted: DistributedCrowdlab) -> dict[str, Any]:
    return {
        "parameters": fitted.get_params(),
        "model_weight": np.asarray(fitted.model_weight_).tolist(),
        "temperature": np.asarray(fitted.temperature_).tolist(),
        "num_labelled_tasks": fitted.num_tasks_,
        "num_labels": fitted.num_labels_,
        "parts": fitted.received_,
    }


@dataclass(frozen=True)
class _PartWriter:
    """Writes the scores of a partition, each file under its name when it is complete."""

    folder: str

    def __call__(self, number: int, found: BlockScores) -> dict[str, Any]:
        labels = found.labels
        quality = found.label_quality
        consensus = {
            "task": labels.task_ids,
            "consensus_label": found.consensus_label,
            "consensus_quality_score": found.consensus_quality_score,
            "annotator_agreement": found.annotator_agreement,
            "num_annotations": found.num_annotations,
        }
        of_labels = {
            "task": labels.task_ids[labels.task],
            "annotator": labels.annotator_ids[labels.annotator],
            "label": labels.label,
            "label_quality": quality if labels.sorting is None else quality[labels.sorting],
        }
        name = f"part-{number:05d}.parquet"
        self._write(Path(self.folder, _CONSENSUS, name), consensus)
        self._write(Path(self.folder, _LABEL_QUALITY, name), of_labels)
        return {"name": name, "tasks": labels.num_tasks, "labels": labels.num_labels}

    @staticmethod
    def _write(path: Path, columns: dict[str, AnyArray]) -> None:
        unfinished = path.with_name(f".{uuid4().hex}")
        parquet.write_table(pa.table(columns), unfinished)
        unfinished.replace(path)


@dataclass(frozen=True)
class _Numbered:
    """A partition, its number, and a mark of the fit, as Dask takes equal tasks for the same."""

    fit: str
    number: int
    partition: Callable[[], TaskBlock]


class _Passes:
    """Passes over all partitions, one after the other."""

    def __init__(
        self,
        partitions: Sequence[Callable[[], TaskBlock]],
        client: Client,
        row_sum_tolerance: float,
        *,
        may_abstain: bool,
        retries: int,
    ) -> None:
        fit = uuid4().hex
        numbered = [_Numbered(fit, number, one) for number, one in enumerate(partitions)]
        self._partitions = dask.bag.from_sequence(numbered, npartitions=len(numbered))
        self._client = client
        self._retries = retries
        self._row_sum_tolerance = row_sum_tolerance
        self._may_abstain = may_abstain
        self.temperatures: FloatArray | None = None

    def mapped(self, step: Callable[..., Any], *others: Bag, **arguments: Any) -> Bag:
        """Plan a step for each partition.

        Parameters
        ----------
        step : callable
            Takes the number of the partition, its block, an item of each of the others, and
            the arguments.
        others : Bag
            With an item for each partition.
        """
        # As tasks of their own, large arguments are sent to each worker once.
        shared = {name: delayed(one, traverse=False) for name, one in arguments.items()}
        bag: Bag = self._partitions.map(
            partial(_in_partition, step),
            *others,
            row_sum_tolerance=self._row_sum_tolerance,
            may_abstain=self._may_abstain,
            temperatures=self.temperatures,
            **shared,
        )
        return bag

    def kept(self, step: Callable[..., Any], *others: Bag, **arguments: Any) -> Bag:
        """Do a step for each partition, whose outcome stays on the workers."""
        bag = self.mapped(step, *others, **arguments)
        kept: Bag = self._client.persist(bag, retries=self._retries)
        return kept

    def counted(self) -> _Counted:
        """Return the totals of all partitions."""
        found: _Counted = self.added_up(self.mapped(_count), add)
        if not found.totals.class_counts.any():
            raise ValueError(_NO_LABEL)
        return found

    def aligned(self, items: Sequence[Any]) -> Bag:
        """Return items, one for each partition, as a bag."""
        bag: Bag = dask.bag.from_sequence(items, npartitions=len(items))
        return bag

    def sum_of(self, kept: Bag, name: str) -> Any:
        """Add up an attribute of all outcomes."""
        return self.added_up(kept.map(attrgetter(name)), add)

    def added_up(self, bag: Bag, add_two: Callable[[Any, Any], Any]) -> Any:
        """Add up all items, in a tree."""
        return self._result(bag.fold(add_two, split_every=_SUMS_AT_ONCE))

    def all_of(self, kept: Bag, name: str) -> list[Any]:
        """Return an attribute of each outcome, in order."""
        found: list[Any] = self._result(kept.map(attrgetter(name)))
        return found

    def cross_entropies(self, num_models: int, grids: Iterable[FloatArray]) -> list[FloatArray]:
        """Sum cross entropies over all tasks, see `summed_cross_entropies`."""
        wanted = list(islice(grids, num_models))
        found: list[FloatArray] = self.added_up(self.mapped(_cross_entropies, grids=wanted), added)
        return found

    def _result(self, collection: Any) -> Any:
        return self._client.compute(collection, retries=self._retries).result()


def _in_partition(
    step: Callable[..., Any],
    numbered: _Numbered,
    *others: Any,
    row_sum_tolerance: float,
    may_abstain: bool,
    temperatures: FloatArray | None,
    **arguments: Any,
) -> Any:
    """Read a partition, and do a step with it."""
    block = numbered.partition().arranged(row_sum_tolerance, may_abstain=may_abstain)
    if temperatures is not None:
        block = block.scaled(temperatures)
    return step(numbered.number, block, *others, **arguments)


@dataclass(frozen=True, eq=False)
class _Counted:
    """What the first pass finds in a partition; partitions add up."""

    number: int
    totals: VoteTotals
    num_models: int
    is_ensemble: bool
    annotator_ids: AnyArray

    @property
    def _sizes(self) -> tuple[int, int, int]:
        return len(self.totals.judged), len(self.totals.class_counts), self.num_models

    def __add__(self, other: _Counted) -> _Counted:
        if self._sizes != other._sizes:
            raise ValueError(
                "partition {} has {} annotators, {} classes and {} models, partition {} has {}, "
                "{} and {}: give all partitions the vocabularies of the whole".format(
                    other.number, *other._sizes, self.number, *self._sizes
                )
            )
        return replace(self, totals=self.totals + other.totals)


def _count(number: int, block: Block) -> _Counted:
    predicted = block.pred_probs
    totals, annotators = vote_totals(block), block.labels.annotator_ids
    return _Counted(number, totals, predicted.num_models, predicted.is_ensemble, annotators)


def _cross_entropies(_number: int, block: Block, grids: Sequence[FloatArray]) -> list[FloatArray]:
    return summed_cross_entropies((block,), grids)


@dataclass(frozen=True, eq=False)
class _Round:
    """A consensus label for each task of a partition, and what follows from it."""

    label: AnyArray
    choices: IntArray
    """Among how many classes chance decided, where it did."""
    statistics: Statistics

    @classmethod
    def of(cls, block: Block, label: IntArray, choices: IntArray) -> _Round:
        """Keep labels in half the memory."""
        label = block.with_truth(label)
        return cls(label.astype(np.int32), choices, statistics(block, label))


@dataclass(frozen=True, eq=False)
class _Chance:
    """State of the random numbers before a partition's draws; None if it needs none."""

    state: Any


def _vote(
    _number: int,
    block: Block,
    totals: VoteTotals,
    ties: Ties,
    chance: _Chance | None = None,
) -> _Round:
    generator = np.random.RandomState(0)
    if chance is not None:
        generator.set_state(chance.state)
    found = vote(block, ties=ties, random_state=generator, totals=totals)
    return _Round.of(block, found.label, found.choices)


def _draw(
    passes: _Passes, rounds: Bag, totals: VoteTotals, ties: Ties, random_state: RandomState
) -> Bag:
    """Settle by chance what no rule could, with the numbers that a walk in order would draw."""
    generator = random_generator(random_state)
    chances = []
    for choices in passes.all_of(rounds, "choices"):
        chances.append(_Chance(generator.get_state() if len(choices) else None))
        generator.randint(0, choices)
    if all(chance.state is None for chance in chances):
        return rounds
    return passes.kept(_vote_again, rounds, passes.aligned(chances), totals=totals, ties=ties)


def _vote_again(
    number: int, block: Block, voted: _Round, chance: _Chance, totals: VoteTotals, ties: Ties
) -> _Round:
    return voted if chance.state is None else _vote(number, block, totals, ties, chance)


def _improve(_number: int, block: Block, voted: _Round, weights: Weights) -> _Round:
    label = most_probable(block, weights, voted.label.astype(np.int64))
    return _Round.of(block, label, voted.choices)


@dataclass(frozen=True, eq=False)
class _Scored:
    """Sums over the scores of a partition, and what came of handing them out."""

    sums: ScoreSums
    received: Any


def _score(
    number: int,
    block: Block,
    last: _Round,
    weights: Weights,
    receive: Callable[[int, BlockScores], Any] | None,
) -> _Scored:
    received: list[Any] = []
    sums = score_block(
        block,
        weights,
        last.label.astype(np.int64),
        None if receive is None else lambda found: received.append(receive(number, found)),
    )
    return _Scored(sums, received[0] if received else None)
