"""Large questions are computed on the workers of a Dask cluster.

What is computed is put into Redis first, as it is now: labels that change meanwhile are
followed afterwards, and a part that a lost worker had read is the same when it is read again.
Workers find Redis by their own settings, so that no address or password goes through Dask.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cache
from typing import TYPE_CHECKING
from uuid import uuid4

import numpy as np
from rq.timeouts import BaseTimeoutException

from backend.errors import StoreError
from backend.jobs.results import TaskScores
from backend.settings import Settings, load_settings
from backend.store.arrays import Arrays
from backend.store.cluster import DataRedis
from backend.store.connection import connect, connect_data
from backend.store.exchange import Exchange
from backend.store.project import ProjectStore
from crowdlab_engine.blockwise import BlockScores, TaskBlock
from crowdlab_engine.labels import MultiannotatorLabels

if TYPE_CHECKING:
    from crowdlab_engine.distributed import DistributedCrowdlab

log = logging.getLogger(__name__)

_CONNECT_SECONDS = 5.0
_WORKERS_SECONDS = 10.0


@dataclass(frozen=True)
class DaskCluster:
    """A Dask scheduler with its workers.

    Attributes
    ----------
    address
        Address of the scheduler.
    above_labels
        Questions with more labels than this are computed there.
    has_shared_redis
        Whether the projects' data are in a Redis that workers can find by its address.
    """

    address: str
    above_labels: int
    has_shared_redis: bool = True

    @classmethod
    def of(cls, settings: Settings) -> DaskCluster | None:
        """The one that the settings name; None if they name none."""
        if not settings.dask_scheduler:
            return None
        return cls(settings.dask_scheduler, settings.dask_above_labels, bool(settings.data_url))

    def fit(
        self, store: ProjectStore, blocks: Iterable[TaskBlock], num_labels: int
    ) -> tuple[DistributedCrowdlab, list[TaskScores]] | None:
        """Find the consensus of a question.

        Parameters
        ----------
        store
            The project's part of the store.
        blocks
            All tasks, in blocks.
        num_labels
            How many labels they have.

        Returns
        -------
        tuple or None
            The fitted estimator and the scores of each block. None if the question is too
            small, or if Dask cannot be used or has failed, which the log tells.
        """
        if num_labels <= self.above_labels:
            return None
        if not self.has_shared_redis:
            log.warning("computing here, not on Dask: its workers need a Redis, set REDIS_URL")
            return None
        try:
            import distributed
        except ImportError as error:
            log.warning("computing here, not on Dask: %s; install requirements/dask.txt", error)
            return None
        run = uuid4().hex
        exchange = Exchange(store.redis, store.project_id, run)
        num_parts = 0
        try:
            with distributed.Client(
                self.address, timeout=_CONNECT_SECONDS, set_as_default=False
            ) as client:
                client.wait_for_workers(1, timeout=_WORKERS_SECONDS)
                for block in blocks:
                    exchange.put_partition(num_parts, _arrays_of(block))
                    num_parts += 1
                parts = [_Partition(store.project_id, run, number) for number in range(num_parts)]
                fitted = _estimator().fit(parts, client, _ScoresWriter(store.project_id, run))
            return fitted, [TaskScores(**exchange.scores(number)) for number in range(num_parts)]
        except BaseTimeoutException:  # of the job that this is part of
            raise
        except Exception as error:
            # What is wrong with the data, if it is they, shows when they are computed here.
            log.warning(
                "project %s: computing here, as Dask at %s failed: %s",
                store.project_id,
                self.address,
                str(error) or type(error).__name__,
            )
            return None
        finally:
            exchange.clear(num_parts)


def _estimator() -> DistributedCrowdlab:
    from crowdlab_engine.distributed import DistributedCrowdlab

    return DistributedCrowdlab(may_abstain=True)


def _arrays_of(block: TaskBlock) -> Arrays:
    labels = block.labels
    arrays: Arrays = {
        "task_ids": labels.task_ids,
        "annotator_ids": labels.annotator_ids,
        "num_classes": np.array([labels.num_classes]),
        "task": labels.in_callers_order(labels.task).astype(np.int32),
        "annotator": labels.in_callers_order(labels.annotator).astype(np.int32),
        "label": labels.in_callers_order(labels.label).astype(np.int32),
    }
    return arrays if block.pred_probs is None else {**arrays, "probs": block.pred_probs}


@dataclass(frozen=True)
class _Partition:
    """A part of a question, which a worker reads when it calls this."""

    project_id: int
    run: str
    number: int

    def __call__(self) -> TaskBlock:
        arrays = _exchange(self.project_id, self.run).partition(self.number)
        labels = MultiannotatorLabels.from_codes(
            arrays["task"],
            arrays["annotator"],
            arrays["label"],
            num_classes=int(arrays["num_classes"][0]),
            task_ids=arrays["task_ids"],
            annotator_ids=arrays["annotator_ids"],
        )
        return TaskBlock(labels, arrays.get("probs"))


@dataclass(frozen=True)
class _ScoresWriter:
    """Writes the scores of a part into Redis, from the worker that has them."""

    project_id: int
    run: str

    def __call__(self, number: int, found: BlockScores) -> None:
        scores = TaskScores.of_block(found)
        arrays = {field.name: getattr(scores, field.name) for field in fields(scores)}
        _exchange(self.project_id, self.run).put_scores(number, arrays)


def _exchange(project_id: int, run: str) -> Exchange:
    return Exchange(_worker_redis(), project_id, run)


@cache
def _worker_redis() -> DataRedis:
    """Connection of a Dask worker to the projects' data, by the worker's own settings."""
    settings = load_settings()
    if not settings.data_url:
        raise StoreError(
            "This Dask worker does not know where Redis is.",
            "Start Dask workers with the service's environment: REDIS_URL at least.",
        )
    return connect_data(settings) or connect(settings.redis_url.get_secret_value())
