"""Answers in words, with what they mark in the text of their task."""

from backend.answers.words import answer_words
from backend.label_studio.annotations import canonical
from backend.label_studio.questions import NO_LABEL, AnswerType, Question, Source
from backend.store.project import ProjectStore


def test_equal_answers_to_different_texts_differ_in_words(store: ProjectStore) -> None:
    spans = Question("ner", "text", ("PER",), (Source("text", "text"),), AnswerType.SPANS)
    (code,) = store.answer_book.numbers_of([canonical([[0, 3, "PER"]])])
    store.contents.save({11: {"text": "Ada"}, 12: {"text": "Bob"}})
    with store.transaction() as changes:
        store.tasks.stage_all(changes, {"task": [1, 2, 3], "content": [11, 12, 13]})
    words = answer_words(store, spans, [1, 2, 3, 1, 1], [code, code, code, NO_LABEL, 999])
    assert words == ["PER “Ada” 0–3", "PER “Bob” 0–3", "PER 0–3", None, None]


def test_classes_and_sets_need_no_task(store: ProjectStore) -> None:
    mood = Question("mood", "text", ("good", "bad"))
    assert answer_words(store, mood, [1, 2, 3], [1, NO_LABEL, 0]) == ["bad", None, "good"]
    topics = Question("topics", "text", ("a", "b"), type=AnswerType.CHOICES)
    both, none = store.answer_book.numbers_of([canonical(["a", "b"]), canonical([])])
    assert answer_words(store, topics, [1, 2], [none, both]) == ["nothing", "a, b"]
