"""Consensus of simulated annotators of spans: ours, majority by token, and peers.

    python -m benchmarks.spans [--data FOLDER] [--short]

FOLDER is a data set whose tasks have texts (see `benchmarks.crowd_data.load`); without one,
words are invented. crowd-kit 1.4.2 has no aggregator for spans (those of
`crowdkit.aggregation.texts` choose or vote on whole sequences of words), so its classifiers
of single labels are given the tokens that somebody marked, like ours.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import metrics
from benchmarks.span_crowd import REGIMES, SpanCrowd, invented_texts, real_texts, simulate
from crowdlab_engine import Crowdlab, Fusion
from crowdlab_engine.spans import SpanConsensus, refined_tokens
from crowdlab_engine.token_classifier import token_features, token_pred_probs
from crowdlab_engine.tokens import Tokens, tokenize

SEEDS = (0, 1, 2)
COLUMNS = ["task", "start", "end", "label"]


@dataclass(frozen=True)
class Found:
    """What a method found; qualities are empty where it gives none."""

    spans: pd.DataFrame
    task_quality: metrics.FloatArray
    annotator_quality: metrics.FloatArray


def ours(crowd: SpanCrowd, estimator: object, *, learns: bool) -> Found:
    """Fit our consensus, with a token classifier or without."""
    answers = crowd.answers
    tokens = refined_tokens(tokenize(crowd.texts), answers)
    fitted = SpanConsensus(estimator).fit(answers, tokens)
    if learns:
        probs = token_pred_probs(
            token_features(crowd.texts, tokens),
            fitted.token_label_,
            tokens,
            num_classes=answers.num_classes + 1,
            sample_weight=np.nan_to_num(fitted.token_quality_),
        )
        if probs is not None:
            fitted = SpanConsensus(estimator).fit(answers, tokens, probs)
    stats = fitted.annotator_stats_.reindex(answers.given.annotator_ids)
    return Found(fitted.spans_, fitted.task_quality_, stats["annotator_quality"].to_numpy())


def crowdkit_by_token(crowd: SpanCrowd, name: str) -> Found:
    """Let one of crowd-kit's classifiers decide on every token that somebody marked."""
    from crowdkit.aggregation import classification

    answers = crowd.answers
    tokens = tokenize(crowd.texts)
    first, stop = tokens.covered(answers.task, answers.start, answers.end)
    said = {
        (int(answers.answer[span]), token): int(answers.label[span])
        for span in range(answers.num_spans)
        for token in range(first[span], stop[span])
    }
    marked = sorted({token for _, token in said})
    given = answers.given
    rows = [
        (token, int(given.annotator[answer]), said.get((answer, token), answers.num_classes))
        for token in marked
        for answer in range(
            answers.first_answer[tokens.text[token]],
            answers.first_answer[tokens.text[token]] + given.num_annotations[tokens.text[token]],
        )
    ]
    frame = pd.DataFrame(rows, columns=["task", "worker", "label"])
    label = getattr(classification, name)().fit_predict(frame)
    return Found(_runs(tokens, label, answers.num_classes), np.empty(0), np.empty(0))


def _runs(tokens: Tokens, label: pd.Series[int], outside: int) -> pd.DataFrame:
    """Join neighbouring tokens of one class."""
    spans: list[list[int]] = []
    last = -2
    for token, code in label.sort_index().items():
        assert isinstance(token, int)
        if code == outside:
            continue
        text, end = int(tokens.text[token]), int(tokens.end[token])
        if spans and token == last + 1 and spans[-1][0] == text and spans[-1][3] == code:
            spans[-1][2] = end
        else:
            spans.append([text, int(tokens.start[token]), end, int(code)])
        last = token
    return pd.DataFrame(spans, columns=COLUMNS)


def best_single(crowd: SpanCrowd) -> tuple[float, metrics.FloatArray]:
    """F1 of the annotator who is best by the truth, on their own tasks; and F1 of all."""
    answers = crowd.answers
    given = answers.given
    frame = pd.DataFrame(
        {
            "annotator": given.annotator[answers.answer],
            "task": answers.task,
            "start": answers.start,
            "end": answers.end,
            "label": answers.label,
        }
    )
    scores = np.full(given.num_annotators, np.nan)
    for annotator in range(given.num_annotators):
        tasks = given.task[given.annotator == annotator]
        truth = crowd.truth[crowd.truth["task"].isin(tasks)]
        scores[annotator] = f1(frame[frame["annotator"] == annotator], truth)
    return float(np.nanmax(scores)), scores


