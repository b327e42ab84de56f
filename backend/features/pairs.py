"""Features of two texts of one task: how alike they are.

Whether two records mean the same thing is told by what they share, not by which words
they consist of.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from backend.features.text import words_of

MEASURES = 5
"""Features of a pair."""

_MOST_TEXTS = 6
"""Of more texts than these only the first are compared, each with each."""

_LONGEST = 2_000
"""Characters of a text that are compared."""

_LONGEST_CODE = 12
"""Letters and digits of a code; longer ones are no surer sign."""

_CODE = re.compile(r"[^\W_]+(?:[-./][^\W_]+)*")
_NUMBER = re.compile(r"\D{0,4}(\d[\d,]*(?:\.\d+)?)\D{0,4}")


def width_of(num_texts: int) -> int:
    """Number of features that `pair_features` gives for so many texts per task."""
    few = min(num_texts, _MOST_TEXTS)
    return MEASURES * few * (few - 1) // 2


def pair_features(texts: Sequence[Sequence[str]]) -> csr_array:
    """Compare the texts of each task, each with each.

    Parameters
    ----------
    texts
        One sequence of N texts per source, in the order of the sources.

    Returns
    -------
    csr_array of shape (N, width_of(len(texts)))
        For each pair of sources: the share of words in common; the share of the shorter
        text's letters in common words, long words counting more; the share of codes (words
        with a digit, such as model numbers) in common; the longest code of one text that
        stands in the other, however it is hyphenated; for two numbers, the smaller by the
        larger. In [0, 1]; 0 where a text is empty.
    """
    sketches = [[_Sketch.of(text) for text in source] for source in texts[:_MOST_TEXTS]]
    pairs = [
        [_alike(one, other) for one, other in zip(left, right, strict=True)]
        for left, right in combinations(sketches, 2)
    ]
    num_tasks = len(texts[0]) if texts else 0
    if not pairs or not num_tasks:
        return csr_array((num_tasks, width_of(len(texts))))
    return csr_array(np.hstack([np.asarray(pair) for pair in pairs]))


@dataclass(frozen=True)
class _Sketch:
    """What is compared of a text."""

    words: frozenset[str]
    letters: int
    """Squared lengths of the words, added up."""
    codes: frozenset[str]
    joined: str
    """All letters and digits."""
    number: float | None

    @classmethod
    def of(cls, text: str) -> _Sketch:
        """Sketch a text."""
        lower = text[:_LONGEST].lower()
        words = frozenset(words_of(lower))
        codes = frozenset(
            re.sub(r"[-./]", "", code)
            for code in _CODE.findall(lower)
            if any(sign.isdigit() for sign in code)
        )
        number = _NUMBER.fullmatch(lower.strip())
        return cls(
            words,
            _letters(words),
            codes,
            re.sub(r"[\W_]", "", lower),
            float(number[1].replace(",", "")) if number and number[1].isascii() else None,
        )


def _letters(words: frozenset[str]) -> int:
    return sum(len(word) ** 2 for word in words)


def _alike(one: _Sketch, other: _Sketch) -> NDArray[np.float64]:
    if not one.words or not other.words:
        return np.zeros(MEASURES)
    common = one.words & other.words
    codes = one.codes & other.codes
    fewest = min(len(one.codes), len(other.codes))
    contained = max(_contained(one.codes, other.joined), _contained(other.codes, one.joined))
    ratio = 0.0
    if one.number and other.number:
        ratio = min(one.number, other.number) / max(one.number, other.number)
    return np.array(
        [
            len(common) / len(one.words | other.words),
            _letters(common) / min(one.letters, other.letters),
            len(codes) / fewest if fewest else 0.0,
            min(contained, _LONGEST_CODE) / _LONGEST_CODE,
            ratio,
        ]
    )


def _contained(codes: frozenset[str], joined: str) -> int:
    """Length of the longest code of four signs or more that stands in a text."""
    return max((len(code) for code in codes if len(code) > 3 and code in joined), default=0)
