"""Words for figures."""

import pytest

from backend.web.dashboard.words import likeness


@pytest.mark.parametrize(
    ("value", "agrees", "words"),
    [
        (1.0, True, "the same"),
        (0.95, True, "nearly the same (95 %)"),
        (0.8, False, "alike in part (80 %)"),
        (0.25, False, "little alike (25 %)"),
        (0.0, False, "another answer"),
    ],
)
def test_likeness_is_graded(value: float, agrees: bool, words: str) -> None:
    assert likeness(value, agrees=agrees) == words
