"""A stream whose entries are kept for people to look at, and can be saved and restored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backend.store.changes import Changes, Value
from backend.store.cluster import DataRedis


class Trail:
    """A Redis stream of text fields, of bounded length.

    Parameters
    ----------
    redis
        Connection that returns bytes.
    key
        Key of the stream.
    longest
        Beyond this many entries, about, the oldest are dropped.
    """

    def __init__(self, redis: DataRedis, key: str, longest: int = 10_000) -> None:
        self._redis = redis
        self._key = key
        self._longest = longest

    def __len__(self) -> int:
        number: Any = self._redis.xlen(self._key)
        return int(number)

    def stage(self, changes: Changes, fields: Mapping[str, Value]) -> None:
        """Append an entry when the changes are executed."""
        changes.append(self._key, fields, self._longest)

    def stage_removal(self, changes: Changes, entry: bytes) -> None:
        """Remove an entry when the changes are executed."""
        changes.remove_entry(self._key, entry)

    def newest(self, limit: int) -> list[tuple[bytes, dict[bytes, bytes]]]:
        """Entry ids and fields, the newest first."""
        found: Any = self._redis.xrevrange(self._key, count=limit)
        return list(found)

    def entries(self) -> list[tuple[bytes, dict[bytes, bytes]]]:
        """Entry ids and fields, the oldest first."""
        found: Any = self._redis.xrange(self._key)
        return list(found)

    def to_plain(self) -> list[tuple[str, dict[str, str]]]:
        """All entries in a form that JSON can hold."""
        return [
            (entry.decode(), {name.decode(): _text(value) for name, value in fields.items()})
            for entry, fields in self.entries()
        ]

    def stage_merged(self, changes: Changes, plain: list[tuple[str, dict[str, str]]]) -> None:
        """Add entries of `to_plain` that are not there, each in its place."""
        present = dict(self.to_plain())
        merged = {str(entry): fields for entry, fields in plain} | present
        if len(merged) == len(present):
            return
        changes.delete(self._key)
        for entry in sorted(merged, key=_order_of):
            fields = {name: _bytes(value) for name, value in merged[entry].items()}
            changes.append(self._key, fields, self._longest, entry=entry)


def _order_of(entry: str) -> tuple[int, int]:
    moment, _, number = entry.partition("-")
    return int(moment), int(number)


def _text(value: bytes) -> str:
    """Text of any bytes, from which `_bytes` makes the same bytes."""
    return value.decode(errors="surrogateescape")


def _bytes(value: str) -> bytes:
    return value.encode(errors="surrogateescape")
