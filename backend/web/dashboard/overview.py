"""How good the labels of a question are, and how that came about."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from math import isnan
from typing import Any

import dash_mantine_components as dmc
import numpy as np
from dash import ALL, Dash, Input, Output, State, ctx, html, no_update

from backend.insights.lookup import known_project, question_number
from backend.insights.questions import QuestionInsight, question_insights
from backend.jobs.insights import MOST_VOTES, QUALITY_BINS
from backend.service import Service
from backend.web.dashboard import words
from backend.web.dashboard.parts import (
    Component,
    ago,
    aria,
    card,
    figure,
    labels_by_week,
    matrix,
    number,
    percent,
    question_choice,
    table,
)
from backend.web.dashboard.place import Page, Place, place_of
from crowdlab_engine.agreement import Estimate

_MOST_CLASSES = 20
"""Bars that a chart of classes has room for."""


def show(service: Service, place: Place) -> Component:
    """All about one question."""
    info = known_project(service, place.project)
    place_in_config = question_number(info, place.question)
    one = question_insights(service.store(place.project))[place_in_config]
    return dmc.Stack(
        [
            dmc.Group(
                [
                    dmc.Title(info.title or f"Project {place.project}", order=1, size="h2"),
                    dmc.Group(
                        [
                            question_choice(info, one.summary.name, place.page),
                            dmc.Anchor(
                                "Report to send around",
                                href=f"/api/projects/{place.project}/exports/report.html",
                                refresh=True,
                            ),
                        ]
                    ),
                ],
                justify="space-between",
                mt="sm",
            ),
            _unsupported(info.unsupported),
            _figures(one),
            dmc.SimpleGrid(_cards(one), cols={"base": 1, "md": 2}, spacing="md"),
        ],
        gap="md",
    )


def _cards(one: QuestionInsight) -> list[Component]:
    """What there is to show of a question, by the form of its answers."""
    if one.summary.is_class:
        return [
            _quality(one),
            _classes(one),
            labels_by_week(one.weeks),
            _votes(one),
            _gain(one),
            _agreement(one),
            _confusion(one),
            _weights(one),
        ]
    held = [_held(one)] if one.held else []
    return [_quality(one), *held, labels_by_week(one.weeks), _votes(one), _weights(one)]


def _unsupported(reasons: Mapping[str, str]) -> Component:
    """Which control tags have no consensus, and why."""
    if not reasons:
        return None
    return dmc.Alert(
        html.Ul(
            [html.Li([html.B(name), f": {reason}"]) for name, reason in reasons.items()],
            className="reasons",
        ),
        title="Control tags without a consensus",
        color="yellow",
        variant="light",
    )


def register(app: Dash, _: Service) -> None:
    """Let a bar of the histogram lead to its tasks."""

    @app.callback(
        Output("address", "href"),
        Input({"role": "quality-chart", "page": ALL}, "clickData"),
        State("address", "pathname"),
        State("address", "search"),
        prevent_initial_call=True,
    )
    def see_tasks(clicked: list[Any], path: str, search: str) -> Any:
        place = place_of(path, search or "")
        if place is None or not clicked or not clicked[0] or ctx.triggered_id is None:
            return no_update
        low = float(clicked[0]["from"])
        chosen = (low, round(low + 1 / QUALITY_BINS, 4))
        return Place(Page.REVIEW, place.project, question=place.question, quality=chosen).address


def _figures(one: QuestionInsight) -> Component:
    summary = one.summary
    found = [
        *(_estimates(one) if summary.is_class else [_mean_quality(one)]),
        figure(
            "Against ground truth",
            percent(summary.ground_truth_accuracy),
            f"{number(summary.num_ground_truth)} tasks with known truth",
            help_text=words.GROUND_TRUTH,
        ),
        figure(
            "Unanimous tasks",
            percent(one.unanimous),
            f"{number(summary.num_labeled)} of {number(summary.num_tasks)} tasks labelled",
            help_text=words.UNANIMOUS,
        ),
        *(_class_figures(one) if summary.is_class else ()),
        figure(
            "Labels",
            number(summary.num_labels),
            f"by {number(len(summary.annotators))} annotators, "
            f"{summary.num_labels / max(1, summary.num_labeled):.1f} per labelled task",
        ),
    ]
    return dmc.SimpleGrid(found, cols={"base": 2, "md": 4, "lg": len(found)}, spacing="md")


def _mean_quality(one: QuestionInsight) -> Component:
    quality = one.summary.mean_quality
    return figure(
        "Mean quality",
        "–" if quality is None else f"{quality:.3f}",
        "of the consensus as a whole",
        help_text=words.QUALITY.partition(" Select")[0],
    )


def _estimates(one: QuestionInsight) -> list[Component]:
    gain = one.gain
    note = ""
    if gain is not None:
        fewer = round(gain * one.summary.num_labeled)
        note = (
            f"{fewer:,} {'task' if fewer == 1 else 'tasks'} more right than by majority vote"
            if fewer > 0
            else "no better than a majority vote"
        )
    return [
        figure(
            "Consensus, estimated",
            percent(one.consensus_accuracy),
            note,
            help_text=words.CONSENSUS_ACCURACY,
        ),
        figure(
            "Majority vote, estimated",
            percent(one.majority_accuracy),
            "of the same labels",
            help_text=words.MAJORITY_ACCURACY,
        ),
    ]


def _class_figures(one: QuestionInsight) -> list[Component]:
    return [
        figure(
            "Agreement (α)",
            _coefficient(one.agreement.alpha) if one.agreement else "–",
            _interval(one.agreement.alpha) if one.agreement else "",
            help_text=words.ALPHA,
        ),
        figure(
            "Labels saved",
            _labels_saved(one),
            f"a majority vote would need {one.labels_for_majority} per task or more"
            if one.labels_for_majority
            else "no estimate yet",
            help_text=words.LABELS_SAVED,
        ),
    ]


def _quality(one: QuestionInsight) -> Component:
    data = [
        {"from": f"{place / QUALITY_BINS:.2f}", "Tasks": int(count)}
        for place, count in enumerate(one.quality_histogram.tolist())
    ]
    return card(
        "Quality of the consensus",
        dmc.BarChart(
            id={"role": "quality-chart", "page": "overview"},
            data=data,
            dataKey="from",
            series=[{"name": "Tasks", "color": "indigo.6"}],
            h=260,
            mt="md",
            xAxisLabel="Consensus quality score",
            yAxisLabel="Tasks",
            barChartProps={"margin": {"bottom": 20, "left": 12}},
            tickLine="y",
        ),
        help_text=words.QUALITY,
    )


def _classes(one: QuestionInsight) -> Component:
    order = np.argsort(-one.class_counts, kind="stable")[:_MOST_CLASSES]
    data = [
        {
            "class": one.summary.classes[place],
            "Consensus": int(one.class_counts[place]),
            "Majority vote": round(float(one.majority_counts[place]), 1),
        }
        for place in order.tolist()
    ]
    hidden = len(one.class_counts) - len(order)
    return card(
        "Classes",
        dmc.BarChart(
            data=data,
            dataKey="class",
            orientation="vertical",
            series=[
                {"name": "Consensus", "color": "indigo.6"},
                {"name": "Majority vote", "color": "gray.5"},
            ],
            h=max(180, 34 * len(data) + 60),
            mt="md",
            withLegend=True,
            yAxisProps={"width": 96},
            xAxisLabel="Tasks",
            barChartProps={"margin": {"bottom": 20}},
        ),
        note=f"The {_MOST_CLASSES} largest; {hidden} more are not shown." if hidden else "",
    )


def _held(one: QuestionInsight) -> Component:
    """How many consensus sets hold each name."""
    shown = one.held[:_MOST_CLASSES]
    hidden = len(one.held) - len(shown)
    return card(
        "What the consensus holds",
        dmc.BarChart(
            data=[{"name": name, "Tasks": count} for name, count in shown],
            dataKey="name",
            orientation="vertical",
            series=[{"name": "Tasks", "color": "indigo.6"}],
            h=max(180, 34 * len(shown) + 60),
            mt="md",
            yAxisProps={"width": 96},
            xAxisLabel="Tasks",
            barChartProps={"margin": {"bottom": 20}},
        ),
        note=f"The {_MOST_CLASSES} largest; {hidden} more are not shown." if hidden else "",
    )


def _votes(one: QuestionInsight) -> Component:
    largest = max((place for place, count in enumerate(one.votes.tolist()) if count), default=1)
    data = [
        {
            "labels": f"{place}+" if place == MOST_VOTES else str(place),
            "Tasks": int(one.votes[place]),
        }
        for place in range(1, largest + 1)
    ]
    return card(
        "Labels per task",
        dmc.BarChart(
            data=data,
            dataKey="labels",
            series=[{"name": "Tasks", "color": "indigo.6"}],
            h=260,
            mt="md",
            xAxisLabel="Labels of a task",
            yAxisLabel="Tasks",
            barChartProps={"margin": {"bottom": 20, "left": 12}},
            maxBarWidth=60,
        ),
    )


def _gain(one: QuestionInsight) -> Component:
    """What further labels would bring, to know when to stop."""
    title = "What further labels would bring"
    if one.gain_per_100 is None:
        return card(title, dmc.Text("There is no estimate yet.", c="dimmed", mt="sm"))
    data = [
        {"labels": f"{labels:,}", "Accuracy": round(100 * accuracy, 2)}
        for labels, accuracy in zip(
            one.gain_labels.tolist(), one.gain_accuracy.tolist(), strict=True
        )
    ]
    low = max(0, int(data[0]["Accuracy"]) - 2)
    return card(
        title,
        dmc.Text(
            f"The next 100 labels of the most doubtful tasks: {100 * one.gain_per_100:+.2f} "
            "percentage points.",
            mt="xs",
        ),
        dmc.LineChart(
            data=data,
            dataKey="labels",
            series=[{"name": "Accuracy", "label": "Consensus, estimated (%)", "color": "indigo.6"}],
            h=230,
            mt="sm",
            xAxisLabel="Further labels",
            yAxisLabel="Right (%)",
            yAxisProps={"domain": [low, 100], "allowDecimals": False},
            lineChartProps={"margin": {"bottom": 20, "left": 12}},
            withDots=False,
        ),
        help_text=words.GAIN,
    )


def _agreement(one: QuestionInsight) -> Component:
    """Coefficients of agreement, and alpha week by week."""
    found = one.agreement
    if found is None:
        return card("Agreement", dmc.Text("Not summed up yet.", c="dimmed", mt="sm"))
    coefficients = [
        ("Krippendorff's α", found.alpha),
        ("Fleiss' κ", found.fleiss_kappa),
        ("Gwet's AC1", found.gwet_ac1),
        ("Equal pairs", found.percent),
    ]
    if one.agreement_by_value is not None:
        coefficients[1:1] = [
            ("α by order", one.agreement_by_value.ordinal),
            ("α by distance", one.agreement_by_value.interval),
        ]
    rows = [[name, _coefficient(value), _interval(value)] for name, value in coefficients]
    weeks = [week for week in one.agreement_weeks if not isnan(week.agreement.alpha.value)]
    chart: Component = None
    if len(weeks) > 1:
        chart = dmc.LineChart(
            data=[
                {
                    "week": datetime.fromtimestamp(week.start, tz=UTC).strftime("%b %d"),
                    "α": round(week.agreement.alpha.value, 3),
                    "lower": round(week.agreement.alpha.low, 3),
                    "upper": round(week.agreement.alpha.high, 3),
                }
                for week in weeks
            ],
            dataKey="week",
            series=[
                {"name": "α", "color": "indigo.6"},
                {"name": "lower", "color": "gray.5", "strokeDasharray": "4 4"},
                {"name": "upper", "color": "gray.5", "strokeDasharray": "4 4"},
            ],
            h=180,
            mt="sm",
            yAxisLabel="α",
            withDots=False,
        )
    return card(
        "Agreement between annotators",
        table(["Coefficient", "Value", "95 % interval"], rows, "Coefficients of agreement"),
        chart,
        note=f"From {number(one.num_shared)} tasks with two labels or more.",
        help_text=words.ALPHA,
    )


def _labels_saved(one: QuestionInsight) -> str:
    if one.labels_saved is None or one.labels_for_majority is None:
        return "–"
    is_bound = one.labels_for_majority > len(one.majority_by_labels)
    return ("≥ " if is_bound and one.labels_saved else "") + number(one.labels_saved)


def _coefficient(estimate: Estimate) -> str:
    return "–" if isnan(estimate.value) else f"{estimate.value:.3f}"


def _interval(estimate: Estimate) -> str:
    if isnan(estimate.low) or isnan(estimate.high):
        return "no interval"
    return f"{estimate.low:.3f} to {estimate.high:.3f}"


def _confusion(one: QuestionInsight) -> Component:
    return card(
        "Where annotators differ from the consensus",
        matrix(
            one.confusion,
            one.summary.classes,
            rows="given",
            columns="consensus",
            caption="Labels by the class that was given and the consensus",
        ),
        help_text=words.CONFUSION,
    )


def _weights(one: QuestionInsight) -> Component:
    rows: list[tuple[str, Component]] = [
        ("Method", one.method.upper() if one.method == "crowdlab" else one.method.title()),
        ("Classifier", one.summary.classifier),
        ("Weight of the classifier", _weight(one.model_weight)),
        ("Mean weight of an annotator", _weight(one.annotator_weight)),
        ("Computed", html.Time(ago(one.computed_at, datetime.now(tz=UTC).timestamp()))),
    ]
    if one.summary.not_counted:
        rows.append(("Not counted", one.summary.not_counted))
    parts: list[Component] = []
    if one.model_weight is not None and one.annotator_weight is not None:
        per_task = one.summary.num_labels / max(1, one.summary.num_labeled)
        people = one.annotator_weight * per_task
        whole = max(one.model_weight + people, 1e-12)
        share = one.model_weight / whole
        parts = [
            dmc.ProgressRoot(
                [
                    dmc.ProgressSection(
                        dmc.ProgressLabel("classifier" if share > 0.15 else ""),
                        value=100 * share,
                        color="indigo.8",
                    ),
                    dmc.ProgressSection(
                        dmc.ProgressLabel("annotators" if share < 0.85 else ""),
                        value=100 * (1 - share),
                        color="teal.9",
                    ),
                ],
                size=26,
                mt="md",
                **aria(hidden="true"),
            ),
            dmc.Text(
                f"On a task with {per_task:.1f} labels, {percent(share, 0)} of the say are the "
                f"classifier's and {percent(1 - share, 0)} the annotators'.",
                size="sm",
                mt=4,
            ),
        ]
    return card(
        "Who has the say",
        *parts,
        html.Dl(
            [part for name, value in rows for part in (html.Dt(name), html.Dd(value))],
            className="facts",
        ),
        help_text=words.WEIGHTS,
    )


def _weight(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
