"""Consensus of free texts: simulated transcriptions whose truth is known.

    python -m benchmarks.texts [--short]

Annotators mistype, leave out and repeat words, each at a rate of their own; spammers write
what belongs to other tasks or next to nothing. Peers are those of crowd-kit.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.feature_extraction.text import HashingVectorizer

from benchmarks import metrics
from crowdlab_engine.texts import TextConsensus, edit_closeness, normalised
from tests.crowdlab_engine.transcriptions import Transcriptions, draw

Found = tuple[list[str], NDArray[Any] | None]


def ours(data: Transcriptions) -> Found:
    """Consensus and quality by `TextConsensus`."""
    table = data.answers
    fitted = TextConsensus().fit(table["task"], table["worker"], table["text"].tolist())
    return [text or "" for text in fitted.consensus_], fitted.consensus_quality_score_


def unweighted(data: Transcriptions) -> Found:
    """Consensus where all annotators count the same."""
    table = data.answers
    fitted = TextConsensus(max_iter=1).fit(table["task"], table["worker"], table["text"].tolist())
    return [text or "" for text in fitted.consensus_], fitted.consensus_quality_score_


def first(data: Transcriptions) -> Found:
    """Return the answer that came first, which is a random one."""
    return data.answers.groupby("task")["text"].first().tolist(), None


def most_frequent(data: Transcriptions) -> Found:
    """Return the text that most gave, when normalised; the first of equals."""
    table = data.answers.assign(text=data.answers["text"].map(normalised))
    counts = table.groupby(["task", "text"], sort=False).size()
    best = counts.groupby(level="task").idxmax()
    share = counts.groupby(level="task").max() / counts.groupby(level="task").sum()
    return [text for _, text in best], share.to_numpy()


def rover(data: Transcriptions) -> Found:
    """crowd-kit's ROVER: answers aligned word by word, and voted on."""
    from crowdkit.aggregation.texts import ROVER

    table = data.answers.assign(text=data.answers["text"].map(normalised))
    found = ROVER(lambda text: text.split(), " ".join).fit_predict(table)
    return found.sort_index().tolist(), None


def hrrasa(data: Transcriptions) -> Found:
    """crowd-kit's TextHRRASA, on hashed counts of letter trigrams."""
    from crowdkit.aggregation.texts import TextHRRASA

    hashed = HashingVectorizer(
        analyzer="char_wb", ngram_range=(3, 3), n_features=256, alternate_sign=False
    )
    table = data.answers.assign(text=data.answers["text"].map(normalised))
    vectors = hashed.transform(table["text"]).toarray()
    of_text = dict(zip(table["text"], vectors, strict=True))
    aggregator: Any = TextHRRASA(encoder=of_text.__getitem__, n_iter=20)
    found = aggregator.fit_predict(table, None)
    return found.sort_index().tolist(), None


METHODS: dict[str, Callable[[Transcriptions], Found]] = {
    "first answer": first,
    "most frequent": most_frequent,
    "crowd-kit ROVER": rover,
    "crowd-kit TextHRRASA": hrrasa,
    "closest, unweighted": unweighted,
    "TextConsensus": ours,
}


def scores(data: Transcriptions, method: Callable[[Transcriptions], Found]) -> dict[str, float]:
    """Return one row of the table."""
    began = time.process_time()
    found, quality = method(data)
    seconds = time.process_time() - began
    plain = [normalised(text) for text in found]
    is_wrong = np.array([one != right for one, right in zip(plain, data.truth, strict=True)])
    return {
        "wrong": float(is_wrong.mean()),
        "characters wrong": float(1 - np.mean(edit_closeness(plain, data.truth))),
        "AUROC": float("nan") if quality is None else metrics.auroc(is_wrong, quality),
        "CPU s": seconds,
    }


def run(name: str, data: Transcriptions) -> dict[str, float | str] | None:
    """Return one row of the table; None if the method fails, of which a line is printed."""
    try:
        return {"method": name, **scores(data, METHODS[name])}
    except Exception as error:
        print(f"  {name} fails: {type(error).__name__}: {str(error)[:90]}")
        return None


def main(arguments: list[str] | None = None) -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--short", action="store_true", help="one crowd of 150 tasks")
    options = parser.parse_args(arguments)
    crowds = [(3, 0.2)] if options.short else [(3, 0.0), (3, 0.2), (5, 0.2), (5, 0.4)]
    for answers_per_task, spammers in crowds:
        rows: list[dict[str, float | str]] = []
        for seed in range(1 if options.short else 3):
            data = draw(150 if options.short else 500, answers_per_task, spammers, seed)
            rows += [row for name in METHODS if (row := run(name, data)) is not None]
        table = pd.DataFrame(rows).groupby("method", sort=False).mean()
        print(f"{answers_per_task} answers per task, {spammers:.0%} spammers")
        print(table.to_string(float_format="{:.4f}".format), "\n")
    num_tasks = 2_000 if options.short else 100_000
    data = draw(num_tasks, 3, 0.2, 9)
    seconds = scores(data, ours)["CPU s"]
    print(f"{num_tasks:,} tasks with 3 answers: {seconds:.1f} CPU s")


if __name__ == "__main__":
    main()
