"""Exports as a whole, and their files."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.errors import (
    BadRequestError,
    ExportFileError,
    LabelStudioUnreachableError,
    UnknownProjectError,
)
from backend.exports.export import open_export, write_export
from backend.exports.formats import CONTENT_TYPES
from backend.exports.names import DataSetName, ExportFormat
from backend.service import Service
from tests.backend.insights.conftest import NUM_TASKS

TABLES = (DataSetName.CONSENSUS, DataSetName.LABELS, DataSetName.LEADERBOARD)


@pytest.mark.parametrize("name", TABLES)
def test_every_table_comes_in_every_format_for_tables(service: Service, name: DataSetName) -> None:
    for export_format in CONTENT_TYPES:
        export = open_export(service, 25, name, export_format)
        assert export.file_name == f"crowdlab-25-{name}.{export_format}"
        assert b"".join(export.chunks)


def test_a_file_appears_when_it_is_complete(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "consensus.jsonl"
    file.write_text("older")
    export = open_export(service, 25, DataSetName.CONSENSUS, ExportFormat.JSONL)

    def watched() -> Iterator[bytes]:
        for chunk in export.chunks:
            yield chunk
            assert file.read_text() == "older"

    size = write_export(watched(), file)
    assert size == file.stat().st_size
    assert len([json.loads(one) for one in file.read_text().splitlines()]) == NUM_TASKS
    assert list(tmp_path.iterdir()) == [file]


def test_of_a_failed_export_nothing_is_left(tmp_path: Path) -> None:
    def failing() -> Iterator[bytes]:
        yield b"half of it"
        raise LabelStudioUnreachableError("gone")

    with pytest.raises(LabelStudioUnreachableError):
        write_export(failing(), tmp_path / "tasks.json")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExportFileError, match=r"nowhere/tasks.csv cannot be written: No such"):
        write_export([b"x"], tmp_path / "nowhere" / "tasks.csv")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ExportFileError, match="folder cannot be written"):
        write_export([b"x"], tmp_path / "folder")
    assert [one.name for one in tmp_path.iterdir()] == ["folder"]


def test_what_stands_against_it_is_said_at_once(service: Service) -> None:
    with pytest.raises(UnknownProjectError):
        open_export(service, 26, DataSetName.LABELS, ExportFormat.CSV)


@pytest.mark.parametrize(
    ("name", "export_format", "formats"),
    [
        ("labels", "label-studio", "csv or json or jsonl or parquet"),
        ("leaderboard", "label-studio", "csv or json or jsonl or parquet"),
        ("consensus", "html", "csv or json or jsonl or parquet or label-studio"),
        ("report", "csv", "html"),
        ("report", "label-studio", "html"),
    ],
)
def test_formats_that_cannot_be_are_named(
    service: Service, name: str, export_format: str, formats: str
) -> None:
    with pytest.raises(BadRequestError) as caught:
        open_export(service, 25, DataSetName(name), ExportFormat(export_format))
    said = f"The data set '{name}' does not come in the format '{export_format}'."
    assert str(caught.value) == f"{said} Choose the format {formats}."


def test_the_report_is_a_page(service: Service) -> None:
    export = open_export(service, 25, DataSetName.REPORT, ExportFormat.HTML)
    assert export.file_name == "crowdlab-25-report.html"
    assert export.content_type == "text/html; charset=utf-8"
    assert b"".join(export.chunks).startswith(b"<!doctype html>")


def test_label_studio_is_asked_before_anything_is_sent(service: Service) -> None:
    service.settings.label_studio_api_key = type(service.settings.api_token)("0" * 40)
    service.settings.label_studio_url = "http://127.0.0.1:1"
    with pytest.raises(LabelStudioUnreachableError):
        open_export(service, 25, DataSetName.CONSENSUS, ExportFormat.LABEL_STUDIO)
