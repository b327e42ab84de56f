"""How fast the pages are, in a real browser, on a project of 100,000 tasks.

    python -m benchmarks.pages [--short]

The project is put into a redis-server of its own, recomputed and summed up as workers do it.
The web application runs under gunicorn with its default settings. There is no Label Studio, so
that the content of a task is not shown; all that is shown comes from the store.

A page is interactive when its heading and its rows or charts are drawn and the browser has
nothing left to do. A cold view is the first one of a browser that has stored nothing; a warm one
loads the page anew; a click follows a link inside the pages.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
from playwright.sync_api import Browser, Page, Request, sync_playwright
from redis import Redis
from rich.console import Console

from backend.jobs.insights import store_insights
from backend.jobs.recompute import recompute_project
from backend.processes import Processes, own_command
from backend.store.embedded import EmbeddedRedis
from backend.store.project import ProjectStore
from benchmarks.large import Size
from benchmarks.live.findings import Findings
from benchmarks.live.studio import unused_port
from benchmarks.live.waiting import wait_for
from benchmarks.projects import FIRST_ANNOTATOR, fill_project
from tests.e2e.chromium import find_chromium

PAGE_SECONDS = 2.0
FILTER_SECONDS = 0.5
GROWTH_MEGABYTES = 64.0

_PROJECT = 1
_WEEKS = 26
_AUDIT_ENTRIES = 100
_PATIENCE = 30_000
_CALLBACKS = "_dash-update-component"
_MEGABYTE = 2**20

_HAS_CHART = "document.querySelectorAll('.recharts-surface path').length"
_HAS_ROWS = "document.querySelectorAll('.ag-center-cols-container .ag-row .ag-cell').length > 20"


@dataclass(frozen=True)
class Workload:
    """Sizes and repetitions."""

    size: Size
    num_repeats: int
    """Views of each page of each kind, and uses of each filter."""
    num_views: int
    """Page views between two looks at the memory."""


FULL = Workload(Size(100_000, 500, 10, (5, 5)), num_repeats=7, num_views=200)
SHORT = Workload(Size(5_000, 50, 10, (5, 5)), num_repeats=1, num_views=7)


@dataclass(frozen=True)
class View:
    """A page, and how to see that it is complete."""

    name: str
    path: str
    is_there: str
    """JavaScript expression that is true when what the page is about is drawn."""
    link: str = ""
    """Address of a link that leads there from the overview; empty if none does."""


VIEWS = (
    View("projects", "/", "document.querySelector('main .card.linked')", link="/"),
    View("overview", "/projects/1", f"{_HAS_CHART} >= 4"),
    View("annotators", "/projects/1/annotators", _HAS_ROWS, link="/projects/1/annotators"),
    View(
        "one annotator",
        f"/projects/1/annotators/{FIRST_ANNOTATOR}",
        f"document.querySelector('.matrix td') && {_HAS_CHART}",
    ),
    View("review", "/projects/1/review", _HAS_ROWS, link="/projects/1/review"),
    View("one task", "/projects/1/tasks/77", "document.querySelector('.parts tfoot td')"),
    View(
        "activity",
        "/projects/1/activity",
        "document.querySelectorAll('main tbody tr').length > 20",
        link="/projects/1/activity",
    ),
)


@dataclass(frozen=True)
class Site:
    """The running service."""

    url: str
    web: int
    """Process id of the web application."""
    first_answer: float
    """Seconds from its start to its first page."""

    def megabytes(self) -> float:
        """Resident memory of gunicorn and its workers."""
        return sum(map(_resident, [self.web, *_children(self.web)])) / _MEGABYTE


def _resident(process: int) -> int:
    fields = Path(f"/proc/{process}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


def _children(process: int) -> list[int]:
    children = Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(child) for child in children.split()]


def fill(store: ProjectStore, size: Size) -> tuple[float, float]:
    """Make a project as workers leave it; seconds of its recompute and of summing it up."""
    num_labels = size.num_tasks * sum(size.labels_per_task) // 2
    span = _WEEKS * 7 * 86_400 * 1_000_000
    fill_project(store, size, microseconds_apart=span // num_labels)
    people = range(FIRST_ANNOTATOR, FIRST_ANNOTATOR + size.num_annotators)
    store.save_annotator_names({person: f"person.{person}@example.com" for person in people})
    with store.transaction() as changes:
        for number in range(_AUDIT_ENTRIES):
            store.stage_audit(changes, "publish", predictions=number, version="crowdlab-000001")
    began = time.perf_counter()
    recompute_project(store)
    recomputed = time.perf_counter()
    assert store_insights(store)
    return recomputed - began, time.perf_counter() - recomputed


@contextmanager
def serving(redis_url: str, folder: Path) -> Iterator[Site]:
    """Run the web application as `crowdlab web` does."""
    port = unused_port()
    environment = {**os.environ, "PORT": str(port), "REDIS_URL": redis_url, "LOG_LEVEL": "WARNING"}
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            page = httpx.get(url, headers={"Accept": "text/html"}, trust_env=False)
        except httpx.HTTPError:
            return False
        return page.is_success

    with Processes() as processes:
        began = time.perf_counter()
        processes.start("web", own_command("web"), environment, folder / "web.log")
        wait_for(answers, 60, "the web application answers")
        seconds = time.perf_counter() - began
        (web,) = (one for one in _children(os.getpid()) if _listens(one))
        yield Site(url, web, seconds)


def _listens(process: int) -> bool:
    return b"web" in Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")


def _ready(view: View) -> str:
    """JavaScript: milliseconds since `window.began` when a view is interactive, else false."""
    heading = "document.querySelector('main h1')"
    return (
        f"() => {heading} && ({view.is_there}) ? new Promise(done => requestIdleCallback("
        "() => done(performance.now() - (window.began || 0)))) : false"
    )


def load(page: Page, url: str, view: View) -> float:
    """Seconds from navigation until a view is interactive."""
    page.goto(url + view.path, wait_until="commit")
    return _seconds(page, _ready(view))


def click(page: Page, url: str, view: View) -> float:
    """Seconds from a click on a link of the overview until the page behind it is interactive."""
    load(page, url, next(one for one in VIEWS if one.name == "overview"))
    page.evaluate(
        "address => { window.began = performance.now();"
        " document.querySelector(`a[href='${address}']`).click(); }",
        view.link,
    )
    return _seconds(page, _ready(view))


def _seconds(page: Page, expression: str) -> float:
    found = page.wait_for_function(expression, timeout=_PATIENCE).json_value()
    return float(found) / 1000


_ROWS = (
    "JSON.stringify([document.querySelector('#review-count')?.textContent, "
    "[...document.querySelectorAll('.ag-row')].slice(0, 12).map(row => row.textContent)])"
)
_WATCH = f"""() => {{
    window.before = {_ROWS};
    window.began = 0;
    for (const kind of ['input', 'pointerup', 'keydown'])
        document.addEventListener(kind, () => {{ window.began = performance.now(); }}, true);
}}"""
_NEW_ROWS = f"""() => {{
    const now = {_ROWS};
    const cells = [...document.querySelectorAll('.ag-row .ag-cell[col-id=task]')];
    const isLoading = cells.some(cell => !cell.textContent);
    return window.began && now !== window.before && !isLoading
        ? performance.now() - window.began : false;
}}"""


def act(page: Page, action: Callable[[Page], None]) -> float:
    """Seconds from the last key or click of an action until the grid shows other rows."""
    page.evaluate(_WATCH)
    action(page)
    return _seconds(page, _NEW_ROWS)


def _choose_class(page: Page) -> None:
    page.click("#review-class")
    page.get_by_role("option").nth(3).click()


def _narrow_quality(page: Page) -> None:
    track = page.locator(".mantine-RangeSlider-track")
    box = track.bounding_box()
    assert box is not None
    # As long as a hand takes: a click of no length is not noticed.
    x, y = box["x"] + 0.6 * box["width"], box["y"] + box["height"] / 2
    page.mouse.click(x, y, delay=80)


def _sort_by(name: str) -> Callable[[Page], None]:
    return lambda page: page.click(f".ag-header-cell[col-id={name}] .ag-header-cell-label")


def _sort_twice_by(name: str) -> Callable[[Page], None]:
    def action(page: Page) -> None:
        _sort_by(name)(page)
        page.wait_for_selector(f".ag-header-cell[col-id={name}][aria-sort=ascending]")
        _sort_by(name)(page)

    return action


_REVIEW: dict[str, Callable[[Page], None]] = {
    "filter by class": _choose_class,
    "filter by quality": _narrow_quality,
    "filter by labels": lambda page: page.fill("#review-labels", "6"),
    "filter by task": lambda page: page.fill("#review-task", "123"),
    "only disputed": lambda page: page.locator("label[for=review-disputed]").first.click(),
    # They are sorted by it, the lowest first, to begin with.
    "sort by quality": _sort_by("quality"),
    # By the other score, the lowest are the same ones.
    "sort by ActiveLab score": _sort_twice_by("active_learning_score"),
    "sort by agreement": _sort_by("agreement"),
    "sort by labels": _sort_by("num_annotations"),
    "sort by task": _sort_by("task"),
}
_ANNOTATORS: dict[str, Callable[[Page], None]] = {
    "find a person": lambda page: page.fill("#annotator-search", "person.33"),
    "sort by labels": _sort_by("num_labels"),
}

ACTIONS = {"review": _REVIEW, "annotators": _ANNOTATORS}
"""Filters and sorts, by page."""


def measure_views(browser: Browser, site: Site, num_repeats: int, findings: Findings) -> None:
    """Time from navigation to interactive, of every page."""
    for view in VIEWS:
        cold, warm, clicked = [], [], []
        for _ in range(num_repeats):
            context = browser.new_context(viewport={"width": 1440, "height": 900})
            page = context.new_page()
            cold.append(load(page, site.url, view))
            warm.append(load(page, site.url, view))
            if view.link:
                clicked.append(click(page, site.url, view))
            context.close()
        for kind, seconds in (("cold", cold), ("warm", warm), ("click", clicked)):
            if seconds:
                part = "interactive"
                findings.percentiles(
                    part,
                    f"{view.name}, {kind}",
                    np.asarray(seconds),
                    limit=PAGE_SECONDS,
                    percentile=50,
                )


def measure_actions(browser: Browser, site: Site, num_repeats: int, findings: Findings) -> None:
    """Time from a filter or sort to the rows that follow from it."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    for name, actions in ACTIONS.items():
        view = next(one for one in VIEWS if one.name == name)
        for what, action in actions.items():
            seconds = []
            for _ in range(num_repeats):
                load(page, site.url, view)
                seconds.append(act(page, action))
            findings.percentiles(
                name, what, np.asarray(seconds), limit=FILTER_SECONDS, percentile=50
            )
    page.close()


