"""Which annotations count as labels."""

from typing import Any, Protocol

import numpy as np
import pytest

from backend.jobs.labels import counted_labels, engine_labels
from backend.jobs.sync import annotation_rows
from backend.label_studio.annotations import Annotation
from backend.label_studio.questions import NO_LABEL, Question
from backend.store.project import ProjectStore

QUESTION = Question("label", "text", ("a", "b", "c"))


def annotation(number: int, task: int, annotator: int, code: int, **other: Any) -> Annotation:
    values: dict[str, Any] = {
        "updated_at": number,
        "lead_time": 1.0,
        "is_cancelled": False,
        "is_ground_truth": False,
        **other,
    }
    return Annotation(number, task, annotator, codes=(code,), **values)


class Counted(Protocol):
    def __call__(self, *annotations: Annotation, ground_truth: bool = False) -> list[int]: ...


@pytest.fixture
def counted(store: ProjectStore) -> Counted:
    def count(*annotations: Annotation, ground_truth: bool = False) -> list[int]:
        rows = annotation_rows(annotations, (QUESTION,), store.answer_book)
        ids: list[int] = counted_labels(rows, 0, ground_truth=ground_truth)["annotation"].tolist()
        return ids

    return count


def test_skips_and_open_answers_do_not_count(counted: Counted) -> None:
    skipped = annotation(1, 1, 1, 0, is_cancelled=True)
    assert counted(skipped, annotation(2, 1, 2, NO_LABEL), annotation(3, 1, 3, 0)) == [3]
    assert counted() == []


def test_the_newest_of_one_person_counts(counted: Counted) -> None:
    assert counted(annotation(1, 1, 1, 0), annotation(2, 1, 1, 1)) == [2]
    edited_later = annotation(1, 1, 1, 0, updated_at=9)
    assert counted(edited_later, annotation(2, 1, 1, 1)) == [1]
    at_once = [annotation(n, 1, 1, 0, updated_at=5) for n in (4, 7, 6)]
    assert counted(*at_once) == [7]


def test_a_later_skip_leaves_the_label(counted: Counted) -> None:
    assert counted(annotation(1, 1, 1, 0), annotation(2, 1, 1, 0, is_cancelled=True)) == [1]


def test_ground_truth_is_apart(counted: Counted) -> None:
    truth = annotation(5, 1, 1, 2, is_ground_truth=True)
    other = annotation(6, 1, 9, 1, is_ground_truth=True)
    given = annotation(3, 1, 1, 0)
    assert counted(truth, other, given) == [3]
    assert counted(truth, other, given, ground_truth=True) == [6]


def test_the_engine_gets_codes_in_the_order_of_the_rows(store: ProjectStore) -> None:
    annotations = [annotation(1, 30, 7, 2), annotation(2, 10, 9, 0)]
    rows = counted_labels(annotation_rows(annotations, (QUESTION,), store.answer_book), 0)
    labels = engine_labels(np.array([10, 20, 30]), rows, 0, QUESTION)
    assert (labels.num_tasks, labels.num_annotators, labels.num_classes) == (3, 2, 3)
    assert labels.task_ids[labels.task].tolist() == [10, 30]
    assert labels.annotator_ids[labels.annotator].tolist() == [9, 7]
    assert labels.label.tolist() == [0, 2]
