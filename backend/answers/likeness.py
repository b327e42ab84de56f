"""How alike two answers are: two good ones may differ by a pixel or a letter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from backend.answers.form import Value
from backend.answers.forms import structured_form
from backend.label_studio.questions import Question
from backend.settings import load_settings
from backend.store.answer_book import AnswerBook


def likeness(
    question: Question, first: Sequence[Value | None], second: Sequence[Value | None]
) -> NDArray[np.float64]:
    """How alike the answers of each pair are, shape (P,), 0 to 1; equal ones are 1.

    Parameters
    ----------
    question
        Its answers are no class.
    first, second
        Answers of P pairs; what is compared with None is not like it.
    """
    found = np.array([float(one == other) for one, other in zip(first, second, strict=True)])
    pairs: list[tuple[Value, Value]] = []
    places: list[int] = []
    for place, (one, other) in enumerate(zip(first, second, strict=True)):
        if found[place] < 1 and one is not None and other is not None:
            pairs.append((one, other))
            places.append(place)
    if pairs:
        found[places] = structured_form(question).likeness(question, pairs)
    return found


def likeness_of_codes(
    book: AnswerBook, question: Question, first: ArrayLike, second: ArrayLike
) -> NDArray[np.float64]:
    """How alike the answers of each pair are, given by their codes; see `likeness`.

    Classes are either equal or not alike at all.

    Parameters
    ----------
    first, second
        Codes of P pairs.
    """
    pairs = np.stack([np.asarray(first, np.int64), np.asarray(second, np.int64)], axis=-1)
    if question.type.is_class:
        return np.asarray(pairs[:, 0] == pairs[:, 1], dtype=np.float64)
    once, which = np.unique(pairs, axis=0, return_inverse=True)
    answers = book.read(np.unique(once[once >= 0]).tolist())
    one, other = ([answers.get(code) for code in column] for column in once.T.tolist())
    return likeness(question, one, other)[which.reshape(-1)]


def agrees(likeness: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether answers are as alike as `CROWDLAB_MIN_LIKENESS` asks for."""
    return np.asarray(likeness >= load_settings().min_likeness)
