"""Features of texts."""

from backend.features.text import WIDTH, text_features


def test_words_and_pairs_are_counted() -> None:
    counts = text_features(["red red car"])
    assert counts.shape == (1, WIDTH)
    assert sorted(counts.data.tolist()) == [1, 1, 1, 2]


def test_each_text_stands_alone() -> None:
    together, alone = text_features(["a b", "c 日本語"]), text_features(["c 日本語"])
    assert (together[[1], :] != alone).nnz == 0
    assert text_features([]).shape == (0, WIDTH)
    assert text_features([""]).nnz == 0


def test_a_very_long_text_is_cut() -> None:
    assert text_features(["a " * 10_000_000]).sum() == 99_999
