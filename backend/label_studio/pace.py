"""A limit to how fast all processes together change things in Label Studio."""

from __future__ import annotations

import time
from functools import cached_property

from limits import RateLimitItemPerSecond
from limits.storage import RedisStorage
from limits.strategies import FixedWindowRateLimiter
from redis import Redis

from backend.store import keys

_LOOK_SECONDS = 0.02


class Pace:
    """Lets so many requests pass in a second.

    Parameters
    ----------
    redis
        Connection that all processes share the count over.
    per_second
        Requests per second; 0 for no limit.
    """

    def __init__(self, redis: Redis, per_second: int) -> None:
        self._redis = redis
        self._item = RateLimitItemPerSecond(per_second) if per_second else None

    @cached_property
    def _limiter(self) -> FixedWindowRateLimiter:
        storage = RedisStorage(
            "redis://", connection_pool=self._redis.connection_pool, key_prefix=keys.PREFIX
        )
        return FixedWindowRateLimiter(storage)

    def wait(self) -> None:
        """Return when the next request may be sent."""
        if self._item is None:
            return
        while not self._limiter.hit(self._item, "label_studio_writes"):
            time.sleep(_LOOK_SECONDS)
