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


@dataclass(frozen=True)
class PartQuality:
    """How probable the parts of an answer are, and what is said of each of them."""

    parts: Sequence[float] = ()
    """Of each part, 0 to 1; empty if it is not known."""
    attached: Sequence[Mapping[str, float]] = ()
    """Of each part, the control's name to the quality of its answer, 0 to 1; empty if it is
    not known."""

    @classmethod
    def of(cls, form: StructuredForm, answer: Value, stored: NDArray[np.float64]) -> PartQuality:
        """Inverse of `row`; nothing is known where the answer is another one."""
        names = [sorted(form.attached_to(part)) for part in answer]
        parts = stored[: len(answer)].tolist()
        rest = stored[len(answer) :].tolist()
        if len(parts) < len(answer) or (rest and len(rest) != sum(map(len, names))):
            return cls()
        if not rest:
            return cls(parts)
        left = iter(rest)
        return cls(parts, [{name: next(left) for name in some} for some in names])

    def row(self) -> NDArray[np.float64]:
        """For storage: of all parts, then of what is said of the first, of the second, by name."""
        attached = [some[name] for some in self.attached for name in sorted(some)]
        return np.array([*self.parts, *attached], dtype=np.float64)


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

    def reason_to_give_up(self, question: Question, result: Sequence[object]) -> str:
        """Why an annotation's result shows that there is no consensus; empty if it does not."""
        return ""


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
        self, question: Question, answer: Value, quality: PartQuality, contents: JSON
    ) -> list[JSON]:
        """Regions of a prediction's result that give an answer.

        Parameters
        ----------
        contents
            What the task's annotators saw, by key of its data; empty if it is not known.
        """

    @abstractmethod
    def words_of_part(self, question: Question, part: Any, contents: JSON) -> str:
        """One part of an answer, for people; `contents` as for `regions_of`."""

    def words_of(self, question: Question, answer: Value, contents: JSON) -> str:
        """Answer on one line, for people; `contents` as for `regions_of`."""
        parts = (self.words_of_part(question, part, contents) for part in answer)
        return ", ".join(parts) or "nothing"

    def attached_to(self, part: Any) -> JSON:
        """Answers to what was asked of a part, by the control's name; see `attached`."""
        return {}

    @abstractmethod
    def likeness(
        self, question: Question, pairs: Sequence[tuple[Value, Value]]
    ) -> NDArray[np.float64]:
        """How alike two answers are, for each of P pairs.

        What was asked of a part makes no difference.

        Returns
        -------
        ndarray of float64, shape (P,)
            From 0, nothing in common, to 1, they say the same.
        """

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
    """Quality of each part of each task's consensus, 0 to 1, in the consensus' order; then, as
    `PartQuality.row` has it, that of what is said of the parts."""
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
