"""What is summed up for the pages, against counting label by label."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from backend.jobs.insights import LEAD_BINS, QUALITY_BINS, store_insights, week_start
from backend.jobs.recompute import recompute_project
from backend.jobs.sync import TaskRows, replace_tasks
from backend.store.arrays import Arrays
from backend.store.project import ProjectStore
from tests.backend.jobs.test_recompute import FIRST, SECOND, fill, moods, raw_task

DAYS = ("2026-01-05T08:00:00Z", "2026-01-11T23:00:00Z", "2026-01-12T00:30:00Z")


def timed(number: int) -> dict[str, Any]:
    task = raw_task(number, moods(number), {1: "past"} if number % 4 == 0 else {})
    for place, annotation in enumerate(task["annotations"]):
        annotation["updated_at"] = DAYS[(number + place) % 3]
        annotation["lead_time"] = None if number % 5 == 0 else 2.0 + number
    return task


@pytest.fixture
def sums(store: ProjectStore) -> Arrays:
    # Ids far apart, so that several blocks are read.
    fill(store, [timed(number * 700) for number in range(1, 61)], FIRST, SECOND)
    recompute_project(store)
    assert store_insights(store)
    found = store.read_insights(0)
    assert found is not None
    return found


def labels_of(store: ProjectStore) -> Iterable[dict[str, Any]]:
    rows = store.annotations(2).read()
    for place in range(len(rows["task"])):
        row = {name: values[place] for name, values in rows.items()}
        if row["codes"][0] >= 0:
            yield row


def test_every_label_is_counted_once(store: ProjectStore, sums: Arrays) -> None:
    consensus = store.consensus(2).read()
    said = dict(zip(consensus["task"].tolist(), consensus["label"][:, 0].tolist(), strict=True))
    cells: Counter[tuple[int, int, int]] = Counter()
    weeks: Counter[tuple[int, float]] = Counter()
    agreeing: Counter[tuple[int, float]] = Counter()
    timed_labels: Counter[int] = Counter()
    for row in labels_of(store):
        who, given = int(row["annotator"]), int(row["codes"][0])
        agreed = said[int(row["task"])]
        cells[who, given, agreed] += 1
        monday = 1767571200.0 if row["updated_at"] < 1768176000e6 else 1768176000.0
        weeks[who, monday] += 1
        agreeing[who, monday] += given == agreed
        timed_labels[who] += bool(np.isfinite(row["lead_time"]))
    names = ("annotator", "given", "consensus", "count")
    found = zip(*(sums[f"confusion_{name}"].tolist() for name in names), strict=True)
    assert {(who, given, agreed): n for who, given, agreed, n in found} == dict(cells)
    weekly = zip(
        sums["week_annotator"].tolist(),
        map(week_start, sums["week"].tolist()),
        sums["week_labels"].tolist(),
        sums["week_agreeing"].tolist(),
        strict=True,
    )
    rows = list(weekly)
    assert {(who, start): labels for who, start, labels, _ in rows} == dict(weeks)
    assert {(who, start): same for who, start, _, same in rows} == dict(agreeing)
    by_person = dict(
        zip(sums["annotator"].tolist(), sums["lead_histogram"].sum(axis=1).tolist(), strict=True)
    )
    assert by_person == dict(timed_labels)


def test_tasks_are_counted_by_quality_votes_and_class(store: ProjectStore, sums: Arrays) -> None:
    rows = store.consensus(2).read()
    quality = rows["quality"][:, 0]
    np.testing.assert_array_equal(
        sums["quality_histogram"], np.histogram(quality, QUALITY_BINS, (0, 1))[0]
    )
    np.testing.assert_array_equal(
        sums["class_counts"], np.bincount(rows["label"][:, 0], minlength=2)
    )
    assert sums["votes"].tolist()[3] == 60
    assert int(sums["unanimous"][0]) == int((rows["agreement"][:, 0] == 1).sum())
    assert sums["majority_counts"].sum() == pytest.approx(60)


def test_a_tie_counts_in_equal_parts(store: ProjectStore) -> None:
    fill(
        store,
        [raw_task(1, {1: "good", 2: "bad"}, {}), raw_task(2, {1: "bad", 2: "bad"}, {})],
        FIRST,
    )
    recompute_project(store)
    store_insights(store)
    sums = store.read_insights(0)
    assert sums is not None
    assert sums["majority_counts"].tolist() == [0.5, 1.5]


def test_nothing_is_summed_up_twice(store: ProjectStore, sums: Arrays) -> None:
    assert not store_insights(store)
    info = store.read_info()
    assert info is not None
    rows = TaskRows((FIRST, SECOND))
    rows.add([timed(700 * 61)])
    replace_tasks(store, info, rows.task_ids, *rows.arrays(store.answer_book))
    recompute_project(store)
    assert store_insights(store)
    again = store.read_insights(0)
    assert again is not None
    assert again["quality_histogram"].sum() == sums["quality_histogram"].sum() + 1


def test_bins_of_lead_times_are_twelve_percent_apart() -> None:
    ratios = LEAD_BINS[2:] / LEAD_BINS[1:-1]
    assert ratios.min() == pytest.approx(ratios.max())
    assert ratios.max() < 1.13
