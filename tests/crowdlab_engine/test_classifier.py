from typing import Any

import numpy as np
import pytest
from scipy.sparse import coo_matrix, csr_array, csr_matrix
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from crowdlab_engine import NotEnoughLabels, out_of_sample_pred_probs


def blobs(
    num_tasks: int = 60, num_classes: int = 3, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Features around one centre per class, and the classes."""
    labels = np.arange(num_tasks) % num_classes
    noise = np.random.RandomState(seed).normal(scale=0.3, size=(num_tasks, num_classes))
    return np.eye(num_classes)[labels] * 2 + noise, labels


class Memory(ClassifierMixin, BaseEstimator):
    """Knows by heart what it has seen; uniform about anything else."""

    def fit(self, features: np.ndarray, labels: np.ndarray) -> "Memory":
        self.classes_ = np.unique(labels)
        self.seen_ = {
            tuple(row): label for row, label in zip(features.tolist(), labels, strict=True)
        }
        return self

    def predict_proba(self, features: np.ndarray) -> np.ndarray:
        size = len(self.classes_)
        known = [self.seen_.get(tuple(row)) for row in features.tolist()]
        return np.array(
            [
                np.full(size, 1 / size) if label is None else (self.classes_ == label).astype(float)
                for label in known
            ]
        )


def test_learns_what_can_be_learnt() -> None:
    features, labels = blobs()
    probs = out_of_sample_pred_probs(features, labels, num_classes=3)
    assert probs.shape == (60, 3)
    assert probs.dtype == np.float64
    np.testing.assert_allclose(probs.sum(axis=1), 1)
    assert (probs.argmax(axis=1) == labels).mean() > 0.95


def test_no_task_is_predicted_by_a_model_that_saw_it() -> None:
    features, labels = blobs()
    probs = out_of_sample_pred_probs(features, labels, num_classes=3, classifier=Memory())
    np.testing.assert_allclose(probs, 1 / 3)


def test_duplicates_leak_without_groups_and_never_with_them() -> None:
    features, labels = blobs(30)
    features, labels = np.repeat(features, 2, axis=0), np.repeat(labels, 2)
    groups = np.repeat([f"text {i}" for i in range(30)], 2)
    leaky = out_of_sample_pred_probs(features, labels, num_classes=3, classifier=Memory())
    assert (leaky.max(axis=1) == 1).any()
    grouped = out_of_sample_pred_probs(
        features, labels, num_classes=3, classifier=Memory(), groups=groups
    )
    np.testing.assert_allclose(grouped, 1 / 3)


def test_an_unlabelled_duplicate_is_predicted_like_its_labelled_twin() -> None:
    features, labels = blobs(30)
    features, groups = np.vstack([features, features]), np.tile(np.arange(30), 2)
    labels = np.concatenate([labels, np.full(30, -1)])
    probs = out_of_sample_pred_probs(
        features, labels, num_classes=3, classifier=Memory(), groups=groups
    )
    np.testing.assert_allclose(probs, 1 / 3)
    probs = out_of_sample_pred_probs(features, labels, num_classes=3, groups=groups)
    np.testing.assert_array_equal(probs[:30], probs[30:])


def test_unlabelled_tasks_get_the_mean_of_the_fold_models() -> None:
    features, labels = blobs()
    # An unlabelled copy of task 0 is known to four of five models, which saw task 0.
    features, labels = np.vstack([features, features[:1]]), np.append(labels, -1)
    probs = out_of_sample_pred_probs(features, labels, num_classes=3, classifier=Memory())
    np.testing.assert_allclose(probs[-1], [4 / 5 + 1 / 15, 1 / 15, 1 / 15])


def test_a_class_unseen_in_training_has_probability_0() -> None:
    features, labels = blobs(40, num_classes=2)
    labels[7] = 2
    probs = out_of_sample_pred_probs(features, labels, num_classes=4)
    assert probs[7, 2] == 0
    assert (probs[:, 3] == 0).all()
    assert (probs[:, 2] > 0).any()
    np.testing.assert_allclose(probs.sum(axis=1), 1)


def test_every_class_of_two_is_trained_by_every_model() -> None:
    labels = np.array([0] * 20 + [1, 1])
    features = np.random.RandomState(0).normal(size=(22, 2))
    for seed in range(10):
        probs = out_of_sample_pred_probs(features, labels, num_classes=2, random_state=seed)
        assert ((probs > 0) & (probs < 1)).all()


def test_is_deterministic_and_depends_on_the_random_state() -> None:
    features, labels = blobs()
    first = out_of_sample_pred_probs(features, labels, num_classes=3)
    again = out_of_sample_pred_probs(features, labels, num_classes=3, random_state=0)
    other = out_of_sample_pred_probs(features, labels, num_classes=3, random_state=1)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("kind", [csr_matrix, csr_array, coo_matrix])
def test_sparse_counts(kind: Any) -> None:
    rng = np.random.RandomState(0)
    labels = np.arange(60) % 2
    counts = rng.poisson(0.3, size=(60, 20)) + 2 * (np.arange(20) % 2 == labels[:, None])
    probs = out_of_sample_pred_probs(kind(counts), labels, num_classes=2)
    assert (probs.argmax(axis=1) == labels).all()


def test_integer_and_float32_features() -> None:
    features, labels = blobs()
    whole = out_of_sample_pred_probs((features * 9).astype(int), labels, num_classes=3)
    single = out_of_sample_pred_probs(features.astype(np.float32), labels, num_classes=3)
    double = out_of_sample_pred_probs(features, labels, num_classes=3)
    assert (whole.argmax(axis=1) == labels).mean() > 0.95
    np.testing.assert_allclose(single, double, atol=1e-2)


def test_fewer_groups_than_splits() -> None:
    features, labels = blobs(24, num_classes=2)
    groups = np.arange(24) % 4
    probs = out_of_sample_pred_probs(features, labels, num_classes=2, groups=groups, n_splits=10)
    np.testing.assert_allclose(probs.sum(axis=1), 1)


def test_no_warning_escapes_from_a_classifier_that_does_not_converge() -> None:
    features, labels = blobs()
    hurried = LogisticRegression(max_iter=1)
    out_of_sample_pred_probs(features, labels, num_classes=3, classifier=hurried)
    assert not hasattr(hurried, "coef_")


@pytest.mark.parametrize(
    "classifier",
    [None, LogisticRegression(), make_pipeline(StandardScaler(), LogisticRegression())],
)
def test_weights_matter_up_to_their_scale(classifier: Any) -> None:
    features, labels = blobs()
    labels[:15] = (labels[:15] + 1) % 3
    weight = np.where(np.arange(60) < 15, 0.01, 1.0)
    predict = {"num_classes": 3, "classifier": classifier}
    plain = out_of_sample_pred_probs(features, labels, **predict)
    weighted = out_of_sample_pred_probs(features, labels, sample_weight=weight, **predict)
    scaled = out_of_sample_pred_probs(features, labels, sample_weight=8 * weight, **predict)
    even = out_of_sample_pred_probs(features, labels, sample_weight=np.full(60, 0.2), **predict)
    truth = np.arange(60) % 3
    assert weighted[np.arange(60), truth].mean() > plain[np.arange(60), truth].mean() + 0.05
    np.testing.assert_array_equal(scaled, weighted)
    np.testing.assert_allclose(even, plain, atol=1e-6)


def test_weight_0_is_no_label() -> None:
    features, labels = blobs()
    weight = np.where(np.arange(60) < 12, 0.0, 1.0)
    hidden = np.where(weight > 0, labels, -1)
    np.testing.assert_array_equal(
        out_of_sample_pred_probs(features, labels, num_classes=3, sample_weight=weight),
        out_of_sample_pred_probs(
            features, hidden, num_classes=3, sample_weight=np.where(weight > 0, 1.0, np.nan)
        ),
    )


def test_takes_other_classifiers() -> None:
    features, labels = blobs()
    forest = RandomForestClassifier(10, random_state=0)
    probs = out_of_sample_pred_probs(features, labels, num_classes=3, classifier=forest)
    assert (probs.argmax(axis=1) == labels).mean() > 0.9


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": np.where(np.arange(60) < 9, np.arange(60) % 3, -1)}, "9 tasks have a label"),
        ({"labels": np.full(60, -1)}, "0 tasks have a label"),
        ({"labels": np.zeros(60, dtype=int)}, "1 classes have labels on two different tasks"),
        ({"labels": np.append(np.zeros(59, dtype=int), 1)}, "1 classes have labels"),
        ({"groups": np.zeros(60)}, "0 classes have labels on two different tasks"),
        ({"sample_weight": np.zeros(60)}, "0 tasks have a label"),
    ],
)
def test_too_few_labels(changes: dict[str, Any], message: str) -> None:
    features, labels = blobs()
    with pytest.raises(NotEnoughLabels, match=message):
        out_of_sample_pred_probs(
            **{"features": features, "labels": labels, "num_classes": 3} | changes
        )


def test_not_enough_labels_is_a_value_error() -> None:
    assert issubclass(NotEnoughLabels, ValueError)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"n_splits": 1}, ValueError, "n_splits is 1"),
        ({"features": np.zeros(60)}, ValueError, r"features have shape \(60,\)"),
        ({"features": np.zeros((60, 0))}, ValueError, r"features have shape \(60, 0\)"),
        ({"features": np.full((60, 2), np.nan)}, ValueError, "features hold NaN"),
        ({"features": csr_array(np.full((60, 2), np.inf))}, ValueError, "features hold NaN"),
        ({"labels": np.zeros(59, dtype=int)}, ValueError, r"labels have shape \(59,\)"),
        ({"labels": np.zeros(60)}, ValueError, "labels are float64"),
        ({"labels": np.full(60, 3)}, ValueError, r"label 3 of task 0 is outside -1\.\.2"),
        ({"labels": np.full(60, -2)}, ValueError, "label -2 of task 0"),
        ({"groups": [1, 2]}, ValueError, r"groups have shape \(2,\)"),
        ({"sample_weight": [1.0]}, ValueError, r"sample_weight has shape \(1,\)"),
        ({"sample_weight": np.full(60, -1.0)}, ValueError, "sample_weight of task 0 is -1.0"),
        ({"sample_weight": np.full(60, np.nan)}, ValueError, "sample_weight of task 0 is nan"),
        (
            {"sample_weight": np.ones(60), "classifier": KNeighborsClassifier()},
            ValueError,
            "KNeighborsClassifier does not take sample weights",
        ),
        ({"random_state": None}, TypeError, "random_state is None"),
    ],
)
def test_refuses(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    features, labels = blobs()
    with pytest.raises(error, match=message) as caught:
        out_of_sample_pred_probs(
            **{"features": features, "labels": labels, "num_classes": 3} | changes
        )
    assert not isinstance(caught.value, NotEnoughLabels)


def test_nothing_of_the_caller_is_modified() -> None:
    features, labels = blobs()
    weight = np.ones(60)
    for array in (features, labels, weight):
        array.setflags(write=False)
    out_of_sample_pred_probs(features, labels, num_classes=3, sample_weight=weight)
    assert (weight == 1).all()


def test_groups_may_all_begin_with_the_same_class() -> None:
    features = np.tile([[0.0], [1.0]], (20, 1))
    labels = np.tile([0, 1], 20)
    groups = np.repeat(np.arange(20), 2)
    probs = out_of_sample_pred_probs(features, labels, num_classes=2, groups=groups)
    assert (probs.argmax(axis=1) == labels).all()


def test_a_class_in_a_single_fold_cannot_be_learnt() -> None:
    labels = np.array([0] * 6 + [1] * 6)
    groups = np.array([0, 1, 2, 0, 1, 2, 0, 0, 0, 0, 0, 0])
    features = np.arange(12.0)[:, None]
    with pytest.raises(NotEnoughLabels):
        out_of_sample_pred_probs(features, labels, num_classes=2, groups=groups)
