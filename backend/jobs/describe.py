"""Describe what tasks hold: images and sounds that they name, texts by a model if there is one."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.errors import NothingToComputeError
from backend.features.extract import content_hashes, sources_of, text_of
from backend.features.fetch import ContentFetcher
from backend.features.media import (
    KINDS,
    LARGEST,
    describe,
    media_of,
    places_of,
    recipe_of,
    width_of,
)
from backend.features.models import NONE, Models
from backend.features.numeric import number_of
from backend.features.outcome import Outcome, UnreadableError
from backend.features.report import Failure, MediaReport, SourceReport
from backend.label_studio.client import LabelStudioClient
from backend.label_studio.questions import Source
from backend.progress import Progress, silent
from backend.store.arrays import Arrays
from backend.store.project import ProjectInfo, ProjectStore
from backend.store.tables import select

log = logging.getLogger(__name__)

TASKS_AT_ONCE = 64
"""Tasks whose files are read between two times that the store is written."""

TEXTS_AT_ONCE = 1024
"""The same of tasks without files, whose texts are described."""

_MOST_FILES = 4
"""Files of one source of a task that are read; descriptors are their means."""


@dataclass(frozen=True)
class DescribeReport:
    """What one run has read."""

    num_described: int = 0
    """Tasks whose files were read, or tried."""
    num_failed: int = 0
    """Files of these that could not be read."""
    num_waiting: int = 0
    """Tasks whose files are still to be read."""


def describe_files(
    store: ProjectStore,
    client: LabelStudioClient,
    fetcher: ContentFetcher,
    *,
    models: Models = NONE,
    seconds: float | None = None,
    progress: Progress = silent,
) -> DescribeReport:
    """Read files and describe texts of tasks that are new or changed, labelled tasks first.

    What was read is stored every few tasks, so that a run that was cut short goes on where it
    ended. Tasks of equal contents are read once. A file that could not be read is tried again
    after the next full sync. The caller holds the lock of `Work.REFRESH`.

    Parameters
    ----------
    models
        Models whose vectors are kept as well. By others, everything is described anew.
    seconds
        Begin with no further tasks after so long; None has no limit.

    Raises
    ------
    LabelStudioError
        Label Studio does not give the tasks; what was read stays.
    """
    info = store.read_info()
    all_sources = sources_of(info.questions) if info else ()
    sources = media_of(all_sources, models)
    problems = _problems_of(models, all_sources)
    known = store.read_media()
    if info is None or not (sources or problems):
        if known is not None:
            _forget(store, known)
        return DescribeReport()
    recipe = recipe_of(sources, models)
    if known is not None and known.recipe != recipe:
        _forget(store, known)
        known = None
    if (
        known is not None
        and known.is_complete
        and known.problems == problems
        and (known.data_version, known.retried_at) == (info.data_version, info.fully_synced_at)
    ):
        return DescribeReport()
    run = _Run(store, client, fetcher, sources, models, problems)
    if not sources:
        run.report(is_done=True)
        return DescribeReport()
    return run.read_what_is_due(info, seconds, progress)


def _problems_of(models: Models, sources: Sequence[Source]) -> tuple[str, ...]:
    """Why models of which the project has contents cannot be used."""
    kinds = {source.kind for source in sources}
    return tuple(str(problem) for kind, problem in models.problems.items() if kind in kinds)


def _forget(store: ProjectStore, known: MediaReport) -> None:
    with store.lock(), store.transaction() as changes:
        store.stage_forget_descriptors(changes, known.recipe)
        store.stage_media(changes, None)


@dataclass(frozen=True, eq=False)
class _Batch:
    """What became of the files of B tasks."""

    outcome: NDArray[np.uint16]
    """Per source, shape (B, S)."""
    features: NDArray[np.float32]
    """Of all sources side by side, shape (B, D); 0 for what was not read."""
    is_asked: NDArray[np.bool_]
    """Whether all files of a task were read, or tried, shape (B,)."""

    @classmethod
    def blank(cls, size: int, num_sources: int, width: int) -> _Batch:
        """Nothing was asked for."""
        return cls(
            np.full((size, num_sources), Outcome.EMPTY, dtype=np.uint16),
            np.zeros((size, width), dtype=np.float32),
            np.zeros(size, dtype=bool),
        )


class _Run:
    """One run over the tasks of a project."""

    def __init__(
        self,
        store: ProjectStore,
        client: LabelStudioClient,
        fetcher: ContentFetcher,
        sources: Sequence[Source],
        models: Models,
        problems: tuple[str, ...],
    ) -> None:
        self._store = store
        self._client = client
        self._fetcher = fetcher
        self._sources = sources
        self._models = models
        self._problems = problems
        self._recipe = recipe_of(sources, models)
        self._width = width_of(sources, models)
        self._described = store.described(self._recipe, len(sources))
        self._descriptors = store.descriptors(self._recipe, self._width)
        has_files = any(source.kind in KINDS for source in sources)
        self._at_once = TASKS_AT_ONCE if has_files else TEXTS_AT_ONCE
        self._step = "Reading images and sounds" if has_files else "Describing texts"

    def read_what_is_due(
        self, info: ProjectInfo, seconds: float | None, progress: Progress
    ) -> DescribeReport:
        began = time.monotonic()
        tasks = self._store.tasks.read()
        rows = self._described.read()
        self._forget_deleted(tasks, rows)
        due = self._in_order(info, _due(tasks, rows, info.fully_synced_at))
        known = _readable(rows)
        num_failed = done = 0
        try:
            while done < len(due):
                progress(self._step, done, len(due))
                if seconds is not None and time.monotonic() - began >= seconds:
                    break
                batch = self._read(info, due[done : done + self._at_once], known)
                num_failed += int(_has_failed(batch.outcome).sum())
                if not batch.is_asked.all():
                    log.warning(
                        "project %s: Label Studio failed again and again to give files; those "
                        "that are missing are read later",
                        self._store.project_id,
                    )
                    break
                done += self._at_once
        finally:
            self.report(is_done=done >= len(due))
        done = min(done, len(due))
        return DescribeReport(done, num_failed, len(due) - done)

    def _in_order(self, info: ProjectInfo, due: NDArray[np.int64]) -> list[int]:
        """Labelled tasks before those without a label, from which nothing is learned."""
        if not len(due):
            return []
        labelled = np.unique(self._store.annotations(len(info.questions)).read(due)["task"])
        return [*labelled.tolist(), *np.setdiff1d(due, labelled).tolist()]

    def _forget_deleted(self, tasks: Arrays, rows: Arrays) -> None:
        gone = np.setdiff1d(rows["task"], tasks["task"])
        if not len(gone):
            return
        with self._store.lock(), self._store.transaction() as changes:
            for table in (self._described, self._descriptors):
                table.stage_replacement(changes, gone, select(table.read(gone), slice(0)))

    def _read(self, info: ProjectInfo, some: Sequence[int], known: dict[int, int]) -> _Batch:
        """Read the files of some tasks and store their descriptors.

        Parameters
        ----------
        known
            Content to a task whose files were read; those read now are added.
        """
        data = self._client.task_data(self._store.project_id, some)
        # Those deleted meanwhile are forgotten by the next sync.
        tasks = np.asarray([task for task in some if task in data], dtype=np.int64)
        contents = content_hashes(
            [data[task] for task in tasks.tolist()], sources_of(info.questions)
        )
        different, first, which = np.unique(contents, return_index=True, return_inverse=True)
        found = self._read_before(different, known)
        to_read = np.flatnonzero(~found.is_asked)
        wanted = [data[int(tasks[first[one]])] for one in to_read]
        self._read_files(found, to_read, wanted)
        self._describe_texts(found, to_read, wanted)
        batch = _Batch(found.outcome[which], found.features[which], found.is_asked[which])
        self._save(info, tasks, contents, batch)
        is_usable = batch.is_asked & ~_has_failed(batch.outcome).any(axis=1)
        known |= dict(zip(contents[is_usable].tolist(), tasks[is_usable].tolist(), strict=True))
        return batch

    def _read_before(self, contents: NDArray[np.uint64], known: Mapping[int, int]) -> _Batch:
        """What is stored of the files of equal contents; the rest is not asked for yet."""
        found = _Batch.blank(len(contents), len(self._sources), self._width)
        candidates = [known.get(content, -1) for content in contents.tolist()]
        rows = self._described.read(candidates)
        values = self._descriptors.read(candidates)
        for number, (task, content) in enumerate(zip(candidates, contents, strict=True)):
            row = np.flatnonzero((rows["task"] == task) & (rows["content"] == content))
            if len(row):
                found.outcome[number] = rows["outcome"][row[0]]
                found.features[number] = values["values"][values["task"] == task].sum(axis=0)
                found.is_asked[number] = True
        return found

    def _read_files(
        self, found: _Batch, rows: NDArray[np.intp], data: Sequence[Mapping[str, Any]]
    ) -> None:
        """Read the files of some tasks' data into these rows."""
        wanted = [
            (row, number, value)
            for row, one in zip(rows.tolist(), data, strict=True)
            for number, source in enumerate(self._sources)
            if source.kind in KINDS
            for value in _files_of(one.get(source.key))
        ]
        contents = [(value, self._sources[number].kind) for _, number, value in wanted]
        describer = partial(describe, models=self._models)
        answers = self._fetcher.read_all(contents, describer) if contents else []
        places = places_of(self._sources, self._models)
        found.is_asked[rows] = True
        num_files = Counter((row, number) for row, number, _ in wanted)
        for (row, number, _), answer in zip(wanted, answers, strict=True):
            if answer is None:
                found.is_asked[row] = False
            elif isinstance(answer, UnreadableError):
                found.outcome[row, number] = answer.outcome
            else:
                if found.outcome[row, number] == Outcome.EMPTY:
                    found.outcome[row, number] = Outcome.READ
                found.features[row, places[number]] += answer / num_files[row, number]

    def _describe_texts(
        self, found: _Batch, rows: NDArray[np.intp], data: Sequence[Mapping[str, Any]]
    ) -> None:
        """Describe texts of some tasks' data; one that says a number is none."""
        model = self._models.text
        if model is None:
            return
        places = places_of(self._sources, self._models)
        for number, source in enumerate(self._sources):
            if source.kind != "text":
                continue
            values = [one.get(source.key) for one in data]
            texts = ["" if number_of(value) is not None else text_of(value) for value in values]
            is_text = np.asarray([bool(text.strip()) for text in texts], dtype=bool)
            described = rows[is_text]
            found.outcome[described, number] = Outcome.READ
            found.features[described, places[number]] = np.clip(
                model.vectors([text for text in texts if text.strip()]), -LARGEST, LARGEST
            )

    def _save(
        self,
        info: ProjectInfo,
        tasks: NDArray[np.int64],
        contents: NDArray[np.uint64],
        batch: _Batch,
    ) -> None:
        is_asked = batch.is_asked
        if not is_asked.any():
            return
        is_read = is_asked & (batch.outcome == Outcome.READ).any(axis=1)
        rows: Arrays = {
            "task": tasks[is_asked],
            "content": contents[is_asked],
            "tried_at": np.full(np.count_nonzero(is_asked), time.time()),
            "outcome": batch.outcome[is_asked],
        }
        values: Arrays = {"task": tasks[is_read], "values": batch.features[is_read]}
        with self._store.lock():
            now = self._store.read_info()
            if now is None or now.questions != info.questions:
                raise NothingToComputeError(
                    f"The labeling config of project {self._store.project_id} changed while its "
                    "files were read.",
                    "The next sync reads them anew.",
                )
            with self._store.transaction() as changes:
                self._described.stage_replacement(changes, rows["task"], rows)
                self._descriptors.stage_replacement(changes, rows["task"], values)
                if is_read.any():
                    # What was trained without them is out of date.
                    newer = replace(now, data_version=now.data_version + 1)
                    self._store.stage_info(changes, newer)

    def report(self, *, is_done: bool) -> None:
        """Store how far this has come, as people see it."""
        with self._store.lock():
            info = self._store.read_info()
            if info is None:
                return
            tasks, rows = self._store.tasks.read(), self._described.read()
            rows = select(rows, _is_current(tasks, rows))
            report = MediaReport(
                recipe=self._recipe,
                data_version=info.data_version if is_done else -1,
                retried_at=info.fully_synced_at if is_done else 0.0,
                problems=self._problems,
                sources=tuple(
                    _report_of(source, len(tasks["task"]), rows["task"], rows["outcome"][:, number])
                    for number, source in enumerate(self._sources)
                ),
            )
            with self._store.transaction() as changes:
                self._store.stage_media(changes, report)
        for sentence in report.sentences():
            log.info("project %s: %s", self._store.project_id, sentence)


