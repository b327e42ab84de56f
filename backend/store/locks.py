"""Locks over Redis whose holders carry a fencing token."""

from __future__ import annotations

import time
from threading import Event, Thread
from typing import Any

from redis.exceptions import RedisError

from backend.store import scripts
from backend.store.cluster import DataRedis

LOCK_SECONDS = 30.0
_LOOK_SECONDS = 0.02


class FencedLock:
    """A lock that is renewed while it is held and expires if its holder dies.

    A holder that is stopped for long can lose it without noticing. Whatever it writes then is
    refused, as its token is no longer the newest: see `backend.store.changes.Changes`.

    Parameters
    ----------
    redis
        Connection that returns bytes.
    key, fence
        Keys of the lock, and of the counter that tokens come from.
    """

    def __init__(self, redis: DataRedis, key: str, fence: str) -> None:
        self.fence = fence
        self.token = 0
        """Token of the present holder; 0 if the lock is not held."""
        self._key = key
        self._redis = redis
        self._ended = Event()
        self._renewal: Thread | None = None

    def acquire(self, wait: float) -> bool:
        """Take the lock, waiting up to `wait` seconds; False if it stayed held."""
        take = self._redis.register_script(scripts.ACQUIRE)
        deadline = time.monotonic() + wait
        while True:
            token = int(take(keys=[self._key, self.fence], args=[_milliseconds()]))
            if token:
                break
            if time.monotonic() >= deadline:
                return False
            time.sleep(_LOOK_SECONDS)
        self.token = token
        self._renewal = Thread(target=self._keep, name="lock-renewal", daemon=True)
        self._renewal.start()
        return True

    def _keep(self) -> None:
        renew = self._redis.register_script(scripts.RENEW)
        while not self._ended.wait(LOCK_SECONDS / 3):
            try:
                if not renew(keys=[self._key], args=[self.token, _milliseconds()]):
                    return
            except RedisError:  # Redis is away; the next try, or the holder's commit, tells
                continue

    def is_ours(self) -> bool:
        """Whether no other process has taken the lock since."""
        newest: Any = self._redis.get(self.fence)
        return newest is not None and int(newest) == self.token

    def release(self) -> bool:
        """Give the lock back; False if it was lost before."""
        self._ended.set()
        if self._renewal is not None:
            self._renewal.join()
        release = self._redis.register_script(scripts.RELEASE)
        is_held = bool(release(keys=[self._key], args=[self.token]))
        self.token = 0
        return is_held


def _milliseconds() -> int:
    return round(LOCK_SECONDS * 1000)
