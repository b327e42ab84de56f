"""Predictions that people gave, as the store keeps them."""

from collections.abc import Sequence

import numpy as np

from backend.sources.checks import FULL
from backend.sources.report import CheckReport
from backend.store.arrays import Arrays
from backend.store.prediction_sources import PredictionSource, SourceKind
from backend.store.project import ProjectStore


def uploaded(tasks: Sequence[int] = range(1, 4)) -> tuple[PredictionSource, Arrays]:
    """Predictions of the question `mood` by one who is always right."""
    report = CheckReport(len(tasks) + 1, len(tasks), {"a fault": 1}, ("row 1: it",), ("A note.",))
    source = PredictionSource(
        "theirs", SourceKind.UPLOADED, "mood", ("good", "bad"), "a.csv", 1.5, report, "doc"
    )
    good = np.array([0.9 if task % 2 == 0 else 0.1 for task in tasks])
    rows = {
        "task": np.array(list(tasks)),
        "probs": np.stack([good, 1 - good], axis=1),
        "said": np.full(len(tasks), FULL),
    }
    return source, rows


def test_in_and_out(store: ProjectStore) -> None:
    sources = store.prediction_sources
    assert (sources.all(), sources.fingerprint(), sources.read("theirs")) == ([], "", None)
    source, rows = uploaded()
    with store.lock(), store.transaction() as changes:
        sources.stage(changes, source, rows)
    assert sources.all() == [source]
    assert sources.read("theirs") == source
    np.testing.assert_array_equal(sources.table(source).read()["probs"], rows["probs"])
    first = sources.fingerprint()
    with store.lock(), store.transaction() as changes:
        sources.stage(changes, source, uploaded([7])[1])
    assert sources.table(source).read()["task"].tolist() == [7]
    with store.lock(), store.transaction() as changes:
        sources.stage_drop(changes, "theirs")
    assert first
    assert (sources.all(), sources.fingerprint()) == ([], "")
    assert not len(sources.table(source).read()["task"])
