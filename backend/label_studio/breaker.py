"""A circuit breaker: a Label Studio that fails again and again is left in peace for a while."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TypeVar

from pybreaker import (
    STATE_CLOSED,
    STATE_OPEN,
    CircuitBreaker,
    CircuitBreakerError,
    CircuitBreakerListener,
    CircuitBreakerState,
    CircuitRedisStorage,
)
from redis import Redis

from backend.errors import LabelStudioSparedError, LabelStudioUnreachableError
from backend.metrics import Metrics
from backend.store import keys

MOST_FAILURES = 5
"""Requests in a row that fail before no more are sent."""

SPARED_SECONDS = 15
"""How long none is sent; the next one decides whether it goes on so."""

T = TypeVar("T")


@dataclass(frozen=True)
class BreakerState:
    """Whether Label Studio is being spared."""

    is_open: bool
    """No request is sent."""
    since: datetime | None = None
    """When the breaker opened last."""

    @property
    def banner(self) -> str:
        """What to tell people; empty if all is well."""
        if not self.is_open:
            return ""
        moment = f" since {self.since:%H:%M:%S} UTC" if self.since else ""
        return (
            f"Label Studio has not answered{moment}. Annotations are kept, consensus goes on; "
            "predictions follow as soon as it answers."
        )


class Breaker:
    """Decides whether requests to Label Studio are sent; all processes share its state.

    Parameters
    ----------
    redis
        Connection that returns bytes.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    @cached_property
    def _circuit(self) -> CircuitBreaker:
        return CircuitBreaker(
            fail_max=MOST_FAILURES,
            reset_timeout=SPARED_SECONDS,
            exclude=[lambda error: not isinstance(error, LabelStudioUnreachableError)],
            state_storage=CircuitRedisStorage(STATE_CLOSED, self._redis, keys.BREAKER),
            throw_new_error_on_trip=False,
            listeners=[_Recorder(Metrics(self._redis))],
        )

    def call(self, request: Callable[[], T]) -> T:
        """Send a request, unless Label Studio is being spared.

        Raises
        ------
        LabelStudioSparedError
            It is.
        """
        try:
            return self._circuit.call(request)
        except CircuitBreakerError:
            raise LabelStudioSparedError(
                f"Label Studio failed {MOST_FAILURES} times in a row and is left in peace for "
                f"{SPARED_SECONDS} seconds.",
                "See that it runs and is not overloaded; the service tries again by itself.",
            ) from None

    def state(self) -> BreakerState:
        """Whether Label Studio is being spared now."""
        storage = self._circuit._state_storage
        since = storage.opened_at
        if storage.state == STATE_CLOSED:
            return BreakerState(is_open=False, since=since)
        return BreakerState(is_open=True, since=since)

    def is_due(self) -> bool:
        """Whether the next request is sent, be it to try whether Label Studio is back."""
        state = self.state()
        if not state.is_open or state.since is None:
            return True
        return datetime.now(tz=UTC) >= state.since + timedelta(seconds=SPARED_SECONDS)


class _Recorder(CircuitBreakerListener):
    """Counts failures of Label Studio, and how often it is spared."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def failure(self, cb: CircuitBreaker, exc: BaseException) -> None:
        """Count a request that failed."""
        self._metrics.count("label_studio_failures_total")

    def state_change(
        self,
        cb: CircuitBreaker,
        old_state: CircuitBreakerState | None,
        new_state: CircuitBreakerState,
    ) -> None:
        """Count that no more requests are sent."""
        if new_state.name == STATE_OPEN:
            self._metrics.count("breaker_opened_total")
