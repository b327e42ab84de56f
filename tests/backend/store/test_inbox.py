"""The inbox: no event is lost, and none stops the others."""

import pytest
from redis import Redis

from backend.store.inbox import MOST_TRIES, Inbox
from backend.store.project import ProjectStore


@pytest.fixture
def inbox(redis: Redis) -> Inbox:
    return ProjectStore(redis, 25).inbox


def restarted(redis: Redis) -> Inbox:
    """As another process sees it."""
    return ProjectStore(redis, 25).inbox


def events_of(inbox: Inbox, limit: int = 9, retry_after: int = 0) -> list[str]:
    return [entry.event.decode() for entry in inbox.take(limit, retry_after)]


def test_events_are_handed_out_in_order_and_stay_until_acknowledged(inbox: Inbox) -> None:
    assert inbox.take(3) == []
    assert inbox.oldest() is None
    for number in range(5):
        inbox.add(str(number))
    first = inbox.take(3)
    assert [entry.event for entry in first] == [b"0", b"1", b"2"]
    assert inbox.oldest() == first[0].received_at
    assert len(inbox) == 5
    inbox.acknowledge(first)
    inbox.acknowledge([])
    assert len(inbox) == 2
    assert events_of(inbox) == ["3", "4"]


def test_events_of_a_process_that_died_are_handed_out_again(redis: Redis, inbox: Inbox) -> None:
    for number in range(3):
        inbox.add(str(number))
    assert len(inbox.take(9)) == 3
    other = restarted(redis)
    assert events_of(other, retry_after=60_000) == []
    inbox.add("3")
    again = other.take(9, retry_after=0)
    assert [entry.event for entry in again] == [b"0"]
    assert again[0].num_tries == 2
    other.acknowledge(again)
    assert len(inbox) == 3


def test_lots_get_smaller_until_a_killer_stands_alone(redis: Redis, inbox: Inbox) -> None:
    for number in range(100):
        inbox.add(str(number))
    sizes = [len(restarted(redis).take(64, retry_after=0)) for _ in range(5)]
    assert sizes == [64, 8, 1, 1, 1]
    tries = {e.num_tries for e in restarted(redis).take(64, retry_after=0)}
    assert tries == {MOST_TRIES}


def test_giving_back_does_not_count_as_a_try(inbox: Inbox) -> None:
    inbox.add("0")
    for _ in range(4):
        (entry,) = inbox.take(9, retry_after=0)
        inbox.give_back([entry])
    assert entry.num_tries == 2 or entry.num_tries == 1


def test_an_event_that_was_removed_meanwhile_is_forgotten(redis: Redis, inbox: Inbox) -> None:
    inbox.add("0")
    inbox.add("1")
    first, _ = inbox.take(9)
    redis.xdel("crowdlab:{25}:inbox", first.id)
    assert events_of(inbox) == []
    assert events_of(inbox) == ["1"]


def test_dead_letters_are_kept_and_can_be_replayed(inbox: Inbox) -> None:
    inbox.add("bad")
    inbox.add("good")
    bad, good = inbox.take(9)
    inbox.bury(bad, "not JSON")
    inbox.acknowledge([good])
    assert len(inbox) == 0
    (letter,) = inbox.dead_letters()
    assert (letter.event, letter.reason) == (b"bad", "not JSON")
    assert letter.died_at >= bad.received_at
    assert inbox.replay() == 1
    assert inbox.num_dead_letters() == 0
    (entry,) = inbox.take(9)
    assert entry.event == b"bad"
    inbox.bury(entry, "still not JSON")
    assert inbox.discard_dead_letters() == 1
    assert (len(inbox), inbox.num_dead_letters()) == (0, 0)
