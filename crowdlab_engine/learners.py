"""What a portfolio is made of: classifiers for counts of words, for numbers, and for both.

All take sample weights, as they learn from a consensus that is surer of some tasks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_array, hstack, issparse
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.naive_bayes import MultinomialNB
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from crowdlab_engine._typing import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    from typing_extensions import Self

_NUMBER_SCALE = 0.1
"""Size of a standardised number beside tf-idf: the labels to learn are a crowd's, and weakly
regularised weights of numbers would learn its errors."""


class Columns(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Weigh counts by tf-idf, with the logarithm of frequencies, and standardise numbers.

    Parameters
    ----------
    is_count : ndarray of bool, shape (D,)
        Which columns are counts; the others are numbers.
    use_counts, use_numbers : bool, default True
        Which of them to keep. Numbers alone are returned dense, else all is sparse.
    """

    def __init__(
        self, is_count: BoolArray, use_counts: bool = True, use_numbers: bool = True
    ) -> None:
        self.is_count = is_count
        self.use_counts = use_counts
        self.use_numbers = use_numbers

    def fit(self, features: Any, labels: Any = None) -> Self:
        """Learn how frequent words are, and the mean and spread of numbers."""
        counts, numbers = self._split(features)
        if counts is not None:
            self.frequencies_ = TfidfTransformer(sublinear_tf=True).fit(counts)
        if numbers is not None:
            self.scaler_ = StandardScaler().fit(numbers)
        return self

    def transform(self, features: Any) -> Any:
        """Return the columns kept, counts first."""
        counts, numbers = self._split(features)
        scaled = None if numbers is None else self.scaler_.transform(numbers)
        if counts is None:
            return scaled
        weighed = self.frequencies_.transform(counts)
        if scaled is None:
            return weighed
        return hstack([weighed, csr_array(scaled * _NUMBER_SCALE)], format="csr")

    def _split(self, features: Any) -> tuple[Any, FloatArray | None]:
        is_count = np.asarray(self.is_count)
        counts = numbers = None
        if self.use_counts and is_count.any():
            counts = features if is_count.all() else features[:, np.flatnonzero(is_count)]
        if self.use_numbers and not is_count.all():
            some = features if not is_count.any() else features[:, np.flatnonzero(~is_count)]
            numbers = np.asarray(some.toarray() if issparse(some) else some)
        return counts, numbers


