"""Policies and the automatic review."""

import pytest

from backend.errors import ReviewPolicyError
from backend.store.project import ProjectStore
from backend.store.review import AutomaticReview, ReviewPolicy


@pytest.mark.parametrize(
    ("field", "value", "bounds"),
    [
        ("budget", 0, "at least 1"),
        ("threshold", 1.5, "from 0 to 1"),
        ("threshold", float("nan"), "from 0 to 1"),
        ("most_extra", 0, "at least 1"),
        ("min_hours", -1, "at least 0"),
        ("exclude_below", -0.1, "from 0 to 1"),
    ],
)
def test_a_value_out_of_range_is_named(field: str, value: float, bounds: str) -> None:
    with pytest.raises(ReviewPolicyError, match=f"{field} is {value}: it must be {bounds}"):
        ReviewPolicy(**{field: value})


def test_a_policy_is_bounded_by_any_of_three() -> None:
    assert not ReviewPolicy(exclude_below=0.5).is_bounded
    for policy in (ReviewPolicy(budget=1), ReviewPolicy(threshold=0.5), ReviewPolicy(tasks=(1,))):
        assert policy.is_bounded


def test_the_automatic_review_is_kept(store: ProjectStore) -> None:
    assert store.read_automatic_review() is None
    review = AutomaticReview(ReviewPolicy(budget=5, tasks=(1, 2)), "ann", "2026-01-01", 3, 1.5, 2.5)
    with store.transaction() as changes:
        store.stage_automatic_review(changes, review)
    assert store.read_automatic_review() == review
    assert (review.left_on("2026-01-01"), review.left_on("2026-01-02")) == (2, 5)
    assert review.left_on("2025-12-31") == 2
    with store.transaction() as changes:
        store.stage_automatic_review(changes, None)
    assert store.read_automatic_review() is None
