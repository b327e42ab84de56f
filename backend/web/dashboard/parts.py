"""Parts that several pages are made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import dash_mantine_components as dmc
import numpy as np
from dash import dcc, html
from numpy.typing import NDArray

from backend.insights.questions import Week
from backend.store.project import ProjectInfo
from backend.web.dashboard.place import Page, Place

Component = Any
"""What Dash can show; its classes are made at run time."""

MOST_MATRIX_CLASSES = 30
"""Classes that a matrix has room for."""

_DAY = 86_400.0
_YEAR_OF_WEEKS = 52


def percent(value: float | None, digits: int = 1) -> str:
    """Return a share in per cent that is not broken before its sign, an en dash for none."""
    if value is None or math.isnan(value):
        return "–"
    return f"{100 * value:.{digits}f}\u00a0%"


def number(value: float) -> str:
    """Return a count with a thin space between groups of three digits."""
    return f"{value:,.0f}".replace(",", "\u2009")


def seconds(value: float | None) -> str:
    """Return a span of time, short."""
    if value is None or math.isnan(value):
        return "–"
    if value < 60:
        return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"
    if value < 3600:
        return f"{value / 60:.1f} min"
    return f"{value / 3600:.1f} h"


def ago(moment: float, now: float) -> str:
    """Say how long ago a moment was."""
    if not moment:
        return "never"
    span = max(0.0, now - moment)
    if span < 60:
        return "just now"
    if span < 3600:
        return f"{span / 60:.0f} min ago"
    if span < 2 * _DAY:
        return f"{span / 3600:.0f} h ago"
    return f"{span / _DAY:.0f} days ago"


def moment(value: float) -> str:
    """Return a moment as date and time, UTC."""
    if not value:
        return "–"
    return datetime.fromtimestamp(value, tz=UTC).strftime("%Y-%m-%d %H:%M")


def aria(**values: str) -> dict[str, Any]:
    """Return attributes for those who read a page by ear: `label="x"` is `aria-label`."""
    return {f"aria-{name}": value for name, value in values.items()}


def link(text: str, place: Place, **options: Any) -> Component:
    """Link to a page, followed without loading anything anew."""
    return dmc.Anchor(text, href=place.address, **options)


def outside_link(text: str, address: str) -> Component:
    """Link into Label Studio, in a tab of its own."""
    return dmc.Anchor(text, href=address, target="_blank", refresh=True)


def figure(
    label: str, value: str, note: str | Component = "", *, help_text: str = "", color: str = ""
) -> Component:
    """One number with its name."""
    name: Component = dmc.Text(label, size="sm", c="dimmed")
    if help_text:
        name = dmc.Group([name, hint(help_text, label)], gap=4, wrap="nowrap")
    return dmc.Paper(
        [
            name,
            dmc.Text(value, className="figure", **({"c": color} if color else {})),
            dmc.Text(note, size="sm", c="dimmed") if note else None,
        ],
        withBorder=True,
        p="md",
        radius="md",
        className="card",
    )


def hint(text: str, about: str) -> Component:
    """Question mark that explains something, by pointer, focus and touch."""
    return dmc.Tooltip(
        dmc.UnstyledButton("?", className="hint", **aria(label=f"About {about}: {text}")),
        label=text,
        multiline=True,
        w=280,
        events={"hover": True, "focus": True, "touch": True},
    )


def card(
    title: str, *children: Component, note: str = "", help_text: str = "", aside: Component = None
) -> Component:
    """Framed part of a page with a heading."""
    heading: Component = dmc.Title(title, order=2, size="h4")
    if help_text:
        heading = dmc.Group([heading, hint(help_text, title)], gap=6)
    if aside is not None:
        heading = dmc.Group([heading, aside], justify="space-between")
    return dmc.Paper(
        [heading, dmc.Text(note, size="sm", c="dimmed", mt=2) if note else None, *children],
        withBorder=True,
        p="md",
        radius="md",
        className="card",
    )


def empty(title: str, text: str | Component) -> Component:
    """What a page says where there is nothing to show yet."""
    return dmc.Center(
        dmc.Stack(
            [
                dmc.Title(title, order=1, size="h3", ta="center"),
                dmc.Text(text, c="dimmed", ta="center"),
            ],
            align="center",
            maw=560,
            gap="xs",
        ),
        mih=280,
        px="md",
    )


def failure(message: str, remedy: str = "") -> Component:
    """What a page says when it cannot be shown."""
    return dmc.Alert(
        [message, " ", remedy] if remedy else message,
        title="This page cannot be shown",
        color="red",
        variant="light",
    )


def quality_bar(value: float | None) -> Component:
    """Bar and number of a quality from 0 to 1."""
    if value is None or math.isnan(value):
        return dmc.Text("–", c="dimmed")
    return html.Div(
        [*plain_bar(value).children, html.Span(f"{value:.3f}", className="number")],
        className="quality",
    )


def plain_bar(value: float | None) -> Component:
    """Bar of a quality from 0 to 1, whose number stands elsewhere."""
    share = 0.0 if value is None or math.isnan(value) else value
    bar = html.Div(
        html.Div(style={"width": f"{100 * share:.1f}%"}, className=tone(share)),
        className="bar",
        **aria(hidden="true"),
    )
    return html.Div([bar], className="quality")


def tone(value: float) -> str:
    """Class of the colour that a quality is shown in."""
    if value < 0.5:
        return "low"
    return "middle" if value < 0.8 else "high"


def table(
    head: Sequence[Component],
    rows: Sequence[Sequence[Component]],
    caption: str,
    *,
    min_width: int = 420,
) -> Component:
    """Table that scrolls sideways where there is less room than `min_width`, in pixels."""
    return dmc.TableScrollContainer(
        dmc.Table(
            [
                dmc.TableCaption(caption, className="only-read"),
                dmc.TableThead(dmc.TableTr([dmc.TableTh(one) for one in head])),
                dmc.TableTbody([dmc.TableTr([dmc.TableTd(cell) for cell in row]) for row in rows]),
            ],
            striped=True,
            highlightOnHover=True,
            verticalSpacing="xs",
        ),
        minWidth=min_width,
        type="native",
        tabIndex=0,
    )


def labels_by_week(weeks: Sequence[Week]) -> Component:
    """Labels of each week, and how many of them agree with the consensus; the last year."""
    data = [
        {
            "week": datetime.fromtimestamp(week.start, tz=UTC).strftime("%b %d"),
            "Labels": week.num_labels,
            "Agreement": round(100 * week.agreement, 1),
        }
        for week in weeks[-_YEAR_OF_WEEKS:]
    ]
    return card(
        "Over time",
        dmc.CompositeChart(
            data=data,
            dataKey="week",
            series=[
                {"name": "Labels", "color": "gray.4", "type": "bar"},
                {
                    "name": "Agreement",
                    "label": "Agreement with the consensus (%)",
                    "color": "indigo.6",
                    "type": "line",
                    "yAxisId": "right",
                },
            ],
            h=250,
            mt="md",
            withLegend=True,
            withRightYAxis=True,
            yAxisLabel="Labels",
            rightYAxisLabel="Agreement (%)",
            rightYAxisProps={"domain": [0, 100]},
            maxBarWidth=40,
        ),
        note="By week (its Monday, UTC) in which labels were last saved.",
    )


def matrix(
    counts: NDArray[np.int64], classes: Sequence[str], *, rows: str, columns: str, caption: str
) -> Component:
    """Confusion matrix: shares of each row as colour, counts as text.

    Parameters
    ----------
    counts
        (K, K) numbers.
    rows, columns
        What rows and columns are.
    """
    if len(classes) > MOST_MATRIX_CLASSES:
        return pairs_list(counts, classes, rows=rows, columns=columns, caption=caption)
    whole = np.maximum(counts.sum(axis=1), 1)
    body = []
    for place, name in enumerate(classes):
        cells: list[Component] = [
            html.Th(html.Span(name, title=name, className="class"), scope="row")
        ]
        for other in range(len(classes)):
            count, share = int(counts[place, other]), counts[place, other] / whole[place]
            kind = "same" if other == place else "other"
            cells.append(
                html.Td(
                    [
                        html.Span(number(count) if count else "·", className="number"),
                        html.Span(percent(share, 0), className="rate") if count else None,
                    ],
                    className=f"cell {kind}",
                    style={"--share": f"{share:.3f}"},
                    title=f"{rows}: {name}; {columns}: {classes[other]}; {count} of {whole[place]}",
                )
            )
        body.append(html.Tr(cells))
    head = html.Tr(
        [
            html.Th([f"{rows} ↓", html.Br(), f"{columns} →"], scope="col", className="corner"),
            *(
                html.Th(html.Span(name, title=name, className="class"), scope="col")
                for name in classes
            ),
        ]
    )
    return html.Div(
        html.Table(
            [html.Caption(caption, className="only-read"), html.Thead(head), html.Tbody(body)],
            className="matrix",
        ),
        className="scroll",
        tabIndex=0,
        role="region",
        **aria(label=caption),
    )


def pairs_list(
    counts: NDArray[np.int64],
    classes: Sequence[str],
    *,
    rows: str,
    columns: str,
    caption: str,
    limit: int = 20,
) -> Component:
    """The largest entries off the diagonal, where a matrix would be too large."""
    off = counts.copy()
    np.fill_diagonal(off, 0)
    largest = np.argsort(-off, axis=None, kind="stable")[:limit]
    found = [
        (classes[place // len(classes)], classes[place % len(classes)], int(off.reshape(-1)[place]))
        for place in largest.tolist()
        if off.reshape(-1)[place]
    ]
    if not found:
        return dmc.Text("All labels equal the consensus.", c="dimmed", mt="sm")
    return table([rows, columns, "Labels"], [[a, b, number(n)] for a, b, n in found], caption)


def waiting(children: Component) -> Component:
    """Show that something is being fetched, over what was there before."""
    return dcc.Loading(children, delay_show=400, overlay_style={"visibility": "visible"})


def question_choice(info: ProjectInfo, chosen: str, page: Page) -> Component:
    """Choice among the questions of a project; nothing where there is one only."""
    if len(info.questions) < 2:
        return None
    return dmc.Select(
        id={"role": "question", "page": page.value},
        data=[one.name for one in info.questions],
        value=chosen,
        allowDeselect=False,
        w=220,
        **aria(label="Question"),
    )
