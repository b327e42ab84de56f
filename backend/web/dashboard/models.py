"""Predictions of other classifiers: what there is, what it counts, and more of it."""

from __future__ import annotations

import base64
import binascii
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dash_mantine_components as dmc
from dash import ALL, ClientsideFunction, Dash, Input, Output, State, ctx, dcc, html, no_update
from flask import request

from backend.errors import CrowdlabError, PredictionsError, PredictionsTooLargeError
from backend.insights.lookup import known_project
from backend.insights.sources import SourceRow, source_rows
from backend.service import Service
from backend.sources.brought import takes_predictions
from backend.sources.shelf import borrow, drop, upload
from backend.store.prediction_sources import PredictionSource, SourceKind
from backend.web.auth import user_name
from backend.web.dashboard import words
from backend.web.dashboard.parts import Component, card, moment, number, percent, table
from backend.web.dashboard.place import Page, Place, place_of


def show(service: Service, place: Place) -> Component:
    """The classifiers of a project, and what brings more."""
    info = known_project(service, place.project)
    questions = [one.name for one in info.questions if takes_predictions(one)]
    megabytes = service.settings.max_upload_mb
    return dmc.Stack(
        [
            dmc.Title("Model predictions", order=1, size="h2", mt="sm"),
            html.Div(_sources(service, place), id="models-sources"),
            html.Div(id="models-report", role="status"),
            card(
                "Upload predictions",
                dmc.Group(
                    [
                        dmc.Select(
                            id="models-question",
                            label="Question",
                            data=questions,
                            value=questions[0] if questions else None,
                            allowDeselect=False,
                            w=200,
                        ),
                        dmc.TextInput(
                            id="models-key",
                            label="Data key",
                            placeholder="task ids",
                            w=160,
                        ),
                        dmc.TextInput(
                            id="models-name", label="Name", placeholder="after the file", w=180
                        ),
                    ],
                    align="start",
                    gap="sm",
                    mt="sm",
                ),
                dcc.Loading(
                    dcc.Upload(
                        dmc.Button("Choose a file …"),
                        id="models-file",
                        accept=".csv,.parquet,.pq,.npz",
                        max_size=megabytes * 1024 * 1024,
                        style={"display": "inline-block", "marginTop": "12px"},
                    ),
                    delay_show=300,
                ),
                note=(
                    f"CSV, Parquet or NPZ, up to {megabytes} MB: one row per task, one column per "
                    "class. The column task holds Label Studio's task ids; or name a key of the "
                    "tasks' data that is a column, too."
                ),
            ),
            card(
                "Borrow from Label Studio",
                dmc.Group(
                    [
                        dmc.TextInput(id="models-version", label="Model version", w=260),
                        dmc.Button("Borrow", id="models-borrow", variant="default"),
                    ],
                    align="end",
                    gap="sm",
                    mt="sm",
                ),
                note=(
                    "Predictions that another model has put into this project become one more "
                    "voice: a class with a score, or all probabilities in the prediction's meta."
                ),
            ),
        ],
        gap="md",
    )


