import pytest

from benchmarks.live.trails import State, Trail, lags_of

TOLERANCE = 0.01


def test_an_annotation_is_followed_step_by_step() -> None:
    trail = Trail(num_before=3, saved=[10.0])
    trail.see_store(9.0, 3, State(0, 0.5))
    trail.see_prediction(9.0, State(0, 0.5))
    assert not trail.is_counted
    trail.see_store(10.2, 4, State(1, 0.6))
    trail.see_prediction(10.3, State(0, 0.5))
    assert trail.is_counted
    assert not trail.is_visible
    trail.see_prediction(10.7, State(1, 0.6))
    assert trail.is_visible
    lags = lags_of([trail], TOLERANCE)
    assert lags.stored.tolist() == pytest.approx([0.2])
    assert lags.visible.tolist() == pytest.approx([0.7])
    assert (lags.num_saved, lags.num_never_stored, lags.num_never_visible) == (1, 0, 0)


def test_any_state_since_the_annotation_counts_makes_it_visible() -> None:
    trail = Trail(num_before=3, saved=[0.0])
    trail.see_store(1.0, 4, State(1, 0.6))
    trail.see_store(2.0, 4, State(1, 0.7))
    trail.see_prediction(3.0, State(1, 0.6))
    assert trail.visible == [3.0]


def test_a_state_that_counts_fewer_shows_fewer() -> None:
    trail = Trail(num_before=3, num_expected=2, saved=[0.0, 0.5])
    trail.see_store(1.0, 4, State(1, 0.6))
    trail.see_store(2.0, 5, State(1, 0.9))
    trail.see_prediction(3.0, State(1, 0.6))
    assert trail.visible == [3.0]
    trail.see_prediction(4.0, State(1, 0.9))
    assert trail.visible == [3.0, 4.0]


def test_several_at_once_are_counted_at_once() -> None:
    trail = Trail(num_before=0, num_expected=3, saved=[0.0, 1.0, 2.0])
    trail.see_store(4.0, 3, State(0, 0.8))
    assert trail.counted == [4.0, 4.0, 4.0]
    assert lags_of([trail], TOLERANCE).stored.tolist() == [4.0, 3.0, 2.0]


def test_what_a_sync_takes_back_was_counted_all_the_same() -> None:
    trail = Trail(num_before=3, saved=[0.0])
    trail.see_store(1.0, 4, State(0, 0.8))
    trail.see_store(2.0, 3, State(0, 0.9))
    assert trail.counted == [1.0]


def test_what_never_comes_is_told() -> None:
    nowhere = Trail(num_before=3, saved=[0.0])
    hidden = Trail(num_before=3, saved=[0.0])
    hidden.see_store(1.0, 4, State(1, 0.8))
    hidden.see_prediction(2.0, State(0, 0.8))
    lags = lags_of([nowhere, hidden], TOLERANCE)
    assert (lags.num_saved, lags.num_never_stored, lags.num_never_visible) == (2, 1, 2)
    assert len(lags.visible) == 0


def test_a_score_within_the_tolerance_may_be_left() -> None:
    trail = Trail(num_before=3, saved=[0.0])
    trail.see_store(1.0, 4, State(1, 0.8))
    trail.see_prediction(2.0, State(1, 0.795))
    lags = lags_of([trail], TOLERANCE)
    assert (lags.num_left, lags.num_never_visible) == (1, 0)
    assert lags_of([trail], 0.001).num_never_visible == 1


def test_a_prediction_that_is_missing_shows_nothing() -> None:
    trail = Trail(num_before=0, saved=[0.0])
    trail.see_store(1.0, 1, State(1, 0.8))
    trail.see_prediction(2.0, None)
    assert not trail.is_visible
    assert not trail.is_left_as_it_was(TOLERANCE)


def test_scores_are_equal_up_to_their_rounding() -> None:
    assert State(1, 0.8).says_the_same(State(1, 0.80004))
    assert not State(1, 0.8).says_the_same(State(1, 0.8002))
    assert not State(1, 0.8).says_the_same(State(0, 0.8), tolerance=1.0)
