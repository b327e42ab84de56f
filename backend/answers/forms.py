"""Every form of answers, and what is done with a question by its form."""

from __future__ import annotations

from collections.abc import Sequence

from label_studio_sdk.label_interface.control_tags import ControlTag

from backend.answers.choice import Choice
from backend.answers.choices import Choices
from backend.answers.form import ClassForm, Form, StructuredForm
from backend.answers.label import Label
from backend.answers.number import Number
from backend.answers.objects import Boxes, KeyPoints
from backend.answers.pairwise import Pairwise
from backend.answers.paths import Tree
from backend.answers.rating import Rating
from backend.answers.spans import Spans
from backend.answers.taxonomy import Path, Paths
from backend.answers.texts import Texts
from backend.label_studio.questions import JSON, NO_LABEL, Question, Source

_FORMS: tuple[Form, ...] = (
    Choice(),
    Choices(),
    Rating(),
    Pairwise(),
    Number(),
    Path(),
    Paths(),
    Label(),
    Spans(),
    Boxes(),
    KeyPoints(),
    Texts(),
)

_CLASS_FORMS = {form.type: form for form in _FORMS if isinstance(form, ClassForm)}
_STRUCTURED_FORMS = {form.type: form for form in _FORMS if isinstance(form, StructuredForm)}


def question_of(control: ControlTag, sources: tuple[Source, ...], element: Tree) -> Question | str:
    """Question that a control tag asks, or why there is no consensus for it.

    Parameters
    ----------
    element
        The control tag in the tree of the labeling config.
    """
    forms = [form for form in _FORMS if form.tag == control.tag]
    form = next((form for form in forms if form.fits(control)), None)
    if form is None:
        attributes = ", ".join(f'{name}="{value}"' for name, value in (control.attr or {}).items())
        kind = f" with {attributes}" if forms else ""
        return f"{control.tag} tags{kind} have no consensus yet"
    if reason := form.reason_against(control):
        return reason
    return form.completed(form.question_of(control, sources), control, element)


def structured_form(question: Question) -> StructuredForm:
    """Form of the answers to a question that are no class."""
    return _STRUCTURED_FORMS[question.type]


def needs_contents(questions: Sequence[Question]) -> bool:
    """Whether what annotators saw has to be known to find the consensus on some question."""
    return any(
        not question.type.is_class and structured_form(question).needs_contents
        for question in questions
    )


def class_of(question: Question, result: Sequence[object]) -> str | None:
    """Class that an annotation's result gives, else None.

    Anything but exactly one class that there can be (nothing chosen, several chosen, a class
    that the config no longer has) is no label.
    """
    form = _CLASS_FORMS[question.type]
    for value in question.values_in(result):
        name = form.class_in(question, value)
        if name is not None and (question.is_open or name in question.classes):
            return name
    return None


def code_of(question: Question, result: Sequence[object]) -> int:
    """Code of the class that an annotation's result gives, else `NO_LABEL`."""
    name = class_of(question, result)
    return question.classes.index(name) if name in question.classes else NO_LABEL


def reason_to_give_up(question: Question, result: Sequence[object]) -> str:
    """Why an annotation's result shows that a question has no consensus; empty if it does not."""
    if not question.type.is_class:
        return ""
    return _CLASS_FORMS[question.type].reason_to_give_up(question, result)


def most_classes(question: Question) -> int:
    """Different classes up to which annotators can add to those of the config."""
    return _CLASS_FORMS[question.type].most_classes


def region_of(question: Question, code: int) -> JSON:
    """Region of a prediction's result that says class `code`."""
    form = _CLASS_FORMS[question.type]
    return {
        "from_name": question.name,
        "to_name": question.to_name,
        "type": form.tag.lower(),
        "value": form.value_of(question, question.classes[code]),
    }
