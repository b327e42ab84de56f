"""The threat model: its rows name tests that exist, and the rules that no single module keeps."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROWS = [
    line
    for line in (ROOT / "docs" / "threat-model.md").read_text().splitlines()
    if line.startswith("| ") and "`tests/" in line
]


def test_there_are_rows() -> None:
    assert len(ROWS) >= 14


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip())
def test_every_row_names_tests_that_exist(row: str) -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", row)
    assert named
    for path, function in named:
        tree = ast.parse((ROOT / path).read_text())
        names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assert (function or next(iter(names))) in names, f"{path} has no {function}"


def _sources() -> list[Path]:
    packages = ("backend", "crowdlab_engine")
    return sorted(path for package in packages for path in (ROOT / package).rglob("*.py"))


def _imported(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
    return found


def test_nothing_is_unpickled() -> None:
    for path in _sources():
        text = path.read_text()
        assert not _imported(ast.parse(text)) & {"pickle", "dill", "joblib", "shelve"}, path
        assert "allow_pickle=True" not in text, path


@pytest.mark.parametrize(
    "lock",
    [
        "requirements.txt",
        "requirements/dev.txt",
        "requirements/benchmarks.txt",
        "backend/demo/label-studio-requirements.txt",
    ],
)
def test_every_locked_package_has_hashes(lock: str) -> None:
    text = (ROOT / lock).read_text()
    entries = re.split(r"\n(?=[A-Za-z0-9])", text)
    locked = [entry for entry in entries if re.match(r"[A-Za-z0-9._-]+(\[.*\])?==", entry)]
    assert len(locked) > 5
    for entry in locked:
        assert "--hash=sha256:" in entry, entry.splitlines()[0]
    assert "://" not in re.sub(r"#.*", "", text)
