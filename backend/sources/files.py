"""Read files of predictions: CSV, Parquet and NPZ.

Nothing in them is trusted: no file unpacks to more than it may, nothing is unpickled.
"""

from __future__ import annotations

import csv
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from backend.errors import PredictionsError, PredictionsTooLargeError
from backend.sources.checks import Claims
from backend.sources.parquet_file import parquet_as_npz
from backend.sources.report import Fault

TASK_COLUMNS = ("task", "task_id", "id")
"""Names of the column with task ids, the first that there is."""

UNPACKED = 4
"""How many times its allowed size a file may have when it is unpacked."""

_LONGEST_KEY = 500
_LONGEST_NAME = 1000
_MOST_CLASSES = 10_000
_CSV_ERROR = "{name} is no CSV file in UTF-8 with a comma between columns: {reason}."


def read_claims(path: Path, name: str, key: str, classes: Sequence[str], max_bytes: int) -> Claims:
    """Read what a file says of tasks.

    Parameters
    ----------
    path
        The file.
    name
        What it is called, which tells its form.
    key
        Column with the values of a data key that name tasks; empty for task ids.
    classes
        Classes of the question, for files that do not name their columns.
    max_bytes
        Size that the file may have.

    Raises
    ------
    PredictionsError
        The file is too large, broken, or has no such columns.
    """
    size = path.stat().st_size
    if size > max_bytes:
        raise PredictionsTooLargeError(
            f"{name} has {size / 1e6:,.1f} MB; at most {max_bytes / 1e6:,.0f} are allowed.",
            "Divide it, or raise CROWDLAB_MAX_UPLOAD_MB.",
        )
    claims = _read(path, name, (key,) if key else TASK_COLUMNS, classes, max_bytes)
    if key:
        return claims
    # pandas makes 101.0 of the number 101 where another row has none.
    return replace(claims, keys=[one.removesuffix(".0") for one in claims.keys])


def _read(
    path: Path, name: str, columns: Sequence[str], classes: Sequence[str], max_bytes: int
) -> Claims:
    match Path(name).suffix.lower():
        case ".csv":
            return _read_csv(path, name, columns)
        case ".npz":
            return _read_npz(path, name, columns, classes, UNPACKED * max_bytes)
        case ".parquet" | ".pq":
            with parquet_as_npz(path, name, columns, UNPACKED * max_bytes) as converted:
                return _read_npz(converted, name, columns, classes, 2 * UNPACKED * max_bytes)
        case suffix:
            raise PredictionsError(
                f"{name} ends in {suffix!r}, which is no form that can be read.",
                "Send .csv, .parquet or .npz.",
            )


def _read_csv(path: Path, name: str, columns: Sequence[str]) -> Claims:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            head = next(reader, [])
            place = _key_place(head, columns, name)
            others = [column for column in range(len(head)) if column != place]
            keys, places, rows, faults = [], [], [], []
            for cells in reader:
                if not cells:
                    continue
                is_whole = len(cells) == len(head)
                keys.append(cells[place].strip()[:_LONGEST_KEY] if place < len(cells) else "")
                places.append(f"line {reader.line_num}")
                faults.append(Fault.NONE if is_whole else Fault.LENGTH)
                values = [cells[column] for column in others] if is_whole else [""] * len(others)
                rows.append(np.array([_number(value) for value in values]))
    except (UnicodeDecodeError, csv.Error) as error:
        raise PredictionsError(_CSV_ERROR.format(name=name, reason=error)) from None
    classes = [head[column].strip() for column in others]
    _check_classes(classes, name)
    claims = Claims.of(keys, places, classes, np.array(rows).reshape(len(keys), len(classes)))
    claims.faults[:] = faults
    return claims


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _key_place(head: Sequence[str], columns: Sequence[str], name: str) -> int:
    for column in columns:
        if column in head:
            return list(head).index(column)
    raise PredictionsError(
        f"{name} has no column {' or '.join(repr(one) for one in columns)} that says which task a "
        f"row is about; it has: {', '.join(repr(one[:40]) for one in head[:20]) or 'none'}.",
        "Name tasks by their ids in Label Studio in a column `task`, or choose a key of the "
        "tasks' data (--key) that is a column, too.",
    )


