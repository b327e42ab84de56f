"""Answers that are one class, from the labeling config to regions and back."""

from typing import Any

import pytest

from backend.answers.forms import class_of, code_of, region_of
from backend.label_studio.controls import parse_config, validate_predictions
from backend.label_studio.questions import NO_LABEL, AnswerType, Question


def config_of(tag: str) -> str:
    return f'<View><Text name="text" value="$text"/><Text name="b" value="$b"/>{tag}</View>'


TREE = (
    '<Choice value="Animal"><Choice value="Dog"/><Choice value="Cat" alias="felis"/></Choice>'
    '<Choice value="Größe / 尺寸"/><Choice value="and/or 😀"><Choice value="/"/></Choice>'
)
STARS = '<Rating name="x" toName="text" maxRating="3"/>'
BETTER = '<Pairwise name="x" toName="text,b"/>'
ANY_NUMBER = '<Number name="x" toName="text"/>'
STEPS = '<Number name="x" toName="text" min="0" max="1" step="0.25"/>'
PATH = f'<Taxonomy name="x" toName="text" maxUsages="1">{TREE}</Taxonomy>'
LEAF = f'<Taxonomy name="x" toName="text" maxUsages="1" leafsOnly="true">{TREE}</Taxonomy>'
DYNAMIC = '<Choices name="x" toName="text" value="$options"/>'
MANY = (
    '<Choices name="x" toName="text">'
    + "".join(f'<Choice value="class, no. {n} 質 😀"/>' for n in range(500))
    + "</Choices>"
)


def asked(tag: str) -> Question:
    (question,) = parse_config(config_of(tag)).questions
    return question


def region(value: dict[str, Any]) -> dict[str, Any]:
    return {"from_name": "x", "to_name": "text", "value": value}


@pytest.mark.parametrize(
    ("tag", "type_", "classes", "is_open"),
    [
        (STARS, AnswerType.RATING, ("1", "2", "3"), False),
        ('<Rating name="x" toName="text"/>', AnswerType.RATING, tuple("12345"), False),
        (BETTER, AnswerType.PAIRWISE, ("left", "right"), False),
        (ANY_NUMBER, AnswerType.NUMBER, (), True),
        (STEPS, AnswerType.NUMBER, ("0", "0.25", "0.5", "0.75", "1"), True),
        ('<Number name="x" toName="text" min="-1" max="1"/>', AnswerType.NUMBER,
         ("-1", "0", "1"), True),
        ('<Number name="x" toName="text" min="0" max="50"/>', AnswerType.NUMBER, (), True),
        ('<Number name="x" toName="text" min="3" max="1"/>', AnswerType.NUMBER, (), True),
        ('<Number name="x" toName="text" min="0" max="5" step="0"/>', AnswerType.NUMBER, (), True),
        ('<Number name="x" toName="text" min="low" max="5"/>', AnswerType.NUMBER, (), True),
        (PATH, AnswerType.PATH,
         ("Animal", "Animal / Dog", "Animal / felis", r"Größe \/ 尺寸", "and/or 😀",
          r"and/or 😀 / \/"), False),
        (LEAF, AnswerType.PATH,
         ("Animal / Dog", "Animal / felis", r"Größe \/ 尺寸", r"and/or 😀 / \/"), False),
        ('<Taxonomy name="x" toName="text" maxUsages="1" apiUrl="http://paths"/>',
         AnswerType.PATH, (), True),
        (DYNAMIC, AnswerType.CHOICE, (), True),
    ],
)  # fmt: skip
def test_tags_are_questions(
    tag: str, type_: AnswerType, classes: tuple[str, ...], is_open: bool
) -> None:
    question = asked(tag)
    assert (question.type, question.classes, question.is_open) == (type_, classes, is_open)
    assert type_.is_class
    assert Question.from_json(question.to_json()) == question


