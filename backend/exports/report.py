"""A project on one page of HTML, to be sent around: it needs no service and loads nothing."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray

from backend import __version__
from backend.answers.words import answer_words
from backend.insights.annotators import AnnotatorInsight, leaderboard
from backend.insights.lookup import known_project
from backend.insights.questions import QuestionInsight, question_insights
from backend.insights.tasks import TaskQuery, TaskRow, task_page
from backend.label_studio.questions import Question
from backend.service import Service
from backend.store.project import ProjectStore

MOST_TASKS = 10
"""Most doubtful tasks that are shown of a question."""
MOST_CLASSES = 30
"""Classes that are shown of a question, the most frequent ones."""
MOST_MATRIX_CLASSES = 12
"""Classes of which a page has room for a confusion matrix."""
MOST_PAIRS = 12
"""Confused pairs of classes that are shown in its place."""
MOST_ANNOTATORS = 30
"""Annotators that are shown of a question: half of them the best, half the last."""


@dataclass(frozen=True)
class _Bar:
    """One bar of the histogram, in the units of its drawing."""

    left: float
    height: float
    title: str


@dataclass(frozen=True)
class _Histogram:
    """Tasks by consensus quality, as a drawing."""

    bars: tuple[_Bar, ...]
    ticks: tuple[tuple[float, int], ...]
    """Height and number of tasks of each line across."""


@dataclass(frozen=True)
class _Class:
    name: str
    num_consensus: int
    share: float
    """Share of the labelled tasks."""
    num_majority: float
    agreeing: float
    """Share of the labels of this class that equal the consensus; NaN without any."""


@dataclass(frozen=True)
class _Cell:
    count: int
    share: float
    """Share of the labels of its row."""


@dataclass(frozen=True)
class _Task:
    row: TaskRow
    votes: tuple[tuple[str, int], ...]
    """Classes with their numbers of labels, the most frequent first."""
    address: str
    """Where it is in Label Studio."""


@dataclass(frozen=True)
class _Section:
    """One question of the report."""

    insight: QuestionInsight
    histogram: _Histogram
    classes: tuple[_Class, ...]
    num_hidden_classes: int
    matrix: tuple[tuple[str, tuple[_Cell, ...]], ...]
    """Class given, and its cells; empty if there are too many classes."""
    pairs: tuple[tuple[str, str, int], ...]
    """Class given, consensus, and number of labels, the most frequent first."""
    annotators: tuple[tuple[int, AnnotatorInsight], ...]
    """Rank and statistics."""
    num_hidden_annotators: int
    tasks: tuple[_Task, ...]
    most_classes: int = MOST_CLASSES
    """Rows that a table of classes has room for."""


def render_report(service: Service, project_id: int) -> str:
    """Show a project on one page: per question, how good its labels are, and which are doubtful.

    Names of people and classes are escaped; the page has neither scripts nor anything that a
    browser would load.

    Returns
    -------
    str
        A complete HTML document.

    Raises
    ------
    UnknownProjectError
        The service does not look after the project.
    NothingToComputeError
        Nothing was computed for it yet.
    """
    info = known_project(service, project_id)
    sections = [
        _section_of(service, project_id, info.questions, one)
        for one in question_insights(service.store(project_id))
    ]
    return _TEMPLATES.get_template("report.html").render(
        title=info.title or f"Project {project_id}",
        project=project_id,
        made_at=datetime.now(tz=UTC),
        synced_at=info.synced_at,
        version=__version__,
        sections=sections,
    )


def _section_of(
    service: Service, project_id: int, questions: Sequence[Question], one: QuestionInsight
) -> _Section:
    store = service.store(project_id)
    board = leaderboard(store, one.number, show_names=service.settings.show_names)
    ranked = tuple(enumerate(board, start=1))
    if len(ranked) > MOST_ANNOTATORS:
        half = MOST_ANNOTATORS // 2
        ranked = (*ranked[:half], *ranked[-half:])
    classes = _classes_of(one)
    has_matrix = len(one.summary.classes) <= MOST_MATRIX_CLASSES
    return _Section(
        insight=one,
        histogram=_histogram_of(one.quality_histogram),
        classes=classes[:MOST_CLASSES],
        num_hidden_classes=max(0, len(classes) - MOST_CLASSES),
        matrix=_matrix_of(one) if has_matrix else (),
        pairs=() if has_matrix else _pairs_of(one),
        annotators=ranked,
        num_hidden_annotators=len(board) - len(ranked),
        tasks=_tasks_of(service, project_id, questions, one),
    )


def _histogram_of(counts: NDArray[np.int64]) -> _Histogram:
    """Heights up to 1, places of the bars from 0 to 1."""
    step = _round_step(int(counts.max()))
    top = max(step, math.ceil(counts.max() / step) * step)
    num_bins = len(counts)
    bars = tuple(
        _Bar(
            left=place / num_bins,
            height=count / top,
            title=f"{place / num_bins:.2f} to {(place + 1) / num_bins:.2f}: {count:,} tasks",
        )
        for place, count in enumerate(counts.tolist())
    )
    return _Histogram(bars, tuple((value / top, value) for value in range(0, top + 1, step)))


def _round_step(largest: int) -> int:
    """Distance of at most five lines across: 1, 2 or 5 times a power of ten."""
    wanted = max(1, largest) / 4
    power = 10 ** math.floor(math.log10(wanted)) if wanted >= 1 else 1
    return next(step for step in (power, 2 * power, 5 * power, 10 * power) if step >= wanted)


def _classes_of(one: QuestionInsight) -> tuple[_Class, ...]:
    """Classes by number of tasks, the most frequent first."""
    whole = max(1, int(one.class_counts.sum()))
    given = one.confusion.sum(axis=1)
    agreeing = np.full(len(given), np.nan)
    np.divide(np.diagonal(one.confusion), given, out=agreeing, where=given > 0)
    return tuple(
        _Class(
            name=one.summary.classes[place],
            num_consensus=int(one.class_counts[place]),
            share=float(one.class_counts[place] / whole),
            num_majority=float(one.majority_counts[place]),
            agreeing=float(agreeing[place]),
        )
        for place in np.argsort(-one.class_counts, kind="stable").tolist()
    )


def _matrix_of(one: QuestionInsight) -> tuple[tuple[str, tuple[_Cell, ...]], ...]:
    whole = np.maximum(one.confusion.sum(axis=1, keepdims=True), 1)
    rows = zip(one.confusion.tolist(), (one.confusion / whole).tolist(), strict=True)
    return tuple(
        (name, tuple(_Cell(count, share) for count, share in zip(counts, shares, strict=True)))
        for name, (counts, shares) in zip(one.summary.classes, rows, strict=True)
    )


def _pairs_of(one: QuestionInsight) -> tuple[tuple[str, str, int], ...]:
    """Cells off the diagonal with the most labels."""
    given, consensus = np.nonzero(one.confusion)
    differs = given != consensus
    given, consensus = given[differs], consensus[differs]
    counts = one.confusion[given, consensus]
    classes = one.summary.classes
    return tuple(
        (classes[given[place]], classes[consensus[place]], int(counts[place]))
        for place in np.argsort(-counts, kind="stable")[:MOST_PAIRS].tolist()
    )


def _tasks_of(
    service: Service, project_id: int, questions: Sequence[Question], one: QuestionInsight
) -> tuple[_Task, ...]:
    """Most doubtful tasks of a question."""
    question = one.summary
    page = task_page(service, project_id, TaskQuery(question=question.name, limit=MOST_TASKS))
    tasks = [row.task for row in page.rows]
    votes = _votes_of(service.store(project_id), questions, one, tasks)
    data = f"{service.settings.label_studio_url.rstrip('/')}/projects/{project_id}/data"
    return tuple(
        _Task(row, tuple(votes[row.task].most_common()), f"{data}?task={row.task}")
        for row in page.rows
    )


def _votes_of(
    store: ProjectStore,
    questions: Sequence[Question],
    one: QuestionInsight,
    tasks: Sequence[int],
) -> defaultdict[int, Counter[str]]:
    """Number of labels by class, of each task."""
    rows = store.label_quality(len(questions)).read(sorted(tasks))
    votes: defaultdict[int, Counter[str]] = defaultdict(Counter)
    codes = rows["label"][:, one.number]
    answered = rows["task"].tolist()
    told = answer_words(store, questions[one.number], answered, codes.tolist())
    for task, words in zip(answered, told, strict=True):
        if words is not None:
            votes[task][words] += 1
    return votes


def _percent(value: float | None, digits: int = 1) -> str:
    """Share in per cent, an en dash for none."""
    return "–" if value is None or math.isnan(value) else f"{100 * value:.{digits}f} %"


def _number(value: float) -> str:
    """Count with thin spaces between groups of three digits."""
    return f"{value:,.0f}".replace(",", "\u2009")


def _decimal(value: float | None) -> str:
    """Score or coefficient, an en dash for none."""
    return "–" if value is None or math.isnan(value) else f"{value:.3f}"


def _moment(value: float) -> str:
    """Seconds since 1970 as date and time."""
    return datetime.fromtimestamp(value, tz=UTC).strftime("%Y-%m-%d %H:%M UTC")


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("backend.exports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=_percent, number=_number, decimal=_decimal, moment=_moment)
    return environment


_TEMPLATES = _environment()
