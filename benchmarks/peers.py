"""Published methods of crowd-kit and cleanlab, run on the same data as ours.

Results are kept on disk, under a hash of the data, as some of them take minutes.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.crowd_data import CrowdData

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Result:
    """What a method found.

    Attributes
    ----------
    consensus : ndarray of int64, shape (N,)
        Class codes; -1 where the method has none.
    quality : ndarray of float64, shape (N,)
        Score of the consensus label; higher is better.
    posterior : ndarray of float64, shape (N, K)
        Score of each class.
    annotator_quality : ndarray of float64, shape (M,)
        Higher is better; NaN where the method has none.
    seconds : float
        CPU time.
    """

    consensus: NDArray[np.int64]
    quality: FloatArray
    posterior: FloatArray
    annotator_quality: FloatArray
    seconds: float


Answer = tuple[NDArray[np.int64], FloatArray, FloatArray, FloatArray]


def crowdlab(data: CrowdData) -> Answer:
    """Run cleanlab's CROWDLAB; a data set without classifier gets uniform probabilities."""
    from cleanlab.multiannotator import (
        get_label_quality_multiannotator,
    )

    labels = data.labels
    shape = (labels.num_tasks, labels.num_classes)
    probs = np.full(shape, 1 / shape[1]) if data.pred_probs is None else data.pred_probs
    wide = np.full((shape[0], labels.num_annotators), np.nan)
    wide[labels.task, labels.annotator] = labels.label
    rows = np.flatnonzero(labels.num_annotations)
    columns = np.flatnonzero(np.bincount(labels.annotator, minlength=labels.num_annotators))
    np.random.seed(0)  # noqa: NPY002 - the reference draws from the global generator
    if labels.num_annotations.max() == 1:
        return _single_labels(data, probs)
    found = get_label_quality_multiannotator(
        wide[np.ix_(rows, columns)], probs[rows], verbose=False, return_weights=True
    )
    consensus = np.full(shape[0], -1)
    consensus[rows] = found["label_quality"]["consensus_label"]
    quality = np.full(shape[0], np.nan)
    quality[rows] = found["label_quality"]["consensus_quality_score"]
    annotator = np.full(labels.num_annotators, np.nan)
    annotator[columns] = found["annotator_stats"].sort_index()["annotator_quality"]
    posterior = np.full(shape, np.nan)
    given = found["detailed_label_quality"].to_numpy()
    full = np.full(wide.shape, np.nan)
    full[np.ix_(rows, columns)] = given
    posterior[labels.task, labels.label] = full[labels.task, labels.annotator]
    posterior[rows, consensus[rows]] = quality[rows]
    return consensus, quality, posterior, annotator


def _single_labels(data: CrowdData, probs: FloatArray) -> Answer:
    """Answer where the reference refuses, as every task has one label: the label itself."""
    labels = data.labels
    consensus = np.full(labels.num_tasks, -1)
    consensus[labels.task] = labels.label
    quality = probs[np.arange(labels.num_tasks), consensus]
    return consensus, quality, probs, np.full(labels.num_annotators, np.nan)


def majority(data: CrowdData) -> Answer:
    """Run crowd-kit's majority vote; its score is the share of votes."""
    from crowdkit.aggregation import MajorityVote

    fitted = MajorityVote(default_skill=None).fit(data.frame())
    return _crowdkit(data, fitted.labels_, fitted.probas_)


def dawid_skene(data: CrowdData) -> Answer:
    """Run crowd-kit's Dawid-Skene."""
    from crowdkit.aggregation import DawidSkene

    fitted: Any = DawidSkene(n_iter=100).fit(data.frame())
    classes, annotators = range(data.labels.num_classes), range(data.labels.num_annotators)
    prior = fitted.priors_.reindex(classes).fillna(0.0)
    errors = fitted.errors_.reindex(columns=classes, fill_value=0.0)
    skill = pd.Series(0.0, index=annotators)
    for code in prior.index[prior > 0]:
        right = errors[code].xs(code, level=1).reindex(annotators).fillna(0.0)
        skill += prior[code] * right
    return _crowdkit(data, fitted.labels_, fitted.probas_, skill)


def one_coin(data: CrowdData) -> Answer:
    """Run crowd-kit's one-coin Dawid-Skene."""
    from crowdkit.aggregation import OneCoinDawidSkene

    fitted = OneCoinDawidSkene(n_iter=100).fit(data.frame())
    return _crowdkit(data, fitted.labels_, fitted.probas_, fitted.skills_)


