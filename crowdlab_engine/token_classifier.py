"""Out-of-sample class probabilities of tokens, from their words and those beside them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.sparse import csr_array, hstack
from sklearn.feature_extraction import FeatureHasher
from sklearn.linear_model import SGDClassifier

from crowdlab_engine._random import RandomState
from crowdlab_engine._typing import FloatArray, IntArray
from crowdlab_engine.classifier import NotEnoughLabels, out_of_sample_pred_probs
from crowdlab_engine.tokens import Tokens

OWN_WIDTH = 2**15
NEIGHBOUR_WIDTH = 2**13
"""Number of features of a token itself, and of each of its neighbours."""

NEIGHBOURS = (-2, -1, 1, 2)
"""Neighbours that count, by their distance."""

MAX_TRAINING_TOKENS = 200_000
"""So many tokens are trained on, in whole texts."""

MAX_PROBS = 2**27
"""More tokens times classes than this get no classifier: 1 GiB of probabilities."""

_LONGEST_WORD = 50
_OWN = FeatureHasher(OWN_WIDTH, input_type="string", alternate_sign=False)
_NEIGHBOUR = FeatureHasher(NEIGHBOUR_WIDTH, input_type="string", alternate_sign=False)


def token_features(texts: Sequence[str], tokens: Tokens) -> csr_array:
    """Describe each token by its word, shape, beginning and end, and by its neighbours.

    Parameters
    ----------
    texts : sequence of str, length N
        The texts.
    tokens : Tokens
        T tokens of these texts.

    Returns
    -------
    csr_array of float64, shape (T, OWN_WIDTH + 4 * NEIGHBOUR_WIDTH)
        Hashed, 0 or more.
    """
    width = OWN_WIDTH + len(NEIGHBOURS) * NEIGHBOUR_WIDTH
    if not len(tokens):
        return csr_array((0, width))
    words = [
        texts[text][start : min(end, start + _LONGEST_WORD)]
        for text, start, end in zip(
            tokens.text.tolist(), tokens.start.tolist(), tokens.end.tolist(), strict=True
        )
    ]
    code, vocabulary = pd.factorize(np.array(words, dtype=object))
    own = csr_array(_OWN.transform(_own_features(word) for word in vocabulary))
    # The last row stands for what is before and after a text.
    near = [*(_neighbour_features(word) for word in vocabulary), ["edge"]]
    of_neighbours = csr_array(_NEIGHBOUR.transform(near))
    parts = [own[code]]
    place = np.arange(len(code))
    for distance in NEIGHBOURS:
        there = place + distance
        inside = np.clip(there, 0, len(code) - 1)
        is_beyond = (there != inside) | (tokens.text[inside] != tokens.text)
        parts.append(of_neighbours[np.where(is_beyond, len(vocabulary), code[inside])])
    return csr_array(hstack(parts, format="csr"))


def token_pred_probs(
    features: csr_array,
    labels: ArrayLike,
    tokens: Tokens,
    *,
    num_classes: int,
    sample_weight: ArrayLike | None = None,
    n_splits: int = 5,
    random_state: RandomState = 0,
) -> FloatArray | None:
    """Predict the class of each token by classifiers that have not seen its text.

    Parameters
    ----------
    features : csr_array, shape (T, D)
        Features of each token, see `token_features`.
    labels : array_like of int, shape (T,)
        Class of each token, one of them "outside"; -1 where it is not known.
    tokens : Tokens
        The T tokens.
    num_classes : int
        Number of classes, "outside" included.
    sample_weight : array_like of float, shape (T,), optional
        How sure each label is.
    n_splits : int, default 5
        Number of folds.
    random_state : int or numpy.random.RandomState, default 0
        How texts are dealt to folds.

    Returns
    -------
    ndarray of float64, shape (T, K), or None
        None where there are too few labels, or more tokens and classes than `MAX_PROBS`, or
        where the predictions have a larger log loss than the frequencies of the labels.
    """
    if len(tokens) * num_classes > MAX_PROBS:
        return None
    known = np.asarray(labels, dtype=np.int64)
    weight = np.ones(len(known)) if sample_weight is None else np.asarray(sample_weight, np.float64)
    size = np.bincount(tokens.text[known >= 0], minlength=tokens.num_texts)
    trained = np.where((np.cumsum(size) <= MAX_TRAINING_TOKENS)[tokens.text], known, -1)
    # Folds are stratified by the first label of a text: let it be the rarest one it has.
    frequency = np.append(np.bincount(trained[trained >= 0], minlength=num_classes), len(known))
    order = np.lexsort((frequency[trained], tokens.text))
    classifier = SGDClassifier(loss="log_loss", alpha=1e-4, max_iter=30, random_state=0)
    probs = np.empty((len(known), num_classes))
    try:
        probs[order] = out_of_sample_pred_probs(
            features[order],
            trained[order],
            num_classes=num_classes,
            sample_weight=weight[order],
            groups=tokens.text[order],
            n_splits=n_splits,
            classifier=classifier,
            random_state=random_state,
        )
    except NotEnoughLabels:
        return None
    told = np.flatnonzero((known >= 0) & (weight > 0))
    share = np.bincount(known[told], weight[told], num_classes) / weight[told].sum()
    frequencies = np.broadcast_to(share, probs.shape)
    if _log_loss(probs, known, weight, told) >= _log_loss(frequencies, known, weight, told):
        return None
    return probs


def _log_loss(probs: FloatArray, labels: IntArray, weight: FloatArray, rows: IntArray) -> float:
    predicted = np.maximum(probs[rows, labels[rows]], 1e-6)
    return -float(np.average(np.log(predicted), weights=weight[rows]))


def _own_features(word: str) -> list[str]:
    lower = word.lower()
    features = [f"word {lower}", f"shape {_shape(word)}"]
    for size in range(1, min(len(word), 4)):
        features += [f"begins {lower[:size]}", f"ends {lower[-size:]}"]
    return features


def _neighbour_features(word: str) -> list[str]:
    lower = word.lower()
    return [f"word {lower}", f"shape {_shape(word)}", f"ends {lower[-3:]}"]


def _shape(word: str) -> str:
    """Return what kinds of characters a word has, in turn: "Ab12" is "Xxd"."""
    return "".join(kind for kind, _ in groupby(map(_kind, word)))


def _kind(character: str) -> str:
    if character.isupper():
        return "X"
    if character.isdigit():
        return "d"
    return "x" if character.isalpha() else character
