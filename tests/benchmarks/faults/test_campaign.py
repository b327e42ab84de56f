from benchmarks.faults.campaign import groups
from benchmarks.faults.injections import FAULTS


def test_each_kind_has_a_stream_of_its_own() -> None:
    assert groups(["redis-full", "web-killed"], is_short=False) == [
        ("redis-full",),
        ("web-killed",),
    ]


def test_in_short_those_of_a_family_share_one() -> None:
    kinds = ["redis-full", "events-dropped", "redis-paused"]
    assert groups(kinds, is_short=True) == [("redis-paused", "redis-full"), ("events-dropped",)]


def test_in_short_every_kind_happens_once() -> None:
    happening = [kind for group in groups(list(FAULTS), is_short=True) for kind in group]
    assert sorted(happening) == sorted(FAULTS)
