"""When a failing Label Studio is left in peace, and for how long."""

from collections.abc import Callable

import pytest
from redis import Redis

from backend.errors import (
    LabelStudioBusyError,
    LabelStudioSparedError,
    LabelStudioUnreachableError,
    RequestRefusedError,
)
from backend.label_studio import breaker
from backend.label_studio.breaker import MOST_FAILURES, Breaker


def failing(error: Exception) -> Callable[[], None]:
    def request() -> None:
        raise error

    return request


def fail(one: Breaker, times: int) -> None:
    for _ in range(times):
        with pytest.raises(LabelStudioBusyError):
            one.call(failing(LabelStudioBusyError("500")))


def test_after_failures_in_a_row_nothing_is_sent(redis: Redis) -> None:
    one = Breaker(redis)
    assert one.call(lambda: 3) == 3
    assert one.state().banner == ""
    fail(one, MOST_FAILURES)
    other = Breaker(redis)  # as in another process
    for spared in (one, other):
        with pytest.raises(LabelStudioSparedError, match="left in peace"):
            spared.call(lambda: pytest.fail("a request was sent"))
    assert other.state().is_open
    assert "Annotations are kept" in other.state().banner
    assert not other.is_due()


def test_a_success_between_failures_closes_it(redis: Redis) -> None:
    one = Breaker(redis)
    fail(one, MOST_FAILURES - 1)
    one.call(lambda: None)
    fail(one, MOST_FAILURES - 1)
    assert not one.state().is_open
    assert one.is_due()


def test_refusals_are_no_failures(redis: Redis) -> None:
    one = Breaker(redis)
    for _ in range(3 * MOST_FAILURES):
        with pytest.raises(RequestRefusedError):
            one.call(failing(RequestRefusedError("400")))
    assert not one.state().is_open


def test_one_request_tries_whether_it_is_back(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker, "SPARED_SECONDS", 0)
    one = Breaker(redis)
    fail(one, MOST_FAILURES)
    with pytest.raises(LabelStudioUnreachableError):
        one.call(failing(LabelStudioUnreachableError("still away")))
    assert one.state().is_open
    assert one.call(lambda: "back") == "back"
    assert not one.state().is_open
