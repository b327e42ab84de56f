"""Real crowd data with known truth, read in place from folders."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crowdlab_engine import MultiannotatorLabels


@dataclass(frozen=True, eq=False)
class CrowdData:
    """Labels of N tasks by M annotators, and what the right labels are.

    Attributes
    ----------
    name : str
        Name of the data set.
    labels : MultiannotatorLabels
        Labels, classes as codes.
    truth : ndarray of int64, shape (N,)
        True class code of each task; -1 where nobody knows.
    pred_probs : ndarray of float64, shape (N, K), or None
        Out-of-sample class probabilities of a classifier.
    """

    name: str
    labels: MultiannotatorLabels
    truth: NDArray[np.int64]
    pred_probs: NDArray[np.float64] | None = None

    def frame(self) -> pd.DataFrame:
        """Return the labels as a long table of codes: task, worker, label."""
        return pd.DataFrame(
            {
                "task": self.labels.task,
                "worker": self.labels.annotator,
                "label": self.labels.label,
            }
        )

    def with_labels_per_task(self, most: int, seed: int) -> CrowdData:
        """Return the data with at most this many labels of each task, drawn at random."""
        drawn = np.random.RandomState(seed).uniform(size=self.labels.num_labels)
        order = np.lexsort((drawn, self.labels.task))
        starts = np.cumsum(self.labels.num_annotations) - self.labels.num_annotations
        rank = np.arange(len(order)) - starts[self.labels.task[order]]
        kept = np.sort(order[rank < most])
        labels = MultiannotatorLabels.from_codes(
            self.labels.task[kept],
            self.labels.annotator[kept],
            self.labels.label[kept],
            num_tasks=self.labels.num_tasks,
            num_annotators=self.labels.num_annotators,
            num_classes=self.labels.num_classes,
        )
        return replace(self, name=f"{self.name}@{most}/{seed}", labels=labels)


def load(folder: Path) -> CrowdData:
    """Read a data set from its folder.

    Parameters
    ----------
    folder : Path
        Holds `labels.parquet` (task, annotator, label as a class code), `tasks.parquet`
        (task, truth as a class code, or missing), `meta.json` (with the list `classes`)
        and, if there is a classifier, `pred_probs.npz` (one array, rows as in
        `tasks.parquet`).

    Raises
    ------
    FileNotFoundError
        The folder is not in this format.
    """
    meta = json.loads((folder / "meta.json").read_text())
    tasks = pd.read_parquet(folder / "tasks.parquet")
    table = pd.read_parquet(folder / "labels.parquet")
    annotator, annotator_ids = pd.factorize(table["annotator"], sort=True)
    labels = MultiannotatorLabels.from_codes(
        pd.Index(tasks["task"]).get_indexer(pd.Index(table["task"])),
        annotator,
        table["label"].to_numpy(),
        num_tasks=len(tasks),
        annotator_ids=np.asarray(annotator_ids),
        num_classes=len(meta["classes"]),
    )
    pred_probs = None
    if (folder / "pred_probs.npz").exists():
        with np.load(folder / "pred_probs.npz") as stored:
            pred_probs = np.asarray(stored[stored.files[0]], dtype=np.float64)
    truth = tasks["truth"].fillna(-1).to_numpy(dtype=np.int64)
    return CrowdData(folder.name, labels, truth, pred_probs)


def folders(root: Path) -> list[Path]:
    """Return the data sets in a folder, or the folder itself if it is one."""
    if (root / "meta.json").exists():
        return [root]
    found = sorted(path.parent for path in root.glob("*/meta.json"))
    if not found:
        raise FileNotFoundError(f"{root} holds no data set: pass a folder with meta.json")
    return found
