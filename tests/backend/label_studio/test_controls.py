"""Labeling configs and the labels in results."""

from typing import Any

import pytest

from backend.answers.forms import code_of, region_of
from backend.errors import UnsupportedProjectError
from backend.label_studio.controls import parse_config, validate_predictions, with_numbers
from backend.label_studio.questions import NO_LABEL, Question, Source

TEXT = '<Text name="text" value="$text"/>'
SINGLE = (
    '<Choices name="label" toName="text" choice="single">'
    '<Choice value="positive"/><Choice value="negative"/></Choices>'
)


def view(*tags: str) -> str:
    return f"<View>{''.join(tags)}</View>"


def test_a_single_choice_is_a_question() -> None:
    config = parse_config(view(TEXT, SINGLE))
    assert config.questions == (
        Question("label", "text", ("positive", "negative"), (Source("text", "text"),)),
    )
    assert config.unsupported == {}


def test_each_control_tag_is_a_question_of_its_own() -> None:
    image = '<Image name="picture" value="$image"/>'
    other = (
        '<Choices name="second" toName="picture"><Choice value="a" alias="A1"/>'
        '<Choice value="ü, 😀 日本"/></Choices>'
    )
    first, second = parse_config(view(TEXT, image, SINGLE, other)).questions
    assert (first.name, first.to_name) == ("label", "text")
    assert second.classes == ("A1", "ü, 😀 日本")
    assert second.sources == (Source("text", "text"), Source("image", "image"))


@pytest.mark.parametrize(
    ("tag", "kind"),
    [
        ('<HyperText name="text" value="$it"/>', "text"),
        ('<Paragraphs name="text" value="$it" layout="dialogue"/>', "text"),
        ('<Table name="text" value="$it"/>', "text"),
        ('<Image name="text" value="$it"/>', "image"),
        ('<Image name="text" valueList="$it"/>', "image"),
        ('<Audio name="text" value="$it"/>', "audio"),
        ('<Text name="text" value="$it" valueType="url"/>', None),
        ('<Video name="text" value="$it"/>', None),
        ('<Text name="text" value="always the same"/>', None),
    ],
)
def test_what_annotators_see_can_be_learned_from(tag: str, kind: str | None) -> None:
    (question,) = parse_config(view(tag, SINGLE)).questions
    assert question.sources == ((Source(kind, "it"),) if kind else ())


def test_numbers_that_nobody_sees_can_be_learned_from() -> None:
    questions = parse_config(view(TEXT, SINGLE)).questions
    (question,) = with_numbers(questions, ["price", "size", "price"])
    text, price, size = question.sources
    assert (text.kind, price, size) == ("text", Source("number", "price"), Source("number", "size"))
    assert with_numbers(questions, []) == questions


@pytest.mark.parametrize(
    ("tag", "reason"),
    [
        ('<Choices name="x" toName="text" choice="several"><Choice value="a"/></Choices>',
         'choice="several"'),
        (
            '<Choices name="x" toName="text" allowNested="true"><Choice value="a">'
            '<Choice value="b"/></Choice></Choices>',
            "nested choices",
        ),
        ('<Choices name="x" toName="text" perRegion="true"><Choice value="a"/></Choices>',
         "per-region"),
        ('<Choices name="x" toName="text" perItem="true"><Choice value="a"/></Choices>',
         "per-item"),
        ('<Choices name="x" toName="gone"><Choice value="a"/></Choices>', "gone does not exist"),
        ('<Rating name="x" toName="text" perRegion="true"/>', "per-region"),
        ('<Rating name="x" toName="text" maxRating="0"/>', 'maxRating="0"'),
        ('<Rating name="x" toName="text" maxRating="many"/>', 'maxRating="many"'),
        ('<Number name="x" toName="text" perRegion="true"/>', "per-region"),
        ('<Pairwise name="x" toName="text"/>', "two objects"),
        ('<Taxonomy name="x" toName="text" labeling="true"><Choice value="a"/></Taxonomy>',
         "parts of the text"),
        ('<TextArea name="x" toName="text" perRegion="true"/>', "per-region texts"),
    ],
)  # fmt: skip
def test_other_tags_are_listed_with_the_reason(tag: str, reason: str) -> None:
    config = parse_config(view(TEXT, tag, SINGLE))
    assert [question.name for question in config.questions] == ["label"]
    assert reason in config.unsupported["x"]


