"""Consensus from several annotators: labels, their quality, and the annotators' quality.

A library of its own on NumPy, pandas and scikit-learn; it knows tasks, annotators, labels
and probabilities, and nothing of where they come from.
"""

from crowdlab_engine.active_learning import ActiveLearningScores, active_learning_scores
from crowdlab_engine.classifier import NotEnoughLabels, out_of_sample_pred_probs
from crowdlab_engine.crowdlab import Crowdlab
from crowdlab_engine.labels import MultiannotatorLabels
from crowdlab_engine.majority import majority_vote

__version__ = "0.1.0"

__all__ = [
    "ActiveLearningScores",
    "Crowdlab",
    "MultiannotatorLabels",
    "NotEnoughLabels",
    "__version__",
    "active_learning_scores",
    "majority_vote",
    "out_of_sample_pred_probs",
]
