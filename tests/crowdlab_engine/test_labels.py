import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

from crowdlab_engine import MultiannotatorLabels
from tests.crowdlab_engine.problems import Problem, problems


def test_codes_are_sorted_by_task_then_annotator() -> None:
    labels = MultiannotatorLabels.from_codes([1, 0, 0], [0, 2, 1], [0, 1, 2])
    assert labels.task.tolist() == [0, 0, 1]
    assert labels.annotator.tolist() == [1, 2, 0]
    assert labels.label.tolist() == [2, 1, 0]
    assert labels.sorting is not None
    assert labels.sorting.tolist() == [2, 1, 0]


def test_sizes_follow_from_the_codes() -> None:
    labels = MultiannotatorLabels.from_codes([0, 3], [1, 1], [4, 0])
    assert repr(labels) == (
        "MultiannotatorLabels(num_tasks=4, num_annotators=2, num_classes=5, num_labels=2)"
    )
    assert labels.num_annotations.tolist() == [1, 0, 0, 1]


def test_sizes_follow_from_the_vocabularies() -> None:
    labels = MultiannotatorLabels.from_codes(
        [0], [1], [0], task_ids=["a", "b"], annotator_ids=[7, 8, 9], classes=["x", "y"]
    )
    assert (labels.num_tasks, labels.num_annotators, labels.num_classes) == (2, 3, 2)
    assert labels.task_ids.tolist() == ["a", "b"]
    assert labels.annotator_ids.tolist() == [7, 8, 9]
    assert labels.classes.tolist() == ["x", "y"]


def test_no_labels_at_all() -> None:
    labels = MultiannotatorLabels.from_codes([], [], [], num_tasks=3)
    assert (labels.num_tasks, labels.num_classes, labels.num_labels) == (3, 0, 0)
    assert list(labels.slots()) == []


def test_whole_floats_are_codes() -> None:
    assert MultiannotatorLabels.from_codes([0.0], [0.0], [1.0]).label.tolist() == [1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": [0]}, "task, annotator and label have 2, 2 and 1 entries"),
        ({"label": [0, np.nan]}, "label is nan at position 1"),
        ({"label": [0, 0.5]}, "label is 0.5 at position 1"),
        ({"label": ["a", "b"]}, "from_long"),
        ({"label": [[0, 1]]}, r"label has shape \(1, 2\)"),
        ({"label": [0, -1]}, "label code -1 at position 1 is outside 0..0"),
        ({"label": [0, 5], "num_classes": 3}, r"label code 5 at position 1 is outside 0\.\.2"),
        ({"task": [0, 9], "task_ids": ["x"]}, "task code 9 at position 1"),
        ({"annotator": [0, 4], "num_annotators": 2}, "annotator code 4 at position 1"),
        ({"task": [0, 0], "annotator": [0, 0]}, "annotator 0 labelled task 0 more than once"),
        ({"task_ids": ["a", "b"], "num_tasks": 3}, "task_ids has 2 values but num_tasks is 3"),
        ({"classes": ["a", "b", "a"]}, "classes holds 'a' twice"),
        ({"annotator_ids": [["a", "b"]]}, r"annotator_ids has shape \(1, 2\)"),
    ],
)
def test_from_codes_refuses(changes: dict, message: str) -> None:
    arguments = {"task": [0, 1], "annotator": [0, 1], "label": [0, 1], **changes}
    with pytest.raises(ValueError, match=message):
        MultiannotatorLabels.from_codes(**arguments)


LONG = pd.DataFrame(
    {
        "task": ["t2", "t1", "t2"],
        "annotator": ["bob", "bob", "ann"],
        "label": ["dog", "cat", "cat"],
        "comment": ["", "", ""],
    }
)


def test_from_long_sorts_vocabularies() -> None:
    labels = MultiannotatorLabels.from_long(LONG)
    assert labels.task_ids.tolist() == ["t1", "t2"]
    assert labels.annotator_ids.tolist() == ["ann", "bob"]
    assert labels.classes.tolist() == ["cat", "dog"]
    assert labels.label.tolist() == [0, 0, 1]
    assert labels.in_callers_order(np.array([10, 20, 30])).tolist() == [30, 10, 20]


def test_from_long_keeps_the_order_of_given_classes() -> None:
    labels = MultiannotatorLabels.from_long(LONG, classes=["dog", "emu", "cat"])
    assert labels.num_classes == 3
    assert labels.label.tolist() == [2, 2, 0]


