"""How numbers and tables are shown."""

import json

import numpy as np
import pytest

from backend.web.dashboard import parts


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (parts.percent(0.9876), "98.8\u00a0%"),
        (parts.percent(None), "–"),
        (parts.percent(float("nan")), "–"),
        (parts.percent(0.5, 0), "50\u00a0%"),
        (parts.number(1234567), "1\u2009234\u2009567"),
        (parts.seconds(4.25), "4.2 s"),
        (parts.seconds(45.4), "45 s"),
        (parts.seconds(90), "1.5 min"),
        (parts.seconds(7200), "2.0 h"),
        (parts.seconds(None), "–"),
        (parts.ago(0, 100), "never"),
        (parts.ago(90, 100), "just now"),
        (parts.ago(100, 700), "10 min ago"),
        (parts.ago(100, 7300), "2 h ago"),
        (parts.ago(100, 864_100), "10 days ago"),
        (parts.moment(0), "–"),
        (parts.moment(1_767_571_200), "2026-01-05 00:00"),
        (parts.tone(0.49), "low"),
        (parts.tone(0.79), "middle"),
        (parts.tone(0.8), "high"),
    ],
)
def test_numbers_in_words(made: str, text: str) -> None:
    assert made == text


def text_of(component: object) -> str:
    return json.dumps(component, ensure_ascii=False, default=lambda one: one.to_plotly_json())


def test_a_matrix_shows_counts_and_shares_of_rows() -> None:
    counts = np.array([[8, 2], [0, 5]])
    text = text_of(parts.matrix(counts, ["a", "b"], rows="given", columns="consensus", caption="c"))
    assert '"80\u00a0%"' in text
    assert '"20\u00a0%"' in text
    assert '"100\u00a0%"' in text
    assert "given: a; consensus: b; 2 of 10" in text


def test_of_many_classes_the_largest_confusions_are_listed() -> None:
    classes = [f"class {place}" for place in range(parts.MOST_MATRIX_CLASSES + 1)]
    counts = np.eye(len(classes), dtype=np.int64)
    assert "All labels equal the consensus" in text_of(
        parts.matrix(counts, classes, rows="given", columns="consensus", caption="c")
    )
    counts[3, 4] = 7
    text = text_of(parts.matrix(counts, classes, rows="given", columns="consensus", caption="c"))
    assert "class 3" in text
    assert "class 5" not in text
