"""Answers in words."""

from __future__ import annotations

from collections.abc import Iterable

from backend.answers.forms import structured_form
from backend.label_studio.questions import NO_LABEL, Question
from backend.store.project import ProjectStore


def answer_words(store: ProjectStore, question: Question, codes: Iterable[int]) -> dict[int, str]:
    """What answers say, by their codes; `NO_LABEL` says nothing."""
    wanted = {int(code) for code in codes} - {NO_LABEL}
    if question.type.is_class:
        return {code: question.classes[code] for code in wanted}
    form = structured_form(question)
    return {
        code: form.words_of(question, answer)
        for code, answer in store.answer_book.read(wanted).items()
    }
