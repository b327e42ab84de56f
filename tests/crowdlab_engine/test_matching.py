import numpy as np
from hypothesis import given, settings

from crowdlab_engine.matching import OTHER_LABEL, match
from crowdlab_engine.shapes import Boxes, Points
from tests.crowdlab_engine.drawn import Sketches, sketches


def groups_of(boxes: list[list[float]], annotator: list[int], **columns: list[int]) -> list[int]:
    nothing = [0] * len(boxes)
    group = match(
        np.array(columns.get("task", nothing)),
        np.array(annotator),
        np.array(columns.get("label", nothing)),
        np.array(boxes, dtype=float),
        np.full(len(boxes), 100.0),
        Boxes(min_iou=0.5),
    )
    return group.tolist()


def slow_groups(sketch: Sketches, threshold: float) -> set[frozenset[int]]:
    """Merge the best pair of all, one by one, over all pairs."""
    drawings = sketch.drawings
    task, annotator = drawings.task, drawings.annotator
    one, other = (index.ravel() for index in np.indices((len(task), len(task))))
    boxes = drawings.coordinates
    likeness = Boxes().similarity(boxes[one], boxes[other], np.ones(len(one)))
    likeness *= np.where(drawings.label[one] == drawings.label[other], 1, OTHER_LABEL)
    likeness = likeness.reshape(len(task), len(task))
    likeness[task[:, None] != task] = 0
    groups = [[number] for number in range(len(task))]
    while True:
        pairs = [
            (likeness[np.ix_(a, b)].mean(), i, j)
            for i, a in enumerate(groups)
            for j, b in enumerate(groups)
            if i < j and not set(annotator[a]) & set(annotator[b])
        ]
        best = max(pairs, default=(0, 0, 0))
        if best[0] < threshold:
            return {frozenset(group) for group in groups}
        groups[best[1]] += groups.pop(best[2])


def as_sets(group: np.ndarray) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(group == one).tolist()) for one in np.unique(group)}


@settings(max_examples=60, deadline=None)
@given(sketches)
def test_as_if_the_best_pair_were_merged_one_by_one(sketch: Sketches) -> None:
    drawings = sketch.drawings
    group = match(
        drawings.task,
        drawings.annotator,
        drawings.label,
        drawings.coordinates,
        drawings.diagonal[drawings.task],
        Boxes(min_iou=0.4),
    )
    assert as_sets(group) == slow_groups(sketch, 0.4)
    assert (np.diff(group[np.argsort(drawings.task, kind="stable")]) >= -len(group)).all()
    owners = np.stack([group, drawings.annotator], axis=1)
    assert len(np.unique(owners, axis=0)) == len(group)


def test_two_boxes_of_one_annotator_stay_two() -> None:
    boxes = [[0, 0, 10, 10, 0], [0, 0, 10, 10.01, 0], [0, 0, 10, 10, 0], [0, 0, 10, 10.01, 0]]
    first, second, third, fourth = groups_of(boxes, [0, 0, 1, 1])
    assert first != second
    assert (first, second) == (third, fourth)


def test_the_same_label_decides_between_equal_boxes() -> None:
    boxes = [[0, 0, 10, 10, 0]] * 3
    group = groups_of(boxes, [0, 0, 1], label=[0, 1, 1])
    assert group[2] == group[1] != group[0]


def test_other_tasks_and_far_boxes_are_apart() -> None:
    boxes = [[0, 0, 10, 10, 0], [0, 0, 10, 10, 0], [0, 40, 10, 10, 0]]
    assert groups_of(boxes, [0, 1, 2], task=[0, 1, 1]) == [0, 1, 2]


def test_points_are_matched_by_distance() -> None:
    points = np.array([[10.0, 10], [11, 10], [30, 10], [16.1, 10]])
    group = match(
        np.zeros(4, dtype=int),
        np.arange(4),
        np.zeros(4, dtype=int),
        points,
        np.full(4, 100.0),
        Points(max_distance=0.05),
    )
    assert as_sets(group) == {frozenset({0, 1}), frozenset({2}), frozenset({3})}


def test_many_drawings_on_one_image() -> None:
    rng = np.random.default_rng(0)
    centre = np.stack(np.meshgrid(np.arange(60), np.arange(60)), axis=-1).reshape(-1, 2)
    points = np.concatenate([centre + rng.uniform(-0.1, 0.1, centre.shape) for _ in range(3)])
    annotator = np.repeat(np.arange(3), len(centre))
    nothing = np.zeros(len(points), dtype=int)
    group = match(nothing, annotator, nothing, points, np.full(len(points), 85.0), Points(0.005))
    assert np.array_equal(np.bincount(group), np.full(len(centre), 3))
    assert np.array_equal(group[: len(centre)], group[-len(centre) :])
