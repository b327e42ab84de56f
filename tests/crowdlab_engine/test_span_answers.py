from typing import Any

import numpy as np
import pytest

from crowdlab_engine.span_answers import SpanAnswers
from crowdlab_engine.tokens import tokenize

GOOD: dict[str, Any] = {
    "task": [1, 0, 1],
    "annotator": [0, 0, 1],
    "answer": [2, 0, 2],
    "start": [4, 0, 4],
    "end": [6, 3, 6],
    "label": [0, 1, 0],
    "classes": ["person", "place"],
}


def test_answers_are_sorted_and_spans_follow_them() -> None:
    answers = SpanAnswers.from_codes(**GOOD)
    assert answers.given.task.tolist() == [0, 1, 1]
    assert answers.answer.tolist() == [1, 2]
    assert answers.task.tolist() == [1, 1]
    assert answers.given.annotator[answers.answer].tolist() == [0, 1]
    assert (answers.start.tolist(), answers.end.tolist()) == ([0, 4], [3, 6])
    assert answers.first_answer.tolist() == [0, 1]
    assert repr(answers).endswith("num_answers=3, num_spans=2)")


def test_there_may_be_no_span() -> None:
    empty = {name: [] for name in ("answer", "start", "end", "label")}
    assert SpanAnswers.from_codes(**{**GOOD, **empty}).num_spans == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"start": [4, 0]}, "have 3, 2, 3 and 3 entries"),
        ({"answer": [2, 0, 3]}, "answer code 3 of span 2 is outside 0..2"),
        ({"label": [0, -1, 0]}, "label code -1 of span 1 is outside 0..1"),
        ({"start": [4, -1, 4]}, "span 1 is -1..3"),
        ({"end": [4, 3, 6]}, "span 0 is 4..4: it must begin"),
        ({"annotator": [0, 0, 0]}, "labelled task 1 more than once"),
    ],
)
def test_bad_input_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SpanAnswers.from_codes(**{**GOOD, **change})


def test_texts_must_be_those_of_the_spans() -> None:
    answers = SpanAnswers.from_codes(**GOOD)
    with pytest.raises(ValueError, match="1 texts but 2 tasks"):
        answers.check_against(tokenize(["abc"]))
    with pytest.raises(ValueError, match=r"span 4\.\.6 of task 1 ends after its text of 5"):
        answers.check_against(tokenize(["abc", "abcde"]))
    answers.check_against(tokenize(["abc", "abcdef"]))
    assert np.array_equal(answers.label, [1, 0])
