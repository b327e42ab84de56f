"""What is written, read again by other programs' readers."""

import csv
import io
import json
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from pyarrow import parquet

from backend.exports.data_sets import DataSet
from backend.exports.formats import CONTENT_TYPES, encode
from backend.exports.names import ExportFormat

SCHEMA = pa.schema([("task", pa.int64()), ("=label", pa.string()), ("quality", pa.float64())])
ROWS = [
    [1, "cat", 0.1 + 0.2],
    [2, "=cmd|' /C calc'!A0", 1.0],
    [3, "+1", 2 / 3],
    [4, "-1", None],
    [5, "@SUM(A1)", 1e-9],
    [6, "\t=1", 0.0],
    [7, 'a "quoted", <script>\nline', 0.5],
    [8, None, 0.25],
    [9, "ends with =", -0.5],
]


def table(rows: list[list[object]]) -> pa.Table:
    return pa.Table.from_pylist(
        [dict(zip(SCHEMA.names, row, strict=True)) for row in rows], schema=SCHEMA
    )


@pytest.fixture
def data_set() -> DataSet:
    return DataSet(SCHEMA, lambda: iter([table(ROWS[:4]), table([]), table(ROWS[4:])]))


@pytest.fixture
def empty() -> DataSet:
    return DataSet(SCHEMA, lambda: iter(()))


def written(data_set: DataSet, name: str) -> bytes:
    return b"".join(encode(data_set, ExportFormat(name)))


def test_csv_holds_no_formulas_and_every_digit(data_set: DataSet, empty: DataSet) -> None:
    header, *rows = csv.reader(io.StringIO(written(data_set, "csv").decode(), newline=""))
    assert header == ["task", "'=label", "quality"]
    assert [row[1] for row in rows] == [
        "cat",
        "'=cmd|' /C calc'!A0",
        "'+1",
        "'-1",
        "'@SUM(A1)",
        "'\t=1",
        'a "quoted", <script>\nline',
        "",
        "ends with =",
    ]
    assert [float(row[2]) if row[2] else None for row in rows] == [row[2] for row in ROWS]
    assert written(empty, "csv").decode().strip().replace('"', "") == "task,'=label,quality"


@pytest.mark.parametrize("name", ["json", "jsonl"])
def test_json_holds_what_the_table_does(data_set: DataSet, empty: DataSet, name: str) -> None:
    text = written(data_set, name).decode()
    found = json.loads(text) if name == "json" else [json.loads(one) for one in text.splitlines()]
    assert [list(one.values()) for one in found] == ROWS
    assert list(found[0]) == SCHEMA.names
    assert written(empty, name) == (b"[]" if name == "json" else b"")


def test_parquet_holds_what_the_table_does(data_set: DataSet, empty: DataSet) -> None:
    found = parquet.read_table(io.BytesIO(written(data_set, "parquet")))
    assert found.schema.equals(SCHEMA)
    assert [list(one.values()) for one in found.to_pylist()] == ROWS
    assert parquet.read_table(io.BytesIO(written(empty, "parquet"))).num_rows == 0


@pytest.mark.parametrize("name", CONTENT_TYPES)
def test_parts_are_handed_on_as_they_come(name: ExportFormat) -> None:
    taken = []

    def parts() -> object:
        for number in range(3):
            taken.append(number)
            yield table(ROWS)

    chunks = encode(DataSet(SCHEMA, parts), name)  # type: ignore[arg-type]
    first = next(chunks) or next(chunks)
    assert first
    assert len(taken) <= 1


@pytest.mark.parametrize("name", ["json", "jsonl"])
def test_moments_are_iso_8601_and_long_parts_are_divided(name: str) -> None:
    moment = datetime(2026, 11, 25, 4, 5, 6, 789_000, tzinfo=UTC)
    schema = pa.schema([("n", pa.int64()), ("at", pa.timestamp("us", tz="UTC"))])
    long = pa.table({"n": range(20_000), "at": [moment, None] * 10_000}, schema=schema)
    chunks = list(encode(DataSet(schema, lambda: iter([long, long])), ExportFormat(name)))
    assert len(chunks) >= 6
    text = b"".join(chunks).decode()
    found = json.loads(text) if name == "json" else [json.loads(one) for one in text.splitlines()]
    assert [one["n"] for one in found] == [*range(20_000), *range(20_000)]
    assert datetime.fromisoformat(found[0]["at"]) == moment
    assert found[1]["at"] is None
