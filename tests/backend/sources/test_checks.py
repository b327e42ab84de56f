"""Row by row: what fits is used, what does not is named."""

import numpy as np
import pytest

from backend.errors import PredictionsError
from backend.label_studio.questions import AnswerType, Question
from backend.sources.checks import FULL, Claims, check, check_question
from backend.sources.report import MOST_EXAMPLES

MOOD = Question("mood", "text", ("good", "bad"))
TOPICS = Question("topics", "text", ("a", "b"), type=AnswerType.CHOICES)
SPANS = Question("spans", "text", ("a", "b"), type=AnswerType.SPANS)
TASKS = {str(task): (task,) for task in range(1, 10)}


def claims(
    rows: dict[str, tuple[float, ...]], classes: tuple[str, ...] = ("good", "bad")
) -> Claims:
    return Claims.of(
        [key.strip() for key in rows],
        [f"row {number}" for number in range(1, len(rows) + 1)],
        classes,
        np.array(list(rows.values())),
    )


def test_good_rows_are_used_and_bad_ones_reported() -> None:
    nan = float("nan")
    given = claims(
        {
            "3": (0.25, 0.75),
            "1": (0.995, 0.0),  # rounded numbers
            "99": (0.5, 0.5),
            "1 ": (0.5, 0.5),
            "2": (0.5, 0.1),
            "4": (nan, 1.0),
            "5": (1.5, -0.5),
        }
    )
    found = check(given, MOOD, TASKS)
    assert found.rows["task"].tolist() == [1, 3]
    np.testing.assert_allclose(found.rows["probs"], [[1, 0], [0.25, 0.75]])
    assert found.rows["said"].tolist() == [FULL, FULL]
    report = found.report
    assert (report.num_rows, report.num_used) == (7, 2)
    assert report.faults == {
        "no task of the project is meant": 1,
        "the task occurred before; its first row counts": 1,
        "a probability is missing or no number": 1,
        "a probability is below 0 or above 1": 1,
        "the probabilities do not sum to 1": 1,
    }
    assert report.examples == (
        "row 3 (task '99'): no task of the project is meant",
        "row 4 (task '1'): the task occurred before; its first row counts",
        "row 6 (task '4'): a probability is missing or no number",
        "row 7 (task '5'): a probability is 1.5",
        "row 5 (task '2'): the probabilities sum to 0.6",
    )
    assert report.sentences[0] == "2 of 7 rows are used."


def test_only_the_first_examples_are_named() -> None:
    rows = {f"x{number}": (0.5, 0.5) for number in range(20)} | {"1": (0.5, 0.5)}
    report = check(claims(rows), MOOD, TASKS).report
    assert len(report.examples) == MOST_EXAMPLES
    assert report.faults == {"no task of the project is meant": 20}


def test_columns_that_are_no_classes_and_classes_without_a_column() -> None:
    found = check(claims({"1": (1.0, 0.0)}, ("bad", "ugly")), MOOD, TASKS)
    assert found.classes == ("bad",)
    assert "no class 'ugly'" in found.report.notes[0]
    assert "Nothing is said of the class 'good'" in found.report.notes[1]
    with pytest.raises(PredictionsError, match=r"None of the 1 rows can be used: row 1 .* sum to"):
        check(claims({"1": (0.6, 0.4)}, ("bad", "ugly")), MOOD, TASKS)
    with pytest.raises(PredictionsError, match=r"No column is named .* there are 'x', 'y'"):
        check(claims({"1": (0.6, 0.4)}, ("x", "y")), MOOD, TASKS)


def test_a_key_of_several_tasks_is_for_all_of_them() -> None:
    found = check(claims({"twin": (0.2, 0.8)}), MOOD, {"twin": (7, 4)})
    assert found.rows["task"].tolist() == [4, 7]


def test_classes_that_may_hold_together_need_no_sum() -> None:
    found = check(claims({"1": (0.9, 0.8)}, ("a", "b")), TOPICS, TASKS)
    np.testing.assert_allclose(found.rows["probs"], [[0.9, 0.8]])


def test_what_a_single_class_was_keeps_its_place() -> None:
    given = claims({"1": (0.0, 0.3, 0.7)}, ("ugly", "good", "bad"))
    given.said[:] = 2
    assert check(given, MOOD, TASKS).rows["said"].tolist() == [1]


def test_answers_that_are_no_classes_take_no_predictions() -> None:
    with pytest.raises(PredictionsError, match="Question spans is answered by spans"):
        check_question(SPANS)
