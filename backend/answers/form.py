"""What a form of answers has to say for itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from label_studio_sdk.label_interface.control_tags import ControlTag
from numpy.typing import NDArray

from backend.answers.paths import Tree
from backend.label_studio.questions import JSON, AnswerType, Question, Source

Value = list[Any]
"""An answer that is no class, as plain JSON: its parts."""


class Form(ABC):
    """How the answers of one type are found in a labeling config, read and written."""

    type: ClassVar[AnswerType]
    tag: ClassVar[str]
    """Control tag whose answers these are."""

    def fits(self, control: ControlTag) -> bool:
        """Whether a control tag of this name asks for answers of this form."""
        return True

    @abstractmethod
    def reason_against(self, control: ControlTag) -> str:
        """Why there is no consensus for a control tag that fits; empty if there is one."""

    def question_of(self, control: ControlTag, sources: tuple[Source, ...]) -> Question:
        """Question that a control tag of this form asks.

        Parameters
        ----------
        control
            Fits, and has no reason against it.
        sources
            Contents that annotators see.
        """
        return Question(
            name=str(control.name),
            to_name=str(next(iter(control.to_name or ()))),
            classes=tuple(dict.fromkeys(str(label) for label in control.labels or ())),
            sources=sources,
            type=self.type,
        )

    def completed(self, question: Question, control: ControlTag, element: Tree) -> Question:
        """Question with what only the config's tree tells; as it is by default.

        Parameters
        ----------
        element
            The control tag in the tree of the labeling config.
        """
        return question


class ClassForm(Form):
    """Answers that are one class: their code is its position."""

    most_classes: ClassVar[int] = 500
    """Different classes up to which annotators can add to those of the config."""

    @abstractmethod
    def class_in(self, question: Question, value: JSON) -> str | None:
        """Class that the value of a region gives; None if it gives none."""

    @abstractmethod
    def value_of(self, question: Question, name: str) -> JSON:
        """Value of a region that gives a class."""


class StructuredForm(Form):
    """Answers that consist of parts: their code is their number in the answer book."""

    needs_contents: ClassVar[bool] = False
    """Whether what annotators saw has to be known to find the consensus."""

    @abstractmethod
    def answer_in(self, question: Question, result: Sequence[object]) -> Value | None:
        """Answer that an annotation's result gives, in a form that is equal for equal answers.

        Parts that make no sense (an unknown class, an impossible place) are left out.

        Returns
        -------
        Value or None
            None if the annotation leaves the question open.
        """

    @abstractmethod
    def regions_of(
        self, question: Question, answer: Value, quality: NDArray[np.float64]
    ) -> list[JSON]:
        """Regions of a prediction's result that give an answer.

        Parameters
        ----------
        quality
            Quality of each part of the answer, 0 to 1; empty if it is not known.
        """

    @abstractmethod
    def words_of_part(self, question: Question, part: Any) -> str:
        """One part of an answer, for people."""

    def words_of(self, question: Question, answer: Value) -> str:
        """Answer on one line, for people."""
        return ", ".join(self.words_of_part(question, part) for part in answer) or "nothing"

    @abstractmethod
    def solve(self, question: Question, answers: Answers) -> Solution:
        """Find the consensus of all tasks."""


@dataclass(frozen=True, eq=False)
class Answers:
    """What M annotators answered to a question about N tasks, L answers in all."""

    tasks: NDArray[np.int64]
    """Ids of the tasks, ascending, shape (N,)."""
    annotators: NDArray[np.int64]
    """Ids of the annotators, ascending, shape (M,)."""
    task: NDArray[np.int64]
    """Position of each answer's task, ascending, shape (L,)."""
    annotator: NDArray[np.int64]
    """Position of each answer's annotator, shape (L,)."""
    values: Sequence[Value]
    """The answers, length L."""
    pred_probs: NDArray[np.float64] | None = None
    """A classifier's probabilities, as the form defines them; None without a classifier."""
    method: Literal["crowdlab", "fusion"] = "crowdlab"
    """How the consensus on classes is found."""
    contents: Mapping[int, JSON] = field(default_factory=dict)
    """Task id to the contents that its annotators saw, by key of the task's data."""


@dataclass(frozen=True, eq=False)
class Solution:
    """Consensus and qualities of one question."""

    values: Sequence[Value | None]
    """Consensus of each task, length N; None without answers."""
    quality: NDArray[np.float64]
    """How far the consensus can be trusted as a whole, 0 to 1, shape (N,); NaN without answers."""
    agreement: NDArray[np.float64]
    """Share of the task's answers that equal the consensus, shape (N,); NaN without answers."""
    answer_quality: NDArray[np.float64]
    """Quality of each answer, 0 to 1, shape (L,)."""
    part_quality: Sequence[NDArray[np.float64]]
    """Quality of each part of each task's consensus, 0 to 1, in the consensus' order."""
    annotator_stats: pd.DataFrame
    """A row per annotator, indexed by id, with the columns `annotator_quality`,
    `agreement_with_consensus`, `worst_class` (class code, -1 if there is none),
    `num_examples_labeled` and `enough_data`."""
    model_weight: float | None = 0.0
    """Weight of the classifier; 0 without one, None if the method knows no such number."""
    classifier: str = ""
    """What the classifier was, if this form has trained its own; else empty."""
    not_counted: str = ""
    """What of the answers could not be used, and why; empty if all could."""
