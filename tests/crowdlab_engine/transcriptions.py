"""Simulated transcriptions whose truth is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

_LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyz"))


@dataclass(frozen=True, eq=False)
class Transcriptions:
    """Answers to tasks whose right text is known."""

    truth: list[str]
    answers: pd.DataFrame
    """One row per answer: `task`, `worker` (codes), `text`."""


def draw(num_tasks: int, answers_per_task: int, share_spammers: float, seed: int) -> Transcriptions:
    """Draw sentences of 3 to 14 words, and what 30 annotators make of them."""
    rng = np.random.RandomState(seed)
    vocabulary = ["".join(rng.choice(_LETTERS, rng.randint(2, 10))) for _ in range(2_000)]
    common = 1.0 / np.arange(1, 2_001) ** 0.8
    common /= common.sum()
    truth = [
        " ".join(rng.choice(vocabulary, rng.randint(3, 15), p=common)) for _ in range(num_tasks)
    ]
    num_workers = 30
    typos = rng.beta(1, 40, size=num_workers)
    omissions = rng.beta(1, 40, size=num_workers)
    is_spammer = np.arange(num_workers) < share_spammers * num_workers
    rows = []
    for task, text in enumerate(truth):
        for worker in rng.permutation(num_workers)[:answers_per_task].tolist():
            if is_spammer[worker]:
                other = truth[rng.randint(num_tasks)]
                said = other if worker % 2 else " ".join(text.split()[:1])
            else:
                said = _retype(text, typos[worker], omissions[worker], rng)
            rows.append((task, worker, said))
    return Transcriptions(truth, pd.DataFrame(rows, columns=["task", "worker", "text"]))


def _retype(text: str, typo: float, omission: float, rng: np.random.RandomState) -> str:
    words = []
    for word in text.split():
        drawn = rng.uniform()
        if drawn < omission:
            continue
        letters = list(word)
        for place in np.flatnonzero(rng.uniform(size=len(letters)) < typo)[::-1].tolist():
            kind = rng.randint(3)
            if kind == 0:
                letters[place] = str(rng.choice(_LETTERS))
            elif kind == 1:
                del letters[place]
            else:
                letters.insert(place, str(rng.choice(_LETTERS)))
        words.append("".join(letters))
        if drawn > 1 - omission / 4:
            words.append(word)
    said = " ".join(words)
    return said.capitalize() if rng.uniform() < 0.3 else said
