"""Data sets that the demonstration can show."""

from pathlib import Path

import pandas as pd
import pytest

from backend.demo.label_studio_server import DemoError
from backend.demo.scenario import dataset_scenario


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A data set of two tasks, without its meta.json."""
    pd.DataFrame({"task": ["a", "b"]}).to_parquet(tmp_path / "tasks.parquet")
    labels = pd.DataFrame({"task": ["a", "b"], "annotator": ["x", "y"], "label": [0, 1]})
    labels.to_parquet(tmp_path / "labels.parquet")
    return tmp_path


def test_a_data_set_is_read(dataset: Path) -> None:
    (dataset / "meta.json").write_text('{"classes": ["no", "très"]}', encoding="utf-8")
    scenario = dataset_scenario(dataset)
    assert scenario.classes == ("no", "très")
    assert [(one.task, one.label) for one in scenario.labels] == [(0, 0), (1, 1)]


@pytest.mark.parametrize(
    ("meta", "said"),
    [
        (b"{classes: no}", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"{}", "names no classes"),
        (b"[1]", "names no classes"),
        (b'{"classes": []}', "names no classes"),
        (b'{"classes": "abc"}', "names no classes"),
    ],
)
def test_an_unusable_meta_json_is_explained(dataset: Path, meta: bytes, said: str) -> None:
    (dataset / "meta.json").write_bytes(meta)
    with pytest.raises(DemoError, match=rf"meta\.json {said}"):
        dataset_scenario(dataset)
