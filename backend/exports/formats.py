"""Tables as bytes in the formats that people ask for, a part at a time."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import orjson
import pyarrow as pa
from pyarrow import compute, csv, parquet

from backend.exports.data_sets import DataSet
from backend.exports.names import ExportFormat

CONTENT_TYPES = {
    ExportFormat.CSV: "text/csv; charset=utf-8",
    ExportFormat.JSON: "application/json",
    ExportFormat.JSONL: "application/x-ndjson",
    ExportFormat.PARQUET: "application/vnd.apache.parquet",
}
"""Of the formats for tables."""

_ROWS_AT_ONCE = 8192
"""Rows that stand in memory as Python objects."""

_ISO_8601 = "%Y-%m-%dT%H:%M:%SZ"
_FORMULA = r"^[=+\-@\t\r\n]"
"""How a text begins that a spreadsheet would run as a formula."""


def encode(data_set: DataSet, export_format: ExportFormat) -> Iterator[bytes]:
    """Write a data set, some tasks at a time.

    Numbers keep all their digits. In CSV, texts that a spreadsheet would take for a formula
    (they begin with one of `= + - @` or a control character) get an apostrophe before them.

    Parameters
    ----------
    export_format
        A format for tables, one of `CONTENT_TYPES`.
    """
    return _ENCODERS[export_format](data_set)


def _csv(data_set: DataSet) -> Iterator[bytes]:
    names = _harmless(pa.array(data_set.schema.names, type=pa.string())).to_pylist()
    yield _csv_of(data_set.schema.empty_table().rename_columns(names), has_header=True)
    for part in data_set.parts():
        columns = [
            _harmless(column) if pa.types.is_string(column.type) else column
            for column in part.columns
        ]
        yield _csv_of(pa.table(columns, names=names), has_header=False)


def _csv_of(table: pa.Table, *, has_header: bool) -> bytes:
    sink = io.BytesIO()
    csv.write_csv(table, sink, csv.WriteOptions(include_header=has_header, quoting_style="needed"))
    return sink.getvalue()


def _harmless(texts: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Texts that no spreadsheet takes for formulas."""
    is_formula = compute.match_substring_regex(texts, _FORMULA)
    return compute.if_else(is_formula, compute.binary_join_element_wise("'", texts, ""), texts)


def _json_lines(data_set: DataSet) -> Iterator[bytes]:
    for part in data_set.parts():
        for objects in _objects(part, orjson.OPT_APPEND_NEWLINE):
            yield b"".join(objects)


def _json(data_set: DataSet) -> Iterator[bytes]:
    separator = b"["
    for part in data_set.parts():
        for objects in _objects(part, 0):
            yield separator + b",\n".join(objects)
            separator = b",\n"
    yield b"[]" if separator == b"[" else b"]"


def _objects(table: pa.Table, option: int) -> Iterator[list[bytes]]:
    """Rows of a table as JSON objects, some at a time; moments in ISO 8601."""
    names = table.column_names
    for start in range(0, table.num_rows, _ROWS_AT_ONCE):
        some = table.slice(start, _ROWS_AT_ONCE)
        values = [
            (compute.strftime(one, _ISO_8601) if pa.types.is_timestamp(one.type) else one)
            for one in some.columns
        ]
        yield [
            orjson.dumps(dict(zip(names, row, strict=True)), option=option)
            for row in zip(*(one.to_pylist() for one in values), strict=True)
        ]


def _parquet(data_set: DataSet) -> Iterator[bytes]:
    sink = _Chunks()
    with parquet.ParquetWriter(sink, data_set.schema, compression="zstd") as writer:
        for part in data_set.parts():
            writer.write_table(part)
            yield sink.take()
    yield sink.take()


class _Chunks(io.RawIOBase):
    """A file of which what was written can be taken away at any time."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        chunk = bytes(data)  # type: ignore[call-overload]
        self._chunks.append(chunk)
        self._position += len(chunk)
        return len(chunk)

    def tell(self) -> int:
        return self._position

    def take(self) -> bytes:
        """What was written since the last time."""
        taken = b"".join(self._chunks)
        self._chunks.clear()
        return taken


_ENCODERS: dict[ExportFormat, Callable[[DataSet], Iterator[bytes]]] = {
    ExportFormat.CSV: _csv,
    ExportFormat.JSON: _json,
    ExportFormat.JSONL: _json_lines,
    ExportFormat.PARQUET: _parquet,
}
