"""A number: `<Number>`, of which annotators give few different ones."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import isfinite

from label_studio_sdk.label_interface.control_tags import ControlTag

from backend.answers.choice import reason_per_item
from backend.answers.form import ClassForm
from backend.label_studio.questions import JSON, AnswerType, Question, Source

MOST_NUMBERS = 50
"""Different numbers up to which they are classes."""


class Number(ClassForm):
    """One of a few numbers: those between `min` and `max`, and those that annotators give."""

    type = AnswerType.NUMBER
    tag = "Number"
    most_classes = MOST_NUMBERS

    def reason_against(self, control: ControlTag) -> str:
        """Why there is no consensus for a control tag that fits; empty if there is one."""
        return reason_per_item(control)

    def question_of(self, control: ControlTag, sources: tuple[Source, ...]) -> Question:
        """Question whose classes begin with the steps between bounds, if there are few."""
        base = super().question_of(control, sources)
        return replace(base, classes=_steps_of(control), is_open=True)

    def class_in(self, question: Question, value: JSON) -> str | None:
        """Class that the value of a region gives; None if it gives none."""
        number = value.get("number")
        if isinstance(number, bool) or not isinstance(number, int | float) or not isfinite(number):
            return None
        return _name_of(number)

    def value_of(self, question: Question, name: str) -> JSON:
        """Value of a region that gives a class."""
        number = float(name)
        return {"number": int(number) if number.is_integer() else number}


def _name_of(number: float) -> str:
    """Shortest decimal form, the same for equal numbers."""
    plain = float(number)
    return str(int(plain)) if plain.is_integer() else repr(plain)


def _steps_of(control: ControlTag) -> tuple[str, ...]:
    """Numbers that a tag with both bounds lets annotators give; empty if they are many."""
    attributes = control.attr or {}
    try:
        low, high = Fraction(attributes["min"]), Fraction(attributes["max"])
        step = Fraction(attributes.get("step", "1"))
    except (KeyError, ValueError, ZeroDivisionError):
        return ()
    if step <= 0 or not 0 <= (high - low) // step < MOST_NUMBERS:
        return ()
    return tuple(_name_of(float(low + step * n)) for n in range((high - low) // step + 1))
