"""Sets of names that annotators bring."""

from typing import Any

import numpy as np
import pytest

from backend.answers import several
from backend.answers.form import Answers
from backend.answers.several import solve_sets
from backend.label_studio.questions import AnswerType, Question

OPEN = Question("x", "text", (), type=AnswerType.CHOICES, is_open=True)


def answers_of(values: list[list[str]], **more: Any) -> Answers:
    task, annotator = np.divmod(np.arange(len(values)), 2)
    return Answers(
        tasks=np.unique(task),
        annotators=np.array([4, 5]),
        task=task,
        annotator=annotator,
        values=values,
        **more,
    )


@pytest.mark.parametrize("method", ["crowdlab", "fusion"])
def test_names_are_those_that_annotators_gave(method: Any) -> None:
    given = [["b", "a"], ["a", "b"], ["c"], ["c"], [], []]
    solution = solve_sets(OPEN, answers_of(given, method=method))
    assert solution.values == [["a", "b"], ["c"], []]
    assert [len(one) for one in solution.part_quality] == [2, 1, 0]
    assert solution.annotator_stats["worst_class"].tolist() == [-1, -1]


def test_nobody_has_chosen_anything() -> None:
    solution = solve_sets(OPEN, answers_of([[], [], [], []]))
    assert solution.values == [[], []]
    assert solution.quality.tolist() == [1.0, 1.0]


def test_rare_names_are_no_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(several, "MOST_NAMES", 1)
    solution = solve_sets(OPEN, answers_of([["a", "b"], ["a", "b"], ["a"], ["a"]]))
    assert solution.values == [["a"], ["a"]]
