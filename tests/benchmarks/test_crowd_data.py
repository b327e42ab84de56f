import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.crowd_data import CrowdData, folders, load


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data set whose labels are in another order than its tasks."""
    root = tmp_path / "small"
    root.mkdir()
    (root / "meta.json").write_text(json.dumps({"classes": ["no", "yes", "unused"]}))
    pd.DataFrame({"task": ["b", "a", "c"], "truth": [1, 0, None]}).to_parquet(
        root / "tasks.parquet"
    )
    pd.DataFrame(
        {"task": ["a", "b", "a"], "annotator": ["w2", "w1", "w1"], "label": [0, 1, 1]}
    ).to_parquet(root / "labels.parquet")
    np.savez(root / "pred_probs.npz", np.full((3, 3), 1 / 3))
    return root


def test_load(folder: Path) -> None:
    data = load(folder)
    assert data.name == "small"
    assert data.truth.tolist() == [1, 0, -1]
    assert data.frame().to_numpy().tolist() == [[0, 0, 1], [1, 0, 1], [1, 1, 0]]
    assert data.labels.num_tasks == 3
    assert data.labels.num_classes == 3
    assert data.pred_probs is not None
    assert data.pred_probs.shape == (3, 3)


def test_folders(folder: Path) -> None:
    assert folders(folder) == folders(folder.parent) == [folder]
    (folder / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="holds no data set"):
        folders(folder / "empty")


def test_labels_per_task_are_a_random_subset(folder: Path) -> None:
    data: CrowdData = load(folder)
    one = data.with_labels_per_task(1, seed=0)
    assert one.labels.num_annotations.tolist() == [1, 1, 0]
    drawn = {int(data.with_labels_per_task(1, seed).labels.annotator[1]) for seed in range(20)}
    assert drawn == {0, 1}
    assert data.with_labels_per_task(5, seed=0).labels.num_labels == 3
