import numpy as np
import pytest

from crowdlab_engine import MultiannotatorLabels
from crowdlab_engine.annotators import annotator_quality, annotator_stats, worst_class
from crowdlab_engine.statistics import statistics


def worst_class_of(
    labels: list[int], consensus: list[int], quality: list[float] | None = None
) -> int:
    """Worst class of one annotator who labels every task."""
    num_tasks = len(labels)
    crowd = MultiannotatorLabels.from_codes(
        range(num_tasks), [0] * num_tasks, labels, num_classes=4
    )
    scores = np.ones(num_tasks) if quality is None else np.array(quality)
    return int(worst_class(crowd, np.array(consensus), scores)[0])


@pytest.mark.parametrize(
    ("labels", "consensus", "quality", "expected"),
    [
        pytest.param([0, 0, 1, 1], [0, 0, 1, 0], None, 1, id="least agreement"),
        pytest.param([1, 2], [3, 3], None, 1, id="lowest class"),
        pytest.param([1, 2, 2], [3, 3, 3], None, 2, id="most labels"),
        pytest.param([1, 2], [3, 3], [0.4, 0.6], 2, id="highest consensus quality"),
        pytest.param([1, 1, 2, 2], [3, 3, 3, 3], [0.9, 0.9, 0.4, 0.4], 1, id="mean, not lowest"),
        pytest.param([3], [3], None, 3, id="only classes used"),
    ],
)
def test_worst_class(
    labels: list[int], consensus: list[int], quality: list[float] | None, expected: int
) -> None:
    assert worst_class_of(labels, consensus, quality) == expected


# Annotators 0 and 1 share task 0, annotator 2 labels task 1 alone, annotator 3 nothing.
LABELS = MultiannotatorLabels.from_codes(
    [0, 0, 1],
    [0, 1, 2],
    [0, 1, 1],
    num_annotators=4,
    annotator_ids=["ann", "bob", "cy", "dee"],
)
CONSENSUS = np.array([0, 1])
LABEL_QUALITY = np.array([0.8, 0.2, 0.6])


def test_quality_mixes_label_quality_and_agreement() -> None:
    quality = annotator_quality(LABELS, statistics(LABELS, CONSENSUS), LABEL_QUALITY, 0.25)
    np.testing.assert_allclose(
        quality, [0.25 * 0.8 + 0.75, 0.25 * 0.2, 0.6, np.nan], rtol=0, atol=1e-15
    )


def test_table() -> None:
    stats = annotator_stats(
        LABELS, statistics(LABELS, CONSENSUS), CONSENSUS, np.array([0.8, 0.6]), LABEL_QUALITY, 0.0
    )
    assert stats.index.name == "annotator"
    assert stats.index.tolist() == ["bob", "cy", "ann", "dee"]
    assert stats.columns.tolist() == [
        "annotator_quality",
        "agreement_with_consensus",
        "worst_class",
        "num_examples_labeled",
        "enough_data",
    ]
    np.testing.assert_array_equal(stats["annotator_quality"], [0, 0.6, 1, np.nan])
    np.testing.assert_array_equal(stats["agreement_with_consensus"], [0, 1, 1, np.nan])
    assert stats["worst_class"].tolist() == [1, 1, 0, -1]
    assert stats["num_examples_labeled"].tolist() == [1, 1, 1, 0]
    assert stats["enough_data"].tolist() == [True, False, True, False]
    assert stats["worst_class"].dtype == np.int64
    assert stats["enough_data"].dtype == np.bool_


def test_equal_quality_is_sorted_by_agreement() -> None:
    labels = MultiannotatorLabels.from_codes([0, 0], [0, 1], [0, 1])
    consensus = np.array([0])
    stats = annotator_stats(
        labels, statistics(labels, consensus), consensus, np.ones(1), np.array([0.5, 0.5]), 1.0
    )
    assert stats["annotator_quality"].tolist() == [0.5, 0.5]
    assert stats.index.tolist() == [1, 0]
