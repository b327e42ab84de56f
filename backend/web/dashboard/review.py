"""Tasks that deserve a second look."""

from __future__ import annotations

import json
from typing import Any

import dash_ag_grid as dag
import dash_mantine_components as dmc
from dash import ClientsideFunction, Dash, Input, Output, State, html, no_update

from backend.errors import CrowdlabError
from backend.insights.lookup import known_project, question_number
from backend.insights.tasks import TaskQuery, TaskRow, TaskSort, task_page
from backend.service import Service
from backend.web.dashboard import requests, words
from backend.web.dashboard import task as task_page_module
from backend.web.dashboard.grid import GRID_OPTIONS, column
from backend.web.dashboard.parts import (
    Component,
    card,
    failure,
    number,
    question_choice,
)
from backend.web.dashboard.place import Page, Place, place_of

_ROWS_AT_ONCE = 100

_SORTS = {
    "quality": TaskSort.QUALITY,
    "active_learning_score": TaskSort.ACTIVE_LEARNING,
    "agreement": TaskSort.AGREEMENT,
    "num_annotations": TaskSort.NUM_ANNOTATIONS,
    "task": TaskSort.TASK,
}


def show(service: Service, place: Place) -> Component:
    """The tasks of a question, the most doubtful first."""
    info = known_project(service, place.project)
    at = question_number(info, place.question)
    question = info.questions[at]
    low, high = place.quality or (0.0, 1.0)
    return dmc.Stack(
        [
            dmc.Group(
                [
                    dmc.Title("Review", order=1, size="h2"),
                    question_choice(info, question.name, place.page),
                ],
                justify="space-between",
                mt="sm",
            ),
            dmc.Grid(
                [
                    dmc.GridCol(
                        card(
                            "Tasks",
                            dmc.Group(
                                [
                                    dmc.Select(
                                        id="review-class",
                                        label="Consensus",
                                        data=list(question.classes),
                                        value=place.consensus,
                                        placeholder="any class",
                                        clearable=True,
                                        searchable=True,
                                        w=170,
                                    ),
                                    html.Div(
                                        [
                                            dmc.Text("Consensus quality", size="sm", fw=500),
                                            dmc.RangeSlider(
                                                id="review-quality",
                                                value=[low, high],
                                                min=0,
                                                max=1,
                                                step=0.05,
                                                minRange=0,
                                                precision=2,
                                                w=190,
                                                marks=[{"value": 0.5, "label": "0.5"}],
                                                thumbFromLabel="Lowest quality",
                                                thumbToLabel="Highest quality",
                                                mt=8,
                                                mb="sm",
                                            ),
                                        ]
                                    ),
                                    dmc.NumberInput(
                                        id="review-labels",
                                        label="At least labels",
                                        value=1,
                                        min=1,
                                        max=99,
                                        w=120,
                                    ),
                                    dmc.TextInput(
                                        id="review-task",
                                        label="Task",
                                        placeholder="number",
                                        w=110,
                                    ),
                                    dmc.Switch(
                                        id="review-disputed",
                                        label="only disputed",
                                        checked=False,
                                        mt=26,
                                    ),
                                ],
                                align="start",
                                gap="md",
                                mt="sm",
                            ),
                            requests.actions(),
                            html.Div(id="review-count", role="status", className="count"),
                            dag.AgGrid(
                                id="review",
                                columnDefs=_COLUMNS,
                                rowModelType="infinite",
                                defaultColDef={"resizable": True},
                                columnSize="responsiveSizeToFit",
                                getRowId="params.data.task",
                                dashGridOptions={
                                    **GRID_OPTIONS,
                                    "cacheBlockSize": _ROWS_AT_ONCE,
                                    "infiniteInitialRowCount": 1,
                                    "maxBlocksInCache": 20,
                                    "rowSelection": {
                                        "mode": "multiRow",
                                        "enableClickSelection": False,
                                        "headerCheckbox": False,
                                    },
                                },
                                className="grid tall",
                            ),
                        ),
                        span={"base": 12, "lg": 8},
                    ),
                    dmc.GridCol(
                        html.Div(
                            card(
                                "Preview",
                                dmc.Text(
                                    "Choose a task to see it, and who said what.",
                                    c="dimmed",
                                    mt="sm",
                                ),
                            ),
                            id="review-preview",
                        ),
                        span={"base": 12, "lg": 4},
                    ),
                ],
                gutter="md",
            ),
            html.Div(requests.open_requests(service, place), id="review-requests"),
            requests.dialog(),
        ],
        gap="md",
    )