@pytest.mark.parametrize(
    ("tag", "value", "name"),
    [
        (STARS, {"rating": 2}, "2"),
        (STARS, {"rating": 2.0}, "2"),
        (STARS, {"rating": 0}, None),
        (STARS, {"rating": 4}, None),
        (STARS, {"rating": 1.5}, None),
        (STARS, {"rating": "2"}, None),
        (STARS, {"rating": float("nan")}, None),
        (STARS, {}, None),
        (BETTER, {"selected": "right"}, "right"),
        (BETTER, {"selected": "neither"}, None),
        (BETTER, {"selected": ["left"]}, None),
        (ANY_NUMBER, {"number": 3}, "3"),
        (ANY_NUMBER, {"number": 3.0}, "3"),
        (ANY_NUMBER, {"number": -0.0}, "0"),
        (ANY_NUMBER, {"number": 2.5}, "2.5"),
        (ANY_NUMBER, {"number": 1e-7}, "1e-07"),
        (ANY_NUMBER, {"number": float("inf")}, None),
        (ANY_NUMBER, {"number": True}, None),
        (ANY_NUMBER, {"number": "3"}, None),
        (PATH, {"taxonomy": [["Animal", "felis"]]}, "Animal / felis"),
        (PATH, {"taxonomy": [["Animal"], ["Animal", "Dog"]]}, None),
        (PATH, {"taxonomy": [["Plant"]]}, None),
        (PATH, {"taxonomy": [[]]}, None),
        (PATH, {"taxonomy": [["Animal", 3]]}, None),
        (PATH, {"taxonomy": "Animal"}, None),
        (LEAF, {"taxonomy": [["Animal"]]}, None),
        (DYNAMIC, {"choices": ["whatever, 質 😀"]}, "whatever, 質 😀"),
        (DYNAMIC, {"choices": ["a", "b"]}, None),
        (MANY, {"choices": ["class, no. 499 質 😀"]}, "class, no. 499 質 😀"),
    ],
)
def test_answers_are_read(tag: str, value: dict[str, Any], name: str | None) -> None:
    assert class_of(asked(tag), [region(value)]) == name


def test_a_class_that_is_not_known_yet_has_no_code() -> None:
    question = asked(ANY_NUMBER).with_classes(["7"])
    assert code_of(question, [region({"number": 7})]) == 0
    assert code_of(question, [region({"number": 8})]) == NO_LABEL


@pytest.mark.parametrize(
    ("tag", "more"),
    [
        (STARS, ()),
        (BETTER, ()),
        (ANY_NUMBER, ("3", "-2.5", "1e-07")),
        (STEPS, ()),
        (PATH, ()),
        (LEAF, ()),
        (DYNAMIC, ("a, b", "質 😀")),
        (MANY, ()),
    ],
)
def test_every_class_is_said_back_as_label_studio_accepts_it(
    tag: str, more: tuple[str, ...]
) -> None:
    question = asked(tag).with_classes(more)
    regions = [region_of(question, code) for code in range(len(question.classes))]
    assert [code_of(question, [one]) for one in regions] == list(range(len(regions)))
    validate_predictions(
        config_of(tag), [{"task": 1, "result": [one], "score": 0.5} for one in regions]
    )


def test_numbers_stand_for_themselves() -> None:
    assert asked(STEPS).values == (0.0, 0.25, 0.5, 0.75, 1.0)
    assert asked(STARS).values == (1.0, 2.0, 3.0)
    assert asked(BETTER).values is None


@pytest.mark.parametrize(
    ("kind", "code"),
    [("rating", 3), ("pairwise", 0), ("taxonomy", None), ("number", None)],
)
def test_recorded_results_are_read(recorded: Any, kind: str, code: int | None) -> None:
    case = recorded("control_tag_results.json")[kind]
    (question,) = parse_config(case["label_config"]).questions
    if code is not None:
        assert code_of(question, case["annotation_result_from_export"]) == code
    elif question.type.is_class:
        assert class_of(question, case["annotation_result_from_export"]) == "3"
    else:
        assert question.type is AnswerType.PATHS


def test_a_question_continues_with_more_classes_only_where_annotators_bring_them() -> None:
    number, stars = asked(STEPS), asked(STARS)
    assert number.with_classes(["7"]).continues(number)
    assert not number.continues(number.with_classes(["7"]))
    assert not asked(ANY_NUMBER).with_classes(["7"]).continues(number)
    assert stars.continues(stars)
    assert not stars.with_classes(["4"]).continues(stars)
