"""Changes of the store that happen together, or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from backend.errors import LOCK_LOST, LockLostError, StoreError
from backend.store import scripts
from backend.store.cluster import DataRedis

Value = bytes | str | int | float


class Changes:
    """Commands that are collected, then executed as one step.

    Parameters
    ----------
    redis
        Connection that returns bytes.
    tokens
        Fencing token by the fence of each lock that the caller holds. If another process has
        taken one of these locks since, nothing is changed.
    """

    def __init__(self, redis: DataRedis, tokens: Mapping[str, int]) -> None:
        self._redis = redis
        self._tokens = tokens
        self._commands: list[tuple[str, str, tuple[Value, ...]]] = []
        self._new_keys: list[str] = []

    def set(self, key: str, value: Value) -> None:
        """Set a string."""
        self._add("SET", key, value)

    def delete(self, key: str) -> None:
        """Delete a key; its memory is freed in the background."""
        self._add("UNLINK", key)

    def rename(self, key: str, new: str) -> None:
        """Put a key in the place of another one, for good."""
        self._add("RENAME", key, new)
        self._new_keys.append(new)
        self._add("PERSIST", new)

    def put_aside(self, key: str, new: str) -> None:
        """Copy a key, in place of another one; nothing happens if it does not exist."""
        self._add("COPY", key, new, "REPLACE")
        self._new_keys.append(new)

    def set_field(self, key: str, field: str, value: Value) -> None:
        """Set a field of a hash."""
        self._add("HSET", key, field, value)

    def delete_fields(self, key: str, *fields: str) -> None:
        """Delete fields of a hash."""
        if fields:
            self._add("HDEL", key, *fields)

    def append(
        self, key: str, fields: Mapping[str, Value], longest: int, *, entry: str = "*"
    ) -> None:
        """Append an entry to a stream, whose oldest entries beyond `longest` are dropped."""
        flat = [part for pair in fields.items() for part in pair]
        self._add("XADD", key, "MAXLEN", "~", longest, entry, *flat)

    def acknowledge(self, key: str, group: str, entries: Sequence[bytes]) -> None:
        """Remove the entries of a stream that a group was given."""
        if entries:
            self._add("XACK", key, group, *entries)
            self._add("XDEL", key, *entries)

    def remove_entry(self, key: str, entry: bytes) -> None:
        """Remove an entry of a stream."""
        self._add("XDEL", key, entry)

    def rank(self, key: str, scores: Mapping[int, float], *, only_new: bool = False) -> None:
        """Put members into a sorted set; those in it keep their score if `only_new`."""
        flat = [part for member, score in scores.items() for part in (score, member)]
        for start in range(0, len(flat), _ARGUMENTS):
            some = flat[start : start + _ARGUMENTS]
            self._add("ZADD", key, *(("NX",) if only_new else ()), *some)

    def drop_up_to(self, key: str, score: float) -> None:
        """Remove the members of a sorted set whose score is at most this."""
        self._add("ZREMRANGEBYSCORE", key, "-inf", score)

    def remove_members(self, key: str, members: Sequence[int]) -> None:
        """Remove members of a set."""
        for start in range(0, len(members), _ARGUMENTS):
            self._add("SREM", key, *members[start : start + _ARGUMENTS])

    def _add(self, command: str, key: str, *arguments: Value) -> None:
        self._commands.append((command, key, arguments))

    def execute(self) -> None:
        """Do it all.

        Raises
        ------
        LockLostError
            Another process took a lock that the caller believes to hold; nothing has changed.
        StoreError
            Blocks that were written before are gone; nothing has changed.
        """
        if not self._commands:
            return
        keys = [*self._tokens, *(key for _, key, _ in self._commands), *self._new_keys]
        arguments: list[Value] = [len(self._tokens), *self._tokens.values()]
        for command, _, parts in self._commands:
            arguments += [command, len(parts), *parts]
        done = int(self._redis.register_script(scripts.COMMIT)(keys=keys, args=arguments))
        if done == 0:
            raise LockLostError(LOCK_LOST)
        if done < 0:
            raise StoreError(
                "Redis has lost blocks that were written a moment ago; nothing was changed.",
                "Check that Redis has memory left and that maxmemory-policy is noeviction.",
            )


_ARGUMENTS = 1000
"""Arguments of one command: Lua passes on a few thousand at most."""
