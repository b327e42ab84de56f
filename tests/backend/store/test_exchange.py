import numpy as np
import pytest
from redis import Redis

from backend.errors import StoreError
from backend.store.exchange import Exchange


def test_parts_come_back_and_expire(redis: Redis) -> None:
    exchange = Exchange(redis, 7, "run")
    exchange.put_partition(0, {"label": np.array([1, 2])})
    exchange.put_scores(0, {"quality": np.array([0.5])})
    assert exchange.partition(0)["label"].tolist() == [1, 2]
    assert exchange.scores(0)["quality"].tolist() == [0.5]
    written = redis.keys("*")
    assert all(0 < redis.ttl(key) <= 6 * 3600 for key in written)
    assert all(b"{7}" in key for key in written)


def test_runs_do_not_meet(redis: Redis) -> None:
    Exchange(redis, 7, "one").put_partition(0, {"label": np.array([1])})
    with pytest.raises(StoreError, match="Part 0 of a computation of project 7 is not in Redis"):
        Exchange(redis, 7, "two").partition(0)


def test_cleared(redis: Redis) -> None:
    exchange = Exchange(redis, 7, "run")
    for number in range(3):
        exchange.put_partition(number, {"label": np.array([number])})
    exchange.put_scores(1, {"quality": np.array([0.5])})
    exchange.clear(3)
    assert redis.keys() == []
