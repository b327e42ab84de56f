"""What is drawn on images: how alike two shapes are, and the middle of several.

Both kinds of shapes have the same methods, so that objects are matched and summed up in one
way. Coordinates are in pixels, or in any other unit in which images are not distorted; x
grows to the right, y downwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from crowdlab_engine._typing import AnyArray, BoolArray, FloatArray, IntArray

_ROUNDING = 1e-9


class Shape(Protocol):
    """A kind of shapes; each is a row of coordinates, D numbers."""

    columns: ClassVar[tuple[str, ...]]
    """What the D numbers are called."""

    measure: ClassVar[str]
    """What `measured` returns is called."""

    @property
    def threshold(self) -> float:
        """Least similarity of one and the same object, in [0, 1]."""

    def measured(self, similarity: FloatArray) -> FloatArray:
        """Return similarities in the measure that people know."""

    def check(self, coordinates: FloatArray) -> None:
        """Raise a ValueError that names the first impossible shape."""

    def extents(self, coordinates: FloatArray, diagonal: FloatArray) -> FloatArray:
        """Return left, top, right and bottom of where similar shapes touch, shape (n, 4)."""

    def similarity(self, first: FloatArray, second: FloatArray, diagonal: FloatArray) -> FloatArray:
        """Return how alike pairs of shapes are, from 0 to 1 for equal ones, shape (n,)."""

    def middle(self, coordinates: FloatArray, group: IntArray, weight: FloatArray) -> FloatArray:
        """Return the weighted median shape of each group, shape (G, D).

        Groups are numbered from 0, none is empty; weights are positive.
        """


@dataclass(frozen=True)
class Points:
    """Points: x and y.

    Parameters
    ----------
    max_distance : float, default 0.05
        Farthest that two marks of the same object are apart, in parts of the image's
        diagonal. Their similarity falls evenly from 1 at no distance through 0.5 at this one.
    """

    max_distance: float = 0.05
    columns: ClassVar[tuple[str, ...]] = ("x", "y")
    measure: ClassVar[str] = "distance"

    def __post_init__(self) -> None:
        if not self.max_distance > 0:
            raise ValueError(f"max_distance is {self.max_distance!r}: it must be above 0")

    @property
    def threshold(self) -> float:
        """Least similarity of one and the same object."""
        return 0.5

    def measured(self, similarity: FloatArray) -> FloatArray:
        """Return distances in parts of the diagonal, those beyond similarity as its end."""
        return (1 - similarity) * 2 * self.max_distance

    def check(self, coordinates: FloatArray) -> None:
        """Raise a ValueError that names the first impossible point."""
        _check_finite(coordinates, self.columns)

    def extents(self, coordinates: FloatArray, diagonal: FloatArray) -> FloatArray:
        """Return left, top, right and bottom of a square that touches those of similar points."""
        reach = (self.max_distance * diagonal)[:, None]
        return np.concatenate([coordinates - reach, coordinates + reach], axis=1)

    def similarity(self, first: FloatArray, second: FloatArray, diagonal: FloatArray) -> FloatArray:
        """Return how near pairs of points are, in [0, 1], shape (n,)."""
        apart = self.distance(first, second, diagonal) / (2 * self.max_distance)
        similarity: FloatArray = np.maximum(1 - apart, 0.0)
        return similarity

    def distance(self, first: FloatArray, second: FloatArray, diagonal: FloatArray) -> FloatArray:
        """Return the distances of pairs of points, in parts of the diagonal, shape (n,)."""
        distance: FloatArray = np.hypot(*(first - second).T) / diagonal
        return distance

    def middle(self, coordinates: FloatArray, group: IntArray, weight: FloatArray) -> FloatArray:
        """Return the weighted median of x and of y of each group, shape (G, 2)."""
        return weighted_median(coordinates, group, weight)


@dataclass(frozen=True)
class Boxes:
    """Boxes: x, y, width, height and rotation.

    x and y are the corner that is top left before the box is turned around it, clockwise, by
    `rotation` degrees: what Label Studio stores. Similarity is the intersection over union
    (IoU) of the turned boxes.

    Parameters
    ----------
    min_iou : float, default 0.4
        Least IoU of two drawings of the same object, in (0, 1].
    """

    min_iou: float = 0.4
    columns: ClassVar[tuple[str, ...]] = ("x", "y", "width", "height", "rotation")
    measure: ClassVar[str] = "iou"

    def __post_init__(self) -> None:
        if not 0 < self.min_iou <= 1:
            raise ValueError(f"min_iou is {self.min_iou!r}: it must be above 0 and at most 1")

    @property
    def threshold(self) -> float:
        """Least similarity of one and the same object."""
        return self.min_iou

    def measured(self, similarity: FloatArray) -> FloatArray:
        """Return the IoU, which the similarity is."""
        return similarity

    def check(self, coordinates: FloatArray) -> None:
        """Raise a ValueError that names the first impossible box."""
        _check_finite(coordinates, self.columns)
        flat = np.flatnonzero((coordinates[:, 2:4] <= 0).any(axis=1))
        if flat.size:
            width, height = coordinates[flat[0], 2:4].tolist()
            raise ValueError(
                f"object {flat[0]} has width {width} and height {height}: both must be above 0"
            )

    def extents(self, coordinates: FloatArray, diagonal: FloatArray) -> FloatArray:
        """Return left, top, right and bottom of the upright box around each, shape (n, 4)."""
        x, y, width, height, degrees = coordinates.T
        cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
        top, side = (width * cos, width * sin), (-height * sin, height * cos)
        low = [np.minimum(a, 0) + np.minimum(b, 0) for a, b in zip(top, side, strict=True)]
        high = [np.maximum(a, 0) + np.maximum(b, 0) for a, b in zip(top, side, strict=True)]
        return np.stack([x + low[0], y + low[1], x + high[0], y + high[1]], axis=1)

    def similarity(self, first: FloatArray, second: FloatArray, diagonal: FloatArray) -> FloatArray:
        """Return the IoU of pairs of boxes, in [0, 1], shape (n,)."""
        overlap = self._upright_overlap(first, second, diagonal)
        turned = np.flatnonzero((_is_turned(first) | _is_turned(second)) & (overlap > 0))
        if turned.size:
            overlap[turned] = _overlap(_corners(first[turned]), _corners(second[turned]))
        union = _area(first) + _area(second) - overlap
        return np.clip(overlap / union, 0.0, 1.0)

    def _upright_overlap(
        self, first: FloatArray, second: FloatArray, diagonal: FloatArray
    ) -> FloatArray:
        """Area that the upright boxes around pairs of boxes share."""
        one, other = self.extents(first, diagonal), self.extents(second, diagonal)
        sides = np.minimum(one[:, 2:], other[:, 2:]) - np.maximum(one[:, :2], other[:, :2])
        overlap: FloatArray = np.maximum(sides[:, 0], 0.0) * np.maximum(sides[:, 1], 0.0)
        return overlap

    def middle(self, coordinates: FloatArray, group: IntArray, weight: FloatArray) -> FloatArray:
        """Return a box of the weighted median edges of each group, shape (G, 5).

        Edges are those seen when the image is turned so that the boxes of the group are
        upright on average. A box turned by 90 degrees is the same as one whose width and
        height are swapped.
        """
        turn = _mean_angle(coordinates[:, 4], group, weight)
        width, height = coordinates[:, 2], coordinates[:, 3]
        quarters = np.rint((coordinates[:, 4] - turn[group]) / 90)
        is_swapped = quarters % 2 == 1
        half = (
            np.stack(
                [np.where(is_swapped, height, width), np.where(is_swapped, width, height)], axis=1
            )
            / 2
        )
        centre = _turned(_corners(coordinates).mean(axis=1), -turn[group])
        angle = coordinates[:, 4] - turn[group] - 90 * quarters
        edges = np.concatenate([centre - half, centre + half, angle[:, None]], axis=1)

        median = weighted_median(edges, group, weight)
        rotation = turn + median[:, 4]
        size = np.maximum(median[:, 2:4] - median[:, :2], 0.0)
        corner = _turned((median[:, :2] + median[:, 2:4]) / 2, turn) - _turned(size / 2, rotation)
        rotation %= 360
        rotation[np.minimum(rotation, 360 - rotation) < _ROUNDING] = 0.0
        return np.concatenate([corner, size, rotation[:, None]], axis=1)


def weighted_median(values: FloatArray, group: IntArray, weight: FloatArray) -> FloatArray:
    """Return the weighted median of each column in each group.

    Sorted, each value has half of its own weight and that of all before it below it; the
    median is where half of all weight is below, read off a line between the two values next
    to that. So that of two values is their weighted mean.

    Parameters
    ----------
    values : ndarray of float64, shape (n, D)
        What to take the median of.
    group : ndarray of int64, shape (n,)
        Group of each row, from 0; none is empty.
    weight : ndarray of float64, shape (n,)
        Positive.

    Returns
    -------
    ndarray of float64, shape (G, D)
        One row per group.
    """
    size = np.bincount(group)
    first = np.cumsum(size) - size
    share = weight / np.bincount(group, weights=weight)[group]
    median = np.empty((len(size), values.shape[1]))
    for column, out in zip(values.T, median.T, strict=True):
        if not column.any():
            out[:] = 0.0
            continue
        order = np.lexsort((share, column, group))
        ordered = column[order]
        below = _running_sum(share[order], size) - share[order] / 2
        num_below = np.bincount(group[order], weights=below < 0.5).astype(np.int64)
        high = first + np.minimum(num_below, size - 1)
        low = first + np.maximum(num_below - 1, 0)
        between = below[high] - below[low]
        is_between = between > 0
        part = np.zeros(len(size))
        np.divide(0.5 - below[low], between, out=part, where=is_between)
        out[:] = ordered[low] + np.clip(part, 0.0, 1.0) * (ordered[high] - ordered[low])
    return median


def _running_sum(values: FloatArray, size: IntArray) -> FloatArray:
    """Add up successive runs of values, each from 0."""
    total = np.cumsum(values)
    start = np.cumsum(size) - size
    before = np.where(start > 0, total[start - 1], 0.0)
    running: FloatArray = total - np.repeat(before, size)
    return running


def _check_finite(coordinates: FloatArray, columns: tuple[str, ...]) -> None:
    rows, places = np.nonzero(~np.isfinite(coordinates))
    if rows.size:
        raise ValueError(
            f"object {rows[0]} has {columns[places[0]]} {coordinates[rows[0], places[0]]}: "
            "all coordinates must be numbers"
        )


def _area(boxes: FloatArray) -> FloatArray:
    area: FloatArray = boxes[:, 2] * boxes[:, 3]
    return area


def _is_turned(boxes: FloatArray) -> BoolArray:
    """Whether the sides of each box are not those of the image."""
    is_turned: BoolArray = boxes[:, 4] % 90 != 0
    return is_turned


def _turned(points: FloatArray, degrees: FloatArray) -> FloatArray:
    """Turn points clockwise around the origin."""
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    x, y = points.T
    return np.stack([cos * x - sin * y, sin * x + cos * y], axis=1)


def _corners(boxes: FloatArray) -> FloatArray:
    """Return the corners of boxes, clockwise, shape (n, 4, 2)."""
    degrees = boxes[:, 4]
    along = _turned(np.stack([boxes[:, 2], np.zeros(len(boxes))], axis=1), degrees)
    down = _turned(np.stack([np.zeros(len(boxes)), boxes[:, 3]], axis=1), degrees)
    corner = boxes[:, :2]
    return np.stack([corner, corner + along, corner + along + down, corner + down], axis=1)


def _mean_angle(degrees: FloatArray, group: IntArray, weight: FloatArray) -> FloatArray:
    """Return the mean direction of the sides of each group's boxes.

    Sides repeat every 90 degrees, so these are averaged on a circle of that length; of the
    four directions that are then the same, the one nearest to the boxes' own is taken.
    """
    num_groups = int(group.max()) + 1 if len(group) else 0

    def circular(periods: int) -> AnyArray:
        turn = weight * np.exp(1j * np.deg2rad(degrees * periods))
        real = np.bincount(group, weights=turn.real, minlength=num_groups)
        return real + 1j * np.bincount(group, weights=turn.imag, minlength=num_groups)

    side = np.rad2deg(np.angle(circular(4))) / 4
    own = np.rad2deg(np.angle(circular(1)))
    angle: FloatArray = side + 90 * np.rint((own - side) / 90)
    angle[np.abs(angle) < _ROUNDING] = 0.0
    return angle


def _overlap(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return the area that pairs of convex quadrilaterals share.

    The corners of their intersection are the corners of each that lie in the other, and the
    points where edges cross. Sorted by angle around their mean they make a polygon.

    Parameters
    ----------
    first, second : ndarray of float64, shape (n, 4, 2)
        Corners, clockwise.
    """
    crossings, is_crossing = _crossings(first, second)
    points = np.concatenate([first, second, crossings], axis=1)
    is_corner = np.concatenate(
        [_is_inside(first, second), _is_inside(second, first), is_crossing], axis=1
    )
    number = is_corner.sum(axis=1)
    mean = np.where(is_corner[..., None], points, 0.0).sum(axis=1) / np.maximum(number, 1)[:, None]
    away = np.where(is_corner[..., None], points - mean[:, None], 0.0)
    angle = np.where(is_corner, np.arctan2(away[..., 1], away[..., 0]), np.inf)
    ordered = np.take_along_axis(away, angle.argsort(axis=1)[..., None], axis=1)
    # What is no corner comes last; put on the first corner, it adds nothing to the area.
    is_left = np.arange(ordered.shape[1]) < number[:, None]
    ordered = np.where(is_left[..., None], ordered, ordered[:, :1])
    area: FloatArray = _cross(ordered, np.roll(ordered, -1, axis=1)).sum(axis=1) / 2
    return np.where(number > 2, np.abs(area), 0.0)


