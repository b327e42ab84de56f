"""Reports of what did not fit."""

import json
from dataclasses import asdict

from backend.sources.report import CheckReport, Fault, counted


def test_sentences_and_storage() -> None:
    numbers, examples = counted(
        [(Fault.SUM, "row 1"), (Fault.UNKNOWN_TASK, "row 2"), (Fault.SUM, "row 3")]
    )
    report = CheckReport(1_000, 997, numbers, examples, ("A note.",))
    assert report.sentences == [
        "997 of 1,000 rows are used.",
        "1 rows not used: no task of the project is meant.",
        "2 rows not used: the probabilities do not sum to 1.",
        "row 2.",
        "row 1.",
        "row 3.",
        "A note.",
    ]
    assert CheckReport.from_json(json.loads(json.dumps(asdict(report)))) == report


def test_every_fault_has_words() -> None:
    assert len({fault.words for fault in Fault}) == len(Fault)
