"""Results of the reference implementation, recorded."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from crowdlab_engine import MultiannotatorLabels

FOLDER = Path(__file__).parents[1] / "data" / "crowdlab"
ENSEMBLES = ("g24", "g25", "g26", "g27")
NAMES = sorted(
    path.stem for path in (FOLDER / "golden").glob("g*.npz") if not path.stem.startswith(ENSEMBLES)
)


class Golden:
    """One recorded case: inputs, and what each call of the reference gave."""

    def __init__(self, name: str) -> None:
        self.name = name
        with np.load(FOLDER / "golden" / f"{name}.npz") as stored:
            self.arrays: dict[str, Any] = dict(stored)
        self.parameters = json.loads((FOLDER / "golden" / f"{name}.json").read_text())
        self.pred_probs = self.arrays["pred_probs"]

    def labels(self) -> MultiannotatorLabels:
        return MultiannotatorLabels.from_codes(
            self.arrays["task_idx"],
            self.arrays["annotator_idx"],
            self.arrays["label"],
            num_tasks=int(self.arrays["num_tasks"]),
            num_annotators=int(self.arrays["num_annotators"]),
            num_classes=int(self.pred_probs.shape[1]),
        )

    def has(self, call: str) -> bool:
        return any(name.startswith(f"{call}/") for name in self.arrays)

    def field(self, call: str, field: str) -> Any:
        return self.arrays[f"{call}/{field}"]
