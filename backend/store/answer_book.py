"""Answers that are no class, each stored once and known by a number."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

from backend.store import scripts
from backend.store.cluster import DataRedis

_AT_ONCE = 1000


class AnswerBook:
    """Numbers of answers, so that tables hold a number whatever an answer looks like.

    Equal answers have equal numbers, and a number keeps its meaning: to compare two answers
    is to compare their numbers. An answer stays known when nobody gives it any more.

    Parameters
    ----------
    redis
        Connection that returns bytes.
    answers, numbers
        Keys of the hashes of answers by number, and of numbers by digest.
    """

    def __init__(self, redis: DataRedis, answers: str, numbers: str) -> None:
        self._redis = redis
        self._answers = answers
        self._numbers = numbers

    def numbers_of(self, answers: Sequence[str]) -> list[int]:
        """Numbers of answers given as canonical JSON; new ones are entered."""
        intern = self._redis.register_script(scripts.INTERN)
        known: dict[str, int] = {}
        wanted = list(dict.fromkeys(answers))
        for start in range(0, len(wanted), _AT_ONCE):
            some = [answer.encode() for answer in wanted[start : start + _AT_ONCE]]
            arguments: list[bytes] = []
            for answer in some:
                arguments += [hashlib.blake2b(answer, digest_size=16).digest(), answer]
            found: Any = intern(keys=[self._answers, self._numbers], args=arguments)
            known |= zip(wanted[start : start + _AT_ONCE], map(int, found), strict=True)
        return [known[answer] for answer in answers]

    def read(self, numbers: Iterable[int]) -> dict[int, Any]:
        """Answers by number, as plain JSON; without those that are not known."""
        wanted = sorted({int(number) for number in numbers})
        found: dict[int, Any] = {}
        for start in range(0, len(wanted), _AT_ONCE):
            some = wanted[start : start + _AT_ONCE]
            stored: Any = self._redis.hmget(self._answers, [str(number) for number in some])
            for number, answer in zip(some, stored, strict=True):
                if answer is not None:
                    found[number] = json.loads(answer)
        return found
