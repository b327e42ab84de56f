"""Answers that are paths: how sure their ancestors are."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.answers.paths import path_name, path_of
from backend.label_studio.questions import AnswerType, Question
from crowdlab_engine.taxonomy import level_quality


@dataclass(frozen=True)
class Level:
    """What the consensus is on one level of the tree, from the root down."""

    level: int
    """From 1."""
    ancestors: tuple[str, ...]
    """Names of the consensus' ancestors on this level."""
    quality: float | None
    """Probability that the ancestor is right, 0 to 1; None for answers of several paths."""
    agreement: float
    """Share of the labels with the same ancestors, 0 to 1."""


def depth_of(question: Question) -> int:
    """Levels that a consensus has which is one path; 0 if answers are anything else."""
    if question.type is not AnswerType.PATH:
        return 0
    return max((len(path_of(name)) for name in question.classes), default=0)


def ancestors_of(question: Question, level: int) -> tuple[list[str], NDArray[np.int64]]:
    """Ancestors of the classes of a question on a level.

    Returns
    -------
    list of str
        Their names.
    ndarray of int64, shape (K,)
        Position of each class' ancestor among them, -1 for classes that end above.
    """
    names: dict[str, int] = {}
    places = []
    for path in map(path_of, question.classes):
        name = path_name(path[:level])
        places.append(names.setdefault(name, len(names)) if len(path) >= level else -1)
    return list(names), np.array(places, dtype=np.int64)


def levels_of_path(
    classes: Sequence[str], consensus: int, labels: Sequence[int], posterior: Sequence[float]
) -> tuple[Level, ...]:
    """Levels of a consensus that is one path.

    Parameters
    ----------
    classes
        Names of the paths.
    consensus, labels
        Class codes.
    posterior
        Probability of each class.
    """
    paths = [path_of(name) for name in classes]
    (quality,) = level_quality([posterior], [consensus], paths).tolist()
    every = _levels_of([paths[consensus]], [[paths[code]] for code in labels])
    return tuple(
        Level(level, ancestors, quality[level - 1], agreement)
        for level, ancestors, agreement in every
    )


def levels_of_paths(consensus: Sequence[str], labels: Sequence[Sequence[str]]) -> tuple[Level, ...]:
    """Levels of a consensus of several paths.

    Parameters
    ----------
    consensus
        Names of its paths.
    labels
        Names of the paths of each label.
    """
    every = _levels_of(
        [path_of(name) for name in consensus],
        [[path_of(name) for name in label] for label in labels],
    )
    return tuple(Level(level, ancestors, None, share) for level, ancestors, share in every)


def _levels_of(
    consensus: Collection[Sequence[str]], labels: Sequence[Collection[Sequence[str]]]
) -> list[tuple[int, tuple[str, ...], float]]:
    """Per level, the consensus' ancestors and the share of labels that have the same."""
    depth = max((len(path) for path in consensus), default=0)
    found = []
    for level in range(1, depth + 1):
        own = _ancestors(consensus, level)
        same = [_ancestors(label, level) == own for label in labels]
        names = tuple(path_name(path) for path in sorted(own))
        found.append((level, names, float(np.mean(same)) if same else 0.0))
    return found


def _ancestors(paths: Collection[Sequence[str]], level: int) -> set[tuple[str, ...]]:
    return {tuple(path[:level]) for path in paths if len(path) >= level}
