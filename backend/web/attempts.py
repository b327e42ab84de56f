"""A limit to how often an address may show wrong credentials."""

from __future__ import annotations

import math
import time

from flask import Request
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from backend.settings import SECRET_HEADER


class FailedAttempts:
    """Wrong credentials by client address, counted by each web process for itself.

    Parameters
    ----------
    per_minute
        Wrong ones that an address may show in a minute; then it has to wait, whatever it shows.
        0 for no limit.
    """

    def __init__(self, per_minute: int) -> None:
        self._item = RateLimitItemPerMinute(per_minute) if per_minute else None
        self._limiter = FixedWindowRateLimiter(MemoryStorage())

    def seconds_to_wait(self, request: Request) -> int:
        """Seconds until credentials of the request's address are looked at again; 0 for now."""
        address = request.remote_addr or ""
        if self._item is None or not shows_credentials(request):
            return 0
        if self._limiter.test(self._item, address):
            return 0
        reset = self._limiter.get_window_stats(self._item, address).reset_time
        return max(1, math.ceil(reset - time.time()))

    def count(self, request: Request) -> None:
        """Note that a request was refused; one without credentials was no attempt."""
        if self._item is not None and shows_credentials(request):
            self._limiter.hit(self._item, request.remote_addr or "")


def shows_credentials(request: Request) -> bool:
    """Whether a request carries a password, a token or a secret, right or wrong."""
    return "Authorization" in request.headers or SECRET_HEADER in request.headers
