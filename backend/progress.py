"""How long work says how far it is."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told of each step; shows it to whoever waits."""

    def __call__(self, step: str, done: int, total: int | None) -> None:
        """`done` of `total` parts of `step` are finished; `total` None if unknown."""


def silent(step: str, done: int, total: int | None) -> None:
    """Show nothing."""