def f1(found: pd.DataFrame, truth: pd.DataFrame) -> float:
    """Harmonic mean of precision and recall of exact spans."""
    right = len(_as_set(found) & _as_set(truth))
    return 2 * right / max(len(found) + len(truth), 1)


def _as_set(spans: pd.DataFrame) -> set[tuple[int, ...]]:
    return set(map(tuple, spans[COLUMNS].to_numpy().tolist()))


def is_wrong(found: pd.DataFrame, truth: pd.DataFrame, num_tasks: int) -> metrics.BoolArray:
    """Whether a span of each task is wrong or missing."""
    wrong = np.zeros(num_tasks, dtype=np.bool_)
    wrong[[task for task, *_ in _as_set(found) ^ _as_set(truth)]] = True
    return wrong


def row(crowd: SpanCrowd, found: Found, of_annotators: metrics.FloatArray) -> dict[str, float]:
    """Return one row of the table."""
    scores = {"F1": f1(found.spans, crowd.truth)}
    if not len(found.task_quality):
        return scores
    truth = _as_set(crowd.truth)
    wrong = is_wrong(found.spans, crowd.truth, len(crowd.texts))
    span_wrong = np.array(
        [tuple(span) not in truth for span in found.spans[COLUMNS].to_numpy().tolist()],
        dtype=np.bool_,
    )
    scores["tasks wrong"] = float(wrong.mean())
    scores["AUROC tasks"] = metrics.auroc(wrong, found.task_quality)
    quality = found.spans["quality"].to_numpy(dtype=np.float64)
    scores["AUROC spans"] = metrics.auroc(span_wrong, quality)
    scores["rank corr"] = metrics.rank_correlation(found.annotator_quality, of_annotators)
    return scores


def table(texts: list[str], regimes: list[str], seeds: tuple[int, ...]) -> pd.DataFrame:
    """Run every method in every regime; mean over seeds."""
    rows = []
    for name in regimes:
        for seed in seeds:
            crowd = simulate(REGIMES[name], texts, seed)
            best, of_annotators = best_single(crowd)
            rows.append({"regime": name, "method": "best annotator", "F1": best})
            majority = Crowdlab("majority_vote", quality_method="agreement")
            for method, estimator, learns in (
                ("majority by token", majority, False),
                ("ours", Fusion(), False),
                ("ours + classifier", Fusion(), True),
                ("ours, Crowdlab", Crowdlab(), False),
                ("ours, Crowdlab + classifier", Crowdlab(), True),
            ):
                started = time.process_time()
                found = ours(crowd, estimator, learns=learns)
                seconds = time.process_time() - started
                scores = row(crowd, found, of_annotators)
                rows.append({"regime": name, "method": method, **scores, "CPU s": seconds})
            for peer in ("DawidSkene", "OneCoinDawidSkene"):
                started = time.process_time()
                scores = row(crowd, crowdkit_by_token(crowd, peer), of_annotators)
                seconds = time.process_time() - started
                rows.append(
                    {"regime": name, "method": f"crowd-kit {peer}", **scores, "CPU s": seconds}
                )
    frame = pd.DataFrame(rows)
    return frame.groupby(["regime", "method"], sort=False).mean()


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--short", action="store_true", help="two regimes, drawn once")
    options = parser.parse_args(arguments)
    texts = invented_texts(1000, 0) if options.data is None else real_texts(options.data)
    regimes = ["plain", "spammers"] if options.short else list(REGIMES)
    found = table(texts, regimes, SEEDS[:1] if options.short else SEEDS)
    with pd.option_context("display.width", 200, "display.max_columns", 10, "display.precision", 3):
        print(found)
        print(f"\nmean over {len(regimes)} regimes\n")
        print(found.groupby("method", sort=False).mean())


if __name__ == "__main__":
    main()
