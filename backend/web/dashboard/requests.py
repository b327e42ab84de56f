"""Asking for one more label, from the pages: what would be asked, asking, and taking it back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dash_mantine_components as dmc
from dash import Dash, Input, Output, State, ctx, dcc, html, no_update
from flask import request

from backend.errors import CrowdlabError
from backend.jobs.ground_truth import accept_consensus
from backend.jobs.reannotate import apply_plan, requests_of, withdraw_requests
from backend.jobs.review_plan import ReviewPlan, plan_review
from backend.service import Service
from backend.store.review import ReviewPolicy
from backend.web.auth import user_name
from backend.web.dashboard import words
from backend.web.dashboard.parts import (
    Component,
    card,
    failure,
    link,
    moment,
    number,
    table,
)
from backend.web.dashboard.place import Page, Place, place_of

MOST_AT_ONCE = 200
"""Tasks that a page asks of Label Studio at once, each for about 70 ms."""

_SHOWN_REQUESTS = 20


def actions() -> Component:
    """Buttons for what can be done with tasks."""
    return dmc.Group(
        [
            dmc.Button("Ask for one more label", id="ask", disabled=True),
            dmc.Button("Accept as ground truth", id="accept", variant="default", disabled=True),
            dmc.Button("Suggest tasks …", id="suggest", variant="default"),
        ],
        gap="xs",
        mt="sm",
    )


def dialog() -> Component:
    """Return the dialog that shows what would be asked, before anything is."""
    return dmc.Modal(
        [
            dcc.Store(id="plan-tasks", data=[]),
            dmc.Text(words.REANNOTATION, size="sm", c="dimmed"),
            dmc.Group(
                [
                    dmc.NumberInput(
                        id="plan-budget",
                        label="At most tasks",
                        value=20,
                        min=1,
                        max=MOST_AT_ONCE,
                        w=120,
                    ),
                    dmc.NumberInput(
                        id="plan-threshold",
                        label="ActiveLab below",
                        placeholder="any",
                        min=0,
                        max=1,
                        step=0.05,
                        decimalScale=3,
                        w=140,
                    ),
                    dmc.NumberInput(
                        id="plan-extra", label="Most extra labels", value=2, min=1, max=20, w=140
                    ),
                    dmc.NumberInput(
                        id="plan-hours", label="Hours of rest", value=0, min=0, max=9999, w=120
                    ),
                    dmc.Switch(id="plan-labeled", label="only labelled tasks", checked=True, mt=26),
                    dmc.Switch(id="plan-blind", label="blind", checked=True, mt=26),
                ],
                align="start",
                gap="sm",
                mt="sm",
            ),
            dcc.Loading(html.Div(id="plan-content", className="plan"), delay_show=300),
            dmc.Group(
                [
                    dmc.Button("Cancel", id="plan-cancel", variant="default"),
                    dmc.Button("Ask now", id="plan-apply", disabled=True),
                ],
                justify="flex-end",
                mt="md",
            ),
        ],
        id="plan",
        title="Ask for one more label",
        size="xl",
        closeButtonProps={"aria-label": "Close"},
    )


def open_requests(service: Service, place: Place) -> Component:
    """List requests that wait for a label; nothing if there are none."""
    found = requests_of(service.store(place.project))
    if not found:
        return None
    rows = [
        [
            link(
                f"Task {one['task']}",
                Place(Page.TASK, place.project, task=one["task"], question=place.question),
            ),
            moment(one["requested_at"]),
            f"{one['old_overlap']} → {one['new_overlap']}",
            f"{one['score']:.3f}",
            str(one["state"]),
        ]
        for one in found[:_SHOWN_REQUESTS]
    ]
    hidden = len(found) - len(rows)
    return card(
        f"{number(len(found))} tasks wait for one more label",
        table(
            ["Task", "Asked (UTC)", "Labels wanted", "ActiveLab then", "State"],
            rows,
            "Requests that nobody has answered yet",
        ),
        dmc.Button("Take these requests back", id="undo", variant="default", mt="sm"),
        note=f"The newest; {hidden} more are not shown." if hidden else "",
    )


def register(app: Dash, service: Service) -> None:
    """Plan, ask, take back, accept."""

    @app.callback(
        Output("ask", "disabled"),
        Output("ask", "children"),
        Output("accept", "disabled"),
        Input("review", "selectedRows"),
        prevent_initial_call=True,
    )
    def count(selected: list[dict[str, Any]] | None) -> tuple[bool, str, bool]:
        chosen = len(selected or [])
        text = f"Ask for one more label ({chosen})" if chosen else "Ask for one more label"
        return not chosen, text, not chosen

    @app.callback(
        Output("plan", "opened"),
        Output("plan-tasks", "data"),
        Input("ask", "n_clicks"),
        Input("suggest", "n_clicks"),
        Input("plan-cancel", "n_clicks"),
        State("review", "selectedRows"),
        prevent_initial_call=True,
    )
    def open_or_close(_: Any, __: Any, ___: Any, selected: list[dict[str, Any]] | None) -> Any:
        if ctx.triggered_id == "plan-cancel":
            return False, no_update
        rows = (selected or []) if ctx.triggered_id == "ask" else []
        return True, [int(row["task"]) for row in rows[:MOST_AT_ONCE]]

    @app.callback(
        Output("plan-content", "children"),
        Output("plan-apply", "disabled"),
        Output("plan-apply", "children"),
        Input("plan", "opened"),
        Input("plan-tasks", "data"),
        Input("plan-budget", "value"),
        Input("plan-threshold", "value"),
        Input("plan-extra", "value"),
        Input("plan-hours", "value"),
        Input("plan-labeled", "checked"),
        State("address", "pathname"),
        prevent_initial_call=True,
    )
    def show_plan(opened: bool, tasks: list[int], *rest: Any) -> Any:
        *values, path = rest
        place = place_of(path)
        if not opened or place is None:
            return no_update, no_update, no_update
        try:
            plan = plan_review(service, place.project, _policy(tasks, *values, blind=True))
        except CrowdlabError as error:
            return failure(error.message, error.hint), True, "Ask now"
        asked = len(plan.to_ask)
        return _plan_table(plan, place), not asked, f"Ask for {asked} labels"

    @app.callback(
        Output("notes", "sendNotifications", allow_duplicate=True),
        Output("plan", "opened", allow_duplicate=True),
        Output("review-requests", "children", allow_duplicate=True),
        Input("plan-apply", "n_clicks"),
        State("plan-tasks", "data"),
        State("plan-budget", "value"),
        State("plan-threshold", "value"),
        State("plan-extra", "value"),
        State("plan-hours", "value"),
        State("plan-labeled", "checked"),
        State("plan-blind", "checked"),
        State("address", "pathname"),
        running=[(Output("plan-apply", "loading"), True, False)],
        prevent_initial_call=True,
    )
    def ask(clicks: int | None, tasks: list[int], *rest: Any) -> Any:
        *values, blind, path = rest
        place = place_of(path)
        if not clicks or place is None:
            return no_update, no_update, no_update
        try:
            policy = _policy(tasks, *values, blind=blind)
            plan = plan_review(service, place.project, policy)
            report = apply_plan(service, plan, by=_who(service), why="asked for on the review page")
        except CrowdlabError as error:
            return _note("red", "Nothing more was asked", str(error)), no_update, no_update
        text = f"{report.opened} tasks are open for one more label."
        return (
            _note("green", "Asked", text),
            False,
            open_requests(service, place),
        )

    @app.callback(
        Output("notes", "sendNotifications", allow_duplicate=True),
        Output("review-requests", "children", allow_duplicate=True),
        Input("undo", "n_clicks"),
        State("address", "pathname"),
        running=[(Output("undo", "loading"), True, False)],
        prevent_initial_call=True,
    )
    def take_back(clicks: int | None, path: str) -> Any:
        place = place_of(path)
        if not clicks or place is None:
            return no_update, no_update
        try:
            report = withdraw_requests(service, place.project, by=_who(service))
        except CrowdlabError as error:
            return _note("red", "Not all was taken back", str(error)), no_update
        kept = len(report.not_withdrawn)
        text = f"{report.withdrawn} requests are taken back."
        if kept:
            text += f" {kept} were not, as somebody has labelled or changed these tasks."
        return _note("green", "Taken back", text), open_requests(service, place)

    @app.callback(
        Output("notes", "sendNotifications", allow_duplicate=True),
        Input("accept", "n_clicks"),
        State("review", "selectedRows"),
        State("address", "pathname"),
        running=[(Output("accept", "loading"), True, False)],
        prevent_initial_call=True,
    )
    def accept(clicks: int | None, selected: list[dict[str, Any]] | None, path: str) -> Any:
        place = place_of(path)
        if not clicks or place is None or not selected:
            return no_update
        done, problems = 0, []
        for row in selected[:MOST_AT_ONCE]:
            try:
                accept_consensus(service, place.project, int(row["task"]), by=_who(service))
                done += 1
            except CrowdlabError as error:
                problems.append(str(error))
        if problems:
            return _note("orange", f"{done} accepted, {len(problems)} not", problems[0])
        return _note("green", "Accepted", f"{done} consensus labels are ground truth now.")


def _policy(
    tasks: Sequence[int],
    budget: int | str | None,
    threshold: float | str | None,
    most_extra: int | str | None,
    min_hours: float | str | None,
    only_labeled: bool,
    *,
    blind: bool,
) -> ReviewPolicy:
    return ReviewPolicy(
        budget=min(int(budget or 20), MOST_AT_ONCE) if not tasks else None,
        threshold=float(threshold) if threshold not in (None, "") and not tasks else None,
        most_extra=int(most_extra or 2),
        min_hours=float(min_hours or 0),
        tasks=tuple(tasks),
        only_labeled=only_labeled and not tasks,
        blind=blind,
    )


def _plan_table(plan: ReviewPlan, place: Place) -> Component:
    if not plan.tasks:
        return dmc.Text("No task fits.", c="dimmed", mt="md")
    rows = [
        [
            link(
                f"Task {one.task}",
                Place(Page.TASK, place.project, task=one.task, question=place.question),
            ),
            "open already" if one.waits else f"{one.overlap} → {one.new_overlap}",
            one.reason,
        ]
        for one in plan.tasks
    ]
    left_out = "; ".join(f"{count:,} {reason}" for reason, count in plan.left_out.items())
    return html.Div(
        [
            table(["Task", "Labels wanted", "Why"], rows, "What would be asked"),
            dmc.Text(f"Left out: {left_out}.", size="sm", c="dimmed") if left_out else None,
        ]
    )


def _who(service: Service) -> str:
    """Who acts, for the audit trail: the user whom the credentials prove, if there are any."""
    return user_name(request, service.settings) or "page"


def _note(color: str, title: str, message: str) -> list[dict[str, Any]]:
    return [{"action": "show", "title": title, "message": message, "color": color}]
