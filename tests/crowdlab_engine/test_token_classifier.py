import numpy as np
import pytest

from crowdlab_engine import token_classifier as module
from crowdlab_engine.token_classifier import (
    NEIGHBOUR_WIDTH,
    OWN_WIDTH,
    token_features,
    token_pred_probs,
)
from crowdlab_engine.tokens import tokenize


def texts_with_names(number: int) -> list[str]:
    rng = np.random.RandomState(0)
    names = ["Ada", "Bob", "Cy", "Dora"]
    verbs = ["met", "saw", "left"]
    return [
        f"{rng.choice(names)} {rng.choice(verbs)} {rng.choice(names)} in town"
        for _ in range(number)
    ]


def test_features_depend_on_the_word_and_its_neighbours() -> None:
    texts = ["Ada met Bob", "Bob met Ada", "Ada met Bob", ""]
    tokens = tokenize(texts)
    features = token_features(texts, tokens).toarray()
    assert features.shape == (9, OWN_WIDTH + 4 * NEIGHBOUR_WIDTH)
    np.testing.assert_array_equal(features[:3], features[6:])
    own = features[:, :OWN_WIDTH]
    np.testing.assert_array_equal(own[0], own[5])
    assert (features[0] != features[5]).any()
    assert (features >= 0).all()
    assert token_features([], tokenize([])).shape == (0, features.shape[1])


def test_learns_what_words_are_names() -> None:
    texts = texts_with_names(60)
    tokens = tokenize(texts)
    is_name = np.array(
        [texts[t][s].isupper() for t, s in zip(tokens.text, tokens.start, strict=True)]
    )
    labels = np.where(is_name, 0, 1)
    labels[tokens.text >= 50] = -1
    features = token_features(texts, tokens)
    probs = token_pred_probs(features, labels, tokens, num_classes=2)
    assert probs is not None
    np.testing.assert_allclose(probs.sum(axis=1), 1)
    assert ((probs[:, 0] > 0.5) == is_name).all()


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_no_model_where_there_is_nothing_to_learn(share: float) -> None:
    texts = texts_with_names(60)
    tokens = tokenize(texts)
    labels = (np.random.RandomState(0).uniform(size=len(tokens)) >= share).astype(int)
    assert token_pred_probs(token_features(texts, tokens), labels, tokens, num_classes=2) is None


def test_training_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = texts_with_names(60)
    tokens = tokenize(texts)
    labels = np.where(np.arange(len(tokens)) % 5 % 2 == 0, 0, 1)
    features = token_features(texts, tokens)
    monkeypatch.setattr(module, "MAX_TRAINING_TOKENS", 12)
    few = token_pred_probs(features, labels, tokens, num_classes=2)
    in_two_texts = np.where(tokens.text < 2, labels, -1)
    monkeypatch.undo()
    same = token_pred_probs(features, in_two_texts, tokens, num_classes=2)
    assert few is not None
    assert same is not None
    np.testing.assert_array_equal(few, same)


def test_no_model_where_its_probabilities_would_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = texts_with_names(60)
    tokens = tokenize(texts)
    labels = np.where(np.arange(len(tokens)) % 5 % 2 == 0, 0, 1)
    monkeypatch.setattr(module, "MAX_PROBS", 2 * len(tokens) - 1)
    assert token_pred_probs(token_features(texts, tokens), labels, tokens, num_classes=2) is None