class WeightedNeighbours(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Share of each class among the nearest neighbours, who count by their sample weights.

    The classes' shares of all tasks are added as one more neighbour, so that no
    probability is 0.

    Parameters
    ----------
    num_neighbours : int, default 25
        How many neighbours are asked; all if there are fewer.
    """

    def __init__(self, num_neighbours: int = 25) -> None:
        self.num_neighbours = num_neighbours

    def fit(
        self, features: FloatArray, labels: IntArray, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Remember the tasks."""
        self.classes_, self._label = np.unique(labels, return_inverse=True)
        given = np.ones(len(labels)) if sample_weight is None else sample_weight
        self._weight = np.asarray(given, dtype=np.float64)
        shares = np.bincount(self._label, weights=self._weight, minlength=len(self.classes_))
        self._prior = shares / shares.sum()
        self._index = NearestNeighbors(
            n_neighbors=min(self.num_neighbours, len(labels)), algorithm="brute"
        ).fit(features)
        return self

    def predict_proba(self, features: FloatArray) -> FloatArray:
        """Return class probabilities, shape (N, K)."""
        near = self._index.kneighbors(features, return_distance=False)
        num_tasks, num_classes = len(near), len(self.classes_)
        cell = np.arange(num_tasks)[:, None] * num_classes + self._label[near]
        votes = np.bincount(
            cell.ravel(), weights=self._weight[near].ravel(), minlength=num_tasks * num_classes
        ).reshape(num_tasks, num_classes)
        votes += self._prior * self._weight.mean()
        probs: FloatArray = votes / votes.sum(axis=1, keepdims=True)
        return probs


@dataclass(frozen=True)
class Situation:
    """What candidates are chosen by.

    Attributes
    ----------
    num_tasks : int
        Tasks with a label.
    num_classes : int
        Number of classes.
    is_count : ndarray of bool, shape (D,)
        Which columns are counts of words.
    """

    num_tasks: int
    num_classes: int
    is_count: BoolArray

    @property
    def num_counts(self) -> int:
        """Number of columns that are counts."""
        return int(np.count_nonzero(self.is_count))

    @property
    def num_numbers(self) -> int:
        """Number of columns that are numbers."""
        return len(self.is_count) - self.num_counts


@dataclass(frozen=True)
class Candidate:
    """A classifier that may be chosen.

    Attributes
    ----------
    name : str
        What people call it.
    build : callable
        From a `Situation` to an unfitted scikit-learn classifier.
    suits : callable
        Whether it makes sense in a `Situation`.
    growth : float
        Its seconds grow with the number of tasks to this power.
    """

    name: str
    build: Callable[[Situation], Any]
    suits: Callable[[Situation], bool]
    growth: float = 1.0


_DENSEST = 4096
_MOST_LINEAR_WORK = 500_000
_MOST_NEIGHBOURS = 100_000
_WIDEST_BOOSTING = 512
_FEWEST_BOOSTING = 100
_MOST_BOOSTING_CLASSES = 20


def _naive_bayes(situation: Situation) -> Pipeline:
    columns = Columns(situation.is_count, use_numbers=False)
    return make_pipeline(columns, MultinomialNB(alpha=0.5))


def _logistic_regression(situation: Situation) -> Pipeline:
    strength = 2.0 if situation.num_counts else 2.0 * _NUMBER_SCALE**2
    return make_pipeline(
        Columns(situation.is_count), LogisticRegression(C=strength, solver="newton-cg")
    )


def _gradient_descent(situation: Situation) -> Pipeline:
    strength = 0.5 / max(1, situation.num_tasks)  # as strong as in logistic regression
    descent = SGDClassifier(
        loss="log_loss", alpha=strength, max_iter=20, average=True, random_state=0
    )
    return make_pipeline(Columns(situation.is_count), descent)


def _neighbours(situation: Situation) -> Pipeline:
    return make_pipeline(Columns(situation.is_count, use_counts=False), WeightedNeighbours())


def _boosting(situation: Situation) -> Pipeline:
    trees = HistGradientBoostingClassifier(
        learning_rate=0.08,
        max_leaf_nodes=8,
        min_samples_leaf=max(5, min(40, situation.num_tasks // 50)),
        l2_regularization=1.0,
        random_state=0,
    )
    return make_pipeline(Columns(situation.is_count, use_counts=False), trees)


CANDIDATES = (
    Candidate("naive Bayes", _naive_bayes, lambda one: one.num_counts > 0),
    Candidate(
        "gradient descent",
        _gradient_descent,
        lambda one: one.num_counts > 0 and one.num_tasks * one.num_classes > _MOST_LINEAR_WORK,
    ),
    Candidate(
        "logistic regression",
        _logistic_regression,
        lambda one: (
            one.num_numbers <= _DENSEST
            and (one.num_counts == 0 or one.num_tasks * one.num_classes <= _MOST_LINEAR_WORK)
        ),
    ),
    Candidate(
        "nearest neighbours",
        _neighbours,
        lambda one: 0 < one.num_numbers <= _DENSEST and one.num_tasks <= _MOST_NEIGHBOURS,
        growth=2.0,
    ),
    Candidate(
        "gradient boosting",
        _boosting,
        lambda one: (
            0 < one.num_numbers <= _WIDEST_BOOSTING
            and one.num_tasks >= _FEWEST_BOOSTING
            and one.num_classes <= _MOST_BOOSTING_CLASSES
        ),
    ),
)
"""All there are, about the cheapest first."""