def register(app: Dash, service: Service) -> None:
    """Take predictions in, and out."""
    app.clientside_callback(
        ClientsideFunction("crowdlab", "nameUpload"),
        Output("models-sources", "id"),
        Input("models-sources", "children"),
        State("models-file", "id"),
    )

    @app.callback(
        Output("models-sources", "children"),
        Input("stamp", "data"),
        State("address", "pathname"),
        prevent_initial_call=True,
    )
    def refresh(_: str, path: str) -> Any:
        place = place_of(path)
        if place is None or place.page is not Page.MODELS:
            return no_update
        return _sources(service, place)

    @app.callback(
        Output("models-report", "children"),
        Output("models-sources", "children", allow_duplicate=True),
        Input("models-file", "contents"),
        State("models-file", "filename"),
        State("models-question", "value"),
        State("models-key", "value"),
        State("models-name", "value"),
        State("address", "pathname"),
        prevent_initial_call=True,
    )
    def take_in(contents: str | None, file_name: str | None, *rest: Any) -> Any:
        question, key, name, path = rest
        place = place_of(path)
        if not contents or place is None:
            return no_update, no_update
        try:
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "upload"
                file.write_bytes(_decoded(contents, service.settings.max_upload_bytes))
                source = upload(
                    service,
                    place.project,
                    file,
                    file_name=file_name or "",
                    question=question,
                    key=(key or "").strip(),
                    name=(name or "").strip(),
                    by=_who(service),
                )
        except CrowdlabError as error:
            return _refusal(error), no_update
        return _reports([source]), _sources(service, place)

    @app.callback(
        Output("models-report", "children", allow_duplicate=True),
        Output("models-sources", "children", allow_duplicate=True),
        Input("models-borrow", "n_clicks"),
        State("models-version", "value"),
        State("address", "pathname"),
        running=[(Output("models-borrow", "loading"), True, False)],
        prevent_initial_call=True,
    )
    def take_over(clicks: int | None, version: str | None, path: str) -> Any:
        place = place_of(path)
        if not clicks or place is None or not (version or "").strip():
            return no_update, no_update
        try:
            found = borrow(service, place.project, (version or "").strip(), by=_who(service))
        except CrowdlabError as error:
            return _refusal(error), no_update
        return _reports(found), _sources(service, place)

    @app.callback(
        Output("models-report", "children", allow_duplicate=True),
        Output("models-sources", "children", allow_duplicate=True),
        Input({"role": "drop-source", "name": ALL}, "n_clicks"),
        State("address", "pathname"),
        prevent_initial_call=True,
    )
    def forget(clicks: list[int | None], path: str) -> Any:
        place = place_of(path)
        if not any(clicks) or place is None or not isinstance(ctx.triggered_id, dict):
            return no_update, no_update
        name = str(ctx.triggered_id["name"])
        try:
            drop(service, place.project, name, by=_who(service))
        except CrowdlabError as error:
            return _refusal(error), _sources(service, place)
        text = "The consensus is computed without it in a moment."
        note = dmc.Alert(text, title=f"{name} is forgotten", color="green", variant="light")
        return note, _sources(service, place)


def _sources(service: Service, place: Place) -> Component:
    rows = [_row(one) for one in source_rows(service, place.project)]
    return card(
        "Classifiers",
        table(
            ["Source", "Question", "Covers", "Accuracy", "Log loss", "Weight", "Stored (UTC)", ""],
            rows,
            "Classifiers of the project's questions",
            min_width=860,
        ),
        help_text=words.MODEL_SOURCES,
    )


def _row(one: SourceRow) -> list[Component]:
    is_given = one.kind in {SourceKind.UPLOADED, SourceKind.BORROWED}
    about = " ".join(one.report.sentences) if one.report else one.origin
    return [
        html.Div(
            [
                dmc.Group([one.name, dmc.Badge(one.kind, variant="light")], gap="xs"),
                dmc.Text(about, size="xs", c="dimmed", maw=420),
            ]
        ),
        one.question,
        f"{percent(one.coverage)} ({number(one.num_tasks)})",
        percent(one.accuracy),
        "–" if one.log_loss is None else f"{one.log_loss:.3f}",
        one.weight_words,
        moment(one.changed_at),
        dmc.Button(
            "Drop",
            id={"role": "drop-source", "name": one.name},
            variant="subtle",
            size="compact-sm",
            **{"aria-label": f"Drop {one.name}"},
        )
        if is_given
        else None,
    ]


def _reports(sources: Sequence[PredictionSource]) -> Component:
    return dmc.Stack(
        [
            dmc.Alert(
                dmc.List([dmc.ListItem(sentence) for sentence in one.report.sentences]),
                title=f"{one.name} is stored, and counted in a moment",
                color="orange" if one.report.faults else "green",
                variant="light",
            )
            for one in sources
        ],
        gap="xs",
    )


def _refusal(error: CrowdlabError) -> Component:
    return dmc.Alert(str(error), title="Nothing was changed", color="red", variant="light")


def _decoded(contents: str, most: int) -> bytes:
    """Content of a file as the browser sends it: a data URI in base64."""
    _, _, encoded = contents.partition(",")
    if len(encoded) * 3 // 4 > most + 2:
        raise PredictionsTooLargeError(
            f"The file has more than {most / 1e6:,.0f} MB.", "Divide it."
        )
    try:
        return base64.b64decode(encoded, validate=True)
    except binascii.Error:
        raise PredictionsError("The file did not arrive whole.", "Send it again.") from None


def _who(service: Service) -> str:
    """Who acts, for the audit trail."""
    return user_name(request, service.settings) or "page"
