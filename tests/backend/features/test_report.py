"""What people are told of files that could not be read."""

import pytest

from backend.features.outcome import Outcome, reason_of
from backend.features.report import Failure, MediaReport, SourceReport

IMAGES = SourceReport(
    "image", "picture", 400, 380, 3, (Failure(404, 9, 17), Failure(Outcome.TOO_LARGE, 3, 5))
)
SOUNDS = SourceReport("audio", "call", 400, 100, 0)


def test_reasons_and_examples_are_named() -> None:
    first, second = IMAGES.sentences()
    assert first == (
        "12 of 400 images (picture) could not be read: 9 answered with HTTP status 404, such as "
        "that of task 17; 3 larger than CROWDLAB_MAX_CONTENT_MB, such as that of task 5."
    )
    assert second == "5 of 400 images (picture) are still to be read."
    assert SOUNDS.sentences() == ["300 of 400 sounds (call) are still to be read."]


def test_nothing_is_said_where_all_is_well() -> None:
    assert SourceReport("image", "a", 5, 4, 1).sentences() == []


def test_a_report_comes_back_from_the_store_as_it_was() -> None:
    report = MediaReport("abc", 7, 1.5, (IMAGES, SOUNDS))
    assert MediaReport.from_json(report.to_json().encode()) == report
    assert not report.is_complete
    assert len(report.sentences()) == 3


@pytest.mark.parametrize("outcome", set(Outcome) - {Outcome.READ, Outcome.EMPTY})
def test_every_failure_has_a_reason(outcome: Outcome) -> None:
    assert reason_of(outcome)
