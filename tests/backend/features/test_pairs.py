"""Features of pairs of texts."""

import numpy as np
import pytest

from backend.features.pairs import MEASURES, pair_features, width_of


def measures(one: str, other: str) -> list[float]:
    found: list[float] = pair_features([[one], [other]]).toarray()[0].tolist()
    return found


def test_equal_texts_are_alike_and_others_are_not() -> None:
    assert measures("Blue KX-TG9391T phone", "blue kx-tg9391t PHONE")[:3] == [1, 1, 1]
    assert measures("red apple", "green pear") == [0, 0, 0, 0, 0]


def test_a_code_is_found_however_it_is_hyphenated() -> None:
    words, letters, codes, contained, _ = measures("phone KX-TG9391T", "KXTG9391T handset")
    assert (words, letters, codes) == (0, 0, 1)
    assert contained == pytest.approx(9 / 12)
    assert measures("model a1", "model b2")[3] == 0


def test_long_words_count_more() -> None:
    _, long, *_ = measures("the refrigerator", "a refrigerator door")
    _, short, *_ = measures("the refrigerator", "the door")
    assert 0 < short < long < 1


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [
        ("$299.00", "149.5", 0.5),
        ("1,000 €", "$2,000", 0.5),
        ("3 doors", "5 windows", 0.0),
        ("", "5", 0.0),
        ("٣", "٣", 0.0),
        ("0", "5", 0.0),
    ],
)
def test_numbers_are_compared_by_their_ratio(one: str, other: str, ratio: float) -> None:
    assert measures(one, other)[4] == ratio


def test_each_pair_of_sources_has_its_columns() -> None:
    texts = [["a b", "x"], ["a b", "y"], ["c", "y"]]
    found = pair_features(texts).toarray().reshape(2, 3, MEASURES)
    assert width_of(3) == 3 * MEASURES
    np.testing.assert_array_equal(found[:, :, 0], [[1, 0, 0], [0, 0, 1]])


def test_few_or_no_texts() -> None:
    assert pair_features([]).shape == (0, 0)
    assert pair_features([["a", "b"]]).shape == (2, 0)
    assert pair_features([[], []]).shape == (0, MEASURES)
    assert pair_features([["a"]] * 20).shape == (1, width_of(20))
    assert width_of(20) == width_of(6)


def test_a_very_long_text_is_cut() -> None:
    assert measures("a " * 10_000_000, "a b")[0] == 0.5
