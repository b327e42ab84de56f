"""How much the classifier and each annotator count (arXiv 2210.06812, section 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from crowdlab_engine._typing import FloatArray
    from crowdlab_engine.statistics import Statistics

MIN_WEIGHT = 1e-6
"""Lower bound of weights and of the baseline error: nobody counts for nothing."""


@dataclass(frozen=True, eq=False)
class Weights:
    """How much each classifier and each annotator count.

    Attributes
    ----------
    model : ndarray of float64, shape (P,)
        Weight of each classifier, larger is better; P is 0 without one.
    annotator : ndarray of float64, shape (M,)
        Weight of each annotator, in [1e-6, 1], larger is better. One who shares no task
        with others counts as the mean of those who do.
    agreement : float
        Probability that an annotator gives the consensus label (P in the paper).
    disagreement : float
        Probability that an annotator gives any one of the other labels.
    """

    model: FloatArray
    annotator: FloatArray
    agreement: float
    disagreement: float


def weights(statistics: Statistics) -> Weights:
    """Derive weights from statistics (arXiv 2210.06812, section 3).

    The error of a classifier that may abstain is that on the shared tasks of which it says
    something; without any of them it has the smallest weight there is.

    If no task is shared, nothing tells good from bad: classifiers and annotators then weigh
    the same, 1, and a label is taken at its word (agreement 1).

    Parameters
    ----------
    statistics : Statistics
        Of all tasks, with at least one label.

    Returns
    -------
    Weights
    """
    num_models = len(statistics.model_errors) if statistics.num_predicted else 0
    num_annotators = len(statistics.peers)
    num_shared = statistics.num_shared
    if num_shared == 0:
        return Weights(
            model=np.ones(num_models),
            annotator=np.ones(num_annotators),
            agreement=1.0,
            disagreement=0.0,
        )
    agreement = statistics.agreement / num_shared
    other_classes = len(statistics.consensus_counts) - 1
    baseline_errors = num_shared - int(statistics.consensus_counts.max())
    baseline = max(MIN_WEIGHT, baseline_errors / num_shared)

    has_peers = statistics.peers > 0
    peer_agreement = np.divide(
        statistics.peers_agreeing, statistics.peers, out=np.zeros(num_annotators), where=has_peers
    )
    peer_agreement[~has_peers] = peer_agreement[has_peers].mean()
    model_error = np.divide(
        statistics.model_errors[:num_models],
        statistics.model_shared[:num_models],
        out=np.ones(num_models),
        where=statistics.model_shared[:num_models] > 0,
    )
    return Weights(
        model=np.maximum(MIN_WEIGHT, 1 - model_error / baseline)
        * np.sqrt(statistics.labels_per_task),
        annotator=np.maximum(MIN_WEIGHT, 1 - (1 - peer_agreement) / baseline),
        agreement=agreement,
        disagreement=(1 - agreement) / other_classes if other_classes else 0.0,
    )


def equal_weights(statistics: Statistics) -> Weights:
    """Return the weights by which the posterior is the share of annotators who chose a class.

    Parameters
    ----------
    statistics : Statistics
        Of all tasks; only the numbers of annotators and models count.

    Returns
    -------
    Weights
    """
    return Weights(
        model=np.zeros(len(statistics.model_errors)),
        annotator=np.ones(len(statistics.peers)),
        agreement=1.0,
        disagreement=0.0,
    )
