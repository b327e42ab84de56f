from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crowdlab_engine import Boxes, Drawings, ObjectConsensus, Points
from tests.crowdlab_engine.drawn import Sketches, sketches

BOX = [10.0, 10, 20, 30, 0]


def agreeing(num_annotators: int, num_tasks: int = 4, angle: float = 0) -> Drawings:
    """Tasks of none to three objects that everybody draws in the same way."""
    tasks = np.repeat(np.arange(num_tasks), num_annotators)
    number = tasks % 4
    answer = np.repeat(np.arange(len(tasks)), number)
    which = np.concatenate([np.arange(one) for one in number])
    boxes = np.array(BOX) + np.outer(which, [25, 15, 1, 0, 0])
    boxes[:, 4] = angle * which
    return Drawings.from_codes(
        tasks,
        np.tile(np.arange(num_annotators), num_tasks),
        answer,
        which % 2,
        boxes,
        num_classes=2,
    )


def found_in(fitted: ObjectConsensus, tasks: np.ndarray) -> pd.DataFrame:
    """Return the consensus, with the tasks called as told, sorted by content."""
    frame = fitted.objects()
    frame["task"] = tasks[fitted.object_task_]
    frame["label"] = fitted.object_label_
    order = frame.round(6).sort_values(["task", "label", "x", "y", "quality"]).index
    return frame.loc[order].reset_index(drop=True)


