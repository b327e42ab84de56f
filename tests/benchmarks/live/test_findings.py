import io

import numpy as np
import pytest
from rich.console import Console

from benchmarks.live.findings import Findings, milliseconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0.0"), (0.00123, "1.2"), (0.0994, "99.4"), (0.0996, "100"), (12.3456, "12,346")],
)
def test_durations_are_given_in_milliseconds(seconds: float, text: str) -> None:
    assert milliseconds(seconds) == text


def test_a_target_is_for_one_percentile() -> None:
    findings = Findings()
    seconds = np.asarray([0.01] * 97 + [5.0] * 3)
    findings.percentiles("a", "x", seconds, limit=1.0, percentile=95)
    findings.percentiles("a", "x", seconds, limit=1.0, percentile=99)
    findings.percentiles("a", "x", seconds)
    assert [row.is_met for row in findings.rows] == [True, False, None]
    assert findings.rows[0].target == "p95 < 1,000 ms"
    assert "p50 10.0" in findings.rows[0].reached
    assert "n = 100" in findings.rows[0].reached


def test_nothing_measured_meets_no_target() -> None:
    findings = Findings()
    findings.percentiles("a", "x", np.empty(0), limit=1.0)
    assert findings.rows[0].is_met is False


def test_slowness_is_not_wrong_but_a_loss_is() -> None:
    findings = Findings()
    findings.percentiles("a", "x", np.asarray([9.0]), limit=1.0)
    findings.at_least("a", "rate", 1.0, 5.0, "/s")
    findings.at_most("a", "writes", 9, 5, "")
    findings.none_of("a", "losses", 0)
    assert findings.wrong == []
    assert [row.is_met for row in findings.rows] == [False, False, False, True]
    findings.none_of("b", "losses", 2)
    assert findings.wrong == ["b: losses: 2"]


def test_the_table_shows_targets_and_what_is_wrong() -> None:
    findings = Findings()
    findings.percentiles("a", "answers", np.asarray([0.005]), limit=0.02)
    findings.note("a", "remark", "12 of 13")
    findings.none_of("b", "losses", 1)
    output = io.StringIO()
    findings.print(Console(file=output, width=140), "Title")
    shown = output.getvalue()
    for text in ("Title", "p99 < 20.0 ms", "ok", "short", "12 of 13", "Wrong result: b: losses: 1"):
        assert text in shown
