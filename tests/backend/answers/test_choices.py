"""Several choices, from the labeling config to regions and back."""

from typing import Any

import numpy as np
import pytest

from backend.answers.form import Answers, PartQuality
from backend.answers.forms import structured_form
from backend.label_studio.controls import parse_config, validate_predictions
from backend.label_studio.questions import AnswerType, Question

CONFIG = (
    '<View><Text name="text" value="$text"/><Choices name="topics" toName="text" '
    'choice="multiple"><Choice value="price, total"/><Choice value="ü 😀"/><Choice value="c"/>'
    "</Choices></View>"
)


@pytest.fixture
def question() -> Question:
    (question,) = parse_config(CONFIG).questions
    return question


def region(*choices: Any) -> dict[str, Any]:
    return {"from_name": "topics", "type": "choices", "value": {"choices": list(choices)}}


def test_multiple_choices_are_a_question(question: Question) -> None:
    assert question.type is AnswerType.CHOICES
    assert question.classes == ("price, total", "ü 😀", "c")


@pytest.mark.parametrize(
    ("result", "answer"),
    [
        ([], []),
        ([region()], []),
        ([region("c", "price, total")], ["price, total", "c"]),
        ([region("c"), region("ü 😀")], ["ü 😀", "c"]),
        ([region("c", "gone", 3, None, ["c"])], ["c"]),
        ([{"from_name": "topics", "value": {"choices": "c"}}, "nonsense"], []),
        ([{**region("c"), "from_name": "other"}], []),
    ],
)
def test_choices_are_read(question: Question, result: list[Any], answer: list[str]) -> None:
    assert structured_form(question).answer_in(question, result) == answer


def test_regions_say_the_choices_back(question: Question) -> None:
    form = structured_form(question)
    for answer in ([], ["ü 😀"], ["price, total", "ü 😀", "c"]):
        regions = form.regions_of(question, answer, PartQuality([1.0] * len(answer)), {})
        assert form.answer_in(question, regions) == answer
        validate_predictions(CONFIG, [{"task": 1, "result": regions, "score": 0.5}])
    assert form.words_of(question, [], {}) == "nothing"
    assert form.words_of(question, ["c", "ü 😀"], {}) == "c, ü 😀"


def test_the_consensus_is_found(question: Question) -> None:
    solution = structured_form(question).solve(
        question,
        Answers(
            tasks=np.array([3, 5, 9]),
            annotators=np.array([1, 2, 4]),
            task=np.array([0, 0, 0, 2, 2]),
            annotator=np.array([0, 1, 2, 0, 1]),
            values=[["c"], ["c"], ["c", "ü 😀"], [], []],
        ),
    )
    assert solution.values == [["c"], None, []]
    assert [len(one) for one in solution.part_quality] == [1, 0, 0]
    assert np.isnan(solution.quality).tolist() == [False, True, False]
    assert solution.agreement[[0, 2]].tolist() == [2 / 3, 1.0]
    assert solution.answer_quality.shape == (5,)
    assert solution.annotator_stats.index.tolist()[0] == 4
