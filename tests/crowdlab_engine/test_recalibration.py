import numpy as np
import pytest

from crowdlab_engine import MultiannotatorLabels
from crowdlab_engine.recalibration import FEWEST_TASKS, recalibrate_probs, recalibrate_scores


def crowd(num_tasks: int, seed: int = 0) -> tuple[MultiannotatorLabels, np.ndarray, np.ndarray]:
    """Labels of three people, the right classes, and probabilities that are well calibrated."""
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.ones(3), size=num_tasks)
    truth = (probs.cumsum(axis=1) > rng.random((num_tasks, 1))).argmax(axis=1)
    task = np.repeat(np.arange(num_tasks), 3)
    labels = MultiannotatorLabels.from_codes(
        task, np.tile([0, 1, 2], num_tasks), truth[task], num_classes=3
    )
    return labels, truth, probs


def log_loss(probs: np.ndarray, truth: np.ndarray) -> float:
    return float(-np.log(probs[np.arange(len(truth)), truth]).mean())


def test_one_who_is_too_sure_is_made_less_sure() -> None:
    labels, truth, probs = crowd(600)
    too_sure = probs**4 / (probs**4).sum(axis=1, keepdims=True)
    found = recalibrate_probs(labels, too_sure)
    assert found.is_calibrated
    assert found.temperature is not None
    assert 3 < found.temperature < 5
    assert abs(log_loss(found.pred_probs, truth) - log_loss(probs, truth)) < 0.05
    assert log_loss(found.pred_probs, truth) < log_loss(too_sure, truth) - 0.3
    np.testing.assert_allclose(found.pred_probs.sum(axis=1), 1)


def test_a_task_is_calibrated_without_its_own_labels() -> None:
    labels, _, probs = crowd(60)
    before = recalibrate_probs(labels, probs).pred_probs
    groups = np.arange(60) // 2
    twins = recalibrate_probs(labels, probs, groups=groups).pred_probs

    def with_others(tasks: int) -> MultiannotatorLabels:
        other = np.where(labels.task < tasks, (labels.label + 1) % 3, labels.label)
        return MultiannotatorLabels.from_codes(labels.task, labels.annotator, other, num_classes=3)

    found = recalibrate_probs(with_others(1), probs).pred_probs
    np.testing.assert_array_equal(found[0], before[0])
    assert (found[1:] != before[1:]).any()
    changed = with_others(2)
    np.testing.assert_array_equal(
        recalibrate_probs(changed, probs, groups=groups).pred_probs[:2], twins[:2]
    )
    score = probs.max(axis=1)
    code = probs.argmax(axis=1)
    np.testing.assert_array_equal(
        recalibrate_scores(changed, code, score, groups=groups).pred_probs[:2],
        recalibrate_scores(labels, code, score, groups=groups).pred_probs[:2],
    )


def test_scores_become_how_often_annotators_agree() -> None:
    labels, truth, probs = crowd(900)
    code, sure = probs.argmax(axis=1), probs.max(axis=1)
    found = recalibrate_scores(labels, code, sure**3)
    np.testing.assert_allclose(found.pred_probs.sum(axis=1), 1)
    at_code = found.pred_probs[np.arange(900), code]
    assert np.abs(at_code - sure).mean() < 0.08
    assert at_code.mean() == pytest.approx((truth == code).mean(), abs=0.02)
    assert ((at_code > 0) & (at_code < 1)).all()


def test_what_nobody_predicted_stays_unknown() -> None:
    labels, _, probs = crowd(100)
    probs[::3] = np.nan
    found = recalibrate_probs(labels, probs).pred_probs
    np.testing.assert_array_equal(np.isnan(found).all(axis=1), np.arange(100) % 3 == 0)
    code = np.where(np.arange(100) % 3 == 0, -1, 1)
    found = recalibrate_scores(labels, code, np.full(100, 0.7)).pred_probs
    np.testing.assert_array_equal(np.isnan(found).all(axis=1), np.arange(100) % 3 == 0)


def test_too_few_labels_change_nothing() -> None:
    labels, _, probs = crowd(FEWEST_TASKS - 1)
    found = recalibrate_probs(labels, probs)
    assert not found.is_calibrated
    np.testing.assert_array_equal(found.pred_probs, probs)
    plain = recalibrate_scores(labels, probs.argmax(axis=1), probs.max(axis=1))
    assert not plain.is_calibrated
    np.testing.assert_allclose(plain.pred_probs.max(axis=1), probs.max(axis=1))


def test_another_shape_is_refused() -> None:
    labels, _, probs = crowd(30)
    with pytest.raises(ValueError, match="30 tasks and 3 classes"):
        recalibrate_probs(labels, probs[:, :2])
