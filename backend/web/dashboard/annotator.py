"""One annotator seen closely."""

from __future__ import annotations

import time

import dash_mantine_components as dmc
import numpy as np
from dash import html

from backend.insights.annotators import (
    AnnotatorInsight,
    AnnotatorProfile,
    annotator_profile,
    doubtful_labels,
)
from backend.insights.lookup import known_project, question_number
from backend.service import Service
from backend.web.dashboard import words
from backend.web.dashboard.parts import (
    Component,
    ago,
    aria,
    card,
    figure,
    labels_by_week,
    link,
    matrix,
    number,
    outside_link,
    percent,
    quality_bar,
    question_choice,
    seconds,
    table,
)
from backend.web.dashboard.place import Page, Place
from backend.web.dashboard.task import task_address


def show(service: Service, place: Place) -> Component:
    """All about one person's labels."""
    info = known_project(service, place.project)
    at = question_number(info, place.question)
    store = service.store(place.project)
    profile = annotator_profile(store, at, place.annotator, show_names=service.settings.show_names)
    return dmc.Stack(
        [
            dmc.Group(
                [
                    dmc.Title(profile.insight.name, order=1, size="h2"),
                    question_choice(info, info.questions[at].name, place.page),
                ],
                justify="space-between",
                mt="sm",
            ),
            _figures(profile),
            dmc.SimpleGrid(
                [_confusion(profile), _classes(profile)],
                cols={"base": 1, "md": 2},
                spacing="md",
            ),
            dmc.SimpleGrid(
                [labels_by_week(profile.insight.weeks), _colleagues(profile, place)],
                cols={"base": 1, "md": 2},
                spacing="md",
            ),
            _doubtful(service, place, at),
        ],
        gap="md",
    )


def _figures(profile: AnnotatorProfile) -> Component:
    one = profile.insight
    interval = f"95 % interval {one.quality_low:.2f} to {one.quality_high:.2f}"
    return dmc.SimpleGrid(
        [
            figure(
                "Annotator quality",
                f"{one.quality:.3f}" if one.enough_data else "too little data",
                interval if one.enough_data else "more labels on shared tasks are needed",
                help_text=words.ANNOTATOR_COLUMNS["quality"],
            ),
            figure(
                "Agreement with the consensus",
                percent(one.agreement_with_consensus),
                f"worst class: {one.worst_class}" if one.enough_data else "",
                help_text=words.ANNOTATOR_COLUMNS["agreement_with_consensus"],
            ),
            figure(
                "Against ground truth",
                percent(one.agreement_with_ground_truth),
                f"{number(one.num_ground_truth)} tasks with known truth",
                help_text=words.ANNOTATOR_COLUMNS["agreement_with_ground_truth"],
            ),
            figure(
                "Labels",
                number(one.num_labels),
                f"{percent(one.share)} of all; {number(one.num_skipped)} skipped; "
                f"last {ago(one.last_active, time.time())}",
            ),
            figure(
                "Time per task, median",
                seconds(one.median_seconds),
                f"nine of ten within {seconds(one.p90_seconds)}; {number(one.num_long)} long"
                if one.p90_seconds is not None
                else "Label Studio has no times",
                help_text=words.ANNOTATOR_COLUMNS["median_seconds"],
            ),
            figure(
                "Spam score",
                "–" if one.spam_score is None else f"{one.spam_score:.2f}",
                _why_spam(one),
                help_text=words.SPAM,
            ),
        ],
        cols={"base": 2, "md": 3, "lg": 6},
        spacing="md",
    )


def _confusion(profile: AnnotatorProfile) -> Component:
    return card(
        "What they say, and what the consensus is",
        matrix(
            profile.confusion,
            profile.classes,
            rows="given",
            columns="consensus",
            caption="Labels of this annotator by the class given and the consensus",
        ),
        help_text=words.CONFUSION,
    )


def _classes(profile: AnnotatorProfile) -> Component:
    given, agreed = profile.confusion.sum(axis=1), profile.confusion.sum(axis=0)
    order = np.argsort(-(given + agreed), kind="stable")
    rows = [
        [
            profile.classes[place],
            number(int(given[place])),
            _share(profile.precision[place]),
            _share(profile.recall[place]),
        ]
        for place in order.tolist()
        if given[place] + agreed[place]
    ]
    return card(
        "Class by class",
        table(
            ["Class", "Labels", "of these agree", "found of the class"],
            rows[:50],
            "Labels of this annotator by class",
        ),
        note="“Found of the class” is the share of the tasks of that consensus labelled so.",
    )


def _share(value: float) -> Component:
    return dmc.Text("–", c="dimmed") if np.isnan(value) else quality_bar(float(value))


def _why_spam(one: AnnotatorInsight) -> str:
    if one.spam_reason == "copy":
        return f"same answers as annotator {one.spam_copy_of}"
    if one.spam_reason == "none":
        return "no sign of it"
    return one.spam_reason


def _colleagues(profile: AnnotatorProfile, place: Place) -> Component:
    """Agreement with each colleague, as a list that is coloured like a heat map."""
    if not profile.colleagues:
        return card(
            "Agreement with colleagues",
            dmc.Text("Nobody has labelled the same tasks.", c="dimmed", mt="sm"),
        )
    cells = [
        html.Tr(
            [
                html.Th(
                    link(
                        one.name,
                        Place(
                            Page.ANNOTATOR, place.project, one.annotator, question=place.question
                        ),
                    ),
                    scope="row",
                ),
                html.Td(number(one.num_shared)),
                _heat(percent(one.agreement, 0), one.agreement),
                _heat(
                    "–" if np.isnan(one.cohen_kappa) else f"{one.cohen_kappa:.2f}",
                    one.cohen_kappa,
                ),
            ]
        )
        for one in profile.colleagues
    ]
    head = html.Tr([html.Th(one, scope="col") for one in ("With", "Shared tasks", "Equal", "κ")])
    return card(
        "Agreement with colleagues",
        html.Div(
            html.Table(
                [
                    html.Caption("Agreement with colleagues", className="only-read"),
                    html.Thead(head),
                    html.Tbody(cells),
                ],
                className="matrix wide",
            ),
            className="scroll short",
            tabIndex=0,
            role="region",
            **aria(label="Agreement with colleagues"),
        ),
        help_text=words.COLLEAGUES,
    )


def _heat(text: str, share: float) -> Component:
    colour = {"--share": f"{max(0.0, float(np.nan_to_num(share))):.3f}"}
    return html.Td(text, className="cell same", style=colour)


def _doubtful(service: Service, place: Place, at: int) -> Component:
    found = doubtful_labels(service.store(place.project), at, place.annotator)
    if not found:
        return card(
            "Most doubtful labels",
            dmc.Text("All their labels equal the consensus.", c="dimmed", mt="sm"),
        )
    rows = [
        [
            link(
                f"Task {one.task}",
                Place(Page.TASK, place.project, task=one.task, question=place.question),
            ),
            one.given,
            one.consensus,
            quality_bar(one.quality),
            outside_link("Label Studio", task_address(service, place.project, one.task)),
        ]
        for one in found
    ]
    return card(
        "Most doubtful labels",
        table(
            ["Task", "They said", "Consensus", "Quality of the label", "Open in"],
            rows,
            "Labels of this annotator that differ from the consensus",
        ),
        note="Labels that differ from the consensus, the least probable first: examples to "
        "talk about.",
        help_text=words.LABEL_QUALITY,
    )
