"""The better of two objects: `<Pairwise>`."""

from __future__ import annotations

from dataclasses import replace

from label_studio_sdk.label_interface.control_tags import ControlTag

from backend.answers.form import ClassForm
from backend.label_studio.questions import JSON, AnswerType, Question, Source

_SIDES = ("left", "right")


class Pairwise(ClassForm):
    """The left or the right object."""

    type = AnswerType.PAIRWISE
    tag = "Pairwise"

    def reason_against(self, control: ControlTag) -> str:
        """Why there is no consensus for a control tag that fits; empty if there is one."""
        if len(control.objects or ()) != len(_SIDES):
            return "it does not name the two objects that it compares"
        return ""

    def question_of(self, control: ControlTag, sources: tuple[Source, ...]) -> Question:
        """Question whose classes are the two sides, by the names that results give them."""
        return replace(super().question_of(control, sources), classes=_SIDES)

    def class_in(self, question: Question, value: JSON) -> str | None:
        """Class that the value of a region gives; None if it gives none."""
        selected = value.get("selected")
        return selected if isinstance(selected, str) else None

    def value_of(self, question: Question, name: str) -> JSON:
        """Value of a region that gives a class."""
        return {"selected": name}
