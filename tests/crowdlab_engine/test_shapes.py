import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdlab_engine.shapes import Boxes, Points, weighted_median

NUMBERS = st.floats(-50, 50)
SIZES = st.floats(1, 60)
BOXES = st.tuples(NUMBERS, NUMBERS, SIZES, SIZES, st.floats(-360, 360))


def iou(first: tuple[float, ...], second: tuple[float, ...]) -> float:
    return float(Boxes().similarity(np.array([first]), np.array([second]), np.ones(1))[0])


def covers(box: tuple[float, ...], points: np.ndarray) -> np.ndarray:
    x, y, width, height, degrees = box
    turn = np.exp(-1j * np.deg2rad(degrees))
    at = ((points[:, 0] - x) + 1j * (points[:, 1] - y)) * turn
    return (at.real >= 0) & (at.real <= width) & (at.imag >= 0) & (at.imag <= height)


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        ((0, 0, 10, 10, 0), 1.0),
        ((5, 0, 10, 10, 0), 1 / 3),
        ((10, 0, 10, 10, 0), 0.0),
        ((2, 2, 6, 6, 0), 0.36),
        ((10, 0, 10, 10, 90), 1.0),
        ((5, 5 - 50**0.5, 10, 10, 45), 1 / 2**0.5),
    ],
)
def test_iou(second: tuple[float, ...], expected: float) -> None:
    assert iou((0, 0, 10, 10, 0), second) == pytest.approx(expected, abs=1e-9)


@given(BOXES, BOXES)
def test_iou_is_that_of_the_pixels(first: tuple[float, ...], second: tuple[float, ...]) -> None:
    extents = Boxes().extents(np.array([first, second]), np.ones(2))
    low, high = extents[:, :2].min(axis=0), extents[:, 2:].max(axis=0)
    steps = (np.arange(300) + 0.5) / 300
    x, y = np.meshgrid(*(low + steps[:, None] * (high - low)).T)
    pixels = np.stack([x.ravel(), y.ravel()], axis=1)
    one, other = covers(first, pixels), covers(second, pixels)
    counted = (one & other).sum() / max((one | other).sum(), 1)
    assert iou(first, second) == pytest.approx(counted, abs=0.03)
    assert iou(first, second) == pytest.approx(iou(second, first), abs=1e-9)


def test_points_are_alike_up_to_twice_the_distance() -> None:
    points = Points(max_distance=0.1)
    here = np.zeros((4, 2))
    there = np.array([[0.0, 0], [10, 0], [0, 15], [30, 40]])
    diagonal = np.full(4, 100.0)
    np.testing.assert_allclose(points.similarity(here, there, diagonal), [1, 0.5, 0.25, 0])
    np.testing.assert_allclose(points.measured(np.array([1, 0.5])), [0, 0.1])


@pytest.mark.parametrize(
    ("values", "weight", "expected"),
    [
        ([3.0], [1.0], 3.0),
        ([1.0, 2.0, 9.0], [1, 1, 1], 2.0),
        ([1.0, 2.0], [1, 3], 1.75),
        ([1.0, 2.0, 3.0, 100.0], [1, 1, 1, 1], 2.5),
        ([0.0, 0.0, 7.0], [1, 1, 5], 14 / 3),
        ([5.0, 5.0], [1, 1], 5.0),
    ],
)
def test_weighted_median(values: list[float], weight: list[float], expected: float) -> None:
    group = np.zeros(len(values), dtype=np.int64)
    found = weighted_median(np.array([values]).T, group, np.array(weight, dtype=float))
    assert found[0, 0] == pytest.approx(expected)


def test_medians_of_groups_are_apart() -> None:
    values, group = np.array([[1.0], [10], [2], [20], [3]]), np.array([0, 1, 0, 1, 0])
    np.testing.assert_allclose(weighted_median(values, group, np.ones(5)), [[2], [15]])


def test_the_middle_of_upright_boxes_has_their_median_edges() -> None:
    boxes = np.array([[0.0, 0, 10, 10, 0], [1, 2, 10, 10, 0], [2, 1, 20, 10, 0]])
    middle = Boxes().middle(boxes, np.zeros(3, dtype=np.int64), np.ones(3))
    np.testing.assert_allclose(middle, [[1, 1, 10, 10, 0]])


def test_the_middle_of_turned_boxes_is_turned() -> None:
    boxes = np.array([[50.0, 50, 20, 10, 28], [50, 50, 20, 10, 30], [50, 50, 20, 10, 32]])
    middle = Boxes().middle(boxes, np.zeros(3, dtype=np.int64), np.ones(3))[0]
    assert iou(tuple(middle), (50, 50, 20, 10, 30)) > 0.99
    assert middle[4] == pytest.approx(30, abs=0.1)


def test_a_box_drawn_along_its_other_side_is_the_same() -> None:
    boxes = np.array([[0.0, 0, 20, 10, 0], [20, 0, 10, 20, 90], [20, 10, 20, 10, 180]])
    middle = Boxes().middle(boxes, np.zeros(3, dtype=np.int64), np.array([2.0, 1, 1]))[0]
    assert iou(tuple(middle), (0, 0, 20, 10, 0)) == pytest.approx(1)


@given(BOXES)
def test_the_middle_of_equal_boxes_is_the_box(box: tuple[float, ...]) -> None:
    middle = Boxes().middle(np.array([box] * 3), np.zeros(3, dtype=np.int64), np.ones(3))[0]
    assert iou(tuple(middle), box) == pytest.approx(1, abs=1e-6)
    assert (middle[4] - box[4] + 1) % 360 == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ([0, 0, 0, 5, 0], "object 1 has width 0.0 and height 5.0: both must be above 0"),
        ([0, 0, 5, -1, 0], "object 1 has width 5.0 and height -1.0"),
        ([0, np.nan, 5, 1, 0], "object 1 has y nan: all coordinates must be numbers"),
    ],
)
def test_impossible_boxes(box: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Boxes().check(np.array([[0.0, 0, 1, 1, 0], box]))


def test_impossible_points() -> None:
    with pytest.raises(ValueError, match="object 0 has x inf"):
        Points().check(np.array([[np.inf, 0.0]]))


def test_impossible_thresholds() -> None:
    with pytest.raises(ValueError, match=r"min_iou is 0: it must be above 0 and at most 1"):
        Boxes(min_iou=0)
    with pytest.raises(ValueError, match=r"max_distance is -1: it must be above 0"):
        Points(max_distance=-1)
