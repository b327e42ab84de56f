"""Training of the classifier: seconds, memory, and what it does for the consensus.

    python -m benchmarks.training [--short] [--data FOLDER]

100,000 short texts are drawn, turned into features and labelled by a simulated crowd; the
portfolio trains on its consensus in a process of its own, whose peak memory is printed.
With --data, on real labels of texts (see `benchmarks.crowd_data.load`; columns of
`tasks.parquet` after `truth` are the texts), CROWDLAB by annotators alone, with the given
`pred_probs.npz`, and with our classifier on our features.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import argparse
import multiprocessing
import resource
import time
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array, hstack

from backend.features.pairs import pair_features
from backend.features.text import WIDTH, text_features
from benchmarks import metrics
from benchmarks.crowd_data import CrowdData, folders, load
from crowdlab_engine import Crowdlab, Fusion, MultiannotatorLabels, Portfolio

_CLASSES, _WORDS, _LABELS = 5, 30_000, 3


def draw_texts(num_tasks: int, seed: int = 0) -> tuple[list[str], NDArray[np.int64]]:
    """Draw texts of 5 to 25 words by Zipf's law; some words are more frequent in a class."""
    rng = np.random.RandomState(seed)
    truth = rng.randint(_CLASSES, size=num_tasks)
    lengths = rng.randint(5, 26, size=num_tasks)
    rank = np.arange(1, _WORDS + 1)
    common = 1.0 / rank**0.9
    owner = rng.randint(_CLASSES, size=_WORDS)
    vocabulary = np.array(
        ["".join(rng.choice(list("aeioubdklmnprst"), 3 + number % 7)) for number in rank]
    )
    words = np.empty(lengths.sum(), dtype=np.int64)
    of_task = np.repeat(truth, lengths)
    for code in range(_CLASSES):
        weight = common * np.where(owner == code, 3.0, 1.0)
        mine = np.flatnonzero(of_task == code)
        words[mine] = rng.choice(_WORDS, size=len(mine), p=weight / weight.sum())
    ends = np.cumsum(lengths)
    texts = [
        " ".join(vocabulary[words[end - length : end]])
        for end, length in zip(ends.tolist(), lengths.tolist(), strict=True)
    ]
    return texts, truth


def draw_labels(truth: NDArray[np.int64], seed: int = 1) -> MultiannotatorLabels:
    """Label each task three times, by 50 annotators of 60 to 90 percent."""
    rng = np.random.RandomState(seed)
    accuracy = rng.uniform(0.6, 0.9, size=50)
    first = rng.randint(50, size=len(truth))
    annotator = ((first[:, None] + np.array([0, 17, 31])) % 50).ravel()
    task = np.repeat(np.arange(len(truth)), _LABELS)
    is_right = rng.uniform(size=len(task)) < accuracy[annotator]
    wrong = (truth[task] + rng.randint(1, _CLASSES, size=len(task))) % _CLASSES
    return MultiannotatorLabels.from_codes(task, annotator, np.where(is_right, truth[task], wrong))


def _measure(num_tasks: int, answer: multiprocessing.SimpleQueue[tuple[str, ...]]) -> None:
    texts, truth = draw_texts(num_tasks)
    began = time.process_time()
    features = text_features(texts)
    extraction = time.process_time() - began
    del texts
    labels = draw_labels(truth)
    began, started = time.perf_counter(), time.process_time()
    alone = Crowdlab().fit(labels)
    trained = Portfolio().train(
        features,
        labels,
        alone.consensus_label_,
        sample_weight=alone.consensus_quality_score_,
    )
    seconds, cpu = time.perf_counter() - began, time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    fitted = Crowdlab().fit(labels, trained.pred_probs)
    before, after = (float((one.consensus_label_ == truth).mean()) for one in (alone, fitted))
    answer.put(
        (
            f"{num_tasks:,} texts, {features.nnz / num_tasks:.0f} features each, extracted in "
            f"{extraction:.1f} CPU s",
            f"consensus and training {cpu:.1f} CPU s ({seconds:.1f} s), peak memory {peak:.2f} GiB "
            "(bounds for 100,000: 60 s, 2 GiB)",
            str(trained),
            trained.candidates.to_string(),
            f"CROWDLAB's accuracy: annotators alone {before:.4f}, with the classifier {after:.4f}",
        )
    )


