"""Who looks, beside the service, when it has followed an annotation."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from multiprocessing.pool import AsyncResult
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from backend.store.arrays import Arrays
from backend.store.project import ProjectStore
from benchmarks.live.studio import CHOICES
from benchmarks.live.studio_database import StudioDatabase
from benchmarks.live.trails import SCORE_DIGITS, State, Trail

_STORE_SECONDS = 0.03
_PREDICTIONS_SECONDS = 0.05
_MOST_OF_THE_TIME = 0.02
"""Share of the time in which it reads Label Studio's database."""

Result = TypeVar("Result")


class Watcher:
    """Looks at the store and into Label Studio's database for the tasks of some trails.

    Parameters
    ----------
    store
        The project's part of the store.
    trails
        Trails by task.
    database
        Where predictions are; None looks at the store alone.
    """

    def __init__(
        self,
        store: ProjectStore,
        trails: Mapping[int, Trail],
        database: StudioDatabase | None = None,
    ) -> None:
        self._store = store
        self._trails = trails
        self._database = database
        self._seen: Arrays = {}
        self._next_look_at_predictions = 0.0

    def during(
        self, result: AsyncResult[Result], each: Callable[[], None] = lambda: None
    ) -> Result:
        """Watch until a result is there; `each` is called between two looks."""
        while not result.ready():
            each()
            self._look()
        return result.get()

    def until_followed(self, seconds: float) -> None:
        """Watch until everything that is expected has come, or for so many seconds."""
        deadline = time.monotonic() + seconds
        while self._open_tasks() and time.monotonic() < deadline:
            self._look()

    def _open_tasks(self) -> list[int]:
        has_database = self._database is not None
        return [
            task
            for task, trail in self._trails.items()
            if not trail.is_counted or (has_database and not trail.is_visible)
        ]

    def _look(self) -> None:
        began = time.monotonic()
        self._look_at_store(self._open_tasks())
        looked = time.monotonic()
        if looked >= self._next_look_at_predictions:
            self._look_at_predictions()
            # While it reads, Label Studio cannot write.
            read = time.monotonic() - looked
            pause = max(_PREDICTIONS_SECONDS, read / _MOST_OF_THE_TIME)
            self._next_look_at_predictions = looked + pause
        time.sleep(max(0.0, began + _STORE_SECONDS - time.monotonic()))

    def _look_at_store(self, tasks: list[int]) -> None:
        rows = self._store.consensus(1).read(tasks)
        now = time.monotonic()
        for place in np.flatnonzero(_changed(self._seen, rows)).tolist():
            score = round(float(rows["quality"][place, 0]), SCORE_DIGITS)
            self._trails[int(rows["task"][place])].see_store(
                now,
                int(rows["num_annotations"][place, 0]),
                State(int(rows["label"][place, 0]), score),
            )
        self._seen = rows

    def _look_at_predictions(self) -> None:
        if self._database is None:
            return
        waiting = [
            task for task, trail in self._trails.items() if len(trail.visible) < len(trail.counted)
        ]
        shown = self._database.shown_predictions(self._store.project_id, waiting)
        if shown is None:
            return
        now = time.monotonic()
        for task in waiting:
            found = shown.get(task)
            state = State(CHOICES.index(found[0]), found[1]) if found else None
            self._trails[task].see_prediction(now, state)


def _changed(old: Arrays, new: Arrays) -> NDArray[np.bool_]:
    """Which rows are other ones than at the last look; all if the tasks are."""
    if not old or not np.array_equal(old["task"], new["task"]):
        return np.ones(len(new["task"]), dtype=bool)
    columns = ("label", "quality", "num_annotations")
    changed: NDArray[np.bool_] = np.zeros(len(new["task"]), dtype=bool)
    for name in columns:
        changed |= (old[name] != new[name]).any(axis=1)
    return changed
