"""Out-of-sample class probabilities by cross-validation."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import has_fit_parameter

from crowdlab_engine._random import RandomState, random_generator
from crowdlab_engine._typing import BoolArray, FloatArray, IntArray

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
    after_fold: Callable[[int, int], None] | None = None,
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
        on standardised features if dense (strongly regularised), on tf-idf of counts if sparse.
    random_state : int or numpy.random.RandomState, default 0
        How tasks are dealt to folds.
    after_fold : callable, optional
        Called after each fold with the number of folds done and their total. What it
        raises ends the training.

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
    without_fold = np.flatnonzero(fold < 0)
    pred_probs = np.zeros((num_tasks, num_classes))
    for held_out in range(num_folds):
        train = np.flatnonzero(is_labelled & (fold != held_out))
        test = np.flatnonzero(fold == held_out)
        train_weight = None if weight is None else weight[train]
        model = _fit(classifier, matrix[train], codes[train], train_weight)
        pred_probs[test] = _predict(model, matrix[test], num_classes)
        if without_fold.size:
            shares = _predict(model, matrix[without_fold], num_classes) / num_folds
            pred_probs[without_fold] += shares
        if after_fold is not None:
            after_fold(held_out + 1, num_folds)
    return pred_probs


def _check_features(features: Any) -> Any:
    """Return features as a float array or a CSR matrix, 2-D and finite."""
    if issparse(features):
        matrix = features.tocsr()
        values = matrix.data
    else:
        matrix = values = np.asarray(features)
        if values.dtype.kind != "f":
            matrix = values = values.astype(np.float64)
    if matrix.ndim != 2 or matrix.shape[1] == 0:
        raise ValueError(
            f"features have shape {matrix.shape}: pass one row per task and at least one column"
        )
    if not np.isfinite(values).all():
        raise ValueError("features hold NaN or infinite values: replace them")
    return matrix


def _check_labels(labels: ArrayLike, num_tasks: int, num_classes: int) -> IntArray:
    codes = np.asarray(labels)
    if codes.shape != (num_tasks,):
        raise ValueError(
            f"labels have shape {codes.shape} but features have {num_tasks} rows: pass one label "
            "per task, -1 for none"
        )
    if codes.size and codes.dtype.kind not in "iu":
        raise ValueError(f"labels are {codes.dtype}: pass integer class codes, -1 for none")
    wrong = np.flatnonzero((codes < -1) | (codes >= num_classes))
    if wrong.size:
        raise ValueError(
            f"label {codes[wrong[0]]} of task {wrong[0]} is outside -1..{num_classes - 1}: correct "
            "it or num_classes"
        )
    return codes.astype(np.int64)


def _check_weights(sample_weight: ArrayLike, is_labelled: BoolArray) -> FloatArray:
    """Return the weights, scaled to mean 1 where they count; 0 for tasks without a label."""
    given = np.asarray(sample_weight, dtype=np.float64)
    if given.shape != is_labelled.shape:
        raise ValueError(
            f"sample_weight has shape {given.shape} but features have {len(is_labelled)} rows: "
            "pass one weight per task"
        )
    weight = np.where(is_labelled, given, 0.0)
    wrong = np.flatnonzero(~np.isfinite(weight) | (weight < 0))
    if wrong.size:
        raise ValueError(
            f"sample_weight of task {wrong[0]} is {weight[wrong[0]]}: it must be a finite number "
            "from 0"
        )
    num_positive = np.count_nonzero(weight)
    return weight * (num_positive / weight.sum()) if num_positive else weight


def _group_codes(groups: ArrayLike | None, num_tasks: int) -> IntArray:
    """Return a code for the group of each task, shape (N,)."""
    if groups is None:
        return np.arange(num_tasks)
    values = np.asarray(groups)
    if values.shape != (num_tasks,):
        raise ValueError(
            f"groups have shape {values.shape} but features have {num_tasks} rows: pass one group "
            "per task"
        )
    codes: IntArray = np.unique(values, return_inverse=True)[1]
    return codes


def _deal_folds(
    codes: IntArray,
    is_labelled: BoolArray,
    group: IntArray,
    n_splits: int,
    generator: np.random.RandomState,
) -> IntArray:
    """Return the fold of each task, shape (N,); -1 for groups without a label.

    The shuffled groups of each class are dealt out in turn, so that folds differ by at most
    one group, in total and per class. No classifier is trained on a single class.
    """
    labelled = np.flatnonzero(is_labelled)
    if len(labelled) < MIN_LABELLED_TASKS:
        raise NotEnoughLabels(
            f"{len(labelled)} tasks have a label, a classifier needs {MIN_LABELLED_TASKS}"
        )
    labelled_groups, first = np.unique(group[labelled], return_index=True)
    stratum = codes[labelled[first]]
    num_codes = int(codes.max()) + 1
    cells = np.unique(group[labelled] * num_codes + codes[labelled])
    num_usable = int(np.count_nonzero(np.bincount(cells % num_codes) >= 2))
    if num_usable < 2:
        raise NotEnoughLabels(
            f"{num_usable} classes have labels on two different tasks, a classifier needs 2"
        )
    shuffled = generator.permutation(len(labelled_groups))
    by_class = shuffled[np.argsort(stratum[shuffled], kind="stable")]
    fold_of_group = np.full(group.max() + 1, -1)
    fold_of_group[labelled_groups[by_class]] = np.arange(len(by_class)) % n_splits
    fold = fold_of_group[group]
    for held_out in range(min(n_splits, len(by_class))):
        if np.unique(codes[is_labelled & (fold != held_out)]).size < 2:
            raise NotEnoughLabels(
                "all labels of a class are in one fold, so that nothing can be learnt of it"
            )
    return fold


def _default_classifier(*, is_sparse: bool) -> Pipeline:
    if is_sparse:
        return make_pipeline(TfidfTransformer(), LogisticRegression(max_iter=1000))
    # The labels to learn are a crowd's: a weakly regularised model would learn its errors.
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.02, max_iter=1000))


def _fit(classifier: Any, features: Any, codes: IntArray, weight: FloatArray | None) -> Any:
    """Fit a clone, silently: a classifier that has not converged is still out of sample."""
    model = clone(classifier)
    weights = {} if weight is None else {_weight_parameter(model): weight}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        return model.fit(features, codes, **weights)


def _weight_parameter(classifier: Any) -> str:
    """Name of the argument of `fit` that takes sample weights."""
    last = classifier.steps[-1][1] if isinstance(classifier, Pipeline) else classifier
    if not has_fit_parameter(last, "sample_weight"):
        raise ValueError(
            f"{type(last).__name__} does not take sample weights: pass sample_weight=None or "
            "another classifier"
        )
    if last is classifier:
        return "sample_weight"
    return f"{classifier.steps[-1][0]}__sample_weight"


def _predict(model: Any, features: Any, num_classes: int) -> FloatArray:
    """Predict probabilities of all classes, 0 for those the model has not seen."""
    pred_probs = np.zeros((features.shape[0], num_classes))
    pred_probs[:, model.classes_] = model.predict_proba(features)
    return pred_probs
