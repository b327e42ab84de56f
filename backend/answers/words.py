"""Answers in words."""

from __future__ import annotations

from collections.abc import Sequence

from backend.answers.forms import structured_form
from backend.label_studio.questions import NO_LABEL, Question
from backend.store.project import ProjectStore


def answer_words(
    store: ProjectStore, question: Question, tasks: Sequence[int], codes: Sequence[int]
) -> list[str | None]:
    """What answers say, with the parts of the text that they mark.

    Parameters
    ----------
    tasks
        Task of each answer.
    codes
        Code of each answer.

    Returns
    -------
    list of str or None
        Of the same length; None for `NO_LABEL`, which says nothing, and for an answer that is
        not known.
    """
    if question.type.is_class:
        return [None if code == NO_LABEL else question.classes[code] for code in codes]
    form = structured_form(question)
    answers = store.answer_book.read({*codes} - {NO_LABEL})
    contents = store.contents_of(tasks) if form.needs_contents else {}
    # Many tasks share an answer, and a shared one is put into words once.
    known: dict[tuple[int, int | None], str] = {}
    found: list[str | None] = []
    for task, code in zip(tasks, codes, strict=True):
        if code not in answers:
            found.append(None)
            continue
        key = code, task if form.needs_contents else None
        if key not in known:
            known[key] = form.words_of(question, answers[code], contents.get(task, {}))
        found.append(known[key])
    return found