def test_from_long_takes_names_of_columns() -> None:
    renamed = LONG.rename(columns={"task": "item", "annotator": "worker", "label": "answer"})
    labels = MultiannotatorLabels.from_long(renamed, "item", "worker", "answer")
    assert labels.label.tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("frame", "arguments", "error", "message"),
    [
        (LONG.drop(columns="label"), {}, KeyError, "no column 'label'"),
        (LONG.assign(label=["a", None, "b"]), {}, ValueError, "'label' has no value in row 1"),
        (LONG.assign(task=["a", None, "b"]), {}, ValueError, "'task' has no value in row 1"),
        (LONG, {"classes": ["cat"]}, ValueError, "label 'dog' is not among the classes"),
        (pd.concat([LONG, LONG]), {}, ValueError, "'bob' labelled task 't1' more than once"),
    ],
)
def test_from_long_refuses(
    frame: pd.DataFrame, arguments: dict, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        MultiannotatorLabels.from_long(frame, **arguments)


def test_from_wide_reads_missing_values_and_whole_floats() -> None:
    frame = pd.DataFrame(
        {"ann": [3, np.nan, np.nan], "bob": [5, 3, np.nan], "eve": [np.nan] * 3},
        index=["t1", "t2", "t3"],
    )
    labels = MultiannotatorLabels.from_wide(frame)
    assert labels.task_ids.tolist() == ["t1", "t2", "t3"]
    assert labels.annotator_ids.tolist() == ["ann", "bob", "eve"]
    assert labels.classes.tolist() == [3, 5]
    assert labels.classes.dtype.kind == "i"
    assert labels.label.tolist() == [0, 1, 0]
    assert labels.num_annotations.tolist() == [2, 1, 0]


def test_from_wide_of_text_equals_from_long() -> None:
    wide = MultiannotatorLabels.from_wide(
        LONG.pivot(index="task", columns="annotator", values="label")
    )
    long = MultiannotatorLabels.from_long(LONG)
    for name in ("task", "annotator", "label", "task_ids", "annotator_ids", "classes"):
        np.testing.assert_array_equal(getattr(wide, name), getattr(long, name))


def test_from_wide_keeps_fractions_apart() -> None:
    labels = MultiannotatorLabels.from_wide(pd.DataFrame({"ann": [0.5, 1.5, 1.0]}))
    assert labels.classes.tolist() == [0.5, 1.0, 1.5]


def test_from_wide_refuses_arrays_and_unknown_classes() -> None:
    with pytest.raises(TypeError, match="from_wide needs a DataFrame, got ndarray"):
        MultiannotatorLabels.from_wide(np.zeros((2, 2)))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="label 2 is not among the classes"):
        MultiannotatorLabels.from_wide(pd.DataFrame({"ann": [1, 2]}), classes=[0, 1])


def test_arrays_are_read_only_copies() -> None:
    task, ids = np.array([0, 1]), np.array(["a", "b"])
    labels = MultiannotatorLabels.from_codes(task, [0, 0], [0, 1], task_ids=ids)
    task[0], ids[0] = 1, "z"
    assert labels.task.tolist() == [0, 1]
    assert labels.task_ids.tolist() == ["a", "b"]
    with pytest.raises(ValueError, match="read-only"):
        labels.task[0] = 1


@given(problems)
@settings(deadline=None, max_examples=30)
def test_order_leads_back_to_the_caller(problem: Problem) -> None:
    labels = problem.labels
    for name in ("task", "annotator", "label"):
        ours = labels.in_callers_order(getattr(labels, name))
        np.testing.assert_array_equal(ours, getattr(problem, name))


@given(problems)
@settings(deadline=None, max_examples=30)
def test_slots_visit_every_label_once_in_order(problem: Problem) -> None:
    labels = problem.labels
    visited: list[list[int]] = [[] for _ in range(labels.num_tasks)]
    for tasks, positions in labels.slots():
        np.testing.assert_array_equal(labels.task[positions], tasks)
        for task, position in zip(tasks, positions, strict=True):
            visited[task].append(int(position))
    assert sum(visited, []) == list(range(labels.num_labels))  # noqa: RUF017


@given(problems)
@settings(deadline=None, max_examples=30)
def test_take_gives_the_labels_of_those_tasks(problem: Problem) -> None:
    labels = problem.labels
    chosen = np.arange(labels.num_tasks)[::-2]
    block = labels.take(chosen)
    for new, old in enumerate(chosen):
        for name in ("annotator", "label"):
            np.testing.assert_array_equal(
                getattr(block, name)[block.task == new], getattr(labels, name)[labels.task == old]
            )
    assert block.num_annotators == labels.num_annotators
    assert block.num_classes == labels.num_classes
    np.testing.assert_array_equal(block.task_ids, labels.task_ids[chosen])


def test_sorted_labels_need_no_sorting() -> None:
    task = np.array([0, 0, 1])
    labels = MultiannotatorLabels.from_codes(task, [0, 1, 0], [1, 1, 0])
    assert labels.sorting is None
    task[0] = 9
    assert labels.task.tolist() == [0, 0, 1]


@pytest.mark.parametrize("tasks", [[1, 2], [0, 2]])
def test_columns_lead_there_and_back(tasks: list[int]) -> None:
    labels = MultiannotatorLabels.from_codes(
        [0, 0, 1, 1, 2, 2, 3], [0, 2, 1, 2, 0, 1, 0], [0, 1, 2, 3, 4, 5, 6]
    )
    chosen = np.array(tasks)
    columns = labels.columns(labels.label, chosen, np.empty((2, 2)))
    np.testing.assert_array_equal(columns, np.array([[2 * t, 2 * t + 1] for t in tasks]).T)
    values = np.full(7, -1.0)
    labels.set_columns(values, chosen, columns)
    inside = np.isin(labels.task, chosen)
    np.testing.assert_array_equal(values, np.where(inside, labels.label, -1))


@given(problems)
@settings(deadline=None, max_examples=30)
def test_sums_by_task(problem: Problem) -> None:
    labels = problem.labels
    values = np.arange(labels.num_labels) + 0.5
    expected = np.bincount(labels.task, weights=values, minlength=labels.num_tasks)
    np.testing.assert_allclose(labels.sum_by_task(values), expected)
    np.testing.assert_array_equal(labels.tasks_at(np.arange(labels.num_labels)), labels.task)
