"""The endpoints of classifiers' predictions: list, upload, borrow, drop."""

from __future__ import annotations

import tempfile
from pathlib import Path

from flask import Response, request
from flask_openapi3 import APIBlueprint, RawModel, Tag

from backend.insights.sources import source_rows
from backend.service import Service
from backend.sources.shelf import borrow, drop, upload
from backend.web.api.answers import (
    Done,
    SourceList,
    TakenPredictions,
    answer,
    model_of,
)
from backend.web.api.parameters import BorrowBody, ProjectPath, SourcePath, UploadQuery
from backend.web.auth import user_name
from backend.web.bodies import save_body

_SOURCES = Tag(
    name="Model predictions", description="Predictions of other classifiers, and their weight."
)


class PredictionsFile(RawModel):
    """The file itself."""

    mimetypes = ["application/octet-stream"]  # noqa: RUF012 - as the base class has it


def add_source_routes(api: APIBlueprint, service: Service) -> None:
    """Add the endpoints to those of the API."""

    @api.get("/projects/<project>/sources", tags=[_SOURCES], responses={200: model_of(SourceList)})
    def list_sources(path: ProjectPath) -> Response:
        """List the classifiers of a project's questions, and how much each counts."""
        return answer(SourceList(path.project, source_rows(service, path.project)))

    @api.post(
        "/projects/<project>/uploads",
        tags=[_SOURCES],
        responses={202: model_of(TakenPredictions)},
    )
    def upload_predictions(path: ProjectPath, query: UploadQuery, raw: PredictionsFile) -> Response:
        """Upload a classifier's probabilities: CSV, Parquet or NPZ, as the body of the request."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "upload"
            save_body(request, file, service.settings.max_upload_bytes)
            source = upload(
                service,
                path.project,
                file,
                file_name=query.file,
                question=query.question,
                key=query.key,
                name=query.name,
                by=_person(service),
            )
        return answer(TakenPredictions(path.project, (source,)), 202)

    @api.post(
        "/projects/<project>/sources",
        tags=[_SOURCES],
        responses={202: model_of(TakenPredictions)},
    )
    def borrow_predictions(path: ProjectPath, body: BorrowBody) -> Response:
        """Use the predictions of another model version in Label Studio."""
        found = borrow(
            service,
            path.project,
            body.version,
            question=body.question,
            name=body.name,
            by=_person(service),
        )
        return answer(TakenPredictions(path.project, tuple(found)), 202)

    @api.delete(
        "/projects/<project>/sources/<source>", tags=[_SOURCES], responses={200: model_of(Done)}
    )
    def drop_source(path: SourcePath) -> Response:
        """Forget uploaded or borrowed predictions."""
        drop(service, path.project, path.source, by=_person(service))
        effect = f"{path.source} is forgotten, and the consensus computed without it."
        return answer(Done(path.project, effect))


def _person(service: Service) -> str:
    """Who asks, for the audit trail."""
    return user_name(request, service.settings) or "api"