def register(app: Dash, service: Service) -> None:
    """Give the grid its rows, and show the chosen task."""

    @app.callback(
        Output("review", "filterModel"),
        Input("review-class", "value"),
        Input("review-quality", "value"),
        Input("review-labels", "value"),
        Input("review-task", "value"),
        Input("review-disputed", "checked"),
    )
    def filter_rows(*values: Any) -> dict[str, Any]:
        # The grid asks for its rows anew, from the first one, when its filter changes.
        return {"filters": {"filterType": "text", "type": "equals", "filter": json.dumps(values)}}

    @app.callback(
        Output("review", "getRowsResponse"),
        Output("review-count", "children"),
        Input("review", "getRowsRequest"),
        State("address", "pathname"),
        State("address", "search"),
    )
    def give_rows(wanted: dict[str, Any] | None, path: str, search: str) -> Any:
        place = place_of(path, search or "")
        if place is None or place.page is not Page.REVIEW or wanted is None:
            return no_update, no_update
        filters = wanted.get("filterModel", {}).get("filters")
        if filters is None:
            return {"rowData": [], "rowCount": 0}, no_update
        consensus, quality, labels, text, disputed = json.loads(filters["filter"])
        sorts = wanted.get("sortModel") or [{"colId": "quality", "sort": "asc"}]
        query = TaskQuery(
            question=place.question,
            sort=_SORTS.get(sorts[0]["colId"], TaskSort.QUALITY),
            is_descending=sorts[0]["sort"] == "desc",
            consensus=consensus or None,
            min_quality=quality[0],
            max_quality=quality[1],
            is_disputed=disputed,
            min_annotations=int(labels or 1),
            text=(text or "").strip(),
            offset=int(wanted["startRow"]),
            limit=int(wanted["endRow"]) - int(wanted["startRow"]),
        )
        try:
            found = task_page(service, place.project, query)
        except CrowdlabError as error:
            return {"rowData": [], "rowCount": 0}, failure(error.message, error.hint)
        rows = [_row(one, place) for one in found.rows]
        count = f"{number(found.num_matching)} of {number(found.num_tasks)} tasks"
        return {"rowData": rows, "rowCount": found.num_matching}, count

    app.clientside_callback(
        ClientsideFunction("crowdlab", "refreshRows"),
        Output("review", "id"),
        Input("stamp", "data"),
        prevent_initial_call=True,
    )

    @app.callback(
        Output("review-requests", "children"),
        Input("stamp", "data"),
        State("address", "pathname"),
        State("address", "search"),
        prevent_initial_call=True,
    )
    def refresh_requests(_: str, path: str, search: str) -> Any:
        place = place_of(path, search or "")
        if place is None or place.page is not Page.REVIEW:
            return no_update
        return requests.open_requests(service, place)

    @app.callback(
        Output("review-preview", "children"),
        Input("review", "cellClicked"),
        State("address", "pathname"),
        State("address", "search"),
        prevent_initial_call=True,
    )
    def preview(clicked: dict[str, Any] | None, path: str, search: str) -> Any:
        place = place_of(path, search or "")
        if place is None or not clicked or not clicked.get("rowId"):
            return no_update
        chosen = Place(
            Page.TASK, place.project, task=int(clicked["rowId"]), question=place.question
        )
        try:
            return task_page_module.short(service, chosen)
        except CrowdlabError as error:
            return failure(error.message, error.hint)


def _row(one: TaskRow, place: Place) -> dict[str, Any]:
    where = Place(Page.TASK, place.project, task=one.task, question=place.question)
    return {
        "task": str(one.task),
        "address": where.address,
        "consensus": one.consensus,
        "quality": one.quality,
        "agreement": one.agreement,
        "num_annotations": one.num_annotations,
        "active_learning_score": one.active_learning_score,
    }


_COLUMNS = [
    column("task", "Task", renderer="LinkCell", min_width=100),
    column("consensus", "Consensus", min_width=120, sortable=False),
    {**column("quality", "Quality", renderer="QualityCell", min_width=150), "sort": "asc"},
    column("active_learning_score", "ActiveLab", score=True),
    column("agreement", "Agreement", share=True),
    column("num_annotations", "Labels", count=True),
    {"field": "filters", "hide": True, "filter": "agTextColumnFilter"},
]
_HELP = {
    "quality": words.QUALITY.partition(" Select")[0],
    "active_learning_score": words.ACTIVE_LEARNING,
    "agreement": words.AGREEMENT,
}
for _one in _COLUMNS:
    _one["headerTooltip"] = _HELP.get(_one["field"], "")
    _one["sortingOrder"] = ["asc", "desc"]
