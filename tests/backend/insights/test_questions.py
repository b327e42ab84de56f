"""One question at a glance."""

import pytest

from backend.errors import NothingToComputeError
from backend.insights.questions import question_insights
from backend.jobs.insights import store_insights
from backend.store.project import ProjectStore
from tests.backend.insights.conftest import NUM_TASKS


def test_the_figures_are_those_of_the_store(computed: ProjectStore) -> None:
    store_insights(computed)
    mood, tense = question_insights(computed)
    assert (mood.summary.name, tense.summary.name) == ("mood", "tense")
    rows = computed.consensus(2).read()
    assert mood.quality_histogram.sum() == mood.class_counts.sum() == NUM_TASKS
    assert tense.class_counts.sum() == NUM_TASKS // 3
    assert mood.confusion.sum() == mood.summary.num_labels == 3 * NUM_TASKS
    assert mood.confusion.trace() == (rows["agreement"][:, 0] * 3).round().sum()
    assert mood.unanimous == pytest.approx((rows["agreement"][:, 0] == 1).mean())
    assert mood.consensus_accuracy is not None
    assert mood.majority_accuracy is not None
    assert mood.gain == mood.consensus_accuracy - mood.majority_accuracy
    assert mood.labels_for_majority in (1, 2, 3, 4)
    needed = mood.labels_for_majority * NUM_TASKS
    assert mood.labels_saved == max(0, needed - 3 * NUM_TASKS)
    assert tense.labels_for_majority is None  # too few tasks have an answer
    assert sum(week.num_labels for week in mood.weeks) == 3 * NUM_TASKS
    assert mood.annotator_weight is not None
    assert 0 < mood.annotator_weight <= 1


def test_before_anything_is_summed_up_the_summary_is_shown(computed: ProjectStore) -> None:
    mood, _ = question_insights(computed)
    assert mood.consensus_accuracy is None
    assert mood.gain is None
    assert mood.weeks == ()
    assert mood.summary.num_labels == 3 * NUM_TASKS


def test_nothing_computed_is_said(store: ProjectStore) -> None:
    with pytest.raises(NothingToComputeError, match="crowdlab connect 25"):
        question_insights(store)
