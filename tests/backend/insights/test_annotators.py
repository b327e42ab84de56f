"""The leaderboard and one annotator."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from backend.errors import UnknownAnnotatorError, UnknownQuestionError
from backend.insights.annotators import (
    annotator_profile,
    doubtful_labels,
    leaderboard,
    leaderboards,
    quality_interval,
)
from backend.jobs.insights import store_insights
from backend.store.project import ProjectStore
from tests.backend.insights.conftest import NUM_TASKS


def test_the_leaderboard_is_that_of_the_recompute(computed: ProjectStore) -> None:
    store_insights(computed)
    summary = computed.read_summary()
    assert summary is not None
    for number, question in enumerate(summary.questions):
        rows = leaderboard(computed, number)
        assert [one.annotator for one in rows] == [row["annotator"] for row in question.annotators]
        for one, row in zip(rows, question.annotators, strict=True):
            assert one.quality == row["quality"]
            assert one.num_labels == row["num_labels"]
            assert one.quality_low <= one.quality <= one.quality_high
            assert sum(week.num_labels for week in one.weeks) == one.num_labels
        assert sum(one.share for one in rows) == pytest.approx(1)


def test_weeks_are_those_of_the_person(computed: ProjectStore) -> None:
    store_insights(computed)
    sums = computed.read_insights(0)
    assert sums is not None
    for one in leaderboard(computed, 0):
        own = sums["week_annotator"] == one.annotator
        assert [week.num_labels for week in one.weeks] == sums["week_labels"][own].tolist()
        agreeing = [round(week.agreement * week.num_labels) for week in one.weeks]
        assert agreeing == sums["week_agreeing"][own].tolist()


def test_there_is_a_leaderboard_per_question(computed: ProjectStore) -> None:
    mood, tense = leaderboards(computed)
    assert (mood.question, mood.num_annotators) == ("mood", 3)
    assert (tense.question, tense.num_annotators) == ("tense", 2)
    assert [one.annotator for one in mood.annotators] == [1, 2, 3]
    part = mood.part(slice(1, 2))
    assert part.annotators == mood.annotators[1:2]
    assert part.num_annotators == 3


def test_a_profile_counts_what_the_person_said(computed: ProjectStore) -> None:
    store_insights(computed)
    profile = annotator_profile(computed, 0, 3)
    assert (profile.rank, profile.num_annotators) == (3, 3)
    rows = computed.label_quality(2).read()
    own = rows["annotator"] == 3
    assert profile.confusion.sum() == own.sum() == NUM_TASKS
    agreement = profile.confusion.trace() / profile.confusion.sum()
    assert agreement == pytest.approx(profile.insight.agreement_with_consensus)
    np.testing.assert_allclose(
        profile.recall, np.diagonal(profile.confusion) / profile.confusion.sum(axis=0)
    )


def test_doubtful_labels_differ_from_the_consensus(computed: ProjectStore) -> None:
    found = doubtful_labels(computed, 0, 3, limit=5)
    assert len(found) == 5
    assert [one.quality for one in found] == sorted(one.quality for one in found)
    assert all(one.given != one.consensus and one.task % 3 == 0 for one in found)
    assert doubtful_labels(computed, 0, 1) == []


def test_who_is_not_known_is_named(computed: ProjectStore) -> None:
    with pytest.raises(UnknownAnnotatorError, match="No annotator 77 has answered 'mood'"):
        annotator_profile(computed, 0, 77)
    with pytest.raises(UnknownQuestionError, match="no question number 9"):
        leaderboard(computed, 9)


@given(st.integers(0, 200), st.integers(1, 200))
def test_the_interval_is_wilsons(right: int, labels: int) -> None:
    right = min(right, labels)
    low, high = quality_interval(right / labels, labels)
    expected = binomtest(right, labels).proportion_ci(method="wilson")
    assert low == pytest.approx(expected.low, abs=1e-12)
    assert high == pytest.approx(expected.high, abs=1e-12)


@pytest.mark.parametrize(("quality", "labels"), [(math.nan, 10), (0.5, 0)])
def test_nothing_known_can_be_anything(quality: float, labels: int) -> None:
    assert quality_interval(quality, labels) == (0.0, 1.0)
