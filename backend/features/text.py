"""Features of texts: hashed counts of words and of pairs of neighbouring words."""

from __future__ import annotations

from collections.abc import Sequence

from scipy.sparse import csr_array
from sklearn.feature_extraction.text import HashingVectorizer

WIDTH = 2**18
"""Number of features."""

_LONGEST = 100_000
"""Characters of a text that are used."""

_VECTORIZER = HashingVectorizer(
    n_features=WIDTH,
    ngram_range=(1, 2),
    token_pattern=r"(?u)\b\w+\b",  # noqa: S106 - words, not a password
    alternate_sign=False,
    norm=None,
)


def text_features(texts: Sequence[str]) -> csr_array:
    """Count the words of each text.

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
    counts = _VECTORIZER.transform([text[:_LONGEST] for text in texts])
    return csr_array(counts)
