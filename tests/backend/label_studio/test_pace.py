"""How fast things are changed in Label Studio."""

import time

from redis import Redis

from backend.label_studio.pace import Pace


def test_requests_wait_for_their_second(redis: Redis) -> None:
    paces = [Pace(redis, 5), Pace(redis, 5)]  # as in two processes
    began = time.monotonic()
    for number in range(12):
        paces[number % 2].wait()
    # 12 requests at 5 a second fall into three seconds, of which the first may be nearly over.
    assert time.monotonic() - began > 1.0


def test_without_a_limit_nobody_waits(redis: Redis) -> None:
    pace = Pace(redis, 0)
    for _ in range(1000):
        pace.wait()
    assert redis.keys("*") == []
