"""The kinds of faults that can be injected into a running stack."""

from __future__ import annotations

import logging
import random
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from backend.store.project import Work
from benchmarks.faults import proxy
from benchmarks.faults.proxy import Treatment
from benchmarks.faults.stack import LABEL_STUDIO, REDIS, TIMEOUT_SECONDS, WEB, WORKERS, Stack

log = logging.getLogger(__name__)

Inject: TypeAlias = Callable[[Stack, random.Random, bool], None]
"""Lets a fault happen once, from its beginning to its end; shorter if the last is true."""

_TRIES = 40
"""How often to stop a worker until one is caught in the midst of its work."""
_SHARE = 0.5
"""Share of the requests that a fault of the network touches."""
_WINDOW_SECONDS = (2.0, 6.0)
_LATEST_EVENT_SECONDS = 4.0
_HANG_SECONDS = TIMEOUT_SECONDS + 1.5


@dataclass(frozen=True)
class Fault:
    """A kind of fault."""

    family: str
    inject: Inject
    pause: tuple[float, float] = (2.0, 5.0)
    """Shortest and longest time before it happens again."""


_RESTART = (11.0, 15.0)
"""A program that ends again within ten seconds counts as one that does not start."""


def _kill_worker(stack: Stack, chance: random.Random, is_short: bool) -> None:
    stack.kill(chance.choice(WORKERS))


def _kill_web(stack: Stack, chance: random.Random, is_short: bool) -> None:
    chance.choice((stack.kill, stack.kill_child))(WEB)


def _kill_redis(stack: Stack, chance: random.Random, is_short: bool) -> None:
    stack.kill(REDIS)


def _kill_label_studio(stack: Stack, chance: random.Random, is_short: bool) -> None:
    stack.kill(LABEL_STUDIO)
    stack.run(1.0)


def _pause(stack: Stack, name: str, seconds: float) -> None:
    stack.signal(name, signal.SIGSTOP)
    stack.run(seconds)
    stack.signal(name, signal.SIGCONT)


def _pause_redis(stack: Stack, chance: random.Random, is_short: bool) -> None:
    _pause(stack, REDIS, 3 if is_short else 30)


def _pause_worker(stack: Stack, chance: random.Random, is_short: bool) -> None:
    """A worker in the midst of its work, for longer than its lock lasts."""
    name = chance.choice(WORKERS)
    for _ in range(_TRIES):
        stack.signal(name, signal.SIGSTOP)
        if _is_locked(stack):
            log.info("%s is stopped in the midst of its work", name)
            break
        stack.signal(name, signal.SIGCONT)
        stack.run(chance.uniform(0.0, 0.3))
        name = chance.choice(WORKERS)
    _pause(stack, name, 3 if is_short else 35)


def _is_locked(stack: Stack) -> bool:
    """Whether a lock of the project stays held, which others give back in a moment."""
    store = stack.service.store(stack.service.projects()[-1])
    held = {Work.STORE, Work.WRITE}
    for _ in range(10):
        held = {work for work in held if store.is_locked(work)}
        stack.run(0.06)
    return bool(held)


def _fill_redis(stack: Stack, chance: random.Random, is_short: bool) -> None:
    stack.redis.config_set("maxmemory-policy", "noeviction")
    stack.redis.config_set("maxmemory", "100kb")
    stack.run(2 if is_short else chance.uniform(1, 8))
    stack.redis.config_set("maxmemory", "0")


def _race(stack: Stack, chance: random.Random, is_short: bool) -> None:
    """People run commands while the workers work, each of which changes the project."""
    known = [str(number) for number in stack.service.projects()]
    commands = [stack.command(name, known[-1]) for name in ("sync", "sync", "recompute")]
    while any(one.poll() is None for one in commands):
        stack.run(0.1)


def _spoil_answers(
    make: Callable[[random.Random], Treatment],
    stack: Stack,
    chance: random.Random,
    is_short: bool,
) -> None:
    """Spoil some of Label Studio's answers for a while."""
    stack.answers.treat = proxy.sometimes(make(chance), _SHARE, chance)
    stack.run(_WINDOW_SECONDS[0] if is_short else chance.uniform(*_WINDOW_SECONDS))
    stack.answers.treat = proxy.plain


def _spoil_events(
    make: Callable[[random.Random], Treatment],
    stack: Stack,
    chance: random.Random,
    is_short: bool,
) -> None:
    """Spoil Label Studio's events for a while."""
    stack.events.treat = make(chance)
    stack.run(_WINDOW_SECONDS[0] if is_short else chance.uniform(*_WINDOW_SECONDS))
    stack.events.treat = proxy.plain


def _server_error(chance: random.Random) -> Treatment:
    return proxy.at_random((proxy.refused(500), proxy.failed(500)), chance)


def _too_many_requests(chance: random.Random) -> Treatment:
    return proxy.refused(429)


def _timeout(chance: random.Random) -> Treatment:
    ways = (proxy.unheard, proxy.unanswered, proxy.overtaken)
    return proxy.at_random(tuple(way(_HANG_SECONDS) for way in ways), chance)


def _half_a_body(chance: random.Random) -> Treatment:
    return proxy.cut


def _dropped(chance: random.Random) -> Treatment:
    return proxy.delivered()


def _duplicated(chance: random.Random) -> Treatment:
    return proxy.delivered(0.0, chance.uniform(0, _LATEST_EVENT_SECONDS))


def _reordered(chance: random.Random) -> Treatment:
    return proxy.shuffled(_LATEST_EVENT_SECONDS, chance)


FAULTS: Mapping[str, Fault] = {
    "worker-killed": Fault("killed", _kill_worker),
    "web-killed": Fault("killed", _kill_web, _RESTART),
    "redis-killed": Fault("killed", _kill_redis, _RESTART),
    "label-studio-killed": Fault("killed", _kill_label_studio, _RESTART),
    "redis-paused": Fault("redis", _pause_redis),
    "redis-full": Fault("redis", _fill_redis),
    "label-studio-500": Fault("answers", partial(_spoil_answers, _server_error)),
    "label-studio-429": Fault("answers", partial(_spoil_answers, _too_many_requests)),
    "label-studio-timeout": Fault("answers", partial(_spoil_answers, _timeout)),
    "label-studio-half-body": Fault("answers", partial(_spoil_answers, _half_a_body)),
    "events-dropped": Fault("events", partial(_spoil_events, _dropped)),
    "events-duplicated": Fault("events", partial(_spoil_events, _duplicated)),
    "events-reordered": Fault("events", partial(_spoil_events, _reordered)),
    "workers-racing": Fault("workers", _race),
    "worker-paused": Fault("workers", _pause_worker),
}
"""Every kind of fault, by its name."""
