"""What can be exported, and how."""

from __future__ import annotations

from enum import StrEnum


class DataSetName(StrEnum):
    """What can be exported."""

    CONSENSUS = "consensus"
    """One row per task that somebody has labelled."""
    LABELS = "labels"
    """One row per label that counts."""
    LEADERBOARD = "leaderboard"
    """One row per question and annotator, the best first."""
    REPORT = "report"
    """One page for people."""


class ExportFormat(StrEnum):
    """How a data set can be written."""

    CSV = "csv"
    JSON = "json"
    """One list of objects."""
    JSONL = "jsonl"
    """One object per line."""
    PARQUET = "parquet"
    HTML = "html"
    """A page that needs nothing else; of the report only."""
    LABEL_STUDIO = "label-studio"
    """Tasks with their consensus, for Label Studio's import."""


class ConsensusAs(StrEnum):
    """What the consensus is in the tasks that are exported for Label Studio."""

    PREDICTION = "prediction"
    """A proposal that annotators may see, with its score."""
    ANNOTATION = "annotation"
    """The answer, as if whoever imports it had given it."""