def measure_bytes(browser: Browser, site: Site, findings: Findings) -> None:
    """What a browser that has stored nothing fetches for each page."""
    for view in VIEWS:
        sizes = _fetched(browser, site, view)
        outside = [url for url in sizes if not url.startswith((site.url, "data:", "blob:"))]
        findings.none_of("bytes", f"{view.name}, requests to elsewhere", len(outside))
        total = sum(sizes.values()) / _MEGABYTE
        data = sum(size for url, size in sizes.items() if _CALLBACKS in url) / _MEGABYTE
        reached = f"{total:.2f} MiB, of which data {data:.3f} MiB"
        findings.note("bytes", f"{view.name}, cold", reached)


def _fetched(browser: Browser, site: Site, view: View) -> dict[str, int]:
    """Bytes of all answers to a first view, by address."""
    done: list[Request] = []
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.on("requestfinished", lambda request: done.append(request))
    load(page, site.url, view)
    sizes: dict[str, int] = {}
    for one in done:
        parts = one.sizes()
        size = parts["responseBodySize"] + parts["responseHeadersSize"]
        sizes[one.url] = sizes.get(one.url, 0) + size
    context.close()
    return sizes


def measure_memory(browser: Browser, site: Site, num_views: int, findings: Findings) -> None:
    """Memory of the web application after some page views, and after more."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    before = site.megabytes()
    for number in range(num_views):
        load(page, site.url, VIEWS[number % len(VIEWS)])
    after = site.megabytes()
    page.close()
    findings.note("memory", "web application", f"{before:,.0f} MiB, then {after:,.0f} MiB")
    findings.at_most(
        "memory", f"growth by {num_views} views", after - before, GROWTH_MEGABYTES, "MiB"
    )


def measure(workload: Workload) -> Findings:
    """Everything, on a project of its own."""
    findings = Findings()
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedRedis(Path(folder))
        server.start()
        try:
            recompute, insights = fill(
                ProjectStore(Redis.from_url(server.url), _PROJECT), workload.size
            )
            findings.note("made", "recomputed", f"{recompute:.2f} s")
            findings.note("made", "summed up for the pages", f"{insights:.2f} s")
            with serving(server.url, Path(folder)) as site, sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=find_chromium(), args=["--no-sandbox", "--disable-gpu"]
                )
                findings.note("made", "first answer after the start", f"{site.first_answer:.2f} s")
                measure_views(browser, site, workload.num_repeats, findings)
                measure_actions(browser, site, workload.num_repeats, findings)
                measure_bytes(browser, site, findings)
                measure_memory(browser, site, workload.num_views, findings)
                browser.close()
        finally:
            server.stop()
    return findings


def main() -> int:
    """Run the benchmark; 1 if a result is wrong or, in the full form, a target is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="a small project, for CI")
    is_short = parser.parse_args().short
    workload = SHORT if is_short else FULL
    findings = measure(workload)
    findings.print(Console(width=140), f"Pages on {workload.size}")
    is_missed = any(row.is_met is False for row in findings.rows)
    return 1 if findings.wrong or (is_missed and not is_short) else 0


if __name__ == "__main__":
    sys.exit(main())
