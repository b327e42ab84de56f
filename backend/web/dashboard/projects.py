"""The list of projects."""

from __future__ import annotations

import time

import dash_mantine_components as dmc
from dash import html

from backend.insights.projects import ProjectInsight, project_insights
from backend.service import Service
from backend.web.dashboard.parts import Component, ago, empty, link, number, percent, quality_bar
from backend.web.dashboard.place import Page, Place


def show(service: Service, _: Place) -> Component:
    """All projects, those with the most to do first."""
    found = project_insights(service)
    if not found:
        return empty(
            "No project is connected yet",
            [
                "Connect one with ",
                dmc.Code("crowdlab connect PROJECT"),
                ", where PROJECT is the number in its address in Label Studio.",
            ],
        )
    now = time.time()
    return dmc.Stack(
        [
            dmc.Title("Projects", order=1, size="h2", mt="md"),
            dmc.SimpleGrid(
                [_card(one, now) for one in found],
                cols={"base": 1, "sm": 2, "lg": 3},
                spacing="md",
            ),
        ],
        gap="md",
    )


def _card(one: ProjectInsight, now: float) -> Component:
    overview = one.overview
    return dmc.Paper(
        [
            dmc.Group(
                [
                    link(
                        overview.title or f"Project {overview.project}",
                        Place(Page.OVERVIEW, overview.project),
                        fw=650,
                        size="lg",
                        className="stretched",
                    ),
                    dmc.Badge(one.state, color=one.color, variant="light", className="state"),
                ],
                justify="space-between",
                wrap="nowrap",
                align="start",
            ),
            dmc.Text(
                f"synced {ago(overview.synced_at, now)}"
                + (f" · {overview.model_version}" if overview.model_version else ""),
                size="sm",
                c="dimmed",
            ),
            dmc.Divider(my="sm"),
            _line("Consensus, estimated right", percent(one.consensus_accuracy)),
            quality_bar(one.consensus_accuracy),
            dmc.Group(
                [
                    _small("tasks", number(overview.num_tasks)),
                    _small("with consensus", number(overview.num_consensus)),
                    _small("labels", number(overview.num_labels)),
                    _small("annotators", number(overview.num_annotators)),
                    _small("unanimous", percent(one.unanimous, 0)),
                ],
                gap="lg",
                mt="sm",
            ),
            *(dmc.Text(alert, size="sm", c="var(--low)", mt="xs") for alert in one.alerts),
        ],
        withBorder=True,
        p="md",
        radius="md",
        className="card linked",
    )


def _line(label: str, value: str) -> Component:
    return dmc.Group([dmc.Text(label, size="sm"), dmc.Text(value, fw=600)], justify="space-between")


def _small(label: str, value: str) -> Component:
    return html.Div([dmc.Text(value, fw=600), dmc.Text(label, size="xs", c="dimmed")])
