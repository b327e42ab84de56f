"""Random numbers that the caller controls; numpy's global generator is never used."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

RandomState: TypeAlias = int | np.random.RandomState


def random_generator(random_state: RandomState) -> np.random.RandomState:
    """Return a generator: a new one from a seed, or the caller's own, which then advances.

    Raises
    ------
    TypeError
        `random_state` is neither an integer nor a `RandomState`.
    """
    if isinstance(random_state, np.random.RandomState):
        return random_state
    if isinstance(random_state, (int, np.integer)) and not isinstance(random_state, bool):
        return np.random.RandomState(int(random_state))
    raise TypeError(
        f"random_state is {random_state!r}: pass an integer seed or a np.random.RandomState"
    )
