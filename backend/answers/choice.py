"""One of several choices: `<Choices choice="single">`."""

from __future__ import annotations

from dataclasses import replace

from label_studio_sdk.label_interface.control_tags import ControlTag

from backend.answers.form import ClassForm
from backend.label_studio.questions import JSON, AnswerType, Question, Source

_SINGLE = frozenset({"single", "single-radio"})


class Choice(ClassForm):
    """Exactly one of the config's choices."""

    type = AnswerType.CHOICE
    tag = "Choices"

    def fits(self, control: ControlTag) -> bool:
        """Whether annotators may take one choice only."""
        return mode_of(control) in _SINGLE

    def reason_against(self, control: ControlTag) -> str:
        """Why there is no consensus for a control tag that fits; empty if there is one."""
        return reason_against_choices(control)

    def question_of(self, control: ControlTag, sources: tuple[Source, ...]) -> Question:
        """Question whose classes are the config's choices, or those that annotators give."""
        return opened(super().question_of(control, sources), control)

    def class_in(self, question: Question, value: JSON) -> str | None:
        """Class that the value of a region gives; None if it gives none."""
        choices = value.get("choices")
        if isinstance(choices, list) and len(choices) == 1 and isinstance(choices[0], str):
            return choices[0]
        return None

    def value_of(self, question: Question, name: str) -> JSON:
        """Value of a region that gives a class."""
        return {"choices": [name]}


def opened(question: Question, control: ControlTag) -> Question:
    """Let annotators give the classes, where they come from the task data."""
    is_dynamic = bool(control.dynamic_value) or not control.labels
    return replace(question, is_open=is_dynamic)


def mode_of(control: ControlTag) -> str:
    """How many choices an annotator may take: the tag's `choice`."""
    return str((control.attr or {}).get("choice", "single"))


def reason_against_choices(control: ControlTag) -> str:
    """Why there are no choices for the whole task or a region; empty if there are."""
    if is_on(control, "allowNested"):
        return (
            "nested choices have no consensus, as Label Studio accepts them in no prediction; "
            "<Taxonomy> asks the same and is supported"
        )
    return reason_per_item(control)


def reason_per_item(control: ControlTag) -> str:
    """Why a control tag is about items of a content; empty if it is not."""
    if is_on(control, "perItem"):
        return "per-item answers have no consensus yet"
    return ""


def is_on(control: ControlTag, name: str) -> bool:
    """Whether an attribute, in whatever case it is written, says true."""
    return any(
        key.lower() == name.lower() and str(value).lower() == "true"
        for key, value in (control.attr or {}).items()
    )
