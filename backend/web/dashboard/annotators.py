"""The leaderboard."""

from __future__ import annotations

import time
from typing import Any

import dash_ag_grid as dag
import dash_mantine_components as dmc
from dash import Dash, Input, Output, State, no_update

from backend.errors import CrowdlabError, NothingToComputeError
from backend.insights.annotators import AnnotatorInsight, leaderboard
from backend.insights.lookup import known_project, question_number
from backend.service import Service
from backend.web.dashboard import words
from backend.web.dashboard.grid import GRID_OPTIONS, column
from backend.web.dashboard.parts import Component, ago, aria, card, question_choice, seconds
from backend.web.dashboard.place import Page, Place, place_of

_TREND_WEEKS = 26
_FEW = 20


def show(service: Service, place: Place) -> Component:
    """Everybody who has answered a question, best first.

    Raises
    ------
    NothingToComputeError
        Nobody has.
    """
    info = known_project(service, place.project)
    number = question_number(info, place.question)
    question = info.questions[number].name
    rows = rows_of(service, place)
    if not rows:
        raise NothingToComputeError(f"Nobody has answered {question!r} yet.")
    return dmc.Stack(
        [
            dmc.Group(
                [
                    dmc.Title("Annotators", order=1, size="h2"),
                    dmc.Group(
                        [
                            question_choice(info, question, place.page),
                            dmc.TextInput(
                                id="annotator-search",
                                placeholder="Find a person",
                                w=180,
                                **aria(label="Find a person"),
                            ),
                            _download("CSV", place, question, "csv"),
                            _download("JSON", place, question, "json"),
                        ],
                        gap="xs",
                    ),
                ],
                justify="space-between",
                mt="sm",
            ),
            card(
                "Leaderboard",
                dag.AgGrid(
                    id="leaderboard",
                    columnDefs=_COLUMNS,
                    rowData=rows,
                    defaultColDef={"sortable": True, "resizable": True},
                    columnSize="responsiveSizeToFit",
                    getRowId="params.data.annotator",
                    dashGridOptions=_options(len(rows)),
                    className="grid" if len(rows) <= _FEW else "grid tall",
                ),
                note=(
                    "A name leads to the person. People with too few labels on tasks that others "
                    "labelled too come last, and are not judged."
                ),
            ),
        ],
        gap="md",
    )


def register(app: Dash, service: Service) -> None:
    """Keep the leaderboard up to date where it is open."""

    @app.callback(
        Output("leaderboard", "rowData"),
        Input("stamp", "data"),
        State("address", "pathname"),
        State("address", "search"),
        prevent_initial_call=True,
    )
    def refresh(_: str, path: str, search: str) -> Any:
        place = place_of(path, search or "")
        if place is None or place.page is not Page.ANNOTATORS:
            return no_update
        try:
            return rows_of(service, place)
        except CrowdlabError:
            return no_update

    @app.callback(
        Output("leaderboard", "dashGridOptions"),
        Input("annotator-search", "value"),
        State("leaderboard", "dashGridOptions"),
        prevent_initial_call=True,
    )
    def find(text: str | None, options: dict[str, Any]) -> dict[str, Any]:
        return {**options, "quickFilterText": text or ""}


def _options(num_rows: int) -> dict[str, Any]:
    """Let few rows take the height they need, and many scroll."""
    return {**GRID_OPTIONS, "domLayout": "autoHeight" if num_rows <= _FEW else "normal"}


def _download(text: str, place: Place, question: str, kind: str) -> Component:
    address = f"/api/projects/{place.project}/exports/leaderboard.{kind}"
    return dmc.Anchor(
        dmc.Button(text, variant="default", size="sm"),
        href=address,
        refresh=True,
        underline="never",
        **aria(label=f"Download the leaderboard of all questions as {text}"),
    )


def rows_of(service: Service, place: Place) -> list[dict[str, Any]]:
    """Rows of the leaderboard; what too little data cannot tell is left empty."""
    info = known_project(service, place.project)
    number = question_number(info, place.question)
    now = time.time()
    found = leaderboard(
        service.store(place.project), number, show_names=service.settings.show_names
    )
    return [_row(one, place, now) for one in found]


def _row(one: AnnotatorInsight, place: Place, now: float) -> dict[str, Any]:
    where = Place(Page.ANNOTATOR, place.project, one.annotator, question=place.question)
    return {
        "annotator": str(one.annotator),
        "name": one.name,
        "address": where.address,
        "quality": one.quality if one.enough_data else None,
        "quality_low": one.quality_low,
        "quality_high": one.quality_high,
        "agreement_with_consensus": one.agreement_with_consensus if one.enough_data else None,
        "agreement_with_ground_truth": one.agreement_with_ground_truth,
        "worst_class": one.worst_class if one.enough_data else "",
        "num_labels": one.num_labels,
        "share": one.share,
        "num_skipped": one.num_skipped,
        "median_seconds": one.median_seconds,
        "p90_seconds": one.p90_seconds,
        "num_long": one.num_long,
        "last_active": one.last_active,
        "last_active_text": ago(one.last_active, now),
        "median_text": seconds(one.median_seconds),
        "p90_text": seconds(one.p90_seconds),
        "spam_score": one.spam_score,
        "spam_text": _spam_in_words(one),
        "trend": [week.agreement for week in one.weeks[-_TREND_WEEKS:]],
    }


def _spam_in_words(one: AnnotatorInsight) -> str:
    if one.spam_score is None:
        return "too little data"
    if one.spam_reason == "none":
        return f"{one.spam_score:.2f}"
    return f"{one.spam_score:.2f} {one.spam_reason}"


_COLUMNS = [
    column("name", "Name", renderer="LinkCell", min_width=200, pinned="left", filter="text"),
    column("quality", "Quality", renderer="QualityCell", min_width=150, filter="number"),
    column("agreement_with_consensus", "Agreement", share=True, min_width=128),
    column("agreement_with_ground_truth", "Truth", share=True),
    column("spam_score", "Spam", text="spam_text", min_width=130, filter="number"),
    column("worst_class", "Worst class", min_width=150, filter="text"),
    column("num_labels", "Labels", count=True, min_width=112, filter="number"),
    {
        **column("trend", "Trend", renderer="TrendCell", min_width=130, sortable=False),
        "cellDataType": False,
    },
    column("last_active", "Last active", text="last_active_text", min_width=128),
    column("median_seconds", "Median", text="median_text", count=True),
    column("p90_seconds", "p90", text="p90_text", count=True),
    column("num_long", "Long", count=True),
    column("share", "Share", share=True),
    column("num_skipped", "Skipped", count=True, min_width=104),
]
for _one in _COLUMNS:
    _one["headerTooltip"] = words.ANNOTATOR_COLUMNS.get(_one["field"], "")
