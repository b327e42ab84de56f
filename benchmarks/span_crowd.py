"""Simulated annotators of spans on real or invented words, with known truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crowdlab_engine.span_answers import SpanAnswers

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class SpanRegime:
    """A kind of crowd.

    Attributes
    ----------
    num_tasks, num_annotators, num_classes : int
        Sizes N, M and K.
    answers_per_task : int
        Answers of each task.
    skill : tuple of float
        Range of the annotators' skill, in [0, 1]; errors of all kinds are in proportion to
        what is missing to 1.
    missed, boundary, wrong_class, spurious : float
        Errors of an annotator without skill: shares of spans that are missed, that begin or
        end a word off, and whose class is another; spans marked per span that there is.
    spammers : float
        Share of annotators who mark words at random.
    """

    num_tasks: int = 400
    num_annotators: int = 12
    num_classes: int = 3
    answers_per_task: int = 5
    skill: tuple[float, float] = (0.3, 0.9)
    missed: float = 0.7
    boundary: float = 0.6
    wrong_class: float = 0.5
    spurious: float = 0.8
    spammers: float = 0.0


REGIMES = {
    "plain": SpanRegime(),
    "three answers": SpanRegime(answers_per_task=3),
    "two answers": SpanRegime(answers_per_task=2),
    "misses": SpanRegime(missed=0.95, spurious=0.2, skill=(0.2, 0.7)),
    "boundaries": SpanRegime(boundary=0.95, missed=0.3, skill=(0.2, 0.8)),
    "confusions": SpanRegime(wrong_class=0.9, boundary=0.3, num_classes=6),
    "spammers": SpanRegime(spammers=0.35, answers_per_task=6),
    "experts": SpanRegime(skill=(0.85, 0.98), answers_per_task=3),
    "few tasks": SpanRegime(num_tasks=40, num_annotators=5),
}


@dataclass(frozen=True, eq=False)
class SpanCrowd:
    """Texts, the answers of annotators, and the truth.

    Attributes
    ----------
    texts : list of str
        N texts.
    answers : SpanAnswers
        Answers of the annotators.
    truth : DataFrame
        True spans: task, start, end, label.
    """

    texts: list[str]
    answers: SpanAnswers
    truth: pd.DataFrame


def real_texts(folder: Path) -> list[str]:
    """Read the texts of a data set that has them."""
    tasks = pd.read_parquet(folder / "tasks.parquet")
    if "text" not in tasks:
        raise ValueError(f"{folder} has no texts: choose a data set whose tasks have them")
    return [str(text) for text in tasks["text"]]


def invented_texts(number: int, seed: int) -> list[str]:
    """Make up texts of words with a long-tailed frequency."""
    rng = np.random.RandomState(seed)
    letters = list("abdeghiklmnoprstuvz")
    endings = ["".join(rng.choice(letters, size=3)) for _ in range(150)]
    words = [
        "".join(rng.choice(letters, size=rng.randint(5))) + endings[rng.randint(len(endings))]
        for _ in range(2000)
    ]
    share = 1 / np.arange(1, len(words) + 1)
    share /= share.sum()
    return [" ".join(rng.choice(words, size=rng.randint(8, 30), p=share)) for _ in range(number)]


def simulate(regime: SpanRegime, texts: list[str], seed: int) -> SpanCrowd:
    """Draw true spans and what annotators make of them.

    A word starts an entity because of its last letters, so that a classifier can learn it;
    texts without any occur.
    """
    rng = np.random.RandomState(seed)
    chosen = rng.permutation(len(texts))[: regime.num_tasks]
    kept = [texts[number] for number in chosen]
    words = [_words(text) for text in kept]
    truths = [_true_spans(one, text, regime, seed) for one, text in zip(words, kept, strict=True)]
    skill = rng.uniform(*regime.skill, size=regime.num_annotators)
    is_spammer = np.arange(regime.num_annotators) < regime.spammers * regime.num_annotators

    answers: list[tuple[int, int]] = []
    spans: list[tuple[int, int, int, int]] = []
    for task, (true, places) in enumerate(zip(truths, words, strict=True)):
        drawn = rng.choice(regime.num_annotators, size=regime.answers_per_task, replace=False)
        for annotator in drawn.tolist():
            marked = (
                _at_random(places, regime, rng)
                if is_spammer[annotator]
                else _marked(true, places, regime, 1 - skill[annotator], rng)
            )
            spans += [
                (len(answers), places[first][0], places[last][1], label)
                for first, last, label in sorted(set(marked))
            ]
            answers.append((task, annotator))
    task_of, annotator_of = np.array(answers).T
    table = np.array(spans).reshape(-1, 4)
    built = SpanAnswers.from_codes(
        task_of,
        annotator_of,
        *table.T,
        num_tasks=len(kept),
        num_annotators=regime.num_annotators,
        classes=[f"class {number}" for number in range(regime.num_classes)],
    )
    rows = [
        (task, places[first][0], places[last][1], label)
        for task, (true, places) in enumerate(zip(truths, words, strict=True))
        for first, last, label in true
    ]
    truth = pd.DataFrame(rows, columns=["task", "start", "end", "label"])
    return SpanCrowd(kept, built, truth)


Marked = list[tuple[int, int, int]]


def _words(text: str) -> list[tuple[int, int]]:
    places, at = [], 0
    for word in text.split():
        start = text.index(word, at)
        at = start + len(word)
        places.append((start, at))
    return places


def _true_spans(places: list[tuple[int, int]], text: str, regime: SpanRegime, seed: int) -> Marked:
    found, number = [], 0
    while number < len(places):
        word = text[slice(*places[number])]
        draw = np.random.RandomState(hash_of(word[-3:], seed))
        if len(word) > 3 and draw.uniform() < 0.12:
            last = min(number + draw.randint(3), len(places) - 1)
            found.append((number, last, int(draw.randint(regime.num_classes))))
            number = last + 1
        else:
            number += 1
    return found


def hash_of(word: str, seed: int) -> int:
    """Return a number for a word, the same in every process."""
    value = seed + 1
    for character in word:
        value = (value * 31 + ord(character)) % (2**32 - 5)
    return value


def _marked(
    true: Marked,
    places: list[tuple[int, int]],
    regime: SpanRegime,
    lack: float,
    rng: np.random.RandomState,
) -> Marked:
    marked = []
    for first, last, label in true:
        if rng.uniform() < regime.missed * lack:
            continue
        if rng.uniform() < regime.boundary * lack:
            move = rng.randint(4)
            first = max(first - 1, 0) if move == 0 else first
            first = min(first + 1, last) if move == 1 else first
            last = max(last - 1, first) if move == 2 else last
            last = min(last + 1, len(places) - 1) if move == 3 else last
        if rng.uniform() < regime.wrong_class * lack and regime.num_classes > 1:
            label = (label + rng.randint(1, regime.num_classes)) % regime.num_classes
        marked.append((first, last, int(label)))
    number = rng.poisson(regime.spurious * lack * max(len(true), 0.5))
    return marked + _at_random(places, regime, rng, number)


def _at_random(
    places: list[tuple[int, int]],
    regime: SpanRegime,
    rng: np.random.RandomState,
    number: int | None = None,
) -> Marked:
    if not places:
        return []
    marked = []
    for _ in range(rng.poisson(1.5) if number is None else number):
        first = rng.randint(len(places))
        last = min(first + rng.randint(3), len(places) - 1)
        marked.append((int(first), int(last), int(rng.randint(regime.num_classes))))
    return marked
