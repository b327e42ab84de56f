"""Consensus answers as regions of a prediction's result."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from backend.answers.forms import region_of, structured_form
from backend.label_studio.questions import JSON, NO_LABEL
from backend.store.arrays import Arrays
from backend.store.project import ProjectInfo, ProjectStore


class AnswerRegions:
    """Regions that give the consensus of some tasks.

    Parameters
    ----------
    rows
        `task`, ascending, and `label`, shape (B, Q): codes of the consensus.
    """

    def __init__(self, store: ProjectStore, info: ProjectInfo, rows: Arrays) -> None:
        self._questions = info.questions
        self._label = rows["label"]
        structured = [number for number, one in enumerate(self._questions) if not one.type.is_class]
        self._answers = store.answer_book.read(np.unique(self._label[:, structured]).tolist())
        self._parts = (
            store.consensus_parts.read(rows["task"]) if structured and len(rows["task"]) else None
        )
        self._task = rows["task"]

    def parts_of(self, place: int, number: int) -> list[tuple[str, float | None]]:
        """Parts of a consensus that is no class, in words, with their quality if it is known.

        Parameters
        ----------
        place, number
            Place of the task, and position of the question.
        """
        answer = self._answers.get(int(self._label[place, number]))
        if answer is None or self._questions[number].type.is_class:
            return []
        question = self._questions[number]
        form = structured_form(question)
        quality: list[float | None] = [*self._quality(int(self._task[place]), number).tolist()]
        if len(quality) != len(answer):
            quality = [None] * len(answer)
        words = [form.words_of_part(question, part) for part in answer]
        return list(zip(words, quality, strict=True))

    def of(self, place: int) -> list[JSON]:
        """Result of the prediction of a task, given by its place: regions per question."""
        return list(self._regions_of(place))

    def _regions_of(self, place: int) -> Iterator[JSON]:
        for number, question in enumerate(self._questions):
            code = int(self._label[place, number])
            if code == NO_LABEL:
                continue
            if question.type.is_class:
                yield region_of(question, code)
            elif code in self._answers:
                answer = self._answers[code]
                quality = self._quality(int(self._task[place]), number)
                # What a rolled-back version said has other parts than the present consensus.
                known = quality if len(quality) == len(answer) else quality[:0]
                yield from structured_form(question).regions_of(question, answer, known)

    def _quality(self, task: int, number: int) -> NDArray[np.float64]:
        parts = self._parts
        if parts is None:
            return np.empty(0)
        first, last = np.searchsorted(parts["task"], [task, task + 1])
        own = parts["question"][first:last] == number
        quality: NDArray[np.float64] = parts["quality"][first:last][own].astype(np.float64)
        return quality
