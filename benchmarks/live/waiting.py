"""Waiting for a condition, not for ever."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from backend.errors import CrowdlabError

Found = TypeVar("Found")


class NeverHappenedError(CrowdlabError):
    """What was waited for did not happen."""


def wait_for(condition: Callable[[], Found], seconds: float, what: str) -> Found:
    """First true value of a condition.

    Raises
    ------
    NeverHappenedError
        It stayed false.
    """
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise NeverHappenedError(f"Waited {seconds:.0f} s in vain: {what}.")
        time.sleep(0.05)
    return found
