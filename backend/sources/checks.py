"""Check predictions row by row: what fits is used, what does not is reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.errors import PredictionsError
from backend.label_studio.questions import Question
from backend.sources.report import CheckReport, Fault, counted
from backend.store.arrays import Arrays

SUM_TOLERANCE = 0.01
"""How far a row may be from a sum of 1, as rounded numbers are; it is divided by its sum."""

FULL = -1
"""In place of a class: there are probabilities of all."""

_ROUNDING = 1e-6
_SHOWN_NAMES = 10


@dataclass(frozen=True, eq=False)
class Claims:
    """What a file, or another model version, says of N tasks."""

    keys: Sequence[str]
    """Task of each row, as it is called there."""
    places: Sequence[str]
    """Where each row stands, for people."""
    classes: tuple[str, ...]
    """Class of each of the C columns."""
    probs: NDArray[np.float64]
    """Probabilities, shape (N, C); NaN where there is no number."""
    said: NDArray[np.int64]
    """Column of the class where a row is one class with a score, and nothing of the others; -1
    for full probabilities, shape (N,)."""
    faults: NDArray[np.int64]
    """`Fault` that was found in reading, shape (N,)."""

    @classmethod
    def of(
        cls,
        keys: Sequence[str],
        places: Sequence[str],
        classes: Sequence[str],
        probs: NDArray[Any],
    ) -> Claims:
        """Rows of full probabilities that could be read."""
        rows = np.asarray(probs, dtype=np.float64).reshape(len(keys), len(classes))
        return cls(
            keys,
            places,
            tuple(classes),
            rows,
            np.full(len(keys), FULL),
            np.zeros(len(keys), dtype=np.int64),
        )


@dataclass(frozen=True, eq=False)
class Checked:
    """Rows that fit."""

    classes: tuple[str, ...]
    """Classes of the columns, those of the question that were named."""
    rows: Arrays
    """`task`, ascending, `probs` and `said`, the class code of those that are one class."""
    report: CheckReport


def check_question(question: Question) -> None:
    """Refuse questions to which a classifier's probabilities say nothing.

    Raises
    ------
    PredictionsError
        Answers are no classes.
    """
    if question.type.is_class or (question.type.is_set and not question.is_open):
        return
    raise PredictionsError(
        f"Question {question.name} is answered by {question.type.value}, for which other models' "
        "probabilities are not used.",
        "Choose a question whose answers are classes.",
    )


def check(claims: Claims, question: Question, tasks_of: Mapping[str, Sequence[int]]) -> Checked:
    """Check all rows.

    Parameters
    ----------
    claims
        What is said.
    question
        What it is said of.
    tasks_of
        Name of a task, as in `claims.keys`, to the ids of the tasks that have it.

    Raises
    ------
    PredictionsError
        No column is a class of the question, or no row fits.
    """
    check_question(question)
    known = [column for column, name in enumerate(claims.classes) if name in question.classes]
    if not known:
        raise PredictionsError(
            f"No column is named like a class of question {question.name}: there are "
            f"{_listed(claims.classes)}.",
            f"Name them {_listed(question.classes)}.",
        )
    classes = tuple(claims.classes[column] for column in known)
    probs = claims.probs[:, known]
    faults = _faults_of(claims, probs, question, tasks_of)
    used = np.flatnonzero(faults == Fault.NONE)
    numbers, examples = counted(
        [
            (Fault(int(faults[row])), _example(claims, row, probs[row], Fault(int(faults[row]))))
            for row in np.flatnonzero(faults != Fault.NONE).tolist()
        ]
    )
    report = CheckReport(
        len(claims.keys), len(used), numbers, examples, tuple(_notes(claims, classes, question))
    )
    if not len(used):
        said = "; ".join(report.examples[:3]) or "there is none"
        raise PredictionsError(
            f"None of the {len(claims.keys):,} rows can be used: {said}.", "Nothing was changed."
        )
    fitting = np.clip(probs[used], 0.0, 1.0)
    if not question.type.is_set:
        fitting /= fitting.sum(axis=1, keepdims=True)
    named = [tasks_of[claims.keys[row]] for row in used.tolist()]
    again = np.repeat(np.arange(len(used)), [len(some) for some in named])
    task = np.asarray([one for some in named for one in some], dtype=np.int64)
    order = np.argsort(task, kind="stable")
    rows: Arrays = {
        "task": task[order],
        "probs": fitting[again][order],
        "said": _places(claims.said[used], known)[again][order],
    }
    return Checked(classes, rows, report)


def row_fault(probs: NDArray[np.float64], *, is_set: bool) -> Fault:
    """Fault of one row of numbers, shape (C,)."""
    return Fault(int(_value_faults(probs[None], is_set=is_set)[0]))


def _faults_of(
    claims: Claims,
    probs: NDArray[np.float64],
    question: Question,
    tasks_of: Mapping[str, Sequence[int]],
) -> NDArray[np.int64]:
    faults = np.where(
        claims.faults == Fault.NONE,
        _value_faults(probs, is_set=question.type.is_set),
        claims.faults,
    )
    seen: set[str] = set()
    for row, key in enumerate(claims.keys):
        if not tasks_of.get(key):
            faults[row] = Fault.UNKNOWN_TASK
        elif key in seen:
            faults[row] = Fault.DUPLICATE
        else:
            seen.add(key)
    return faults


def _value_faults(probs: NDArray[np.float64], *, is_set: bool) -> NDArray[np.int64]:
    """Fault of each row of numbers, shape (N, C)."""
    is_number: NDArray[np.bool_] = np.isfinite(probs.sum(axis=1))
    safe = np.where(is_number[:, None], probs, 0.0)
    faults = np.zeros(len(probs), dtype=np.int64)
    if not is_set:
        faults[np.abs(safe.sum(axis=1) - 1) > SUM_TOLERANCE] = Fault.SUM
    faults[((safe < -_ROUNDING) | (safe > 1 + _ROUNDING)).any(axis=1)] = Fault.RANGE
    faults[~is_number] = Fault.NO_NUMBER
    return faults


def _places(columns: NDArray[np.int64], known: Sequence[int]) -> NDArray[np.int64]:
    """Places of columns among those that are kept."""
    place = np.full(max(known) + 2, FULL)
    place[np.asarray(known)] = np.arange(len(known))
    return place[columns]


def _example(claims: Claims, row: int, probs: NDArray[np.float64], fault: Fault) -> str:
    where = f"{claims.places[row]} (task {claims.keys[row][:60]!r})"
    match fault:
        case Fault.SUM:
            return f"{where}: the probabilities sum to {probs.sum():.4g}"
        case Fault.RANGE:
            worst = probs[np.argmax(np.abs(probs - 0.5))]
            return f"{where}: a probability is {worst:.4g}"
        case _:
            return f"{where}: {fault.words}"


def _notes(claims: Claims, classes: Sequence[str], question: Question) -> list[str]:
    notes = []
    unknown = [name for name in claims.classes if name not in question.classes]
    if unknown:
        notes.append(
            f"Question {question.name} has no class {_listed(unknown)}: not used, and what is "
            "left of a row has to sum to 1 without it."
        )
    missing = [name for name in question.classes if name not in classes]
    if missing:
        notes.append(f"Nothing is said of the class {_listed(missing)}: taken as probability 0.")
    return notes


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name[:40]) for name in names[:_SHOWN_NAMES])
    more = len(names) - _SHOWN_NAMES
    return f"{shown} and {more:,} more" if more > 0 else shown
