"""Out-of-sample class probabilities by cross-validation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse

from crowdlab_engine._random import RandomState, random_generator
from crowdlab_engine._typing import FloatArray

MIN_LABELLED_TASKS = 10
"""Fewer labelled tasks than this do not make a classifier."""


class NotEnoughLabels(ValueError):  # noqa: N818 - reads as the reason it gives
    """There are too few labels, or classes, to train and test a classifier."""


def out_of_sample_pred_probs(
    features: Any,
    labels: ArrayLike,
    *,
    num_classes: int,
    sample_weight: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    n_splits: int = 5,
    classifier: Any | None = None,
    random_state: RandomState = 0,
) -> FloatArray:
    """Predict each task by classifiers that have not seen its label.

    Labelled tasks are split into folds, stratified by class, a group never divided; each
    fold is predicted by a classifier trained on the others. Tasks without a label get the
    mean prediction of all these classifiers, unless their group is in a fold: then they
    are predicted with it, as the same content deserves the same probabilities.

    A class that a classifier has not seen in training gets probability 0. There is no
    smoothing: CROWDLAB averages probabilities, so a 0 is not final.

    Parameters
    ----------
    features : ndarray or SciPy sparse, shape (N, D)
        Features of each task, finite.
    labels : array_like of int, shape (N,)
        Class codes from 0; -1 for tasks without a label.
    num_classes : int
        Number of classes K.
    sample_weight : array_like of float, shape (N,), optional
        How much each labelled task counts in training, relative to the others. Weight 0 is
        the same as no label. Values at tasks without a label are ignored.
    groups : array_like, shape (N,), optional
        Tasks of equal content have equal values. Default: every task is its own group. A
        group of several labels is stratified by that of its first task.
    n_splits : int, default 5
        Number of folds; fewer if there are fewer groups with labels.
    classifier : scikit-learn classifier, optional
        With `predict_proba`; cloned, never fitted itself. Default: logistic regression,
        on standardised features if dense, on tf-idf of counts if sparse.
    random_state : int or numpy.random.RandomState, default 0
        How tasks are dealt to folds.

    Returns
    -------
    ndarray of float64, shape (N, K)
        Class probabilities; rows sum to 1.

    Raises
    ------
    NotEnoughLabels
        Fewer than 10 labelled tasks, or fewer than two classes with labels in at least two
        groups each.
    ValueError
        Shapes differ, a feature or weight is not finite, a code is out of range, weights
        are negative or not supported by the classifier, `n_splits` is below 2.
    TypeError
        `random_state` is neither an integer nor a `RandomState`.
    """
    if n_splits < 2:
        raise ValueError(f"n_splits is {n_splits}: cross-validation needs at least 2")
    generator = random_generator(random_state)
    matrix = _check_features(features)
    num_tasks = matrix.shape[0]
    codes = _check_labels(labels, num_tasks, num_classes)
    is_labelled = codes >= 0
    weight = None
    if sample_weight is not None:
        weight = _check_weights(sample_weight, is_labelled)
        is_labelled &= weight > 0
    group = _group_codes(groups, num_tasks)
    if classifier is None:
        classifier = _default_classifier(is_sparse=issparse(matrix))
    fold = _deal_folds(codes, is_labelled, group, n_splits, generator)

    num_folds = int(fold.max()) + 1
    has_fold = fold >= 0
    pred_probs = np.zeros((num_tasks, num_classes))
    for held_out in range(num_folds):
        train = np.flatnonzero(is_labelled & (fold != held_out))
        fitted = _fit(
            classifier, matrix[train], codes[train], None if weight is None else weight[train]
        )
        tested = np.flatnonzero(fold == held_out)
        pred_probs[tested] = _predict(fitted, matrix[tested], num_classes)
        if not has_fold.all():
            pred_probs[~has_fold] += (
                _predict(fitted, matrix[np.flatnonzero(~has_fold)], num_classes) / num_folds
            )
    return pred_probs