def measure(num_tasks: int) -> None:
    """Train on drawn texts, in a process of its own."""
    context = multiprocessing.get_context("spawn")
    answer = context.SimpleQueue()
    process = context.Process(target=_measure, args=(num_tasks, answer))
    process.start()
    print("\n".join(answer.get()))
    process.join()


def features_of(tasks: pd.DataFrame) -> tuple[csr_array, NDArray[np.bool_]]:
    """Features of a set's texts, as the service would make them; which are counts."""
    columns = [[str(text) for text in tasks[name]] for name in tasks.columns[2:]]
    parts = [text_features(column) for column in columns]
    if len(columns) > 1:
        parts.append(pair_features(columns))
    matrix = csr_array(hstack(parts, format="csr"))
    return matrix, np.arange(matrix.shape[1]) < WIDTH * len(columns)


def compare(data: CrowdData, tasks: pd.DataFrame, seconds: float) -> pd.DataFrame:
    """Accuracy of the consensus without a classifier, with the given one, and with ours."""
    began = time.process_time()
    features, is_count = features_of(tasks)
    extraction = time.process_time() - began
    alone = Crowdlab().fit(data.labels)
    trained = Portfolio(is_count, seconds=seconds).train(
        features,
        data.labels,
        alone.consensus_label_,
        sample_weight=alone.consensus_quality_score_,
    )
    print(
        f"{data.name}: features in {extraction:.1f} CPU s, training in {trained.seconds:.1f} CPU s"
    )
    print(f"{trained}\n{trained.candidates.to_string()}\n")
    known = data.truth >= 0
    rows = {}
    for name, probs in (
        ("annotators alone", None),
        ("given pred_probs", data.pred_probs),
        ("our classifier", trained.pred_probs),
    ):
        row = {}
        if probs is not None:
            row["classifier"] = float((probs.argmax(axis=1) == data.truth)[known].mean())
        for method in (Crowdlab, Fusion):
            fitted = method().fit(data.labels, probs)
            is_right = (fitted.consensus_label_ == data.truth)[known]
            row[method.__name__] = float(is_right.mean())
            if method is Crowdlab and probs is not None:
                was_right = (alone.consensus_label_ == data.truth)[known]
                more, fewer, chance = metrics.mcnemar(is_right, was_right)
                print(
                    f"{name}: {more} tasks right that annotators alone get wrong, {fewer} wrong "
                    f"that they get right (McNemar p = {chance:.2g})"
                )
            row[f"{method.__name__} AUROC"] = metrics.auroc(
                ~is_right, fitted.consensus_quality_score_[known]
            )
        rows[name] = row
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.loc["our gain over annotators alone"] = (
        table.loc["our classifier"] - table.loc["annotators alone"]
    )
    return table


def main(arguments: list[str] | None = None) -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--short", action="store_true", help="5,000 texts")
    parser.add_argument("--data", type=Path, action="append", default=[])
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="CPU seconds of training on --data"
    )
    options = parser.parse_args(arguments)
    with pd.option_context("display.width", 200, "display.max_columns", 30, "display.precision", 4):
        measure(5_000 if options.short else 100_000)
        for folder in (one for root in options.data for one in folders(root)):
            tasks = pd.read_parquet(folder / "tasks.parquet")
            data = load(folder)
            if len(tasks.columns) > 2 and data.pred_probs is not None:
                print(f"\n{compare(data, tasks, options.seconds)}\n")


if __name__ == "__main__":
    main()