def _check_classes(classes: Sequence[str], name: str) -> None:
    if len(classes) > _MOST_CLASSES:
        raise PredictionsError(f"{name} has {len(classes):,} columns, more than {_MOST_CLASSES:,}.")
    again = [one for one, number in Counter(classes).items() if number > 1]
    if again:
        raise PredictionsError(
            f"{name} has several columns {again[0][:40]!r}.", "Leave one of each."
        )


def _read_npz(
    path: Path, name: str, columns: Sequence[str], classes: Sequence[str], most_bytes: int
) -> Claims:
    with _opened(path, name) as archive:
        members = {one.filename.removesuffix(".npy"): one for one in archive.infolist()}
        probs_name = next((one for one in ("pred_probs", "probs") if one in members), None)
        if probs_name is None:
            raise PredictionsError(
                f"{name} has no array `pred_probs`; it has: {', '.join(sorted(members)[:20])}.",
                "Save it with numpy.savez(file, pred_probs=…, task=…, classes=…).",
            )
        place = _key_place(list(members), columns, name)
        probs = _array(archive, members[probs_name], name, most_bytes, "fiub", 2)
        keys = _array(archive, members[list(members)[place]], name, most_bytes, "iuUS", 1)
        names = list(classes)
        if "classes" in members:
            given = _array(archive, members["classes"], name, most_bytes, "iuUSf", 1)
            names = [_text(one) for one in given.tolist()]
    if len(keys) != len(probs):
        raise PredictionsError(
            f"{name} names {len(keys):,} tasks and has probabilities of {len(probs):,}.",
            "Give one row of probabilities per task.",
        )
    if probs.shape[1] != len(names):
        raise PredictionsError(
            f"{name} has {probs.shape[1]:,} columns of probabilities and {len(names):,} classes.",
            "Say in an array `classes` which class each column is.",
        )
    _check_classes(names, name)
    told = [_text(one)[:_LONGEST_KEY] for one in keys.tolist()]
    return Claims.of(told, [f"row {row}" for row in range(1, len(told) + 1)], names, probs)


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


@contextmanager
def _opened(path: Path, name: str) -> Iterator[zipfile.ZipFile]:
    """Open an NPZ file; whatever is wrong inside becomes an error of ours."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, OSError, NotImplementedError,
            RuntimeError) as error:  # fmt: skip
        raise PredictionsError(
            f"{name} is no NPZ file that can be read: {error}.",
            "Save it with numpy.savez or numpy.savez_compressed.",
        ) from None


def _array(
    archive: zipfile.ZipFile,
    member: zipfile.ZipInfo,
    name: str,
    most_bytes: int,
    kinds: str,
    dimensions: int,
) -> NDArray[Any]:
    """Read one array; its size is known before anything of it is unpacked."""
    with archive.open(member) as file:
        shape, is_fortran, dtype = _header(file)
        number = int(np.prod([int(one) for one in shape], dtype=object))
        if dtype.kind not in kinds or len(shape) != dimensions:
            raise PredictionsError(
                f"{name} holds in {member.filename} an array of {dtype} with {len(shape)} "
                f"dimensions, where numbers or texts with {dimensions} were expected.",
                "Arrays of objects are not read: save texts with dtype=str.",
            )
        if number * max(dtype.itemsize, 8) > most_bytes:
            raise PredictionsError(
                f"{name} would unpack to {number * dtype.itemsize / 1e6:,.0f} MB in "
                f"{member.filename}; at most {most_bytes / 1e6:,.0f} are allowed.",
                "Divide it, or raise CROWDLAB_MAX_UPLOAD_MB.",
            )
        raw = file.read(number * dtype.itemsize)
    if len(raw) != number * dtype.itemsize:
        raise ValueError(f"{member.filename} ends early")
    values = np.frombuffer(raw, dtype=dtype)
    return values.reshape(shape, order="F" if is_fortran else "C")


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    numpy_format: Any = npy  # its functions carry no types
    version = numpy_format.read_magic(file)
    read = {
        (1, 0): numpy_format.read_array_header_1_0,
        (2, 0): numpy_format.read_array_header_2_0,
    }.get(version)
    if read is None:
        raise ValueError(f"arrays of version {version} are not known")
    shape, is_fortran, dtype = read(file)
    return shape, is_fortran, dtype
