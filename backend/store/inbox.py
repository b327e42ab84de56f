"""The inbox of a project: webhook events, kept until they are applied."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from redis.exceptions import ResponseError

from backend.store.changes import Changes
from backend.store.cluster import DataRedis
from backend.store.trail import Trail

MOST_TRIES = 6
"""An event that was handed out this often without being applied is put to the dead letters."""

_GROUP = "service"
_RETRY_MILLISECONDS = 2000
"""An event that was handed out and not applied is handed out again after this long."""


@dataclass(frozen=True)
class Entry:
    """An event that was handed out."""

    id: bytes
    event: bytes
    """JSON, as it was added."""
    num_tries: int
    """How often it was handed out, this time included."""

    @property
    def received_at(self) -> float:
        """Seconds since 1970, by the clock of Redis."""
        return int(self.id.partition(b"-")[0]) / 1000


@dataclass(frozen=True)
class DeadLetter:
    """An event that could not be applied."""

    id: bytes
    event: bytes
    reason: str

    @property
    def died_at(self) -> float:
        """Seconds since 1970, by the clock of Redis."""
        return int(self.id.partition(b"-")[0]) / 1000


class Inbox:
    """A Redis stream that one consumer group reads, so that no event is lost.

    An event stays until it is acknowledged. What a process was given and did not acknowledge,
    as it was killed, is given to the next, in ever smaller lots, so that an event that kills
    every process stands alone in the end and is put to the dead letters.

    Parameters
    ----------
    redis
        Connection that returns bytes.
    key, dead_letters
        Keys of the two streams.
    transaction
        Collects changes that are executed as one step.
    """

    def __init__(
        self,
        redis: DataRedis,
        key: str,
        dead_letters: str,
        transaction: Callable[[], AbstractContextManager[Changes]],
    ) -> None:
        self._redis = redis
        self._key = key
        self.letters = Trail(redis, dead_letters)
        """The dead letters."""
        self._transaction = transaction
        self._consumer = f"{socket.gethostname()}-{os.getpid()}"

    def add(self, event: str | bytes) -> None:
        """Append an event (JSON)."""
        self._redis.xadd(self._key, {"event": event})

    def __len__(self) -> int:
        waiting: Any = self._redis.xlen(self._key)
        return int(waiting)

    def oldest(self) -> float | None:
        """Moment at which the oldest event came, seconds since 1970; None if there is none."""
        first: Any = self._redis.xrange(self._key, count=1)
        return int(first[0][0].partition(b"-")[0]) / 1000 if first else None

    def take(self, limit: int, retry_after: int = _RETRY_MILLISECONDS) -> list[Entry]:
        """Hand out events, the oldest first.

        Events that were handed out before and not acknowledged come first, and alone.

        Parameters
        ----------
        limit
            Most events to hand out.
        retry_after
            Milliseconds since they were handed out.
        """
        try:
            return self._take_again(limit, retry_after) or self._take_new(limit)
        except ResponseError as error:
            if not str(error).startswith("NOGROUP"):
                raise
            self._make_group()
            return self._take_new(limit)

    def _make_group(self) -> None:
        try:
            self._redis.xgroup_create(self._key, _GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    def _take_new(self, limit: int) -> list[Entry]:
        read: Any = self._redis.xreadgroup(_GROUP, self._consumer, {self._key: ">"}, count=limit)
        streams = read.items() if isinstance(read, dict) else read or []
        return [
            Entry(entry, fields[b"event"], 1)
            for _, found in streams
            for entry, fields in _flat(found)
        ]

    def _take_again(self, limit: int, retry_after: int) -> list[Entry]:
        pending: Any = self._redis.xpending_range(
            self._key, _GROUP, "-", "+", limit, idle=retry_after
        )
        if not pending:
            return []
        tries = {one["message_id"]: int(one["times_delivered"]) for one in pending}
        lot = max(1, limit >> (3 * max(tries.values())))
        some = list(tries)[:lot]
        claimed: Any = self._redis.xclaim(self._key, _GROUP, self._consumer, retry_after, some)
        found = {entry: fields for entry, fields in claimed if fields}
        gone = [entry for entry in some if entry not in found]
        if gone:  # removed from the stream while they were pending
            self._redis.xack(self._key, _GROUP, *gone)
        return [Entry(entry, fields[b"event"], tries[entry] + 1) for entry, fields in found.items()]

    def give_back(self, entries: Sequence[Entry]) -> None:
        """Let entries be handed out again, as if this try had not been."""
        for entry in entries:
            self._redis.xclaim(
                self._key,
                _GROUP,
                self._consumer,
                0,
                [entry.id],
                retrycount=entry.num_tries - 1,
                justid=True,
            )

    def acknowledge(self, entries: Sequence[Entry]) -> None:
        """Remove entries, as they were applied."""
        with self._transaction() as changes:
            for start in range(0, len(entries), 1000):
                some = entries[start : start + 1000]
                changes.acknowledge(self._key, _GROUP, [entry.id for entry in some])

    def bury(self, entry: Entry, reason: str) -> None:
        """Move an entry that cannot be applied to the dead letters."""
        with self._transaction() as changes:
            self.letters.stage(changes, {"event": entry.event, "reason": reason})
            changes.acknowledge(self._key, _GROUP, [entry.id])

    def num_dead_letters(self) -> int:
        """Number of events that could not be applied."""
        return len(self.letters)

    def dead_letters(self) -> list[DeadLetter]:
        """Events that could not be applied, the oldest first."""
        return [
            DeadLetter(entry, fields[b"event"], fields[b"reason"].decode(errors="replace"))
            for entry, fields in self.letters.entries()
        ]

    def replay(self) -> int:
        """Put all dead letters back into the inbox and return their number."""
        letters = self.dead_letters()
        for letter in letters:
            with self._transaction() as changes:
                changes.append(self._key, {"event": letter.event}, _MOST_EVENTS)
                self.letters.stage_removal(changes, letter.id)
        return len(letters)

    def discard_dead_letters(self) -> int:
        """Delete all dead letters and return their number."""
        letters = self.dead_letters()
        for letter in letters:
            with self._transaction() as changes:
                self.letters.stage_removal(changes, letter.id)
        return len(letters)


_MOST_EVENTS = 10_000_000
"""Bound of the inbox; more than memory holds, so that no event is ever dropped."""


def _flat(found: Any) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """Entries of one stream, which newer protocols wrap in a further list."""
    if found and isinstance(found[0], list) and found[0] and isinstance(found[0][0], list | tuple):
        return [entry for some in found for entry in some]
    return list(found)
