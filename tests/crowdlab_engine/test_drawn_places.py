"""A model of how people draw objects."""

import numpy as np
import pytest

from crowdlab_engine import MultiannotatorLabels
from crowdlab_engine.drawn_places import presence_posterior

ABSENT = 2


def places_of(rows: list[list[int]], num_people: int) -> MultiannotatorLabels:
    """A place per row, what each annotator says of it: a class, or `ABSENT`."""
    said = np.array(rows)
    place, annotator = np.divmod(np.arange(said.size), num_people)
    return MultiannotatorLabels.from_codes(
        place, annotator, said.ravel(), num_annotators=num_people, num_classes=ABSENT + 1
    )


def test_two_who_draw_the_same_are_right_and_one_alone_by_who_it_is() -> None:
    shared = [[0, 0, 0], [1, 1, 1]] * 20 + [[0, 0, ABSENT]] * 3
    careful_alone = [[0, ABSENT, ABSENT]]
    careless_alone = [[ABSENT, ABSENT, 0]] * 20
    found = presence_posterior(
        places_of(shared + careful_alone + careless_alone, 3), np.full(3, 40), 40
    )
    np.testing.assert_allclose(found.sum(axis=1), 1)
    present = 1 - found[:, ABSENT]
    assert present[: len(shared)].min() == 1
    careful, careless = present[len(shared)], present[-1]
    assert careless < 0.1
    assert careless < careful


def test_a_class_is_that_of_those_who_name_classes_rightly() -> None:
    rows = [[0, 0, 1], [1, 1, 0]] * 10 + [[0, 0, 0], [1, 1, 1]] * 5
    found = presence_posterior(places_of([*rows, [0, ABSENT, 1]], 3), np.full(3, 20), 20)
    assert found[-1, 0] > 0.8
    assert (found[: len(rows) : 2].argmax(axis=1) == 0).all()


def test_where_nobody_draws_nothing_is() -> None:
    nothing = [[ABSENT, ABSENT]]
    found = presence_posterior(places_of(nothing * 3, 2), np.array([3, 3]), 3)
    np.testing.assert_array_equal(found, [[0, 0, 1]] * 3)
    found = presence_posterior(places_of([*nothing, [0, 0]], 2), np.array([2, 2]), 2)
    np.testing.assert_array_equal(found[0], [0, 0, 1])
    assert found[1, 0] > 0.5


@pytest.mark.parametrize("num_classes", [1, 3])
def test_simulated_places_hold_what_is_promised(num_classes: int) -> None:
    rng = np.random.default_rng(0)
    num_tasks, people = 2000, 4
    missed, spurious = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.05, 0.1, 0.5, 1.0])
    rows, truth = [], []
    for _ in range(num_tasks):
        for code in rng.integers(num_classes, size=rng.poisson(1.0)):
            said = np.where(rng.random(people) < missed, num_classes, code)
            if (said < num_classes).any():
                rows.append(said)
                truth.append(int(code))
        for person in np.repeat(np.arange(people), rng.poisson(spurious)):
            said = np.full(people, num_classes)
            said[person] = rng.integers(num_classes)
            rows.append(said)
            truth.append(num_classes)
    table = np.array(rows)
    place, annotator = np.divmod(np.arange(table.size), people)
    statements = MultiannotatorLabels.from_codes(
        place, annotator, table.ravel(), num_classes=num_classes + 1
    )
    found = presence_posterior(statements, np.full(people, num_tasks), num_tasks)
    there = np.array(truth) < num_classes
    alone = (table < num_classes).sum(axis=1) == 1
    # Hardly a tenth of the places of the most careful are drawn by them alone.
    for person in range(people):
        own = alone & (table[:, person] < num_classes)
        assert 1 - found[own, num_classes].mean() == pytest.approx(there[own].mean(), abs=0.08)
