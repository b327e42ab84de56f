"""What the service did to a project, and what it could not do."""

from __future__ import annotations

import time
from typing import Any

import dash_mantine_components as dmc
from dash import Dash, Input, Output, State, html, no_update

from backend.insights.lookup import known_project
from backend.service import Service
from backend.web.dashboard.parts import Component, ago, card, moment, number, table
from backend.web.dashboard.place import Place, place_of

_MOST_ENTRIES = 100
_SHORT = 160
_WORDS = {"num_predictions": "predictions"}


def show(service: Service, place: Place) -> Component:
    """Audit trail, model versions and dead letters."""
    known_project(service, place.project)
    return dmc.Stack(
        [
            dmc.Title("Activity", order=1, size="h2", mt="sm"),
            _dead_letters(service, place),
            _versions(service, place),
            _trail(service, place),
        ],
        gap="md",
    )


def register(app: Dash, service: Service) -> None:
    """Let events that could not be applied be tried again."""

    @app.callback(
        Output("notes", "sendNotifications"),
        Output("dead-letters", "children"),
        Input("replay", "n_clicks"),
        State("address", "pathname"),
        prevent_initial_call=True,
    )
    def replay(clicks: int | None, path: str) -> Any:
        place = place_of(path)
        if place is None or not clicks:
            return no_update, no_update
        number_of = service.store(place.project).inbox.replay()
        service.queue.apply_events(place.project)
        return [
            {
                "action": "show",
                "title": "Events are tried again",
                "message": f"{number_of} events wait to be applied.",
                "color": "green",
            }
        ], dmc.Text("They are being tried again.", mt="sm")


def _dead_letters(service: Service, place: Place) -> Component:
    letters = service.store(place.project).inbox.dead_letters()
    if not letters:
        return None
    rows = [[moment(one.died_at), one.reason, dmc.Code(_short(one.event))] for one in letters[:20]]
    return card(
        f"{len(letters)} events could not be applied",
        html.Div(
            [
                table(["Given up", "Why", "Event"], rows, "Events that could not be applied"),
                dmc.Button("Try them again", id="replay", mt="sm"),
            ],
            id="dead-letters",
        ),
        note="The next full sync finds what they told; nothing of Label Studio is lost.",
    )


def _short(event: bytes | str) -> str:
    text = event.decode(errors="replace") if isinstance(event, bytes) else event
    return text if len(text) <= _SHORT else text[:_SHORT] + " …"


def _versions(service: Service, place: Place) -> Component:
    store = service.store(place.project)
    publication = store.read_publication()
    shown = publication.model_version if publication else ""
    kept = set(store.kept_versions())
    rows = [
        [
            dmc.Group(
                [one.name, dmc.Badge("shown", variant="light") if one.name == shown else None],
                gap="xs",
            ),
            moment(one.published_at),
            number(one.num_predictions),
            one.reason,
            dmc.Code(one.fingerprint[:12] or "–"),
            "yes" if one.name in kept else "",
        ]
        for one in reversed(store.model_versions())
    ]
    if not rows:
        return card("Model versions", dmc.Text("Nothing was published yet.", c="dimmed", mt="sm"))
    return card(
        "Model versions",
        table(
            ["Version", "Published (UTC)", "Predictions", "Why", "Labels' fingerprint", "Kept"],
            rows[:50],
            "Model versions, the newest first",
        ),
        note=f"crowdlab rollback {place.project} VERSION shows a kept one again.",
    )


def _trail(service: Service, place: Place) -> Component:
    now = time.time()
    rows = []
    for entry in service.store(place.project).audit_trail(_MOST_ENTRIES):
        details = ", ".join(
            f"{_WORDS.get(name, name.replace('_', ' '))}: {_short(str(value))}"
            for name, value in entry.items()
            if name not in ("at", "action") and value not in ("", None)
        )
        rows.append([ago(entry["at"], now), entry["action"], details])
    if not rows:
        return card("Audit trail", dmc.Text("Nothing was done yet.", c="dimmed", mt="sm"))
    return card(
        "Audit trail",
        table(["When", "What", "Details"], rows, "What the service did, the newest first"),
        note="What the service did to this project in Label Studio.",
    )
