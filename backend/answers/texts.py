"""Free text: `<TextArea>`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from label_studio_sdk.label_interface.control_tags import ControlTag
from numpy.typing import NDArray

from backend.answers.form import Answers, Solution, StructuredForm, Value
from backend.label_studio.questions import JSON, AnswerType, Question
from crowdlab_engine.texts import TextConsensus


class Texts(StructuredForm):
    """What annotators wrote: one text, or several where the tag takes more."""

    type = AnswerType.TEXTS
    tag = "TextArea"

    def reason_against(self, control: ControlTag) -> str:
        """Why there is no consensus for a control tag; empty if there is one."""
        if (control.attr or {}).get("perRegion", "false").lower() == "true":
            return "per-region texts have no consensus yet"
        return ""

    def answer_in(self, question: Question, result: Sequence[object]) -> list[str] | None:
        """Texts that an annotation's result gives, in order; None if there is none."""
        texts: list[str] = []
        for value in question.values_in(result):
            given = value.get("text")
            if isinstance(given, list):
                texts += [text.strip() for text in given if isinstance(text, str)]
            elif isinstance(given, str):
                texts.append(given.strip())
        return [text for text in texts if text] or None

    def regions_of(
        self, question: Question, answer: Value, quality: NDArray[np.float64]
    ) -> list[JSON]:
        """One region with all texts."""
        return [
            {
                "from_name": question.name,
                "to_name": question.to_name,
                "type": "textarea",
                "value": {"text": list(answer)},
            }
        ]

    def words_of_part(self, question: Question, part: Any) -> str:
        """Return the text itself."""
        return str(part)

    def words_of(self, question: Question, answer: Value) -> str:
        """Texts on one line."""
        return " / ".join(" ".join(str(part).split()) for part in answer)

    def solve(self, question: Question, answers: Answers) -> Solution:
        """Find the answer of each task that is closest to all others.

        Several texts of one answer are compared as the lines of one. Each has the quality of
        the whole.
        """
        fitted = TextConsensus().fit(
            answers.task,
            answers.annotator,
            ["\n".join(value) for value in answers.values],
            num_tasks=len(answers.tasks),
            annotator_ids=answers.annotators,
        )
        chosen = fitted.consensus_answer_.tolist()
        values = [None if place < 0 else answers.values[place] for place in chosen]
        quality = fitted.consensus_quality_score_
        return Solution(
            values=values,
            quality=quality,
            agreement=fitted.annotator_agreement_,
            answer_quality=fitted.answer_quality_,
            part_quality=[
                np.full(0 if value is None else len(value), one)
                for value, one in zip(values, quality.tolist(), strict=True)
            ],
            annotator_stats=fitted.annotator_stats_,
        )
