"""The layout of what is stored, and how older ones become the present one."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

from backend.errors import StoreError
from backend.store import keys
from backend.store.cluster import DataRedis, as_connection_errors

log = logging.getLogger(__name__)

SCHEMA_VERSION = 2
"""Number of the present layout; raised by each change that older releases cannot read."""

_LOCK = f"{keys.SCHEMA}:lock"
_LOCK_SECONDS = 120


def ensure_schema(redis: DataRedis) -> None:
    """Bring the data into the present layout.

    Raises
    ------
    StoreError
        A newer release wrote them.
    """
    found = _schema_of(redis)
    if found == SCHEMA_VERSION:
        return
    if found > SCHEMA_VERSION:
        raise StoreError(
            f"The data in Redis have layout {found}, this release knows layouts up to "
            f"{SCHEMA_VERSION}.",
            "Update this service, or use another Redis (REDIS_URL, CROWDLAB_DATA_REDIS_URL).",
        )
    with redis.lock(_LOCK, timeout=_LOCK_SECONDS, blocking_timeout=_LOCK_SECONDS):
        for number in range(_schema_of(redis), SCHEMA_VERSION):
            log.warning("the data in Redis are brought from layout %s to %s", number, number + 1)
            _MIGRATIONS[number](redis)
            redis.set(keys.SCHEMA, number + 1)


def _schema_of(redis: DataRedis) -> int:
    stored: Any = redis.get(keys.SCHEMA)
    if stored:
        return int(stored)
    if redis.exists(keys.PROJECTS):
        return 1  # the first layout did not say its number
    redis.set(keys.SCHEMA, SCHEMA_VERSION)
    return SCHEMA_VERSION


def _from_1(redis: DataRedis) -> None:
    """Task ids in blocks became offsets, so all tables are pulled and computed anew.

    What people saw stays: the publication, with a record for each of its earlier versions.
    """
    members: Any = redis.smembers(keys.PROJECTS)
    for project in sorted(int(member) for member in members):
        names = {"project": project}
        with as_connection_errors(), redis.pipeline(transaction=True) as pipe:
            tables = keys.TABLE.format(**names, name="*")
            for key in redis.scan_iter(match=tables, count=1000):
                pipe.unlink(key)
            pipe.unlink(f"crowdlab:{{{project}}}:lock")
            pipe.unlink(keys.SUMMARY.format(**names))
            info: Any = redis.get(keys.INFO.format(**names))
            if info:
                plain = json.loads(info) | {"cursor": 0, "synced_at": 0.0, "fully_synced_at": 0.0}
                pipe.set(keys.INFO.format(**names), json.dumps(plain))
            publication: Any = redis.get(keys.PUBLICATION.format(**names))
            if publication:
                plain = json.loads(publication)
                for name in plain.pop("history"):
                    is_last = name == plain["model_version"]
                    record = {
                        "name": name,
                        "published_at": plain["published_at"] if is_last else 0.0,
                        "num_predictions": plain["num_predictions"] if is_last else 0,
                        "reason": "published by an earlier release",
                        "fingerprint": "",
                        "recipe": "",
                    }
                    pipe.hset(keys.VERSIONS.format(**names), name, json.dumps(record))
                pipe.set(keys.PUBLICATION.format(**names), json.dumps(plain))
            pipe.execute()


_MIGRATIONS: dict[int, Callable[[DataRedis], None]] = {1: _from_1}
