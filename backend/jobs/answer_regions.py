"""Consensus answers as regions of a prediction's result."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.answers.attached import attached_words
from backend.answers.form import PartQuality
from backend.answers.forms import needs_contents, region_of, structured_form
from backend.label_studio.questions import JSON, NO_LABEL
from backend.store.arrays import Arrays
from backend.store.project import ProjectInfo, ProjectStore


@dataclass(frozen=True)
class RegionPart:
    """One part of a consensus that is no class."""

    words: str
    quality: float | None
    """Probability that it is right, 0 to 1; None if it is not known."""
    attached: tuple[tuple[str, str, float | None], ...]
    """What is said of it: name of the control, the answer in words, and its quality."""


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
        self._contents = store.contents_of(rows["task"]) if needs_contents(info.questions) else {}

    def parts_of(self, place: int, number: int) -> list[RegionPart]:
        """Parts of a consensus that is no class.

        Parameters
        ----------
        place, number
            Place of the task, and position of the question.
        """
        answer = self._answers.get(int(self._label[place, number]))
        if answer is None or self._questions[number].type.is_class:
            return []
        question, task = self._questions[number], int(self._task[place])
        form = structured_form(question)
        quality = PartQuality.of(form, answer, self._quality(task, number))
        found = []
        for at, part in enumerate(answer):
            sure = quality.attached[at] if quality.attached else {}
            attached = attached_words(question, form.attached_to(part))
            found.append(
                RegionPart(
                    form.words_of_part(question, part, self._contents.get(task, {})),
                    quality.parts[at] if quality.parts else None,
                    tuple((name, words, sure.get(name)) for name, words in attached.items()),
                )
            )
        return found

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
                answer, form = self._answers[code], structured_form(question)
                task = int(self._task[place])
                # What a rolled-back version said has other parts than the present consensus.
                quality = PartQuality.of(form, answer, self._quality(task, number))
                contents = self._contents.get(task, {})
                yield from form.regions_of(question, answer, quality, contents)

    def _quality(self, task: int, number: int) -> NDArray[np.float64]:
        parts = self._parts
        if parts is None:
            return np.empty(0)
        first, last = np.searchsorted(parts["task"], [task, task + 1])
        own = parts["question"][first:last] == number
        quality: NDArray[np.float64] = parts["quality"][first:last][own].astype(np.float64)
        return quality
