"""How alike two answers of each form are."""

from typing import Any

import numpy as np
import pytest

from backend.answers.likeness import agrees, likeness, likeness_of_codes
from backend.label_studio.annotations import canonical
from backend.label_studio.questions import NO_LABEL, AnswerType, Question, Source
from backend.store.project import ProjectStore

CLASSES = ("a", "b")
TEXT = (Source("text", "text"),)
ASKED = {
    kind: Question("q", "object", CLASSES, sources=TEXT, type=kind)
    for kind in AnswerType
    if not kind.is_class
}


def box(x: float, label: str = "a", **more: Any) -> dict[str, Any]:
    return {"label": label, "at": [x, 10.0, 20.0, 20.0, 0.0], "image": [640.0, 480.0], **more}


def point(x: float, label: str = "a") -> dict[str, Any]:
    return {"label": label, "at": [x, 10.0, 0.5]}


@pytest.mark.parametrize(
    ("kind", "one", "other", "expected"),
    [
        ("choices", ["a"], ["a", "b"], 2 / 3),
        ("choices", [], ["a"], 0),
        ("paths", ["a", "b"], ["b"], 2 / 3),
        ("spans", [[0, 3, "a"]], [[0, 4, "a"]], 1),
        ("spans", [[0, 3, "a"]], [[0, 4, "b"]], 0),
        ("spans", [[0, 3, "a"], [9, 12, "b"]], [[0, 3, "a", {"mood": "good"}]], 2 / 3),
        ("spans", [[0, 3, "gone"]], [], 0),
        ("spans", [[0, 3, "a"], [9, 3, "a"]], [[0, 3, "a"]], 1),
        ("spans", [[0, 3, "a"], [4, 7, "a"]], [[4, 7, "a"], [0, 3, "b"]], 0.5),
        ("boxes", [box(10)], [box(11, attached={"state": "new"})], 1),
        ("boxes", [box(10)], [box(11, "b")], 0),
        ("boxes", [box(10), box(60)], [box(60.5)], 2 / 3),
        ("boxes", [box(10), {"problem": "outside of their image"}], [box(11)], 1),
        ("boxes", [{"problem": "outside of their image"}], [], 0),
        ("key_points", [point(10)], [point(12)], 1),
        ("key_points", [point(10)], [point(30)], 0),
        ("texts", ["The  Cat"], ["the cat"], 1),
        ("texts", ["abcdefghij"], ["abcdefghix"], 0.9),
        ("texts", ["abc", "def"], ["xyz"], 0),
    ],
)
def test_two_answers_are_alike_by_their_parts(
    kind: str, one: list[Any], other: list[Any], expected: float
) -> None:
    asked = ASKED[AnswerType(kind)]
    found = likeness(asked, [one, other, one, None], [other, one, one, one])
    assert found.tolist() == [pytest.approx(expected)] * 2 + [1.0, 0.0]


def test_long_texts_are_compared_as_far_as_the_engine_does() -> None:
    texts = ASKED[AnswerType.TEXTS]
    long = "x" * 2_000
    assert likeness(texts, [[long + "a" * 100_000]], [[long + "b"]]).tolist() == [1.0]


def test_codes_are_looked_up_in_the_answer_book(store: ProjectStore) -> None:
    values = [["a"], ["a", "b"], []]
    codes = store.answer_book.numbers_of([canonical(value) for value in values])
    asked = ASKED[AnswerType.CHOICES]
    given = np.array([codes[0], codes[1], codes[2], codes[0], NO_LABEL])
    consensus = np.array([codes[1]] * 4 + [codes[0]])
    found = likeness_of_codes(store.answer_book, asked, given, consensus)
    assert found.tolist() == [pytest.approx(2 / 3), 1.0, 0.0, pytest.approx(2 / 3), 0.0]
    mood = Question("mood", "text", CLASSES)
    assert likeness_of_codes(store.answer_book, mood, [0, 1], [0, 0]).tolist() == [1.0, 0.0]
    assert likeness_of_codes(store.answer_book, asked, [], []).tolist() == []


def test_how_alike_answers_agree_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.array([1.0, 0.9, 0.89, 0.0])
    assert agrees(values).tolist() == [True, True, False, False]
    monkeypatch.setenv("CROWDLAB_MIN_LIKENESS", "0.5")
    assert agrees(values).tolist() == [True, True, True, False]
