"""Features of texts."""

import pytest

from backend.features.text import WIDTH, text_features, words_of


def test_words_and_pairs_are_counted() -> None:
    counts = text_features(["red red car"])
    assert counts.shape == (1, WIDTH)
    assert sorted(counts.data.tolist()) == [1, 1, 1, 2]


def test_forms_of_a_word_share_its_beginning() -> None:
    one, other = text_features(["connects"]), text_features(["connected"])
    assert one.multiply(other).sum() == 2  # conn…, connec…


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It's 5 o'clock!", ["it", "s", "5", "o", "clock"]),
        ("très bon_ÉTÉ", ["très", "bon_été"]),
        ("猫が好きcats", ["猫", "が", "好", "き", "cats"]),
        ("ดี", ["ด", "ี"]),
        ("😀 … !", []),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert words_of(text) == words


def test_each_text_stands_alone() -> None:
    together, alone = text_features(["a b", "c 日本語"]), text_features(["c 日本語"])
    assert (together[[1], :] != alone).nnz == 0
    assert text_features([]).shape == (0, WIDTH)
    assert text_features([""]).nnz == 0


def test_a_very_long_text_is_cut() -> None:
    assert text_features(["a " * 10_000_000]).sum() == 99_999
