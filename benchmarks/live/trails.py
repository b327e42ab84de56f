"""The way of each annotation: saved, counted in the store, visible in Label Studio."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

SCORE_DIGITS = 4
"""Decimals of the scores that Label Studio gets."""


@dataclass(frozen=True)
class State:
    """What the store or a prediction says of a task."""

    label: int
    score: float

    def says_the_same(self, other: State, tolerance: float = 0.0) -> bool:
        """Whether label and score are equal, scores up to a tolerance and rounding."""
        rounding = 0.6 * 10.0**-SCORE_DIGITS
        return self.label == other.label and abs(self.score - other.score) <= tolerance + rounding


@dataclass
class Trail:
    """One task's new annotations, in the order in which they were saved.

    Moments are of one clock, in seconds.
    """

    num_before: int
    """Annotations that the store counted before."""
    num_expected: int = 1
    """New annotations that will be saved."""
    saved: list[float] = field(default_factory=list)
    """When each new annotation was saved."""
    counted: list[float] = field(default_factory=list)
    """When the store's consensus was first seen to count it."""
    visible: list[float] = field(default_factory=list)
    """When Label Studio was first seen to show a state that counts it."""
    states: list[tuple[int, State]] = field(default_factory=list)
    """Number of counted new annotations and what the store said then, the newest last."""
    shown: State | None = None
    """What Label Studio was last seen to show."""

    def see_store(self, now: float, num_annotations: int, state: State) -> None:
        """Note what the store says."""
        num_new = num_annotations - self.num_before
        if self.states and self.states[-1] == (num_new, state):
            return
        self.states.append((num_new, state))
        self.counted += [now] * (num_new - len(self.counted))

    def see_prediction(self, now: float, state: State | None) -> None:
        """Note what Label Studio shows."""
        self.shown = state
        if state is None or len(self.visible) == len(self.counted):
            return
        fitting = (num for num, known in self.states if state.says_the_same(known))
        self.visible += [now] * (max(fitting, default=0) - len(self.visible))

    @property
    def is_counted(self) -> bool:
        """Whether the store has counted all that are expected."""
        return len(self.counted) >= self.num_expected

    @property
    def is_visible(self) -> bool:
        """Whether Label Studio has shown all that are expected."""
        return len(self.visible) >= self.num_expected

    def is_left_as_it_was(self, tolerance: float) -> bool:
        """Whether Label Studio shows the last state, but for a small move of the score."""
        if self.shown is None or not self.states:
            return False
        return self.shown.says_the_same(self.states[-1][1], tolerance)


@dataclass(frozen=True)
class Lags:
    """Seconds from saving an annotation to what followed."""

    stored: NDArray[np.float64]
    """To its consensus in the store."""
    visible: NDArray[np.float64]
    """To its prediction in Label Studio."""
    num_saved: int
    num_never_stored: int
    num_never_visible: int
    num_left: int
    """Whose prediction was left as it was, as the score moved by less than the tolerance."""


def lags_of(trails: Iterable[Trail], tolerance: float) -> Lags:
    """Put together the lags of many tasks."""
    stored: list[float] = []
    visible: list[float] = []
    num_saved = never_stored = never_visible = left = 0
    for trail in trails:
        num = len(trail.saved)
        num_saved += num
        stored += _differences(trail.saved, trail.counted)
        visible += _differences(trail.saved, trail.visible)
        never_stored += max(0, num - len(trail.counted))
        unseen = max(0, num - len(trail.visible))
        if trail.is_left_as_it_was(tolerance):
            left += unseen
        else:
            never_visible += unseen
    return Lags(
        np.asarray(stored), np.asarray(visible), num_saved, never_stored, never_visible, left
    )


def _differences(earlier: list[float], later: list[float]) -> list[float]:
    return [after - before for before, after in zip(earlier, later, strict=False)]
