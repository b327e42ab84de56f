import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crowdlab_engine.edit_distance import edit_distances


def by_the_table(one: str, other: str) -> int:
    """Edit distance as every textbook has it."""
    before = list(range(len(other) + 1))
    for row, sign in enumerate(one, start=1):
        now = [row]
        for column, opposite in enumerate(other, start=1):
            now.append(
                min(before[column] + 1, now[-1] + 1, before[column - 1] + (sign != opposite))
            )
        before = now
    return before[-1]


TEXTS = st.text(alphabet="abcé😀", max_size=12)
LONG_TEXTS = st.integers(0, 2**31).map(
    lambda seed: "".join(
        np.random.RandomState(seed).choice(list("abcd"), np.random.RandomState(seed).randint(200))
    )
)


@settings(max_examples=60)
@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=8))
def test_short_texts(pairs: list[tuple[str, str]]) -> None:
    found = edit_distances([one for one, _ in pairs], [other for _, other in pairs])
    assert found.tolist() == [by_the_table(*pair) for pair in pairs]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(LONG_TEXTS, LONG_TEXTS), min_size=1, max_size=4))
def test_texts_of_several_words(pairs: list[tuple[str, str]]) -> None:
    found = edit_distances([one for one, _ in pairs], [other for _, other in pairs])
    assert found.tolist() == [by_the_table(*pair) for pair in pairs]


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [
        ("", "", 0),
        ("", "abc", 3),
        ("kitten", "sitting", 3),
        ("a" * 64, "a" * 64, 0),
        ("a" * 64, "a" * 63 + "b", 1),
        ("a" * 65, "b" + "a" * 64, 1),
        ("a" * 128, "a" * 129, 1),
        ("x" * 300, "y" * 300, 300),
        ("abc" * 50, "bca" * 50, 2),
    ],
)
def test_known_distances(one: str, other: str, distance: int) -> None:
    assert edit_distances([one, other], [other, one]).tolist() == [distance, distance]


def test_pairs_of_all_lengths_stand_side_by_side() -> None:
    rng = np.random.RandomState(0)
    texts = ["".join(rng.choice(list("ab "), size)) for size in rng.randint(150, size=60)]
    found = edit_distances(texts, texts[::-1])
    assert found.tolist() == [by_the_table(*pair) for pair in zip(texts, texts[::-1], strict=True)]


def test_refuses_what_are_no_pairs() -> None:
    assert edit_distances([], []).shape == (0,)
    with pytest.raises(ValueError, match="first holds 1 texts but second 2"):
        edit_distances(["a"], ["b", "c"])
