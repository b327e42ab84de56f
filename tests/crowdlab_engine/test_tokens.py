import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdlab_engine import tokens as module
from crowdlab_engine.tokens import Tokens, tokenize

SCRIPTS = {
    "latin": ("Ada lived in London.", ["Ada", "lived", "in", "London", "."]),
    "apostrophe": ("Ada’s don't", ["Ada", "’", "s", "don", "'", "t"]),
    "numbers": ("B-52 cost 3,5€", ["B", "-", "52", "cost", "3", ",", "5", "€"]),
    "underscore": ("snake_case", ["snake_case"]),
    "cyrillic": ("Анна, Ёж", ["Анна", ",", "Ёж"]),
    "devanagari": ("हिन्दी में", ["हिन्दी", "में"]),
    "arabic": ("مَرْحَبًا بك", ["مَرْحَبًا", "بك"]),
    "korean": ("서울에서 왔다", ["서울에서", "왔다"]),
    "chinese": ("我在北京。", ["我", "在", "北", "京", "。"]),
    "japanese": ("東京ｶﾞ", ["東", "京", "ｶﾞ"]),
    "thai": ("สวัสดี", ["ส", "วั", "ส", "ดี"]),
    "mixed": ("iPhone在店", ["iPhone", "在", "店"]),
    "decomposed": ("cafe\u0301 x", ["cafe\u0301", "x"]),
    "joined emoji": ("👩‍👩‍👧ok", ["👩‍👩‍👧", "ok"]),
    "skin tone": ("👍🏽👍", ["👍🏽", "👍"]),
    "variation": ("❤️a", ["❤️", "a"]),
    "flags": ("🇩🇪🇫🇷🇯", ["🇩🇪", "🇫🇷", "🇯"]),
    "surrogates": ("\ud83d\ude00 x", ["\ud83d\ude00", "x"]),
    "zero width": ("ab\u200bcd e\u00adf", ["ab", "cd", "e\u00adf"]),
    "lone mark": (" \u0301a", ["\u0301", "a"]),
    "line ends": ("a\r\nb\tc\u3000d", ["a", "b", "c", "d"]),
    "empty": ("", []),
    "blank": (" \n ", []),
}


def words(texts: list[str], tokens: Tokens) -> list[list[str]]:
    found: list[list[str]] = [[] for _ in texts]
    for text, start, end in zip(tokens.text, tokens.start, tokens.end, strict=True):
        found[text].append(texts[text][start:end])
    return found


@pytest.mark.parametrize("script", SCRIPTS)
def test_finds_the_tokens_of_a_script(script: str) -> None:
    text, expected = SCRIPTS[script]
    assert words([text], tokenize([text])) == [expected]


def test_each_text_has_its_own_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    texts, expected = zip(*SCRIPTS.values(), strict=True)
    assert words(list(texts), tokenize(texts)) == list(expected)
    monkeypatch.setattr(module, "_CHARACTERS_AT_ONCE", 10)
    lots = tokenize(texts)
    assert words(list(texts), lots) == list(expected)
    assert lots.length.tolist() == [len(text) for text in texts]
    assert len(tokenize([])) == 0


@given(st.lists(st.text(max_size=30), max_size=5))
def test_tokens_hold_every_letter_once(texts: list[str]) -> None:
    tokens = tokenize(texts)
    assert (tokens.start < tokens.end).all()
    for text, found in zip(texts, words(texts, tokens), strict=True):
        assert not any(word.isspace() for word in found)
        assert [c for c in "".join(found) if c.isalnum()] == [c for c in text if c.isalnum()]
    inside = np.diff(tokens.text) == 0
    assert (tokens.end[:-1][inside] <= tokens.start[1:][inside]).all()


def test_finds_the_tokens_of_spans() -> None:
    tokens = tokenize(["", "ab cd", "ef"])
    text, start, end = np.array([[1, 0, 5], [1, 1, 4], [1, 2, 3], [2, 1, 2]]).T
    first, stop = tokens.covered(text, start, end)
    assert list(zip(first.tolist(), stop.tolist(), strict=True)) == [(0, 2), (0, 2), (1, 1), (2, 3)]


def test_cuts_tokens() -> None:
    texts = ["abcd ef", "ghi"]
    cut = tokenize(texts).split(np.array([2, 0, 0]), np.array([1, 3, 1]))
    assert words(texts, cut) == [["a", "bc", "d", "ef"], ["g", "hi"]]
