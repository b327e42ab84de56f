"""One task: who said what, and why the consensus is what it is."""

from __future__ import annotations

from typing import Any

import dash_mantine_components as dmc
from dash import html

from backend.errors import CrowdlabError
from backend.insights.lookup import known_project, question_number
from backend.insights.preview import TaskPreview, task_preview
from backend.insights.task import Explanation, TaskAnswer, TaskDetail, task_detail
from backend.service import Service
from backend.web.dashboard import words
from backend.web.dashboard.parts import (
    Component,
    aria,
    card,
    figure,
    link,
    moment,
    outside_link,
    percent,
    plain_bar,
    quality_bar,
    question_choice,
    seconds,
    table,
)
from backend.web.dashboard.place import Page, Place

_MOST_CLASSES = 12
"""Classes that the table of contributions has room for."""


def show(service: Service, place: Place) -> Component:
    """All about one task."""
    info = known_project(service, place.project)
    at = question_number(info, place.question)
    detail = task_detail(service, place.project, place.task)
    answer = detail.answers[at]
    address = task_address(service, place.project, place.task)
    return dmc.Stack(
        [
            dmc.Group(
                [
                    dmc.Title(f"Task {place.task}", order=1, size="h2"),
                    dmc.Group(
                        [
                            question_choice(info, answer.question, place.page),
                            outside_link("Open in Label Studio", address),
                        ]
                    ),
                ],
                justify="space-between",
                mt="sm",
            ),
            _figures(answer),
            dmc.SimpleGrid(
                [preview_card(service, place), _labels(place, detail, answer)],
                cols={"base": 1, "md": 2},
                spacing="md",
            ),
            _levels(answer),
            _why(place, answer),
        ],
        gap="md",
    )


def short(service: Service, place: Place) -> Component:
    """The task beside a list of tasks."""
    info = known_project(service, place.project)
    detail = task_detail(service, place.project, place.task)
    answer = detail.answers[question_number(info, place.question)]
    return dmc.Stack(
        [
            preview_card(service, place),
            _labels(place, detail, answer),
            link("Why this consensus", place),
        ],
        gap="md",
    )


def task_address(service: Service, project: int, task: int) -> str:
    """Where a task is in Label Studio."""
    return f"{service.settings.label_studio_url}/projects/{project}/data?task={task}"


def preview_card(service: Service, place: Place) -> Component:
    """Text and images of the task, as Label Studio holds them now."""
    try:
        shown = _preview(task_preview(service, place.project, place.task))
    except CrowdlabError as error:
        shown = dmc.Text(f"The task cannot be shown: {error}", c="dimmed", mt="sm")
    return card("The task", shown)


def _preview(preview: TaskPreview) -> Component:
    is_named = len(preview.texts) > 1
    parts: list[Any] = [html.Img(src=one, alt="Image of the task") for one in preview.images]
    parts += [
        html.Div([dmc.Text(name, size="xs", c="dimmed") if is_named else None, text])
        for name, text in preview.texts
    ]
    if not parts:
        parts.append(dmc.Text("The task has no text and no image to show.", c="dimmed"))
    return html.Div(parts, className="preview", tabIndex=0)


def _figures(answer: TaskAnswer) -> Component:
    truth = answer.ground_truth
    value = _expected_value(answer)
    return dmc.SimpleGrid(
        [
            figure(
                "Consensus",
                answer.consensus if answer.consensus is not None else "none yet",
                f"truth: {truth}" if truth is not None else "",
            ),
            *value,
            figure(
                "Consensus quality",
                "–" if answer.quality is None else f"{answer.quality:.3f}",
                plain_bar(answer.quality),
                help_text=words.QUALITY.partition(" Select")[0],
            ),
            figure(
                "Agreement",
                percent(answer.agreement, 0),
                f"{len(answer.labels)} labels",
                help_text=words.AGREEMENT,
            ),
            figure(
                "ActiveLab score",
                "–"
                if answer.active_learning_score is None
                else f"{answer.active_learning_score:.3f}",
                "the lower, the more another label tells",
                help_text=words.ACTIVE_LEARNING,
            ),
        ],
        cols={"base": 2, "md": 4 + len(value)},
        spacing="md",
    )


def _expected_value(answer: TaskAnswer) -> list[Component]:
    if answer.expected_value is None:
        return []
    return [
        figure(
            "Expected value",
            f"{answer.expected_value:.3f}",
            "weighted mean of what was said",
            help_text=words.EXPECTED_VALUE,
        )
    ]


