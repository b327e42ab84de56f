"""A number of stars: `<Rating>`."""

from __future__ import annotations

from dataclasses import replace

from label_studio_sdk.label_interface.control_tags import ControlTag

from backend.answers.choice import reason_per_item
from backend.answers.form import ClassForm
from backend.label_studio.questions import JSON, AnswerType, Question, Source

_DEFAULT_STARS = 5
_MOST_STARS = 100


class Rating(ClassForm):
    """One to `maxRating` stars; no star is no answer."""

    type = AnswerType.RATING
    tag = "Rating"

    def reason_against(self, control: ControlTag) -> str:
        """Why there is no consensus for a control tag that fits; empty if there is one."""
        if not 1 <= _stars_of(control) <= _MOST_STARS:
            given = (control.attr or {}).get("maxRating")
            return f'its maxRating="{given}" is no number from 1 to {_MOST_STARS}'
        return reason_per_item(control)

    def question_of(self, control: ControlTag, sources: tuple[Source, ...]) -> Question:
        """Question whose classes are the numbers of stars."""
        stars = tuple(str(star) for star in range(1, _stars_of(control) + 1))
        return replace(super().question_of(control, sources), classes=stars)

    def class_in(self, question: Question, value: JSON) -> str | None:
        """Class that the value of a region gives; None if it gives none."""
        rating = value.get("rating")
        return str(int(rating)) if isinstance(rating, int | float) and rating % 1 == 0 else None

    def value_of(self, question: Question, name: str) -> JSON:
        """Value of a region that gives a class."""
        return {"rating": int(name)}


def _stars_of(control: ControlTag) -> int:
    """Most stars that an annotator may give; 0 if the config gives no whole number."""
    given = str((control.attr or {}).get("maxRating", _DEFAULT_STARS))
    return int(given) if given.isdecimal() else 0
