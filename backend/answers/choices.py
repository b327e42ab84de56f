"""Any number of choices: `<Choices choice="multiple">`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from label_studio_sdk.label_interface.control_tags import ControlTag
from numpy.typing import NDArray

from backend.answers.choice import mode_of, opened, reason_against_choices
from backend.answers.form import Answers, PartQuality, Solution, StructuredForm, Value
from backend.answers.several import in_order, likeness_of_sets, region_with, solve_sets
from backend.label_studio.questions import JSON, AnswerType, Question, Source


class Choices(StructuredForm):
    """A set of choices; an annotation without any says that none applies."""

    type = AnswerType.CHOICES
    tag = "Choices"

    def fits(self, control: ControlTag) -> bool:
        """Whether annotators may take several choices."""
        return mode_of(control) == "multiple"

    def reason_against(self, control: ControlTag) -> str:
        """Why there is no consensus for a control tag that fits; empty if there is one."""
        return reason_against_choices(control)

    def question_of(self, control: ControlTag, sources: tuple[Source, ...]) -> Question:
        """Question whose classes are the config's choices, or those that annotators give."""
        return opened(super().question_of(control, sources), control)

    def answer_in(self, question: Question, result: Sequence[object]) -> list[str]:
        """Choices that an annotation's result gives, in the config's order."""
        chosen: set[str] = set()
        for value in question.values_in(result):
            choices = value.get("choices")
            if isinstance(choices, list):
                chosen |= {choice for choice in choices if isinstance(choice, str)}
        return in_order(question, chosen)

    def regions_of(
        self, question: Question, answer: Value, quality: PartQuality, contents: JSON
    ) -> list[JSON]:
        """One region with all choices; none if no choice applies."""
        return region_with(question, "choices", answer)

    def words_of_part(self, question: Question, part: Any, contents: JSON) -> str:
        """Return the choice itself."""
        return str(part)

    def likeness(
        self, question: Question, pairs: Sequence[tuple[Value, Value]]
    ) -> NDArray[np.float64]:
        """Return the F1 score of the one set against the other."""
        return likeness_of_sets(pairs)

    def solve(self, question: Question, answers: Answers) -> Solution:
        """Find the consensus on every choice, and on all of them together."""
        return solve_sets(question, answers)
