"""Parts of a project on their way to the workers of a Dask cluster and back."""

from __future__ import annotations

from typing import Any

from backend.errors import StoreError
from backend.store import keys
from backend.store.arrays import Arrays, pack, unpack
from backend.store.cluster import DataRedis

_KEPT_SECONDS = 6 * 3600


class Exchange:
    """What one computation reads and writes, part by part.

    Everything expires, so that nothing stays of a computation that was killed, or of a worker
    that goes on after its part was given to another.

    Parameters
    ----------
    redis
        Connection that returns bytes.
    project_id
        Id of the project in Label Studio.
    run
        Name of the computation, of no other one.
    """

    def __init__(self, redis: DataRedis, project_id: int, run: str) -> None:
        self._redis = redis
        self._project_id = project_id
        self._run = run

    def put_partition(self, number: int, arrays: Arrays) -> None:
        """Write a part for workers to read."""
        self._put(keys.PARTITION, number, arrays)

    def partition(self, number: int) -> Arrays:
        """Return a part.

        Raises
        ------
        StoreError
            It is there no more.
        """
        return self._get(keys.PARTITION, number)

    def put_scores(self, number: int, arrays: Arrays) -> None:
        """Write what was found for a part, in one step."""
        self._put(keys.SCORES, number, arrays)

    def scores(self, number: int) -> Arrays:
        """Return what was found for a part.

        Raises
        ------
        StoreError
            It is not there.
        """
        return self._get(keys.SCORES, number)

    def clear(self, num_parts: int) -> None:
        """Remove everything."""
        for number in range(num_parts):
            for template in (keys.PARTITION, keys.SCORES):
                self._redis.unlink(self._key(template, number))

    def _key(self, template: str, number: int) -> str:
        return template.format(project=self._project_id, run=self._run, number=number)

    def _put(self, template: str, number: int, arrays: Arrays) -> None:
        self._redis.set(self._key(template, number), pack(arrays), ex=_KEPT_SECONDS)

    def _get(self, template: str, number: int) -> Arrays:
        stored: Any = self._redis.get(self._key(template, number))
        if stored is None:
            raise StoreError(
                f"Part {number} of a computation of project {self._project_id} is not in Redis.",
                "It was removed when the computation ended, or took longer than six hours.",
            )
        return unpack(stored)