def glad(data: CrowdData) -> Answer:
    """Run crowd-kit's GLAD."""
    from crowdkit.aggregation import GLAD

    fitted = GLAD(n_iter=100, silent=True).fit(data.frame())
    return _crowdkit(data, fitted.labels_, fitted.probas_, fitted.alphas_)


def mace(data: CrowdData) -> Answer:
    """Run crowd-kit's MACE."""
    from crowdkit.aggregation import MACE

    fitted = MACE(random_state=0).fit(data.frame())
    skills = pd.Series(np.asarray(fitted.spamming_)[:, 1], index=np.unique(data.labels.annotator))
    return _crowdkit(data, fitted.labels_, fitted.probas_, skills)


def wawa(data: CrowdData) -> Answer:
    """Run crowd-kit's Wawa; its own check for being fitted fails with current scikit-learn."""
    from crowdkit.aggregation import Wawa

    with mock.patch("crowdkit.aggregation.classification.wawa.check_is_fitted"):
        fitted = Wawa().fit(data.frame())
        probas = fitted.predict_proba(data.frame())
        return _crowdkit(data, fitted.predict(data.frame()), probas, fitted.skills_)


def zero_based_skill(data: CrowdData) -> Answer:
    """Run crowd-kit's ZeroBasedSkill."""
    from crowdkit.aggregation import ZeroBasedSkill

    with mock.patch("crowdkit.aggregation.classification.zero_based_skill.check_is_fitted"):
        fitted = ZeroBasedSkill().fit(data.frame())
        probas = fitted.predict_proba(data.frame())
        return _crowdkit(data, fitted.predict(data.frame()), probas, fitted.skills_)


def mmsr(data: CrowdData) -> Answer:
    """Run crowd-kit's M-MSR; it has labels and skills, no scores, so votes are the score."""
    from crowdkit.aggregation import MMSR, MajorityVote

    method = MMSR(random_state=0)
    consensus = method.fit_predict(data.frame())
    votes = MajorityVote().fit(data.frame()).probas_
    return _crowdkit(data, consensus, votes, method.skills_)


def _crowdkit(data: CrowdData, labels: Any, probas: Any, skills: Any | None = None) -> Answer:
    num_tasks, num_classes = data.labels.num_tasks, data.labels.num_classes
    consensus = labels.reindex(range(num_tasks)).fillna(-1).to_numpy(dtype=np.int64)
    table = probas.reindex(index=range(num_tasks), columns=range(num_classes))
    posterior = table.fillna(0.0).to_numpy(dtype=np.float64)
    quality = posterior[np.arange(num_tasks), consensus]
    annotators = range(data.labels.num_annotators)
    skill = np.full(len(annotators), np.nan)
    if skills is not None:
        skill = skills.reindex(annotators).to_numpy(dtype=np.float64)
    return consensus, quality, posterior, skill


PEERS: dict[str, Callable[[CrowdData], Answer]] = {
    "majority": majority,
    "DawidSkene": dawid_skene,
    "OneCoin": one_coin,
    "GLAD": glad,
    "MACE": mace,
    "Wawa": wawa,
    "ZeroBasedSkill": zero_based_skill,
    "MMSR": mmsr,
    "CROWDLAB": crowdlab,
}


def run_peer(name: str, data: CrowdData, cache: Path) -> Result:
    """Run a peer, or read what it found before on the same data."""
    path = cache / f"{name}-{_fingerprint(data)}.npz"
    if path.exists():
        with np.load(path) as stored:
            kept: dict[str, Any] = dict(stored)
        kept["seconds"] = float(kept["seconds"])
        return Result(**kept)
    started = time.process_time()
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        answer = PEERS[name](data)
    result = Result(*answer, seconds=time.process_time() - started)
    cache.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = vars(result)
    np.savez_compressed(path, **arrays)
    return result


def _fingerprint(data: CrowdData) -> str:
    digest = hashlib.sha256()
    labels = data.labels
    for array in (labels.task, labels.annotator, labels.label):
        digest.update(np.ascontiguousarray(array).tobytes())
    if data.pred_probs is not None:
        digest.update(np.ascontiguousarray(data.pred_probs).tobytes())
    digest.update(repr((labels.num_tasks, labels.num_classes)).encode())
    return digest.hexdigest()[:16]
