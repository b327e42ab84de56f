"""Probabilities in a task's data."""

from typing import Any

import numpy as np
import pytest

from backend.label_studio.questions import AnswerType, Question
from backend.sources.brought import brought_probs
from backend.sources.report import Fault

MOOD = Question("mood", "text", ("good", "bad"))
TENSE = Question("tense", "text", ("past", "now"))
TOPICS = Question("topics", "text", ("a", "b"), type=AnswerType.CHOICES)
SPANS = Question("spans", "text", ("a", "b"), type=AnswerType.SPANS)


@pytest.mark.parametrize(
    "value",
    [
        [0.3, 0.7],
        {"good": 0.3, "bad": 0.7},
        {"mood": [0.3, 0.7]},
        {"mood": {"bad": 0.7, "good": 0.3}},
    ],
)
def test_every_form(value: Any) -> None:
    found = brought_probs(value, MOOD, [MOOD])
    assert found is not None
    np.testing.assert_allclose(found[0], [0.3, 0.7])
    assert found[1] is Fault.NONE


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ([0.3, 0.3, 0.4], Fault.LENGTH),
        ({"good": 0.5, "ugly": 0.5}, Fault.UNKNOWN_CLASS),
        ("0.5, 0.5", Fault.NO_NUMBER),
        ([0.5, "half"], Fault.NO_NUMBER),
        ([0.5, None], Fault.NO_NUMBER),
        ([True, False], Fault.NO_NUMBER),
        ([float("nan"), 1.0], Fault.NO_NUMBER),
        ([1.5, -0.5], Fault.RANGE),
        ([10**400, 0], Fault.RANGE),
        ([0.5, 0.2], Fault.SUM),
        ({}, Fault.SUM),
    ],
)
def test_every_fault(value: Any, fault: Fault) -> None:
    found = brought_probs(value, MOOD, [MOOD])
    assert found is not None
    assert found[1] is fault
    assert np.isnan(found[0]).all()


def test_whose_they_are() -> None:
    both = [MOOD, TENSE, SPANS]
    named = {"tense": [1, 0]}
    assert brought_probs(named, MOOD, both) is None
    assert brought_probs(named, TENSE, both) is not None
    # A list could be either's; class names tell.
    assert brought_probs([0.5, 0.5], MOOD, both) is None
    assert brought_probs({"past": 1.0}, MOOD, both) is None
    assert brought_probs({"past": 1.0}, TENSE, both) is not None
    assert brought_probs([0.5, 0.5], MOOD, [MOOD, SPANS]) is not None
    assert brought_probs([0.5, 0.5], SPANS, [SPANS]) is None
    assert brought_probs(None, MOOD, [MOOD]) is None


def test_classes_that_may_hold_together_need_no_sum() -> None:
    found = brought_probs([0.9, 0.8], TOPICS, [TOPICS])
    assert found is not None
    np.testing.assert_allclose(found[0], [0.9, 0.8])
