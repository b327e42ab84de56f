import time

import pytest

from benchmarks.live.processor_time import ProcessorTime, shares_text


def test_own_work_is_seen() -> None:
    before = ProcessorTime.now()
    until = time.process_time() + 0.5
    while time.process_time() < until:
        pass
    shares = ProcessorTime.now().shares_since(before)
    assert sum(share for name, share in shares.items() if name != "other programs") > 0.1
    assert shares["other programs"] >= 0


def test_the_busiest_comes_first() -> None:
    shares = {"web": 0.25, "Redis": 0.001, "Label Studio": 0.991}
    assert shares_text(shares) == "Label Studio 0.99, web 0.25"


def test_shares_are_of_the_time_between() -> None:
    earlier = ProcessorTime(10.0, {"web": 1.0}, 5.0)
    later = ProcessorTime(12.0, {"web": 2.0, "load": 0.5}, 9.0)
    shares = later.shares_since(earlier)
    assert shares == pytest.approx({"web": 0.5, "load": 0.25, "other programs": 1.25})
