"""What all pages have around them: head, links, and banners that say what is wrong."""

from __future__ import annotations

from typing import Any

import dash_mantine_components as dmc
from dash import dcc, html
from redis.exceptions import RedisError

from backend import __version__
from backend.insights.names import AnnotatorNames
from backend.overview import project_overview
from backend.service import Service
from backend.web.auth import exposure_warning
from backend.web.dashboard.parts import Component, aria, empty, link
from backend.web.dashboard.place import Page, Place

_THEME = {
    "primaryColor": "indigo",
    "fontFamily": "Inter, system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif",
    "headings": {"fontWeight": "650"},
    "defaultRadius": "md",
}

_WIDTH = 1480
"""Widest that a page grows, in pixels."""

_MANY_UNSENT = 100
_LONG_LAG = 60.0


def frame(service: Service, look_milliseconds: int) -> Component:
    """Return the frame that stays while pages change inside it."""
    return dmc.MantineProvider(
        [
            dcc.Location(id="address", refresh="callback-nav"),
            dcc.Store(id="stamp", data=""),
            dcc.Store(id="shown"),
            dcc.Interval(id="tick", interval=look_milliseconds),
            dmc.NotificationContainer(id="notes", position="bottom-right"),
            html.A("Skip to the content", href="#page", className="skip"),
            dmc.AppShell(
                [
                    dmc.AppShellHeader(_head(), className="head"),
                    dmc.AppShellMain(
                        dmc.Container(
                            [
                                html.Nav(id="crumbs", **aria(label="Where this page is")),
                                html.Nav(id="links", **aria(label="Pages of the project")),
                                html.Div(id="banners", role="status"),
                                html.Div(
                                    dmc.Skeleton(h=320, mt="md", radius="md"),
                                    id="page",
                                    tabIndex=-1,
                                ),
                            ],
                            size=_WIDTH,
                            px={"base": "sm", "sm": "md"},
                            pb="xl",
                        )
                    ),
                ],
                header={"height": 56},
                padding=0,
            ),
        ],
        theme=_THEME,
        defaultColorScheme="auto",
    )


def _head() -> Component:
    return dmc.Container(
        dmc.Group(
            [
                dmc.Anchor(
                    dmc.Group(
                        [
                            html.Span(className="mark", **aria(hidden="true")),
                            dmc.Text("Crowdlab", fw=700, size="lg"),
                            dmc.Text(
                                "consensus and annotator quality",
                                size="sm",
                                c="dimmed",
                                visibleFrom="sm",
                            ),
                        ],
                        gap="xs",
                    ),
                    href="/",
                    underline="never",
                    c="inherit",
                ),
                dmc.Group(
                    [
                        dmc.Text(__version__, size="xs", c="dimmed", visibleFrom="xs"),
                        dmc.ColorSchemeToggle(
                            lightIcon=html.Span("☀", **aria(hidden="true")),
                            darkIcon=html.Span("☾", **aria(hidden="true")),
                            variant="default",
                            size="lg",
                            **aria(label="Light or dark"),
                        ),
                    ],
                    gap="sm",
                ),
            ],
            justify="space-between",
            h=56,
        ),
        size=_WIDTH,
        px={"base": "sm", "sm": "md"},
    )


def crumbs(service: Service, place: Place) -> Component:
    """Way from the list of projects to a page."""
    if place.page is Page.PROJECTS:
        return None
    store = service.store(place.project)
    info = store.read_info()
    title = info.title if info and info.title else f"Project {place.project}"
    steps = [link("Projects", Place(Page.PROJECTS))]
    if place.page is Page.OVERVIEW:
        steps.append(dmc.Text(title, className="here"))
    else:
        steps.append(link(title, Place(Page.OVERVIEW, place.project)))
    if place.page is Page.ANNOTATOR:
        steps.append(link("Annotators", Place(Page.ANNOTATORS, place.project)))
        names = AnnotatorNames.read(store, show_names=service.settings.show_names)
        steps.append(dmc.Text(names.of(place.annotator), className="here"))
    if place.page is Page.TASK:
        steps.append(link("Review", Place(Page.REVIEW, place.project, question=place.question)))
        steps.append(dmc.Text(f"Task {place.task}", className="here"))
    return dmc.Breadcrumbs(steps, mt="md", separatorMargin="xs", className="crumbs")


