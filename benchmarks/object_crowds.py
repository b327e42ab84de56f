"""Simulated crowds that draw objects on images, and what is right of a consensus of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from crowdlab_engine import Boxes, Drawings, Points
from crowdlab_engine.matching import match
from crowdlab_engine.shapes import Shape

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class ObjectRegime:
    """A kind of crowd, and of images, 100 by 100.

    Attributes
    ----------
    num_tasks, num_annotators, num_classes, answers_per_task : int
        Sizes.
    objects : float
        Mean number of objects on an image; with `is_single` it is one.
    overlapping : float
        Share of objects that lie on the one before.
    skill : tuple of float
        Range of an annotator's skill s. They miss 3 % of the objects and 30 % (1 - s), name
        2 % and 30 % (1 - s) wrongly, and draw 0.02 + 0.6 (1 - s) that are not there.
    unskilled : float
        Share of annotators of skill 0.
    jitter : float
        Standard deviation of edges, in parts of the object's size, of an annotator of skill
        0.7; about a third of that at skill 1. Three of a hundred drawings are four times as far
        off.
    hard : float
        Share of objects that everybody misses with 30 % more.
    turned : bool
        Whether boxes are turned by up to 40 degrees.
    points : bool
        Whether objects are points.
    """

    num_tasks: int = 400
    num_annotators: int = 12
    num_classes: int = 4
    answers_per_task: int = 5
    objects: float = 3.0
    is_single: bool = False
    overlapping: float = 0.3
    skill: tuple[float, float] = (0.3, 1.0)
    unskilled: float = 0.1
    jitter: float = 0.05
    hard: float = 0.1
    turned: bool = False
    points: bool = False

    @property
    def shape(self) -> Shape:
        """What is drawn."""
        return Points() if self.points else Boxes()


REGIMES = {
    "five answers": ObjectRegime(),
    "three answers": ObjectRegime(answers_per_task=3),
    "two answers": ObjectRegime(answers_per_task=2),
    "weak": ObjectRegime(answers_per_task=7, skill=(0.0, 0.6)),
    "experts": ObjectRegime(answers_per_task=3, skill=(0.8, 1.0), unskilled=0.0),
    "crowded": ObjectRegime(objects=8.0, overlapping=0.6),
    "imprecise": ObjectRegime(jitter=0.1),
    "turned": ObjectRegime(turned=True),
    "one object": ObjectRegime(is_single=True),
    "points": ObjectRegime(points=True),
}


@dataclass(frozen=True, eq=False)
class ObjectCrowd:
    """Drawings of a simulated crowd, with the truth.

    Attributes
    ----------
    drawings : Drawings
        What the annotators drew.
    task, label : ndarray of int64, shape (T,)
        Of the true objects.
    coordinates : ndarray of float64, shape (T, C)
        Where they are.
    lack : ndarray of float64, shape (M,)
        What each annotator's skill is less than 1.
    """

    drawings: Drawings
    task: IntArray
    label: IntArray
    coordinates: FloatArray
    regime: ObjectRegime
    lack: FloatArray


@dataclass(frozen=True, eq=False)
class Found:
    """A consensus: objects, and scores of objects and tasks (higher is better)."""

    task: IntArray
    label: IntArray
    coordinates: FloatArray
    quality: FloatArray
    task_quality: FloatArray


@dataclass(frozen=True, eq=False)
class Check:
    """What is right of a consensus.

    Attributes
    ----------
    is_right : ndarray of bool, shape (B,)
        Whether each object found is a true one: of its class, and near enough (IoU of 0.5, or
        a twentieth of the diagonal).
    is_task_right : ndarray of bool, shape (N,)
        Whether each task has its true objects and no others.
    f1 : float
        F1 of the objects found.
    similarity : ndarray of float64, shape (T,)
        Similarity of each true object to the one found, NaN where none is.
    """

    is_right: BoolArray
    is_task_right: BoolArray
    f1: float
    similarity: FloatArray


def draw(regime: ObjectRegime, seed: int) -> ObjectCrowd:
    """Simulate a crowd."""
    rng = np.random.default_rng(seed)
    skill = rng.uniform(*regime.skill, regime.num_annotators)
    skill[: round(regime.unskilled * regime.num_annotators)] = 0.0
    answers: list[tuple[int, int]] = []
    rows: list[tuple[int, int, FloatArray]] = []
    truth: list[tuple[int, int, FloatArray]] = []
    for task in range(regime.num_tasks):
        boxes = _objects(regime, rng)
        labels = rng.integers(regime.num_classes, size=len(boxes))
        truth += [(task, int(label), box) for label, box in zip(labels, boxes, strict=True)]
        missed = 0.03 + 0.3 * (rng.random(len(boxes)) < regime.hard)
        chosen = rng.choice(regime.num_annotators, regime.answers_per_task, replace=False)
        for annotator in chosen:
            lack = 1 - skill[annotator]
            for box, label, miss in zip(boxes, labels, missed, strict=True):
                if rng.random() < miss + 0.3 * lack:
                    continue
                said = label
                if rng.random() < 0.02 + 0.3 * lack:
                    said = (label + rng.integers(1, regime.num_classes)) % regime.num_classes
                rows.append((len(answers), int(said), _drawn(regime, box, lack, rng)))
            spurious = _boxes(regime, rng.poisson(0.02 + 0.6 * lack), rng)
            labels_of = rng.integers(regime.num_classes, size=len(spurious)).tolist()
            rows += [
                (len(answers), label, box) for label, box in zip(labels_of, spurious, strict=True)
            ]
            answers.append((task, int(annotator)))
    shape = regime.shape
    columns = slice(0, len(shape.columns))
    tasks, annotators = np.array(answers).T
    drawings = Drawings.from_codes(
        tasks,
        annotators,
        [row[0] for row in rows],
        [row[1] for row in rows],
        np.array([row[2] for row in rows])[:, columns],
        num_tasks=regime.num_tasks,
        num_annotators=regime.num_annotators,
        num_classes=regime.num_classes,
    )
    return ObjectCrowd(
        drawings,
        np.array([one[0] for one in truth]),
        np.array([one[1] for one in truth]),
        np.array([one[2] for one in truth])[:, columns],
        regime,
        1 - skill,
    )


def _boxes(regime: ObjectRegime, number: int, rng: np.random.Generator) -> FloatArray:
    size = rng.uniform(6, 30, (number, 2))
    corner = rng.uniform(0, 1, (number, 2)) * (100 - size)
    turn = rng.uniform(-40, 40, (number, 1)) if regime.turned else np.zeros((number, 1))
    return np.concatenate([corner, size, turn], axis=1)


def _objects(regime: ObjectRegime, rng: np.random.Generator) -> FloatArray:
    number = 1 if regime.is_single else int(rng.poisson(regime.objects))
    boxes = _boxes(regime, number, rng)
    for place in range(1, number):
        if rng.random() < regime.overlapping:
            before = boxes[place - 1]
            boxes[place, :2] = before[:2] + rng.normal(0, 0.4, 2) * before[2:4]
    return boxes


def _drawn(
    regime: ObjectRegime, box: FloatArray, lack: float, rng: np.random.Generator
) -> FloatArray:
    spread = regime.jitter * (0.3 + 2.5 * lack) * np.sqrt(box[2] * box[3])
    spread *= 4 if rng.random() < 0.03 else 1
    left, top, right, bottom = rng.normal(0, spread, 4)
    turn = rng.normal(0, 3 + 10 * lack) if regime.turned else 0.0
    drawn = box + np.array([left, top, right - left, bottom - top, turn])
    drawn[2:4] = np.maximum(drawn[2:4], 1.0)
    return np.asarray(drawn)


def check(crowd: ObjectCrowd, found: Found, tasks: IntArray | None = None) -> Check:
    """Compare a consensus with the truth, each object with at most one; on some tasks or all."""
    shape = crowd.regime.shape
    least = 0.5
    num_tasks = crowd.drawings.num_tasks
    is_right = np.zeros(len(found.task), dtype=np.bool_)
    similarity = np.full(len(crowd.task), np.nan)
    is_task_right = np.zeros(num_tasks, dtype=np.bool_)
    tasks = np.arange(num_tasks) if tasks is None else tasks
    for task in tasks:
        ours, true = np.flatnonzero(found.task == task), np.flatnonzero(crowd.task == task)
        one, other = (index.ravel() for index in np.indices((len(ours), len(true))))
        alike = shape.similarity(
            found.coordinates[ours[one]],
            crowd.coordinates[true[other]],
            crowd.drawings.diagonal[[task] * len(one)],
        ).reshape(len(ours), len(true))
        fits = (alike >= least) & (found.label[ours][:, None] == crowd.label[true])
        row, column = linear_sum_assignment(-(fits * (1 + alike)))
        good = fits[row, column]
        is_right[ours[row[good]]] = True
        similarity[true[column[good]]] = alike[row[good], column[good]]
        is_task_right[task] = good.sum() == len(ours) == len(true)
    number = np.isin(found.task, tasks).sum() + np.isin(crowd.task, tasks).sum()
    f1 = 2 * is_right.sum() / max(number, 1)
    return Check(is_right, is_task_right, float(f1), similarity)


def ceiling(crowd: ObjectCrowd, found: Found) -> FloatArray:
    """Probability that the objects found are right, for who knows how all was drawn, shape (N,).

    What is of the same object is matched as ever, and where objects are is left aside: who
    knew that, too, could find a few more of the wrong tasks.
    """
    drawings, regime = crowd.drawings, crowd.regime
    task = drawings.task
    place = match(
        task,
        drawings.annotator,
        drawings.label,
        drawings.coordinates,
        drawings.diagonal[task],
        regime.shape,
    )
    objects = 1.0 if regime.is_single else regime.objects
    answerers = [
        drawings.answer_annotator[drawings.answer_task == one] for one in range(drawings.num_tasks)
    ]
    log_right = np.zeros(drawings.num_tasks)
    for number in range(int(place.max(initial=-1)) + 1):
        own = np.flatnonzero(place == number)
        here = int(task[own[0]])
        of_task = np.flatnonzero(found.task == here)
        alike = regime.shape.similarity(
            found.coordinates[of_task],
            np.repeat(drawings.coordinates[own[:1]], len(of_task), axis=0),
            drawings.diagonal[[here] * len(of_task)],
        )
        near = np.flatnonzero(alike >= regime.shape.threshold)
        said = found.label[of_task[near[alike[near].argmax()]]] if len(near) else ABSENT
        chances = _chances(
            crowd, drawings.annotator[own], drawings.label[own], answerers[here], objects
        )
        log_right[here] += np.log(max(chances[said] / chances.sum(), 1e-12))
    for here, people in enumerate(answerers):
        unseen = sum(
            share * np.prod(_missed(crowd, people, hard))
            for hard, share in ((0.0, 1 - regime.hard), (0.3, regime.hard))
        )
        log_right[here] -= objects * unseen
    return np.exp(log_right)


ABSENT = -1
"""Place of "there is no object" among the chances of a place."""


def _missed(crowd: ObjectCrowd, people: IntArray, hard: float) -> FloatArray:
    return 0.03 + hard + 0.3 * crowd.lack[people]


def _chances(
    crowd: ObjectCrowd, drew: IntArray, label: IntArray, answered: IntArray, objects: float
) -> FloatArray:
    """How much speaks for each class at a place, and last for that there is no object."""
    regime = crowd.regime
    chances = np.zeros(regime.num_classes + 1)
    without = np.setdiff1d(answered, drew)
    wrong = 0.02 + 0.3 * crowd.lack[drew]
    for hard, share in ((0.0, 1 - regime.hard), (0.3, regime.hard)):
        seen = np.prod(1 - _missed(crowd, drew, hard)) * np.prod(_missed(crowd, without, hard))
        for code in range(regime.num_classes):
            named = np.where(label == code, 1 - wrong, wrong / (regime.num_classes - 1))
            chances[code] += objects / regime.num_classes * share * seen * np.prod(named)
    if len(drew) == 1:
        chances[ABSENT] = (0.02 + 0.6 * crowd.lack[drew[0]]) / regime.num_classes
    return chances