def _files_of(value: Any) -> list[Any]:
    """Files that a value of a task's data names; of several the first few are described."""
    values = value[:_MOST_FILES] if isinstance(value, list) else [value]
    return [
        one for one in values if one is not None and not (isinstance(one, str) and not one.strip())
    ]


def _has_failed(outcome: NDArray[np.uint16]) -> NDArray[np.bool_]:
    return np.isin(outcome, [Outcome.READ, Outcome.EMPTY], invert=True)


def _is_current(tasks: Arrays, rows: Arrays) -> NDArray[np.bool_]:
    """Which rows were found in the present content of a task that exists."""
    is_current: NDArray[np.bool_] = np.isin(rows["task"], tasks["task"])
    place = np.searchsorted(tasks["task"], rows["task"][is_current])
    is_current[is_current] = tasks["content"][place] == rows["content"][is_current]
    return is_current


def _due(tasks: Arrays, rows: Arrays, retry_before: float) -> NDArray[np.int64]:
    """Tasks whose files were never read in their present content, or are to be tried again."""
    is_current = _is_current(tasks, rows)
    failed_long_ago = _has_failed(rows["outcome"]).any(axis=1) & (rows["tried_at"] < retry_before)
    return np.setdiff1d(tasks["task"], rows["task"][is_current & ~failed_long_ago])


def _readable(rows: Arrays) -> dict[int, int]:
    """Content to one of the tasks of which all files were read."""
    has_failed = np.asarray(_has_failed(rows["outcome"]).any(axis=1))
    rows = select(rows, ~has_failed)
    return dict(zip(rows["content"].tolist(), rows["task"].tolist(), strict=True))


def _report_of(
    source: Source, num_tasks: int, tasks: NDArray[np.int64], outcome: NDArray[np.uint16]
) -> SourceReport:
    failed = _has_failed(outcome)
    codes, first, count = np.unique(outcome[failed], return_index=True, return_counts=True)
    failures = [
        Failure(int(code), int(number), int(tasks[failed][at]))
        for code, at, number in zip(codes, first, count, strict=True)
    ]
    return SourceReport(
        kind=source.kind,
        key=source.key,
        num_tasks=num_tasks,
        num_read=int((outcome == Outcome.READ).sum()),
        num_empty=int((outcome == Outcome.EMPTY).sum()),
        failures=tuple(sorted(failures, key=lambda one: -one.count)),
    )