@settings(max_examples=40, deadline=None)
@given(sketches, st.integers(0, 2**31 - 1))
def test_order_does_not_matter(sketch: Sketches, seed: int) -> None:
    rng = np.random.default_rng(seed)
    tasks = rng.permutation(sketch.sizes["num_tasks"])
    annotators = rng.permutation(sketch.sizes["num_annotators"])
    answers = rng.permutation(len(sketch.task))
    drawn = rng.permutation(len(sketch.answer))
    other = Drawings.from_codes(
        tasks[sketch.task[answers]],
        annotators[sketch.annotator[answers]],
        np.argsort(answers)[sketch.answer[drawn]],
        sketch.label[drawn],
        sketch.boxes[drawn],
        **sketch.sizes,
    )
    one, two = ObjectConsensus().fit(sketch.drawings), ObjectConsensus().fit(other)
    same = np.arange(len(tasks))
    pd.testing.assert_frame_equal(found_in(one, same), found_in(two, np.argsort(tasks)), atol=1e-6)
    np.testing.assert_allclose(one.task_quality_, two.task_quality_[tasks], atol=1e-6)
    np.testing.assert_allclose(one.answer_quality_[answers], two.answer_quality_, atol=1e-6)
    np.testing.assert_allclose(one.drawing_quality_[drawn], two.drawing_quality_, atol=1e-6)
    left = one.annotator_stats_.sort_index()
    right = two.annotator_stats_.loc[annotators].set_axis(left.index)
    pd.testing.assert_frame_equal(left, right, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(sketches, st.floats(0.1, 20), st.floats(-500, 500), st.floats(-500, 500))
def test_size_and_place_of_the_image_do_not_matter(
    sketch: Sketches, scale: float, right: float, down: float
) -> None:
    one = ObjectConsensus().fit(sketch.drawings)
    two = ObjectConsensus().fit(sketch.moved(scale, (right, down)))
    expected = one.object_coordinates_ * [scale, scale, scale, scale, 1]
    expected[:, :2] += [right, down]
    np.testing.assert_allclose(two.object_coordinates_, expected, atol=1e-5 * max(scale, 1))
    np.testing.assert_allclose(two.object_quality_, one.object_quality_, atol=1e-6)
    np.testing.assert_allclose(two.task_quality_, one.task_quality_, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(sketches)
def test_all_scores_are_probabilities(sketch: Sketches) -> None:
    fitted = ObjectConsensus().fit(sketch.drawings)
    answered = np.unique(sketch.task)
    for values in (
        fitted.object_quality_,
        fitted.object_existence_,
        fitted.object_class_,
        fitted.object_closeness_,
        fitted.task_quality_[answered],
        fitted.answer_quality_,
        fitted.drawing_quality_,
    ):
        assert ((values >= 0) & (values <= 1 + 1e-12)).all()
    assert np.isfinite(fitted.object_coordinates_).all()
    assert (fitted.object_coordinates_[:, 2:4] > 0).all()
    stats = fitted.annotator_stats_.loc[np.unique(sketch.annotator)]
    columns = ["annotator_quality", "agreement_with_consensus", "worst_class"]
    assert stats[columns].notna().all(axis=None)
    is_of_object = fitted.drawing_object_ >= 0
    drawings = sketch.drawings
    assert np.array_equal(
        fitted.object_task_[fitted.drawing_object_[is_of_object]], drawings.task[is_of_object]
    )
    counted = np.bincount(fitted.drawing_object_[is_of_object], minlength=len(fitted.object_size_))
    assert np.array_equal(counted, fitted.object_size_)


@pytest.mark.parametrize("angle", [0.0, 20.0])
@pytest.mark.parametrize("num_annotators", [2, 3, 7])
def test_those_who_agree_get_their_objects_back(num_annotators: int, angle: float) -> None:
    drawings = agreeing(num_annotators, num_tasks=20, angle=angle)
    fitted = ObjectConsensus().fit(drawings)
    first = drawings.annotator == 0
    assert np.array_equal(fitted.object_task_, drawings.task[first])
    assert np.array_equal(fitted.object_label_, drawings.label[first])
    np.testing.assert_allclose(fitted.object_coordinates_, drawings.coordinates[first], atol=1e-6)
    assert fitted.object_quality_.min() > 0.9
    assert fitted.task_quality_.min() > 0.8
    assert fitted.answer_quality_.min() > 0.9
    stats = fitted.annotator_stats_
    assert stats["annotator_quality"].min() > 0.99
    assert (stats[["precision", "recall"]] == 1).all(axis=None)
    np.testing.assert_allclose(stats["mean_iou"], 1)
    assert (stats["num_examples_labeled"] == 20).all()
    assert stats["enough_data"].all()


def test_a_missing_a_spurious_and_a_misplaced_object_are_seen() -> None:
    drawings = agreeing(5, num_tasks=40)
    answer, label = drawings.answer.copy(), drawings.label.copy()
    boxes = drawings.coordinates.copy()
    of_first = drawings.annotator == 0
    misses = of_first & (drawings.task == 5)
    boxes[of_first & (drawings.task == 9), :2] += 40
    label[of_first & (drawings.task == 13)] = 1
    spurious = np.flatnonzero((drawings.answer_annotator == 0) & (drawings.answer_task == 17))
    changed = Drawings.from_codes(
        drawings.answer_task,
        drawings.answer_annotator,
        np.append(answer[~misses], spurious),
        np.append(label[~misses], 0),
        np.concatenate([boxes[~misses], [[70, 70, 9, 9, 0]]]),
        num_classes=2,
    )
    fitted = ObjectConsensus().fit(changed)
    expected = ObjectConsensus().fit(drawings)
    assert np.array_equal(fitted.object_task_, expected.object_task_)
    np.testing.assert_allclose(fitted.object_coordinates_, expected.object_coordinates_)
    of_one_object = np.arange(1, 40, 4)
    lowest = np.argsort(fitted.task_quality_[of_one_object])[:2]
    assert set(of_one_object[lowest]) == {5, 9}
    assert np.array_equal(
        fitted.answer_agrees_,
        (drawings.answer_annotator > 0) | ~np.isin(drawings.answer_task, [5, 9, 13, 17]),
    )
    lowest = np.argsort(fitted.answer_quality_)[:4]
    assert (drawings.answer_annotator[lowest] == 0).all()
    assert set(drawings.answer_task[lowest]) == {5, 9, 13, 17}
    stats = fitted.annotator_stats_
    assert stats.index[0] == 0
    assert stats.loc[0, "precision"] == pytest.approx(1 - 3 / 60)
    assert stats.loc[0, "recall"] == pytest.approx(1 - 3 / 60)


def test_who_draws_nothing_says_that_nothing_is_there() -> None:
    fitted = ObjectConsensus().fit(
        Drawings.from_codes([0, 0, 0], [0, 1, 2], [0], [0], [BOX], num_classes=1)
    )
    assert len(fitted.object_task_) == 0
    assert fitted.drawing_object_.tolist() == [-1]
    assert 0 < fitted.task_quality_[0] < 1
    assert len(fitted.objects()) == 0


@pytest.mark.parametrize("num_classes", [0, 2])
def test_nobody_draws_anything(num_classes: int) -> None:
    fitted = ObjectConsensus().fit(
        Drawings.from_codes([0, 0, 1], [0, 1, 0], [], [], [], num_tasks=3, num_classes=num_classes)
    )
    assert (fitted.task_quality_[:2] > 0.9).all()
    assert np.isnan(fitted.task_quality_[2])
    assert (fitted.annotator_stats_["annotator_quality"] == 1).all()


def test_one_annotator_is_believed() -> None:
    fitted = ObjectConsensus().fit(
        Drawings.from_codes([0, 1], [0, 0], [0, 0], [0, 1], [BOX, [60, 60, 9, 9, 5]])
    )
    np.testing.assert_allclose(fitted.object_coordinates_, [BOX, [60, 60, 9, 9, 5]])
    assert not fitted.annotator_stats_["enough_data"].any()


def test_better_annotators_count_for_more() -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(10, 60, (200, 2))
    jitter = np.array([0.2, 4.0, 4.0])
    boxes = [
        [*(truth[task] + rng.normal(0, jitter[annotator], 2)), 25, 25, 0]
        for task in range(200)
        for annotator in range(3)
    ]
    tasks, annotators = np.repeat(np.arange(200), 3), np.tile(np.arange(3), 200)
    drawings = Drawings.from_codes(tasks, annotators, np.arange(600), np.zeros(600), boxes)
    fitted = ObjectConsensus(Boxes(min_iou=0.2)).fit(drawings)
    mean = drawings.coordinates.reshape(200, 3, 5).mean(axis=1)

    def error(found: np.ndarray) -> float:
        return float(np.abs(found[:, :2] - truth).mean())

    assert error(fitted.object_coordinates_) < error(mean) / 2
    assert fitted.annotator_stats_.index[-1] == 0


def test_points() -> None:
    points = [[10, 10], [11, 10], [10, 11], [50, 50], [51, 50], [49, 50], [90, 5]]
    drawings = Drawings.from_codes(
        [0, 0, 0],
        [0, 1, 2],
        [0, 1, 2, 0, 1, 2, 2],
        [0, 0, 0, 1, 1, 1, 0],
        points,
        image_size=(100, 60),
    )
    fitted = ObjectConsensus(Points()).fit(drawings)
    assert fitted.object_label_.tolist() == [0, 1]
    np.testing.assert_allclose(fitted.object_coordinates_, [[10, 10], [50, 50]], atol=0.5)
    assert fitted.annotator_stats_["mean_distance"].between(0, 0.01).all()
    assert list(fitted.objects().columns[:4]) == ["task", "label", "x", "y"]


@pytest.mark.parametrize(
    ("fit", "error", "message"),
    [
        (lambda: ObjectConsensus().fit("boxes"), TypeError, "drawings is a str"),
        (
            lambda: ObjectConsensus().fit(Drawings.from_codes([], [], [], [], [], num_tasks=2)),
            ValueError,
            "none of the 2 tasks has an answer",
        ),
        (
            lambda: ObjectConsensus().fit(Drawings.from_codes([0], [0], [0], [0], [[1, 2]])),
            ValueError,
            "drawings have 2 coordinates: Boxes need x, y, width, height, rotation",
        ),
        (
            lambda: ObjectConsensus().fit(
                Drawings.from_codes([0], [0], [0], [0], [[1, 2, 0, 1, 0]])
            ),
            ValueError,
            "object 0 has width 0.0",
        ),
    ],
)
def test_bad_input(
    fit: Callable[[], ObjectConsensus], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        fit()
