"""Files that people send, good and bad ones."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from backend.errors import PredictionsError
from backend.sources.checks import Claims
from backend.sources.files import read_claims
from backend.sources.report import Fault

CLASSES = ("good", "bad")
TABLE = pd.DataFrame({"task": [3, 1], "good": [0.25, 1.0], "bad": [0.75, 0.0]})
MEGABYTE = 1024 * 1024


def read(path: Path, key: str = "", max_bytes: int = MEGABYTE) -> Claims:
    return read_claims(path, path.name, key, CLASSES, max_bytes)


def write(folder: Path, form: str) -> Path:
    path = folder / f"predictions.{form}"
    match form:
        case "csv":
            TABLE.to_csv(path, index=False)
        case "parquet":
            TABLE.to_parquet(path)
        case "npz":
            np.savez_compressed(
                path,
                task=TABLE["task"],
                pred_probs=TABLE[["good", "bad"]].to_numpy(),
                classes=np.array(["good", "bad"]),
            )
    return path


@pytest.mark.parametrize("form", ["csv", "parquet", "npz"])
def test_every_form_says_the_same(tmp_path: Path, form: str) -> None:
    found = read(write(tmp_path, form))
    assert list(found.keys) == ["3", "1"]
    assert found.classes == ("good", "bad")
    np.testing.assert_array_equal(found.probs, [[0.25, 0.75], [1, 0]])


def test_keys_that_are_texts(tmp_path: Path) -> None:
    table = TABLE.assign(doc=["ü,1", "b"]).drop(columns="task")
    table.to_csv(tmp_path / "p.csv", index=False)
    table.assign(note="x").to_parquet(tmp_path / "p.parquet")
    for name in ("p.csv", "p.parquet"):
        found = read(tmp_path / name, "doc")
        assert list(found.keys) == ["ü,1", "b"]
        assert set(found.classes) == {"good", "bad"}


def test_task_ids_that_became_floats(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    TABLE.assign(task=[3.0, float("nan")]).to_csv(path, index=False)
    assert list(read(path).keys) == ["3", ""]


def test_rows_of_a_csv_that_cannot_be_read_are_known_by_their_line(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("\ufefftask,good,bad\n1,0.5,0.5\n2,0.5\n\n3,half,0.5\n")
    found = read(path)
    assert list(found.places) == ["line 2", "line 3", "line 5"]
    assert found.faults.tolist() == [Fault.NONE, Fault.LENGTH, Fault.NONE]
    np.testing.assert_array_equal(np.isnan(found.probs[2]), [True, False])


def test_arrays_without_class_names_are_in_the_order_of_the_config(tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    np.savez(path, task=np.array(["1"]), pred_probs=np.asfortranarray([[0.25, 0.75]]))
    found = read(path)
    assert (found.classes, found.probs.tolist()) == (CLASSES, [[0.25, 0.75]])


def npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


ONE = {"task": np.array([1]), "pred_probs": np.array([[0.5, 0.5]])}
BAD_FILES: dict[str, tuple[str, bytes, str]] = {
    "another form": ("p.xlsx", b"PK", r"ends in '\.xlsx'"),
    "no column of tasks": ("p.csv", b"doc,good\n1,1\n", "no column 'task' or 'task_id' or 'id'"),
    "empty": ("p.csv", b"", "no column 'task'"),
    "not UTF-8": ("p.csv", b"task,good\n\xff,1\n", "no CSV file in UTF-8"),
    "a cell without end": ("p.csv", b'task,good\n"' + b"x" * 200_000, "no CSV file"),
    "twice the same class": ("p.csv", b"task,good,good\n1,1,0\n", "several columns 'good'"),
    "not Parquet": ("p.parquet", b"PAR1" + b"\0" * 100 + b"PAR1", "no Parquet file"),
    "not NPZ": ("p.npz", b"nothing", "no NPZ file"),
    "no probabilities": ("p.npz", npz(task=np.array([1])), "no array `pred_probs`"),
    "no tasks": ("p.npz", npz(pred_probs=np.array([[1.0]])), "no column 'task'"),
    "objects": (
        "p.npz",
        npz(task=np.array(["a"], dtype=object), pred_probs=np.array([[1.0, 0.0]])),
        "Arrays of objects are not read",
    ),
    "another length": (
        "p.npz",
        npz(task=np.array([1, 2]), pred_probs=np.array([[0.5, 0.5]])),
        "names 2 tasks and has probabilities of 1",
    ),
    "another width": (
        "p.npz",
        npz(task=np.array([1]), pred_probs=np.array([[0.5, 0.25, 0.25]])),
        "3 columns of probabilities and 2 classes",
    ),
    "flat": ("p.npz", npz(task=np.array([1]), pred_probs=np.array([0.5])), "with 1 dimensions"),
    "cut short": ("p.npz", npz(**ONE)[:-40], "no NPZ file"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files_are_refused_in_words(tmp_path: Path, name: str) -> None:
    file_name, content, reason = BAD_FILES[name]
    path = tmp_path / file_name
    path.write_bytes(content)
    with pytest.raises(PredictionsError, match=reason):
        read(path)


def test_a_large_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_bytes(b"x" * 2000)
    with pytest.raises(PredictionsError, match="CROWDLAB_MAX_UPLOAD_MB"):
        read(path, max_bytes=1000)


def test_an_archive_that_unpacks_to_too_much_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    np.savez_compressed(path, task=np.arange(2**20), pred_probs=np.zeros((2**20, 2)))
    assert path.stat().st_size < 2 * MEGABYTE
    with pytest.raises(PredictionsError, match="would unpack to"):
        read(path, max_bytes=2 * MEGABYTE)


def test_a_header_that_lies_is_found_out(tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (100, 2)}
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("pred_probs.npy", header.getvalue() + b"\0" * 16)
        archive.writestr("task.npy", header.getvalue())
    with pytest.raises(PredictionsError, match="ends early"):
        read(path)


def test_a_parquet_bomb_ends_in_its_own_process(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    # A text of 20 MB that stands in the file once, and is the task of 200 rows.
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 200, pa.int32()), ["x" * 20_000_000])
    table = pa.table({"task": text, "good": [1.0] * 200, "bad": [0.0] * 200})
    parquet.write_table(table, path, compression="zstd")
    assert path.stat().st_size < MEGABYTE
    with pytest.raises(PredictionsError, match="unpacked within"):
        read(path, max_bytes=MEGABYTE)
