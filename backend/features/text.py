"""Features of texts: hashed counts of words, their beginnings, and pairs of neighbours."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from scipy.sparse import csr_array
from sklearn.feature_extraction.text import HashingVectorizer

WIDTH = 2**18
"""Number of features."""

_LONGEST = 100_000
"""Characters of a text that are used."""

_PREFIXES = (4, 6)
"""Lengths of the beginnings by which forms of one word are alike."""

_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
"""Scripts that put no space between words: Thai, Lao, Burmese, Khmer, Japanese, Chinese."""

_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")


def words_of(text: str) -> list[str]:
    """Return the words of a text in lower case; single signs of scripts without spaces."""
    found: list[str] = _WORD.findall(text.lower())
    return found


def _terms_of(text: str) -> list[str]:
    words = words_of(text[:_LONGEST])
    terms = [*words, *map(" ".join, pairwise(words))]
    for length in _PREFIXES:
        terms += [f"{word[:length]}…" for word in words if len(word) > length]
    return terms


_VECTORIZER = HashingVectorizer(
    n_features=WIDTH, analyzer=_terms_of, alternate_sign=False, norm=None
)


def text_features(texts: Sequence[str]) -> csr_array:
    """Count the words of each text, pairs of neighbours, and beginnings of longer words.

    Parameters
    ----------
    texts
        N texts.

    Returns
    -------
    csr_array of shape (N, WIDTH)
        Counts, float64, non-negative; a row without entries for a text without words.
    """
    if not texts:
        return csr_array((0, WIDTH))
    return csr_array(_VECTORIZER.transform(texts))
