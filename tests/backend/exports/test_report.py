"""The report: complete, harmless, and with the numbers of the store."""

import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser

from backend.errors import NothingToComputeError, UnknownProjectError
from backend.exports import report
from backend.exports.report import render_report
from backend.insights.annotators import leaderboard
from backend.insights.questions import question_insights
from backend.insights.tasks import TaskQuery, task_page
from backend.jobs.insights import store_insights
from backend.label_studio.questions import Question
from backend.service import Service
from backend.store.project import ProjectInfo, ProjectStore
from tests.backend.jobs.test_recompute import FIRST, WORDS

SCRIPT = "<script>alert(1)</script>"
LOADED = {"script", "link", "img", "iframe", "object", "embed", "audio", "video", "source", "base",
          "form", "input", "meta"}  # fmt: skip


class Page(HTMLParser):
    """Tags of a page with their attributes, and the text of each section's tables."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: dict[str, list[list[str]]] = {}
        self._caption, self._open = "", ""
        self._table: list[list[str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag == "table":
            self._table, self._caption = [], ""
        if tag == "tr":
            self._table.append([])
        if tag in {"td", "th"}:
            self._table[-1].append("")
        if tag in {"td", "th", "caption"}:
            self._open = tag

    def handle_endtag(self, tag: str) -> None:
        if tag == self._open:
            self._open = ""
        if tag == "table":
            self.rows.setdefault(self._caption, []).extend(self._table)

    def handle_data(self, text: str) -> None:
        if self._open == "caption":
            self._caption += text
        elif self._open:
            self._table[-1][-1] = f"{self._table[-1][-1]} {text.strip()}".strip()


@pytest.fixture
def summed(service: Service, computed: ProjectStore) -> Service:
    """The service with what pages show, and markup in the title."""
    info = computed.read_info()
    assert info is not None
    store_insights(computed)
    computed.touch(info, title=SCRIPT)
    return service


@pytest.fixture
def marked(summed: Service, computed: ProjectStore) -> Service:
    """The same with markup in a class as well."""
    info, summary = computed.read_info(), computed.read_summary()
    assert info is not None
    assert summary is not None
    first, second = summary.questions
    marked = replace(first, classes=(SCRIPT, "bad"))
    question = replace(info.questions[0], classes=(SCRIPT, "bad"))
    computed.touch(info, questions=(question, info.questions[1]))
    with computed.transaction() as changes:
        computed.stage_summary(changes, replace(summary, questions=(marked, second)))
    return summed


def test_it_loads_nothing_and_runs_nothing(summed: Service) -> None:
    text = render_report(summed, 25)
    page = Page(text)
    loaded = [(tag, one) for tag, one in page.tags if tag in LOADED]
    assert [one for tag, one in loaded if tag != "meta"] == []
    assert all("http-equiv" not in one for _, one in loaded)
    assert "url(" not in text
    assert "@import" not in text
    attributes = {name for _, one in page.tags for name in one}
    assert not [name for name in attributes if name.startswith("on") or name in {"src", "srcset"}]
    links = {str(one["href"]) for tag, one in page.tags if tag == "a"}
    assert all(re.match(r"(#question-|http://studio\.example:8080/projects/25/)", x) for x in links)
    ids = [one["id"] for _, one in page.tags if one.get("id")]
    assert len(ids) == len(set(ids))


def test_markup_in_names_is_shown_as_it_is(marked: Service) -> None:
    text = render_report(marked, 25)
    assert "<script" not in text
    rows = Page(text).rows
    assert f"{SCRIPT}@example.com" in [row[1] for row in rows["Leaderboard"]]
    assert SCRIPT in [row[0] for row in rows["Classes by number of tasks"]]
    assert SCRIPT in rows["Labels by the class given and the consensus"][0]
    assert SCRIPT in [row[1] for row in rows["Tasks of the lowest consensus quality"]]


def test_the_numbers_are_those_of_the_pages(summed: Service, computed: ProjectStore) -> None:
    text = render_report(summed, 25)
    rows = Page(text).rows
    mood, tense = question_insights(computed)
    for one in (mood, tense):
        assert one.consensus_accuracy is not None
        assert one.majority_accuracy is not None
        assert one.agreement is not None
        for value in (one.consensus_accuracy, one.majority_accuracy, one.unanimous):
            assert f"<strong>{100 * value:.1f} %</strong>" in text
        assert f"<strong>{one.agreement.alpha.value:.3f}</strong>" in text
    board = [row for number in (0, 1) for row in leaderboard(computed, number)]
    shown = [row for row in rows["Leaderboard"] if row[0] != "#"]
    assert [row[1] for row in shown] == [one.name for one in board]
    for row, one in zip(shown, board, strict=True):
        quality = f"{one.quality:.3f}" if one.enough_data else "too little data"
        assert (row[2], row[6]) == (quality, f"{one.num_labels}")
    matrix = [row for row in rows["Labels by the class given and the consensus"] if row[0] in WORDS]
    counts = [[int(cell.split()[0].replace("·", "0")) for cell in row[1:]] for row in matrix]
    assert counts == mood.confusion.tolist()
    classes = {row[0]: row for row in rows["Classes by number of tasks"] if row[0] != "Class"}
    for place, name in enumerate(mood.summary.classes):
        assert classes[name][2] == str(mood.class_counts[place])
    tasks = [row for row in rows["Tasks of the lowest consensus quality"] if row[0] != "Task"]
    expected = [
        (f"Task {row.task}", row.consensus, f"{row.quality:.3f}", row.num_annotations)
        for question in ("mood", "tense")
        for row in task_page(summed, 25, TaskQuery(question, limit=report.MOST_TASKS)).rows
    ]
    votes = [sum(map(int, re.findall(r"(\d+) ×", row[3]))) for row in tasks]
    assert [(*row[:3], n) for row, n in zip(tasks, votes, strict=True)] == expected


def test_few_of_many_annotators_are_shown(summed: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MOST_ANNOTATORS", 2)
    rows = Page(render_report(summed, 25)).rows["Leaderboard"]
    assert [row[0] for row in rows] == ["#", "1", "1 more between them", "3", "#", "1", "2"]


def test_many_classes_are_shown_by_their_confusions(
    summed: Service, computed: ProjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "MOST_MATRIX_CLASSES", 1)
    monkeypatch.setattr(report, "MOST_CLASSES", 1)
    text = render_report(summed, 25)
    pairs = Page(text).rows["Confused classes, the most frequent first"][1:]
    mood = question_insights(computed)[0]
    off = {
        (given, said): int(mood.confusion[i, j])
        for i, given in enumerate(mood.summary.classes)
        for j, said in enumerate(mood.summary.classes)
        if i != j and mood.confusion[i, j]
    }
    assert {(given, said): int(n) for given, said, n in pairs[: len(off)]} == off
    assert "The 1 most frequent; 1 more are not shown." in text


def test_before_anything_is_summed_up_it_shows_what_there_is(service: Service) -> None:
    rows = Page(render_report(service, 25)).rows
    assert len(rows["Leaderboard"]) == 7
    assert len(rows["Tasks of the lowest consensus quality"]) == 2 + 2 * report.MOST_TASKS


def test_names_can_be_kept_back(make_service: Callable[..., Service], summed: Service) -> None:
    text = render_report(make_service(show_names=False), 25)
    assert "example.com" not in text
    assert "annotator 1" in text


def test_there_may_be_nothing_to_report(make_service: Callable[..., Service]) -> None:
    service = make_service()
    with pytest.raises(UnknownProjectError):
        render_report(service, 25)
    store = service.store(25)
    with store.transaction() as changes:
        store.stage_info(changes, ProjectInfo("t", "<View/>", (Question("q", "t", ("a",)), FIRST)))
    with pytest.raises(NothingToComputeError):
        render_report(service, 25)


@pytest.mark.parametrize(
    ("largest", "step"),
    [(0, 1), (1, 1), (4, 1), (5, 2), (8, 2), (20, 5), (21, 10), (575, 200), (10**6, 500_000)],
)
def test_lines_across_are_at_round_numbers(largest: int, step: int) -> None:
    found = report._histogram_of(np.array([0, largest, largest // 2]))
    counts = [count for _, count in found.ticks]
    assert counts[1] - counts[0] == step
    assert counts[-1] >= largest
    assert 2 <= len(counts) <= 6
    assert max(bar.height for bar in found.bars) <= 1


@pytest.mark.parametrize("width", [1440, 390])
def test_it_fits_the_screen_and_asks_for_nothing(
    marked: Service, browser: Browser, tmp_path: Path, width: int
) -> None:
    file = tmp_path / "report.html"
    file.write_text(render_report(marked, 25))
    page = browser.new_page(viewport={"width": width, "height": 900})
    asked: list[str] = []
    dialogs: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    page.goto(file.as_uri())
    assert page.title() == f"{SCRIPT}: label quality"
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert asked == [file.as_uri()]
    assert dialogs == []
