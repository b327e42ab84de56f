"""Saving and restoring what Label Studio does not know of the projects.

Labels, features and consensus follow from Label Studio by a full sync. What the service did
and was told does not: model versions with what they said, rollbacks, the audit trail, dead
letters, requests for one more label, the automatic review, consensus accepted as ground truth,
predictions that people uploaded or borrowed. It is saved as a ZIP archive: `state.json`, and one
member per table.
"""

from __future__ import annotations

import json
import time
import zipfile
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from backend import __version__
from backend.errors import StateFileError
from backend.service import Service
from backend.store.arrays import pack, unpack
from backend.store.changes import Changes
from backend.store.prediction_sources import PredictionSource
from backend.store.project import ModelVersion, ProjectStore, Publication
from backend.store.review import AutomaticReview
from backend.store.schema import SCHEMA_VERSION
from backend.store.tables import select

JSON = dict[str, Any]

_FORMAT = 1
_INDEX = "state.json"
_REQUESTS = "requests"


def write_state(service: Service, file: Path) -> dict[str, int]:
    """Write the state of all projects into a file, which appears when it is complete.

    Returns
    -------
    dict
        How many projects, versions, audit entries and dead letters were saved.

    Raises
    ------
    StateFileError
        The file cannot be written.
    """
    projects: list[JSON] = []
    draft = file.with_name(f".{file.name}.draft")
    try:
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as archive:
            for project_id in service.projects():
                store = service.store(project_id)
                projects.append(_plain_of(store))
                for version, packed in _tables_of(store):
                    archive.writestr(_member(project_id, version), packed)
                archive.writestr(_member(project_id, _REQUESTS), pack(store.requests.read()))
                for source in store.prediction_sources.all():
                    packed = pack(store.prediction_sources.table(source).read())
                    archive.writestr(_source_member(project_id, source), packed)
            index = {
                "format": _FORMAT,
                "schema": SCHEMA_VERSION,
                "written_by": __version__,
                "written_at": time.time(),
                "projects": projects,
            }
            archive.writestr(_INDEX, json.dumps(index))
        draft.replace(file)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise StateFileError(
            f"The file {file} cannot be written: {error.strerror or error}.",
            "Name a file in a folder that you may write to.",
        ) from None
    return _numbers_of(projects)


def read_state(service: Service, file: Path) -> dict[str, int]:
    """Bring back the state that `write_state` saved; a project at a time, all or nothing.

    What is there already is kept: restoring twice changes nothing.

    Returns
    -------
    dict
        How many projects, versions, audit entries and dead letters the file holds.

    Raises
    ------
    StateFileError
        The file cannot be read, or is none of ours, or of a newer release; nothing has
        changed then.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            index = _checked_index(archive, file)
            broken = archive.testzip()
            if broken is not None:
                raise StateFileError(f"{file} is damaged: {broken} does not match its checksum.")
            for plain in index["projects"]:
                _restore(service.store(int(plain["project"])), plain, archive)
    except OSError as error:
        raise StateFileError(
            f"The file {file} cannot be read: {error.strerror or error}."
        ) from None
    except (zipfile.BadZipFile, zlib.error, KeyError, TypeError, ValueError) as error:
        raise StateFileError(
            f"{file} is not a file that `crowdlab export-state` wrote: {error}.",
            "Name such a file.",
        ) from None
    return _numbers_of(index["projects"])


def _checked_index(archive: zipfile.ZipFile, file: Path) -> JSON:
    index: JSON = json.loads(archive.read(_INDEX))
    if int(index["format"]) > _FORMAT or int(index["schema"]) > SCHEMA_VERSION:
        raise StateFileError(
            f"{file} was written by the newer release {index['written_by']}.",
            "Update this service first.",
        )
    return index


def _plain_of(store: ProjectStore) -> JSON:
    publication, review = store.read_publication(), store.read_automatic_review()
    return {
        "project": store.project_id,
        "publication": asdict(publication) if publication else None,
        "versions": [asdict(one) for one in store.model_versions()],
        "kept_versions": store.kept_versions(),
        "audit": store.audit.to_plain(),
        "dead_letters": store.inbox.letters.to_plain(),
        "automatic_review": review.to_json() if review else None,
        "accepted": store.accepted(),
        "sources": [one.to_json() for one in store.prediction_sources.all()],
    }


def _source_member(project_id: int, source: PredictionSource) -> str:
    return f"projects/{project_id}/sources/{source.name}"


def _tables_of(store: ProjectStore) -> list[tuple[str, bytes]]:
    info = store.read_info()
    if info is None:
        return []
    return [
        (version, pack(store.said_by(version, len(info.questions)).read()))
        for version in store.kept_versions()
    ]


def _member(project_id: int, version: str) -> str:
    return f"projects/{project_id}/{version}"


def _restore(store: ProjectStore, plain: JSON, archive: zipfile.ZipFile) -> None:
    known = {one.name for one in store.model_versions()}
    kept = set(store.kept_versions())
    publication = plain["publication"]
    with store.lock(), store.transaction() as changes:
        for fields in plain["versions"]:
            version = ModelVersion(**fields)
            if version.name not in known:
                store.stage_model_version(changes, version)
        for name in plain["kept_versions"]:
            if name not in kept:
                rows = unpack(archive.read(_member(store.project_id, name)))
                table = store.said_by(name, rows["label"].shape[1])
                table.stage_all(changes, rows)
        if publication is not None and store.read_publication() is None:
            store.stage_publication(changes, Publication(**publication))
        _restore_review(store, changes, plain, archive)
        _restore_sources(store, changes, plain, archive)
        store.audit.stage_merged(changes, plain["audit"])
        store.inbox.letters.stage_merged(changes, plain["dead_letters"])


def _restore_review(
    store: ProjectStore, changes: Changes, plain: JSON, archive: zipfile.ZipFile
) -> None:
    """Bring back what concerns re-annotation; files of older releases hold nothing of it."""
    member = _member(store.project_id, _REQUESTS)
    if member in archive.namelist():
        rows = unpack(archive.read(member))
        rows = select(rows, ~np.isin(rows["task"], store.requests.read(rows["task"])["task"]))
        store.requests.stage_replacement(changes, rows["task"], rows)
    review = plain.get("automatic_review")
    if review is not None and store.read_automatic_review() is None:
        store.stage_automatic_review(changes, AutomaticReview.from_json(review))
    known = store.accepted()
    for task, annotation in plain.get("accepted", {}).items():
        if int(task) not in known:
            store.stage_accepted(changes, int(task), annotation)


def _restore_sources(
    store: ProjectStore, changes: Changes, plain: JSON, archive: zipfile.ZipFile
) -> None:
    """Bring back predictions; files of older releases hold none."""
    for stored in plain.get("sources", ()):
        source = PredictionSource.from_json(stored)
        if store.prediction_sources.read(source.name) is None:
            rows = unpack(archive.read(_source_member(store.project_id, source)))
            store.prediction_sources.stage(changes, source, rows)


def _numbers_of(projects: list[JSON]) -> dict[str, int]:
    return {
        "projects": len(projects),
        "versions": sum(len(one["versions"]) for one in projects),
        "audit_entries": sum(len(one["audit"]) for one in projects),
        "dead_letters": sum(len(one["dead_letters"]) for one in projects),
        "predictions": sum(len(one.get("sources", ())) for one in projects),
    }
