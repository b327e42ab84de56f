"""Classifiers for answers that are sets of classes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from backend.jobs.recompute import recompute_project
from backend.jobs.train import train_classifiers
from backend.jobs.train_sets import MOST_CLASSES
from backend.label_studio.questions import AnswerType, Question, Source
from backend.store.project import ProjectInfo, ProjectStore
from tests.backend.jobs.test_vocabulary import put

TEXT = (Source("text", "text"),)
TOPICS = Question("topics", "text", ("price", "speed", "rare"), TEXT, AnswerType.CHOICES)
WORDS = {"price": "cheap dear costly", "speed": "fast slow late"}
NUM_TASKS = 48


def truth_of(number: int) -> list[str]:
    return [name for bit, name in enumerate(WORDS) if number >> bit & 1]


def raw_task(number: int, says: Callable[[int, int], list[str]]) -> dict[str, Any]:
    words = " ".join(WORDS[name] for name in truth_of(number))
    return {
        "id": number,
        "data": {"text": f"it is {words} {number}"},
        "annotations": [
            {
                "id": number * 10 + person,
                "completed_by": person,
                "result": [{"from_name": "topics", "value": {"choices": says(number, person)}}],
            }
            for person in (1, 2, 3)
        ],
    }


def fill(store: ProjectStore, question: Question, says: Callable[[int, int], list[str]]) -> None:
    tasks = [raw_task(number, says) for number in range(NUM_TASKS)]
    put(store, ProjectInfo("t", "<View/>", (question,), feature_width=2**18), tasks)


def test_a_class_is_learned_from_what_most_say(store: ProjectStore) -> None:
    fill(store, TOPICS, lambda number, person: truth_of(number) if person < 3 else ["price"])
    trained = train_classifiers(store)
    assert trained is not None
    (found,) = trained.questions
    assert found.description == "logistic regression on task features, for 2 of 3 classes"
    assert found.pred_probs is not None
    for code, name in enumerate(WORDS):
        applies = np.asarray([name in truth_of(number) for number in range(NUM_TASKS)])
        probs = found.pred_probs[:, code]
        assert probs[applies].min() > probs[~applies].max()
    assert found.pred_probs[:, 2].tolist() == pytest.approx([1 / (NUM_TASKS + 2)] * NUM_TASKS)
    recompute_project(store, trained)
    summary = store.read_summary()
    assert summary is not None
    assert summary.questions[0].model_weight is not None
    assert summary.questions[0].model_weight > 0


def test_tasks_with_nothing_to_read_have_the_share_of_each_class(store: ProjectStore) -> None:
    def raw(number: int) -> dict[str, Any]:
        task = raw_task(number, lambda number, person: truth_of(number))
        return task | ({"data": {}} if number >= NUM_TASKS else {})

    info = ProjectInfo("t", "<View/>", (TOPICS,), feature_width=2**18)
    put(store, info, [raw(number) for number in range(NUM_TASKS + 8)])
    trained = train_classifiers(store)
    assert trained is not None
    (found,) = trained.questions
    assert f"8 of {NUM_TASKS + 8} tasks hold nothing" in found.description
    assert found.pred_probs is not None
    share = (NUM_TASKS / 2 + 1) / (NUM_TASKS + 2)
    assert found.pred_probs[NUM_TASKS:, :2] == pytest.approx(np.full((8, 2), share))
    assert abs(found.pred_probs[:NUM_TASKS, :2] - share).min() > 0.05


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        (Question("topics", "text", ("rare",), TEXT, AnswerType.CHOICES), "none: "),
        (Question("topics", "text", (), TEXT, AnswerType.CHOICES, is_open=True), "config names"),
        (
            Question(
                "topics",
                "text",
                tuple(f"class {number}" for number in range(MOST_CLASSES + 1)),
                TEXT,
                AnswerType.CHOICES,
            ),
            f"up to {MOST_CLASSES} classes",
        ),
    ],
)
def test_where_nothing_is_trained_the_reason_is_told(
    store: ProjectStore, question: Question, reason: str
) -> None:
    fill(store, question, lambda number, person: truth_of(number))
    trained = train_classifiers(store)
    assert trained is not None
    (found,) = trained.questions
    assert found.pred_probs is None
    assert reason in found.description
    recompute_project(store, trained)


def test_without_contents_nothing_is_trained(store: ProjectStore) -> None:
    question = Question("topics", "text", TOPICS.classes, type=AnswerType.CHOICES)
    fill(store, question, lambda number, person: truth_of(number))
    trained = train_classifiers(store)
    assert trained is not None
    assert "no text, number, image or sound" in trained.questions[0].description