def links(place: Place) -> Component:
    """Links to the pages of a project."""
    if place.page is Page.PROJECTS:
        return None
    at = {Page.ANNOTATOR: Page.ANNOTATORS, Page.TASK: Page.REVIEW}.get(place.page, place.page)
    names = {
        Page.OVERVIEW: "Overview",
        Page.ANNOTATORS: "Annotators",
        Page.REVIEW: "Review",
        Page.MODELS: "Model predictions",
        Page.ACTIVITY: "Activity",
    }
    return html.Div(
        [
            dmc.Anchor(
                name,
                href=Place(page, place.project, question=place.question).address,
                className="tab here" if page is at else "tab",
                underline="never",
                **({"aria-current": "page"} if page is at else {}),
            )
            for page, name in names.items()
        ],
        className="tabs",
    )


def stamp(service: Service, place: Place | None) -> str:
    """What changes whenever there may be something new to show."""
    if place is None:
        return ""
    wanted = [place.project] if place.project else service.projects()
    return ";".join(_stamp_of(service, project) for project in wanted)


def _stamp_of(service: Service, project: int) -> str:
    store = service.store(project)
    info, summary = store.read_info(), store.read_summary()
    publication = store.read_publication()
    computed = f"{summary.computed_at if summary else 0}:{store.insights_at()}"
    version = publication.model_version if publication else ""
    return f"{project}:{info.data_version if info else 0}:{computed}:{version}"


def banners(service: Service, place: Place | None) -> list[Component]:
    """What is wrong now, as far as somebody should do something about it."""
    found = []
    exposed = exposure_warning(service.settings)
    if exposed:
        found.append(_banner("orange", "Everybody who reaches this address may act here", exposed))
    try:
        if service.breaker.state().is_open:
            found.append(
                _banner(
                    "red",
                    "Label Studio does not answer",
                    "It is asked again in a moment. Consensus goes on being computed from what "
                    "is known; predictions follow when it is back.",
                )
            )
        if place is not None and place.project:
            found += _project_banners(service, place.project)
    except RedisError:
        found.append(
            _banner(
                "red",
                "The store (Redis) does not answer",
                "What is shown may be old. Look at the service's log; crowdlab doctor says more.",
            )
        )
    return found


def _project_banners(service: Service, project: int) -> list[Component]:
    one = project_overview(service, project)
    found = []
    if one.is_gone:
        found.append(
            _banner(
                "red",
                "Label Studio has this project no more",
                f"crowdlab disconnect {project} forgets it here, too.",
            )
        )
    if one.last_error:
        found.append(_banner("red", "The last job of this project failed", one.last_error))
    if one.num_dead_letters:
        activity = Place(Page.ACTIVITY, project)
        found.append(
            _banner(
                "orange",
                f"{one.num_dead_letters} events could not be applied",
                link("See and replay them", activity),
            )
        )
    if one.is_pinned:
        found.append(
            _banner(
                "blue",
                f"Label Studio shows {one.model_version} as rolled back",
                f"crowdlab rollback {project} --undo publishes the present consensus.",
            )
        )
    if one.num_unsent >= _MANY_UNSENT or one.prediction_lag > _LONG_LAG:
        found.append(
            _banner(
                "yellow",
                f"{one.num_unsent} predictions wait for Label Studio",
                f"The oldest for {one.prediction_lag:.0f} s; only the newest state is sent.",
            )
        )
    if one.progress:
        found.append(_banner("gray", "At work", one.progress))
    return found


def _banner(color: str, title: str, text: Any) -> Component:
    return dmc.Alert(text, title=title, color=color, variant="light", mt="sm", className="banner")


def not_found() -> Component:
    """What an unknown address shows."""
    return empty("There is no such page", link("See all projects", Place(Page.PROJECTS)))
