import numpy as np
import pytest

from crowdlab_engine.concentration import BOUNDS, concentration_step


def converged(counts: np.ndarray, means: np.ndarray, start: float = 1.0) -> float:
    concentration = start
    for _ in range(2000):
        concentration = concentration_step(concentration, counts, means, counts.sum(axis=1))
    return concentration


@pytest.mark.parametrize("true", [2.0, 20.0])
def test_finds_the_concentration_that_counts_were_drawn_with(true: float) -> None:
    rng = np.random.RandomState(0)
    means = np.array([0.7, 0.2, 0.1])
    probs = rng.dirichlet(true * means, size=2000)
    counts = np.array([rng.multinomial(30, row) for row in probs], dtype=float)
    found = converged(counts, means)
    assert found == pytest.approx(true, rel=0.1)
    assert converged(counts, means, start=200.0) == pytest.approx(found, rel=1e-3)


def test_counts_of_0_may_be_left_out() -> None:
    counts = np.array([[3.0, 0.0, 1.0], [0.0, 5.0, 0.0]])
    means = np.array([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]])
    totals = counts.sum(axis=1)
    used = counts > 0
    assert concentration_step(3.0, counts[used], means[used], totals) == pytest.approx(
        concentration_step(3.0, counts, means, totals), rel=1e-14
    )


def test_without_counts_it_stays() -> None:
    assert concentration_step(7.0, np.zeros((2, 2)), np.full((2, 2), 0.5), np.zeros(2)) == 7.0


def test_rows_of_one_label_keep_it() -> None:
    """One observation says nothing of how much rows differ."""
    counts = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert concentration_step(4.0, counts, np.array([0.5, 0.5]), np.ones(2)) == pytest.approx(4.0)


def test_is_bounded() -> None:
    alike = np.tile([5.0, 5.0], (50, 1))
    assert converged(alike, np.array([0.5, 0.5])) <= BOUNDS[1]
    extreme = np.repeat([[50.0, 0.0], [0.0, 50.0]], 50, axis=0)
    assert BOUNDS[0] <= converged(extreme, np.array([0.5, 0.5])) < 0.5
