"""Consensus from several annotators: labels, their quality, and the annotators' quality.

A library of its own on NumPy, pandas and scikit-learn; it knows tasks, annotators, labels
and probabilities, and nothing of where they come from.
"""

from crowdlab_engine.active_learning import ActiveLearningScores, active_learning_scores
from crowdlab_engine.blockwise import BlockwiseCrowdlab, TaskBlock, array_blocks, parquet_blocks
from crowdlab_engine.classifier import NotEnoughLabels, out_of_sample_pred_probs
from crowdlab_engine.crowdlab import Crowdlab
from crowdlab_engine.dawid_skene import DawidSkene
from crowdlab_engine.drawings import Drawings
from crowdlab_engine.fusion import Fusion
from crowdlab_engine.iterated import IteratedTraining
from crowdlab_engine.labels import MultiannotatorLabels
from crowdlab_engine.majority import majority_vote
from crowdlab_engine.objects import ObjectConsensus
from crowdlab_engine.one_coin import OneCoin
from crowdlab_engine.online import OnlineCrowdlab
from crowdlab_engine.portfolio import Portfolio, TrainedPortfolio
from crowdlab_engine.relabeling import ExpectedGain, choose_tasks, expected_gain
from crowdlab_engine.shapes import Boxes, Points
from crowdlab_engine.texts import TextConsensus

__version__ = "0.1.0"

__all__ = [
    "ActiveLearningScores",
    "BlockwiseCrowdlab",
    "Boxes",
    "Crowdlab",
    "DawidSkene",
    "Drawings",
    "ExpectedGain",
    "Fusion",
    "IteratedTraining",
    "MultiannotatorLabels",
    "NotEnoughLabels",
    "ObjectConsensus",
    "OneCoin",
    "OnlineCrowdlab",
    "Points",
    "Portfolio",
    "TaskBlock",
    "TextConsensus",
    "TrainedPortfolio",
    "__version__",
    "active_learning_scores",
    "array_blocks",
    "choose_tasks",
    "expected_gain",
    "majority_vote",
    "out_of_sample_pred_probs",
    "parquet_blocks",
]