def _is_inside(points: FloatArray, polygon: FloatArray) -> BoolArray:
    """Whether each point lies in a convex polygon whose corners are clockwise, (n, 4)."""
    edge = np.roll(polygon, -1, axis=1) - polygon
    side = _cross(edge[:, None], points[:, :, None] - polygon[:, None])
    scale = np.abs(edge).max(axis=(1, 2))[:, None, None]
    is_inside: BoolArray = (side >= -_ROUNDING * scale**2).all(axis=2)
    return is_inside


def _crossings(first: FloatArray, second: FloatArray) -> tuple[FloatArray, BoolArray]:
    """Return where the edges of two quadrilaterals cross, (n, 16, 2), and whether they do."""
    start, other = first[:, :, None], second[:, None]
    edge = np.roll(first, -1, axis=1)[:, :, None] - start
    other_edge = np.roll(second, -1, axis=1)[:, None] - other
    determinant = _cross(edge, other_edge)
    is_parallel = np.abs(determinant) <= _ROUNDING * np.abs(
        np.linalg.norm(edge, axis=-1) * np.linalg.norm(other_edge, axis=-1)
    )
    divisor = np.where(is_parallel, 1.0, determinant)
    along = _cross(other - start, other_edge) / divisor
    other_along = _cross(other - start, edge) / divisor
    is_crossing = ~is_parallel & (along >= 0) & (along <= 1)
    is_crossing &= (other_along >= 0) & (other_along <= 1)
    points = start + along[..., None] * edge
    return points.reshape(len(first), 16, 2), is_crossing.reshape(len(first), 16)


def _cross(first: FloatArray, second: FloatArray) -> FloatArray:
    cross: FloatArray = first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0]
    return cross
