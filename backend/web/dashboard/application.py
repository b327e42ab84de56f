"""The pages as a Dash application on the service's Flask application."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

from dash import ALL, ClientsideFunction, Dash, Input, Output, State, ctx, no_update
from flask import Flask, abort, request
from redis.exceptions import RedisError

from backend.errors import CrowdlabError, NothingToComputeError
from backend.service import Service
from backend.web.dashboard import (
    activity,
    annotator,
    annotators,
    models,
    overview,
    projects,
    requests,
    review,
    shell,
    task,
)
from backend.web.dashboard.parts import Component, empty, failure
from backend.web.dashboard.place import Page, Place, is_page, place_of

log = logging.getLogger(__name__)

LOOK_MILLISECONDS = 3000
"""Between two looks for something new to show."""

_PAGES = {
    Page.PROJECTS: projects.show,
    Page.OVERVIEW: overview.show,
    Page.ANNOTATORS: annotators.show,
    Page.ANNOTATOR: annotator.show,
    Page.REVIEW: review.show,
    Page.TASK: task.show,
    Page.MODELS: models.show,
    Page.ACTIVITY: activity.show,
}

_OWN_UPDATES = {Page.ANNOTATORS, Page.REVIEW, Page.MODELS}
"""Pages whose table brings itself up to date, so that order and place, and what was filled in,
stay."""


def mount_dashboard(server: Flask, service: Service) -> list[str]:
    """Put the pages onto a Flask application.

    Returns
    -------
    list of str
        Hashes of the scripts inside the page, for the Content-Security-Policy.
    """
    app = Dash(
        __name__,
        server=server,  # type: ignore[arg-type]
        title="Crowdlab",
        update_title="",
        assets_folder=str(Path(__file__).parent / "assets"),
        suppress_callback_exceptions=True,
        add_log_handler=False,
        index_string=_INDEX,
        meta_tags=[{"name": "viewport", "content": "width=device-width, initial-scale=1"}],
        on_error=_answer_failure,
    )
    app.layout = shell.frame(service, LOOK_MILLISECONDS)
    _register(app, service)
    for module in (overview, annotators, review, requests, models, activity):
        module.register(app, service)

    @server.before_request
    def refuse_unknown_pages() -> None:
        # Dash would answer any address with the frame of a page.
        rule = request.url_rule
        if rule is not None and rule.rule == "/<path:path>" and not is_page(request.path):
            abort(404, "There is no such page.")

    return list(app.csp_hashes())


def _register(app: Dash, service: Service) -> None:
    @app.callback(
        Output("page", "children"),
        Output("crumbs", "children"),
        Output("links", "children"),
        Output("shown", "data"),
        Input("address", "pathname"),
        Input("address", "search"),
        Input("stamp", "data"),
        State("shown", "data"),
    )
    def show(path: str | None, search: str | None, stamp: str, shown: Any) -> Any:
        place = place_of(path or "/", search or "")
        if place is None:
            return shell.not_found(), None, None, None
        # What is shown already is not made anew by a change of the address alone.
        is_new = ctx.triggered_id != "stamp" or shown != place.address
        if not is_new and place.page in _OWN_UPDATES:
            return no_update, no_update, no_update, no_update
        page, is_complete = _show_or_say_why(service, place)
        return (
            page,
            _crumbs_if_known(service, place),
            shell.links(place),
            place.address if is_complete else None,
        )

    app.clientside_callback(
        ClientsideFunction("crowdlab", "setTitle"), Output("shown", "id"), Input("shown", "data")
    )

    @app.callback(
        Output("stamp", "data"),
        Output("banners", "children"),
        Input("tick", "n_intervals"),
        Input("address", "pathname"),
        State("stamp", "data"),
    )
    def look(_: int, path: str | None, stamp: str | None) -> Any:
        place = place_of(path or "/")
        try:
            now = shell.stamp(service, place)
        except RedisError as error:
            log.error("Redis: %s", error)
            # Differs from every other, so that the page is made anew when the store is back.
            now = ""
        return (no_update if now == stamp else now), shell.banners(service, place)

    @app.callback(
        Output("address", "search"),
        Input({"role": "question", "page": ALL}, "value"),
        State("address", "pathname"),
        State("address", "search"),
        prevent_initial_call=True,
    )
    def choose_question(values: list[str], path: str, search: str) -> Any:
        place = place_of(path, search or "")
        if place is None or not values or not values[0] or values[0] == place.question:
            return no_update
        chosen = Place(place.page, place.project, place.annotator, place.task, question=values[0])
        return "?" + chosen.address.partition("?")[2]


def _show_or_say_why(service: Service, place: Place) -> tuple[Component, bool]:
    """Make a page, and tell whether it is there, or only why it is not."""
    began = time.monotonic()
    try:
        return _PAGES[place.page](service, place), True
    except NothingToComputeError as error:
        return empty(error.message, "This page fills by itself when tasks have labels."), False
    except CrowdlabError as error:
        return failure(error.message, error.hint), False
    except RedisError as error:
        log.error("Redis: %s", error)
        text = "The store (Redis) cannot be used now."
        return failure(text, "The page comes back with it."), False
    finally:
        log.debug("%s took %.3f s", place.address, time.monotonic() - began)


def _crumbs_if_known(service: Service, place: Place) -> Component:
    try:
        return shell.crumbs(service, place)
    except RedisError:
        return None


def _answer_failure(error: Exception) -> None:
    """Say that an action failed; what was on the page stays."""
    log.error("an action of a page failed", exc_info=error)


_INDEX = """<!DOCTYPE html>
<html lang="en">
  <head>
    {%metas%}
    <title>{%title%}</title>
    {%favicon%}
    {%css%}
  </head>
  <body>
    {%app_entry%}
    <footer>{%config%}{%scripts%}{%renderer%}</footer>
  </body>
</html>"""
