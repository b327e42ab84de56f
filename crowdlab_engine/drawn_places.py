"""Which places, where somebody has drawn an object, have one: a model of how people draw.

An annotator misses some objects, names some wrongly, and draws some where nothing is. What is
drawn where nothing is stands alone, as nobody else errs at the same place. A latent class model
of statements, such as `DawidSkene`, knows of "absent" places at which everybody draws with some
probability, and cannot tell that two who draw the same hardly ever err.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crowdlab_engine._typing import BoolArray, FloatArray, IntArray
from crowdlab_engine.labels import MultiannotatorLabels

_ROUNDS = 30
_PRIOR = 2.0
"""How many objects or answers the rates of all annotators count for, in those of each."""

_LEAST = 1e-4
"""Rates stay so far from 0, and shares from 1."""

_FIRST_MISSED, _FIRST_WRONG, _FIRST_SPURIOUS = 0.15, 0.1, 0.2


@dataclass(frozen=True, eq=False)
class _Rates:
    """How annotators draw, and what there is to draw.

    Attributes
    ----------
    missed, wrong : ndarray of float64, shape (M,)
        Share of objects that each misses, and of those drawn that each names wrongly.
    spurious : ndarray of float64, shape (M,)
        How many objects each draws per task where nothing is.
    objects : ndarray of float64, shape (K,)
        How many objects of each class there are per task.
    """

    missed: FloatArray
    wrong: FloatArray
    spurious: FloatArray
    objects: FloatArray


def presence_posterior(
    statements: MultiannotatorLabels, num_answers: IntArray, num_tasks: int
) -> FloatArray:
    """Return the probability of each class, and of nothing, at each place.

    The rates of each annotator are found by expectation and maximisation; those of few
    statements are drawn towards those of all.

    Parameters
    ----------
    statements : MultiannotatorLabels
        What annotators have said of each of P places: a class, or the last one, K, for nothing.
    num_answers : ndarray of int64, shape (M,)
        Number of tasks that each annotator has answered.
    num_tasks : int
        Number of tasks with answers.

    Returns
    -------
    ndarray of float64, shape (P, K + 1)
        Rows sum to 1. Where nobody has drawn, nothing is there.
    """
    absent = statements.num_classes - 1
    drew = statements.label < absent
    num_drawn = np.bincount(statements.task, drew, statements.num_tasks)
    found = np.zeros((statements.num_tasks, absent + 1))
    found[num_drawn == 0, absent] = 1.0
    drawn = np.flatnonzero(num_drawn)
    if not len(drawn):
        return found
    places = statements.take(drawn)
    alone = num_drawn[drawn] == 1
    num_people = len(num_answers)
    rates = _Rates(
        np.full(num_people, _FIRST_MISSED),
        np.full(num_people, _FIRST_WRONG),
        np.full(num_people, _FIRST_SPURIOUS),
        np.full(absent, len(drawn) / num_tasks / absent),
    )
    for _ in range(_ROUNDS):
        posterior = _expected(places, alone, rates)
        rates = _most_likely(places, posterior, num_answers, num_tasks)
    found[drawn] = posterior
    return found


def _expected(places: MultiannotatorLabels, alone: BoolArray, rates: _Rates) -> FloatArray:
    """Return the posterior of places where somebody has drawn, given the rates."""
    absent = places.num_classes - 1
    place, annotator, label = places.task, places.annotator, places.label
    drew = label < absent
    hit = np.log1p(-rates.missed)
    right = hit + np.log1p(-rates.wrong)
    other = hit + np.log(rates.wrong / max(absent - 1, 1))
    log = np.full((places.num_tasks, absent + 1), -np.inf)
    log[:, :absent] = np.log(rates.objects)
    said = np.where(drew, other[annotator], np.log(rates.missed)[annotator])
    log[:, :absent] += np.bincount(place, said, places.num_tasks)[:, None]
    np.add.at(log, (place[drew], label[drew]), (right - other)[annotator[drew]])
    sole = np.flatnonzero(drew & alone[place])
    of_class = rates.objects / rates.objects.sum()
    log[place[sole], absent] = np.log(rates.spurious[annotator[sole]] * of_class[label[sole]])
    posterior: FloatArray = np.exp(log - log.max(axis=1, keepdims=True))
    posterior /= posterior.sum(axis=1, keepdims=True)
    return posterior


def _most_likely(
    places: MultiannotatorLabels, posterior: FloatArray, num_answers: IntArray, num_tasks: int
) -> _Rates:
    """Return the rates that make what was said most likely, given the posterior."""
    absent = places.num_classes - 1
    place, annotator, label = places.task, places.annotator, places.label
    drew = label < absent
    present = 1 - posterior[place, absent]
    said = posterior[place, label]

    def shrunken(part: FloatArray, whole: FloatArray) -> FloatArray:
        overall = part.sum() / max(whole.sum(), _LEAST)
        rate: FloatArray = (part + _PRIOR * overall) / (whole + _PRIOR)
        return np.maximum(rate, _LEAST)

    def by_annotator(values: FloatArray) -> FloatArray:
        return np.bincount(annotator, values, len(num_answers)).astype(np.float64)

    seen = by_annotator(present * drew)
    spurious = by_annotator((1 - present) * drew)
    return _Rates(
        np.minimum(shrunken(by_annotator(present * ~drew), by_annotator(present)), 1 - _LEAST),
        np.minimum(shrunken(by_annotator((present - said) * drew), seen), 1 - _LEAST),
        shrunken(spurious, num_answers.astype(np.float64)),
        (posterior[:, :absent].sum(axis=0) + 1 / absent) / num_tasks,
    )