def _levels(answer: TaskAnswer) -> Component:
    """How sure the ancestors of the consensus are."""
    if not answer.levels:
        return None
    has_quality = all(one.quality is not None for one in answer.levels)
    rows = [
        [
            str(one.level),
            dmc.Text(", ".join(one.ancestors), fw=600),
            *([quality_bar(one.quality)] if has_quality else []),
            percent(one.agreement, 0),
        ]
        for one in answer.levels
    ]
    names = ["Level", "Consensus", *(["Quality"] if has_quality else []), "Agreement"]
    return card(
        "Level by level",
        table(names, rows, "Levels of the consensus"),
        help_text=words.LEVELS if has_quality else words.LEVEL_AGREEMENT,
    )


def _labels(place: Place, detail: TaskDetail, answer: TaskAnswer) -> Component:
    if not answer.labels:
        return card(
            "Who said what", dmc.Text("Nobody has answered this question.", c="dimmed", mt="sm")
        )
    is_graded = bool(answer.parts) or any(0 < one.likeness < 1 for one in answer.labels)
    rows = [
        [
            link(
                one.name,
                Place(Page.ANNOTATOR, place.project, one.annotator, question=place.question),
            ),
            dmc.Text(one.label, fw=600 if one.agrees else 400),
            *([words.likeness(one.likeness, agrees=one.agrees)] if is_graded else []),
            quality_bar(one.quality),
            seconds(one.lead_time),
            moment(one.updated_at),
        ]
        for one in answer.labels
    ]
    skipped = ", ".join(detail.skipped_by)
    return card(
        "Who said what",
        table(
            [
                "Annotator",
                "Label",
                *(["Like the consensus"] if is_graded else []),
                "Quality of the label",
                "Took",
                "Saved (UTC)",
            ],
            rows,
            "Labels of this task",
        ),
        note=f"Skipped by {skipped}." if skipped else "",
        help_text=words.LABEL_QUALITY,
    )


def _parts(answer: TaskAnswer) -> Component:
    """What the consensus consists of."""
    rows: list[list[Any]] = []
    for one in answer.parts:
        rows.append([dmc.Text(one.words, fw=600), quality_bar(one.quality)])
        rows += [
            [dmc.Text(f"{asked.question}: {asked.words}", pl="md"), quality_bar(asked.quality)]
            for asked in one.attached
        ]
    return card(
        "Parts of the consensus",
        table(["Part", "Quality"], rows, "Parts of the consensus"),
        help_text="How probable it is that each part of the answer is right.",
    )


def _why(place: Place, answer: TaskAnswer) -> Component:
    if answer.parts:
        return _parts(answer)
    if answer.explanation is None:
        text = (
            "Nobody has answered this question."
            if answer.consensus is None
            else "The method of this project is no weighted sum, so that nothing adds up here."
        )
        return card("Why this consensus", dmc.Text(text, c="dimmed", mt="sm"))
    return card(
        "Why this consensus",
        _contributions(place, answer, answer.explanation),
        note=(
            "Each column adds up to the probability of its class; the largest is the consensus, "
            "and its sum the consensus quality."
            if answer.explanation.is_current
            else "By the present weights. Other tasks have changed since the quality above was "
            "computed; the next recompute brings it up to date."
        ),
        help_text=words.WEIGHTS,
    )


def _contributions(place: Place, answer: TaskAnswer, why: Explanation) -> Component:
    order = sorted(range(len(answer.classes)), key=lambda k: -why.posterior[k])[:_MOST_CLASSES]
    winner = answer.consensus

    def cell(value: float, k: int) -> Component:
        kind = "winner" if answer.classes[k] == winner else ""
        return html.Td(f"{value:.4f}" if value else "·", className=kind, title=repr(value))

    head = html.Tr(
        [
            html.Th("Who", scope="col"),
            html.Th("Weight", scope="col"),
            *(
                html.Th(
                    answer.classes[k],
                    scope="col",
                    className="winner" if answer.classes[k] == winner else "",
                )
                for k in order
            ),
        ]
    )
    body = [
        html.Tr(
            [
                html.Th(
                    "Classifier"
                    if one.annotator is None
                    else link(
                        one.name,
                        Place(
                            Page.ANNOTATOR, place.project, one.annotator, question=place.question
                        ),
                    ),
                    scope="row",
                ),
                html.Td(f"{one.weight:.3f}"),
                *(cell(one.by_class[k], k) for k in order),
            ]
        )
        for one in why.contributions
    ]
    foot = html.Tr(
        [
            html.Th("Sum: probability", scope="row"),
            html.Td(""),
            *(cell(why.posterior[k], k) for k in order),
        ]
    )
    hidden = len(answer.classes) - len(order)
    return html.Div(
        [
            html.Table(
                [
                    html.Caption("What each one adds to each class", className="only-read"),
                    html.Thead(head),
                    html.Tbody(body),
                    html.Tfoot(foot),
                ],
                className="parts",
            ),
            dmc.Text(f"{hidden} less probable classes are not shown.", size="sm", c="dimmed")
            if hidden
            else None,
        ],
        className="scroll",
        tabIndex=0,
        role="region",
        **aria(label="Contributions"),
    )
