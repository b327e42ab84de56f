"""Streams that people look at, saved and restored."""

import time

from redis import Redis

from backend.store.changes import Changes
from backend.store.trail import Trail


def add(trail: Trail, redis: Redis, *values: str) -> None:
    changes = Changes(redis, {})
    for value in values:
        trail.stage(changes, {"entry": value})
    changes.execute()


def values_of(trail: Trail) -> list[bytes]:
    return [fields[b"entry"] for _, fields in trail.entries()]


def test_entries_come_in_order_and_the_newest_first(redis: Redis) -> None:
    trail = Trail(redis, "t")
    add(trail, redis, "a", "b", "c")
    assert values_of(trail) == [b"a", b"b", b"c"]
    assert [fields[b"entry"] for _, fields in trail.newest(2)] == [b"c", b"b"]
    assert len(trail) == 3


def test_saved_entries_come_back_in_their_places(redis: Redis) -> None:
    trail = Trail(redis, "t")
    add(trail, redis, "a", "b")
    saved = trail.to_plain()
    redis.delete("t")
    time.sleep(0.002)  # an entry's id is the moment, to the millisecond
    add(trail, redis, "new")
    for _ in range(2):
        changes = Changes(redis, {})
        trail.stage_merged(changes, saved)
        changes.execute()
        assert values_of(trail) == [b"a", b"b", b"new"]


def test_any_bytes_survive(redis: Redis) -> None:
    trail = Trail(redis, "t")
    changes = Changes(redis, {})
    trail.stage(changes, {"entry": b"\xff\x00"})
    changes.execute()
    saved = trail.to_plain()
    redis.delete("t")
    changes = Changes(redis, {})
    trail.stage_merged(changes, saved)
    changes.execute()
    assert values_of(trail) == [b"\xff\x00"]
