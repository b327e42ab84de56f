"""One export: what, in which format, and into which file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from tempfile import NamedTemporaryFile

from backend.errors import BadRequestError, ExportFileError
from backend.exports.data_sets import open_data_set
from backend.exports.formats import CONTENT_TYPES, encode
from backend.exports.label_studio import encode_tasks
from backend.exports.names import ConsensusAs, DataSetName, ExportFormat
from backend.exports.report import render_report
from backend.service import Service


@dataclass(frozen=True)
class Export:
    """A data set on its way."""

    file_name: str
    content_type: str
    chunks: Iterator[bytes]
    """The bytes, in parts, made as they are taken."""


def open_export(
    service: Service,
    project_id: int,
    name: DataSetName,
    export_format: ExportFormat,
    consensus_as: ConsensusAs = ConsensusAs.PREDICTION,
) -> Export:
    """Make ready an export.

    The first part is made at once, so that whatever stands against the export is said before
    anything is sent.

    Parameters
    ----------
    consensus_as
        For Label Studio: whether the consensus is exported as predictions or annotations.

    Raises
    ------
    BadRequestError
        The data set does not come in this format.
    UnknownProjectError, NothingToComputeError
        There is nothing to export.
    SettingsError, LabelStudioError
        Label Studio, which has the tasks' data, cannot be asked.
    """
    _check_format(name, export_format)
    stem = f"crowdlab-{project_id}-{name}"
    if name is DataSetName.REPORT:
        page = render_report(service, project_id).encode()
        return Export(f"{stem}.html", "text/html; charset=utf-8", iter((page,)))
    # The project is looked up, and whether it has results, for every format.
    data_set = open_data_set(service, project_id, name)
    if export_format is not ExportFormat.LABEL_STUDIO:
        return Export(
            f"{stem}.{export_format}",
            CONTENT_TYPES[export_format],
            _begun(encode(data_set, export_format)),
        )
    chunks = _begun(encode_tasks(service, project_id, consensus_as))
    return Export(f"{stem}.label-studio.json", "application/json", chunks)


def _check_format(name: DataSetName, export_format: ExportFormat) -> None:
    if name is DataSetName.REPORT:
        formats = [ExportFormat.HTML]
    else:
        formats = list(CONTENT_TYPES)
        if name is DataSetName.CONSENSUS:
            formats.append(ExportFormat.LABEL_STUDIO)
    if export_format not in formats:
        raise BadRequestError(
            f"The data set {name.value!r} does not come in the format {export_format.value!r}.",
            f"Choose the format {' or '.join(one.value for one in formats)}.",
        )


def write_export(chunks: Iterable[bytes], file: Path) -> int:
    """Write an export into a file, which appears when it is complete.

    Returns
    -------
    int
        Bytes of the file.

    Raises
    ------
    ExportFileError
        The file cannot be written.
    """
    try:
        with NamedTemporaryFile(dir=file.parent, prefix=f".{file.name}.", delete=False) as draft:
            path = Path(draft.name)
            try:
                for chunk in chunks:
                    draft.write(chunk)
                draft.flush()
                os.fsync(draft.fileno())
                path.chmod(0o644)
                path.replace(file)
            except BaseException:
                path.unlink(missing_ok=True)
                raise
            return draft.tell()
    except OSError as error:
        raise ExportFileError(
            f"The file {file} cannot be written: {error.strerror or error}.",
            "Name a file in a folder that you may write to, with room for it.",
        ) from None


def _begun(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same parts, the first of them made already."""
    first = next(chunks, b"")
    return chain((first,), chunks)