@pytest.mark.parametrize("config", ["", "  ", "<View", "<View></View>", "no xml"])
def test_a_config_without_questions_is_refused_with_the_fix(config: str) -> None:
    with pytest.raises(UnsupportedProjectError, match="Project 9 asks no question") as raised:
        parse_config(config).require_questions(9)
    assert "<Choices" in raised.value.hint


def region(choices: Any, name: str = "label") -> dict[str, Any]:
    return {"from_name": name, "to_name": "text", "type": "choices", "value": {"choices": choices}}


@pytest.mark.parametrize(
    ("result", "code"),
    [
        ([region(["negative"])], 1),
        ([region(["positive"], name="other"), region(["negative"])], 1),
        ([], NO_LABEL),
        ([region([])], NO_LABEL),
        ([region(["positive", "negative"])], NO_LABEL),
        ([region(["removed class"])], NO_LABEL),
        ([region("negative")], NO_LABEL),
        ([{"from_name": "label"}], NO_LABEL),
        ([{"from_name": "label", "value": None}], NO_LABEL),
        (["nonsense"], NO_LABEL),
    ],
)
def test_only_one_known_class_is_a_label(result: list[Any], code: int) -> None:
    (question,) = parse_config(view(TEXT, SINGLE)).questions
    assert code_of(question, result) == code


def test_a_prediction_region_says_the_class_back() -> None:
    (question,) = parse_config(view(TEXT, SINGLE)).questions
    assert code_of(question, [region_of(question, 1)]) == 1


def test_a_question_given_up_is_listed_with_the_reason() -> None:
    config = parse_config(view(TEXT, SINGLE)).without({"label": "too many"})
    assert config.questions == ()
    assert config.unsupported == {"label": "too many"}


def test_a_question_survives_storage() -> None:
    (question,) = parse_config(view(TEXT, SINGLE)).questions
    plain = {**question.to_json(), "classes": list(question.classes)}
    assert Question.from_json(plain) == question


def test_predictions_that_fit_pass() -> None:
    (question,) = parse_config(view(TEXT, SINGLE)).questions
    fits = {"task": 1, "result": [region_of(question, 0)], "score": 0.5}
    validate_predictions(view(TEXT, SINGLE), [fits, fits])


@pytest.mark.parametrize(
    "wrong",
    [
        {"result": [region(["nowhere"])], "score": 0.5},
        {"result": [region(["positive"], name="other")], "score": 0.5},
        {"result": [region(["positive"])], "score": 1.5},
        {"result": [region(["positive"])], "score": float("nan")},
    ],
)
def test_what_label_studio_would_drop_fails_loudly(wrong: dict[str, Any]) -> None:
    fits = {"task": 1, "result": [region(["positive"])], "score": 0.5}
    with pytest.raises(UnsupportedProjectError, match="task 7 does not fit"):
        validate_predictions(view(TEXT, SINGLE), [fits, {"task": 7, **wrong}])


def test_recorded_results_of_single_choices_are_read(recorded: Any) -> None:
    case = recorded("control_tag_results.json")["choices_single"]
    (question,) = parse_config(case["label_config"]).questions
    assert code_of(question, case["annotation_result_from_export"]) == 0


def test_every_recorded_config_is_understood_or_explained(recorded: Any) -> None:
    for name, case in recorded("control_tag_results.json").items():
        if not isinstance(case, dict) or "label_config" not in case:
            continue
        config = parse_config(case["label_config"])
        assert bool(config.questions) or all(config.unsupported.values()), name
        assert config.questions or config.unsupported, name
