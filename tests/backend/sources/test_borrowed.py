"""Predictions of another model version, in every form that they can have."""

from typing import Any

import numpy as np
import pytest

from backend.label_studio.questions import AnswerType, Question
from backend.sources.borrowed import borrowed_claims
from backend.sources.checks import FULL
from backend.sources.report import Fault

MOOD = Question("mood", "text", ("good", "bad", "ugly"))
TOPICS = Question("topics", "text", ("a", "b"), type=AnswerType.CHOICES)


def prediction(task: int, choice: str | None = None, number: int = 0, **fields: Any) -> Any:
    result = []
    if choice is not None:
        region = {"from_name": "mood", "type": "choices", "value": {"choices": [choice]}}
        result.append(region | fields.pop("region", {}))
    return {"id": number or task, "task": task, "result": result, **fields}


def test_a_class_with_a_score() -> None:
    claims = borrowed_claims([prediction(2, "bad", score=0.6)], MOOD)
    assert list(claims.keys) == ["2"]
    np.testing.assert_allclose(claims.probs, [[0.2, 0.6, 0.2]])
    assert claims.said.tolist() == [1]
    # The region's own score comes first; without any, the class is all that is said.
    claims = borrowed_claims([prediction(2, "bad", score=0.6, region={"score": 0.9})], MOOD)
    assert claims.probs[0, 1] == 0.9
    claims = borrowed_claims([prediction(2, "bad", score=None)], MOOD)
    np.testing.assert_allclose(claims.probs, [[0, 1, 0]])


@pytest.mark.parametrize("name", ["pred_probs", "probabilities", "probs"])
def test_full_probabilities_in_meta(name: str) -> None:
    by_class = {"good": 0.1, "bad": 0.2, "ugly": 0.7}
    in_region = prediction(1, "bad", score=0.5, region={"meta": {name: by_class}})
    beside = prediction(2, "bad", score=0.5, meta={name: [0.1, 0.2, 0.7]})
    claims = borrowed_claims([in_region, beside], MOOD)
    np.testing.assert_allclose(claims.probs, [[0.1, 0.2, 0.7]] * 2)
    assert claims.said.tolist() == [FULL, FULL]


def test_the_newest_of_a_task_counts() -> None:
    given = [prediction(1, "bad", 9, score=0.5), prediction(1, "good", 3, score=0.5)]
    claims = borrowed_claims(given, MOOD)
    assert (claims.said.tolist(), list(claims.places)) == ([1], ["prediction 9"])


def test_what_is_wrong_is_said() -> None:
    claims = borrowed_claims(
        [
            prediction(1, "unheard of", score=0.5),
            prediction(2, "bad", score=17),
            prediction(3, "bad", meta={"probs": {"nice": 1.0}}),
            prediction(4),  # leaves the question open
        ],
        MOOD,
    )
    assert list(claims.keys) == ["1", "2", "3"]
    assert claims.faults.tolist() == [Fault.UNKNOWN_CLASS, Fault.RANGE, Fault.UNKNOWN_CLASS]


def test_a_set_of_classes_with_a_score() -> None:
    region = {"from_name": "topics", "type": "choices", "value": {"choices": ["b"]}}
    claims = borrowed_claims([{"id": 1, "task": 1, "result": [region], "score": 0.8}], TOPICS)
    np.testing.assert_allclose(claims.probs, [[0.2, 0.8]])
