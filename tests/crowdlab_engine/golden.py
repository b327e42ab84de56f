"""Results of the reference implementation, recorded."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from crowdlab_engine import MultiannotatorLabels

FOLDER = Path(__file__).parents[1] / "data" / "crowdlab"
NAMES = sorted(path.stem for path in (FOLDER / "golden").glob("g*.npz"))


class Golden:
    """One recorded case: inputs, and what each call of the reference gave."""

    def __init__(self, name: str) -> None:
        self.name = name
        with np.load(FOLDER / "golden" / f"{name}.npz") as stored:
            self.arrays: dict[str, Any] = dict(stored)
        self.parameters = json.loads((FOLDER / "golden" / f"{name}.json").read_text())
        self.pred_probs = self.arrays["pred_probs"]
        self.calls: dict[str, Any] = self.parameters["calls"]
        self.is_ensemble = self.pred_probs.ndim == 3

    def labels(self) -> MultiannotatorLabels:
        return MultiannotatorLabels.from_codes(
            self.arrays["task_idx"],
            self.arrays["annotator_idx"],
            self.arrays["label"],
            num_tasks=int(self.arrays["num_tasks"]),
            num_annotators=int(self.arrays["num_annotators"]),
            num_classes=int(self.pred_probs.shape[-1]),
        )

    def wide(self, dtype: str = "float64") -> Any:
        """Labels as a matrix of tasks by annotators, NaN where there is none."""
        shape = (int(self.arrays["num_tasks"]), int(self.arrays["num_annotators"]))
        matrix = np.full(shape, np.nan)
        matrix[self.arrays["task_idx"], self.arrays["annotator_idx"]] = self.arrays["label"]
        return matrix.astype(dtype)

    def has(self, call: str) -> bool:
        return any(name.startswith(f"{call}/") for name in self.arrays)

    def field(self, call: str, field: str) -> Any:
        """Value of a field, by right counts (`_intcounts`) where the reference counts wrongly."""
        right = f"{call}_intcounts/{field}"
        return self.arrays[right if right in self.arrays else f"{call}/{field}"]


def cases(*calls: str) -> list[tuple[str, str]]:
    """All (name of a case, call) of these calls that were recorded."""
    return [(name, call) for name in NAMES for call in calls if Golden(name).has(call)]
