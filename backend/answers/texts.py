"""Free text: `<TextArea>`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from label_studio_sdk.label_interface.control_tags import ControlTag
from numpy.typing import NDArray

from backend.answers.form import Answers, PartQuality, Solution, StructuredForm, Value
from backend.label_studio.questions import JSON, AnswerType, Question
from crowdlab_engine.texts import TextConsensus, edit_closeness, normalised


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
        self, question: Question, answer: Value, quality: PartQuality, contents: JSON
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

    def words_of_part(self, question: Question, part: Any, contents: JSON) -> str:
        """Return the text itself."""
        return str(part)

    def words_of(self, question: Question, answer: Value, contents: JSON) -> str:
        """Texts on one line."""
        return " / ".join(" ".join(str(part).split()) for part in answer)

    def likeness(
        self, question: Question, pairs: Sequence[tuple[Value, Value]]
    ) -> NDArray[np.float64]:
        """Return the share of characters that need no edit; see `edit_closeness`."""
        compared = [(_compared(one), _compared(other)) for one, other in pairs]
        found = np.ones(len(pairs))
        differ = [place for place, (one, other) in enumerate(compared) if one != other]
        found[differ] = edit_closeness(
            [compared[place][0] for place in differ], [compared[place][1] for place in differ]
        )
        return found

    def solve(self, question: Question, answers: Answers) -> Solution:
        """Find the answer of each task that is closest to all others.

        Several texts of one answer are compared as the lines of one. Each has the quality of
        the whole.
        """
        fitted = TextConsensus().fit(
            answers.task,
            answers.annotator,
            [_joined(value) for value in answers.values],
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


_LONGEST = TextConsensus().longest
"""Characters that are compared, as `TextConsensus` does."""


def _compared(value: Value) -> str:
    """Return the text of an answer as it is compared."""
    return normalised(_joined(value)[: 4 * _LONGEST])[:_LONGEST]


def _joined(value: Value) -> str:
    """Texts of one answer, as the lines of one."""
    return "\n".join(value)
