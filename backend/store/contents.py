"""Contents of tasks that annotators saw, where an answer cannot be understood without them."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

from backend.label_studio.questions import JSON
from backend.store.cluster import DataRedis

_AT_ONCE = 1000


class Contents:
    """Contents by their hash, each kept once and compressed.

    Parameters
    ----------
    redis
        Connection that returns bytes.
    key
        Key of the hash.
    """

    def __init__(self, redis: DataRedis, key: str) -> None:
        self._redis = redis
        self._key = key

    def save(self, contents: Mapping[int, JSON]) -> None:
        """Keep contents, by hash."""
        items = list(contents.items())
        for start in range(0, len(items), _AT_ONCE):
            fields: Any = {
                str(number): zlib.compress(json.dumps(one, ensure_ascii=False).encode(), 1)
                for number, one in items[start : start + _AT_ONCE]
            }
            self._redis.hset(self._key, mapping=fields)

    def read(self, hashes: Iterable[int]) -> dict[int, JSON]:
        """Contents by hash; without those that are not known."""
        wanted = sorted({int(number) for number in hashes})
        found: dict[int, JSON] = {}
        for start in range(0, len(wanted), _AT_ONCE):
            some = wanted[start : start + _AT_ONCE]
            stored: Any = self._redis.hmget(self._key, [str(number) for number in some])
            for number, packed in zip(some, stored, strict=True):
                if packed is not None:
                    found[number] = json.loads(zlib.decompress(packed))
        return found
