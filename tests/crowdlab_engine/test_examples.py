"""The examples in docstrings, README and docs, run as they are written."""

import doctest
import importlib
import pkgutil
import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import crowdlab_engine
from tests.crowdlab_engine.problems import Problem

ROOT = Path(__file__).parents[2]
NEEDED = {"distributed": "dask", "parquet_partitions": "pyarrow"}
MODULES = [
    one.name
    for one in pkgutil.iter_modules(crowdlab_engine.__path__)
    if one.name not in NEEDED or find_spec(NEEDED[one.name])
]


def python_blocks(document: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(), re.S)


def test_docstrings() -> None:
    attempted = 0
    for name in MODULES:
        module = importlib.import_module(f"crowdlab_engine.{name}")
        found = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
        assert not found.failed, name
        attempted += found.attempted
    assert attempted > 10


@pytest.mark.parametrize(
    "document", ["README.md", "docs/engine.md", "docs/objects.md", "crowdlab_engine/README.md"]
)
def test_documents(document: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = Problem(0, 20, 4, 3)
    labels = problem.labels
    table = {"task": labels.task, "annotator": labels.annotator, "label": labels.label}
    pd.DataFrame(table).to_parquet(tmp_path / "labels.parquet")
    probs = pd.DataFrame(problem.pred_probs, columns=["a", "b", "c"])
    probs.to_parquet(tmp_path / "pred_probs.parquet")
    monkeypatch.chdir(tmp_path)
    sizes = {"num_tasks=10_000_000": 20, "num_annotators=5_000": 4, "num_classes=10": 3}
    blocks = python_blocks(document)
    assert blocks
    shared: dict[str, object] = {}
    for block in blocks:
        for text, size in sizes.items():
            block = block.replace(text, f"{text.partition('=')[0]}={size}")
        exec(compile(block, document, "exec"), shared)
    if document.endswith("README.md"):
        fitted = shared["fitted"]
        assert isinstance(fitted, crowdlab_engine.Crowdlab)
        assert np.isfinite(fitted.consensus_quality_score_).all()
