"""The pages, in a real browser on a real project."""

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Locator,
    Page,
    expect,
)
from redis import Redis

from backend.insights.task import task_detail
from backend.insights.tasks import TaskQuery, TaskSort, task_page
from backend.jobs.insights import store_insights
from backend.jobs.recompute import recompute_project
from backend.processes import Processes, own_command
from backend.service import Service
from backend.store.embedded import EmbeddedRedis
from backend.store.project import ProjectStore
from benchmarks.large import Size
from benchmarks.live.studio import unused_port
from benchmarks.projects import fill_project
from tests.e2e.conftest import Running, Studio, choice_result, wait_for
from tests.e2e.test_live import crowdlab

pytestmark = pytest.mark.e2e

ATTACK = "<script>window.pwned=1</script><img src=x onerror=window.pwned=1>"
MARKED_CLASS = "<b onmouseover=window.pwned=1>bold</b>"
MARKED_NAME = '"<img/src=x/onerror=window.pwned=1>"'
MARKED_TITLE = "<i onclick=window.pwned=1>Moods</i>"
CLASSES = ("positive", "negative", MARKED_CLASS)
NUM_TASKS = 30
USER, PASSWORD = "lead", "a-password-for-pages"


def config() -> str:
    escaped = [
        one.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") for one in CLASSES
    ]
    choices = "".join(f'<Choice value="{one}"/>' for one in escaped)
    return (
        '<View><Text name="text" value="$text"/>'
        f'<Choices name="label" toName="text" choice="single">{choices}</Choices></View>'
    )


def labels() -> list[dict[str, str]]:
    """Four annotators, of whom one is often wrong."""
    entries = []
    for number in range(NUM_TASKS):
        right = CLASSES[number % 3]
        wrong = CLASSES[(number + 1) % 3]
        entries.append(
            {
                "ann": right,
                "bob": wrong if number % 10 == 7 else right,
                "cat": wrong if number % 3 == 0 else right,
                MARKED_NAME: right,
            }
        )
    return entries


@dataclass
class Pages:
    """A project with its pages."""

    url: str
    project: int
    service: Service
    tasks: list[int]
    people: dict[str, int]
    attacked: int
    """Task with markup in its text."""
    addresses: dict[str, str] = field(default_factory=dict)

    @property
    def store(self) -> ProjectStore:
        return self.service.store(self.project)

    def api(self, path: str, **query: Any) -> Any:
        answer = httpx.get(f"{self.url}/api/projects/{self.project}{path}", params=query)
        assert answer.is_success, answer.text
        return answer.json()


@pytest.fixture(scope="module")
def pages(studio: Studio, running: Running) -> Pages:
    """A connected project with markup wherever people can put it."""
    number = studio.make_project(config(), MARKED_TITLE)
    tasks = studio.add_tasks(number, labels())
    attacked = studio.client.import_tasks(
        number,
        [
            {
                "data": {"text": ATTACK},
                "annotations": [
                    {
                        "completed_by": studio.person(name),
                        "ground_truth": False,
                        "result": choice_result(choice),
                    }
                    for name, choice in {"ann": MARKED_CLASS, MARKED_NAME: "positive"}.items()
                ],
            }
        ],
    )
    studio.as_person("dan")
    crowdlab(running, "connect", str(number))
    store = running.service.store(number)
    wait_for(lambda: store.read_insights(0) is not None, 60)
    found = Pages(
        running.service.settings.public_url,
        number,
        running.service,
        tasks,
        {name: studio.person(name) for name in ("ann", "bob", "cat", MARKED_NAME)},
        attacked[0],
    )
    base = f"/projects/{number}"
    found.addresses = {
        "projects": "/",
        "overview": base,
        "annotators": f"{base}/annotators",
        "annotator": f"{base}/annotators/{found.people['cat']}",
        "review": f"{base}/review",
        "task": f"{base}/tasks/{found.attacked}",
        "models": f"{base}/models",
        "activity": f"{base}/activity",
    }
    return found


KINDS = ("projects", "overview", "annotators", "annotator", "review", "task", "models", "activity")
DRAWN = {
    "projects": ".card.linked",
    "overview": ".matrix td",
    "annotators": ".ag-center-cols-container .ag-row",
    "annotator": ".matrix td",
    "review": ".ag-center-cols-container .ag-row .cell-link",
    "task": ".parts tfoot td",
    "models": "main tbody tr",
    "activity": "main tbody tr",
}


@dataclass
class Watch:
    """What a browser window did that it should not."""

    faults: list[str] = field(default_factory=list)

    def on(self, page: Page, own: str) -> None:
        def console(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning"):
                self.faults.append(f"console: {message.text}")

        page.on("console", console)
        page.on("pageerror", lambda error: self.faults.append(f"script: {error}"))
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith((own, "data:", "blob:"))
                else self.faults.append(f"request to {request.url}")
            ),
        )


Open = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, pages: Pages) -> Iterator[Open]:
    """Open an address in a window of its own, in which nothing may go wrong.

    Markup that runs anywhere fails the test, whatever it is about.
    """
    watch = Watch()
    contexts = []

    def open_(
        address: str, width: int = 1440, scheme: str = "light", url: str = "", **options: Any
    ) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if scheme == "dark" else "light",
            **options,
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        watch.on(page, url or pages.url)
        page.goto((url or pages.url) + address)
        return page

    yield open_
    for context in contexts:
        for page in context.pages:
            assert page.evaluate("window.pwned") is None
        context.close()
    assert watch.faults == []


def drawn(page: Page, kind: str) -> Page:
    page.locator("main h1").wait_for()
    page.locator(DRAWN[kind]).first.wait_for()
    return page


def column(page: Page, name: str) -> list[str]:
    """Texts of a column, from the top."""
    return page.locator(f".ag-row .ag-cell[col-id={name}]").all_inner_texts()


def numbers(texts: list[str]) -> list[float]:
    return [float(text.replace("\u2009", "").rstrip("\u00a0 %")) for text in texts if text.strip()]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", [1440, 390])
def test_every_page_opens(open_page: Open, pages: Pages, kind: str, width: int) -> None:
    page = drawn(open_page(pages.addresses[kind], width), kind)
    assert page.locator("[role=alert]").count() == 0
    expect(page.locator("#banners")).to_be_empty()
    page.wait_for_load_state("networkidle")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_links_lead_from_page_to_page(open_page: Open, pages: Pages) -> None:
    page = drawn(open_page("/"), "projects")
    page.get_by_role("link", name=MARKED_TITLE).click()
    drawn(page, "overview")
    page.get_by_role("link", name="Annotators").click()
    drawn(page, "annotators")
    page.get_by_role("link", name="cat@example.com").click()
    drawn(page, "annotator")
    expect(page.locator("main h1")).to_have_text("cat@example.com")
    page.get_by_role("link", name="Review").click()
    drawn(page, "review")
    page.go_back()
    drawn(page, "annotator")
    assert page.url == pages.url + pages.addresses["annotator"]


def test_models_are_uploaded_and_dropped(open_page: Open, pages: Pages, tmp_path: Path) -> None:
    page = drawn(open_page(pages.addresses["models"]), "models")
    report = page.locator("#models-report")
    (tmp_path / "wrong.csv").write_text("doc,a\n1,1\n")
    page.locator("#models-file input").set_input_files(tmp_path / "wrong.csv")
    expect(report).to_contain_text("wrong.csv has no column 'task'")
    info = pages.store.read_info()
    assert info is not None
    classes = info.questions[0].classes
    file = tmp_path / "their model.csv"
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["task", *classes])
        writer.writerows([task, 1, *[0] * (len(classes) - 1)] for task in pages.tasks)
        writer.writerow([pages.tasks[0], 0.5])
    page.locator("#models-file input").set_input_files(file)
    expect(report).to_contain_text("their-model is stored", timeout=15_000)
    expect(report).to_contain_text("1 rows not used")
    page.get_by_role("button", name="Drop their-model").click()
    expect(report).to_contain_text("their-model is forgotten", timeout=15_000)
    expect(page.get_by_role("button", name="Drop their-model")).to_have_count(0)


def test_the_leaderboard_sorts(open_page: Open, pages: Pages) -> None:
    page = drawn(open_page(pages.addresses["annotators"]), "annotators")
    header = page.locator(".ag-header-cell[col-id=num_labels] .ag-header-cell-label")
    header.click()
    wait_for(lambda: numbers(column(page, "num_labels")) == [30, 30, 31, 31])
    header.click()
    wait_for(lambda: numbers(column(page, "num_labels")) == [31, 31, 30, 30])
    page.locator(".ag-header-cell[col-id=quality] .ag-header-cell-label").click()
    wait_for(lambda: _is_ascending(numbers(column(page, "quality"))))
    assert column(page, "name")[0] == "cat@example.com"


def _is_ascending(values: list[float]) -> bool:
    return len(values) == 4 and values == sorted(values) and values[0] < values[-1]


def test_the_leaderboard_finds_a_person(open_page: Open, pages: Pages) -> None:
    page = drawn(open_page(pages.addresses["annotators"]), "annotators")
    assert len(column(page, "name")) == 4
    page.get_by_label("Find a person").fill("bob")
    wait_for(lambda: column(page, "name") == ["bob@example.com"])
    page.get_by_label("Find a person").fill("nobody")
    wait_for(lambda: not column(page, "name"))
    page.get_by_label("Find a person").fill("")
    wait_for(lambda: len(column(page, "name")) == 4)


def test_page_api_and_download_agree(open_page: Open, pages: Pages) -> None:
    page = drawn(open_page(pages.addresses["annotators"]), "annotators")
    with page.expect_download() as started:
        page.get_by_role("link", name="CSV").click()
    table = pd.read_csv(started.value.path()).set_index("annotator")
    (board,) = pages.api("/annotators")["questions"]
    assert sorted(table.index) == sorted(row["annotator"] for row in board["annotators"])
    for row in board["annotators"]:
        for name in ("quality", "agreement_with_consensus", "num_labels", "name", "worst_class"):
            assert table.loc[row["annotator"], name] == row[name]
    shown = dict(
        zip(column(page, "name"), numbers(column(page, "quality")), strict=True),
    )
    assert shown == {row["name"]: round(row["quality"], 3) for row in board["annotators"]}


def count_of(page: Page) -> str:
    return page.locator("#review-count").inner_text().replace("\u2009", "")


def expected_tasks(pages: Pages, **query: Any) -> list[str]:
    found = task_page(pages.service, pages.project, TaskQuery(limit=100, **query))
    return [str(row.task) for row in found.rows]


def shows(page: Page, tasks: list[str], total: int = NUM_TASKS + 1) -> bool:
    """Whether Review shows these tasks, as far as there is room."""
    shown = column(page, "task")
    is_part = bool(shown) == bool(tasks) and shown == tasks[: len(shown)]
    return is_part and count_of(page) == f"{len(tasks)} of {total} tasks"


def test_review_filters_by_class(open_page: Open, pages: Pages) -> None:
    page = drawn(open_page(pages.addresses["review"]), "review")
    wait_for(lambda: shows(page, expected_tasks(pages)))
    page.get_by_role("textbox", name="Consensus").click()
    page.get_by_role("option", name="negative").click()
    negative = expected_tasks(pages, consensus="negative")
    assert 0 < len(negative) < NUM_TASKS
    wait_for(lambda: shows(page, negative))
    assert set(column(page, "consensus")) == {"negative"}


def test_review_filters_by_quality_by_key(open_page: Open, pages: Pages) -> None:
    page = drawn(open_page(pages.addresses["review"]), "review")
    highest = page.get_by_label("Highest quality")
    for _ in range(6):
        highest.press("ArrowLeft")
    assert highest.get_attribute("aria-valuenow") == "0.7"
    doubtful = expected_tasks(pages, max_quality=0.7)
    assert 0 < len(doubtful) < NUM_TASKS
    wait_for(lambda: shows(page, doubtful))


def test_review_takes_its_filters_from_the_address(open_page: Open, pages: Pages) -> None:
    address = f"{pages.addresses['review']}?consensus={quote(MARKED_CLASS, safe='')}&quality=0.5-1"
    page = drawn(open_page(address), "review")
    wait_for(lambda: shows(page, expected_tasks(pages, consensus=MARKED_CLASS, min_quality=0.5)))


def test_review_shows_disputed_tasks_only(open_page: Open, pages: Pages) -> None:
    page = drawn(open_page(pages.addresses["review"]), "review")
    page.get_by_label("only disputed").press("Space")
    disputed = expected_tasks(pages, is_disputed=True)
    assert 0 < len(disputed) < NUM_TASKS
    wait_for(lambda: shows(page, disputed))
    assert "100.0%" not in column(page, "agreement")


def test_review_filters_by_number_of_labels_and_task(open_page: Open, pages: Pages) -> None:
    page = drawn(open_page(pages.addresses["review"]), "review")
    page.get_by_label("At least labels").fill("3")
    wait_for(lambda: shows(page, expected_tasks(pages, min_annotations=3)))
    digits = str(pages.tasks[4])
    page.get_by_label("Task", exact=True).fill(digits)
    wait_for(lambda: shows(page, expected_tasks(pages, min_annotations=3, text=digits)))
    page.get_by_label("At least labels").fill("9")
    wait_for(lambda: shows(page, []))


@pytest.mark.parametrize(
    ("name", "sort"),
    [("agreement", TaskSort.AGREEMENT), ("num_annotations", TaskSort.NUM_ANNOTATIONS)],
)
def test_review_sorts(open_page: Open, pages: Pages, name: str, sort: TaskSort) -> None:
    page = drawn(open_page(pages.addresses["review"]), "review")
    header = page.locator(f".ag-header-cell[col-id={name}] .ag-header-cell-label")
    header.click()
    wait_for(lambda: shows(page, expected_tasks(pages, sort=sort)))
    header.click()
    wait_for(lambda: shows(page, expected_tasks(pages, sort=sort, is_descending=True)))


def preview_task(page: Page, task: int) -> None:
    """Find a task of the review by its number, and select it."""
    page.get_by_label("Task", exact=True).fill(str(task))
    page.locator(f".ag-row[row-id='{task}'] .ag-cell[col-id=consensus]").click()


def test_review_previews_a_task(open_page: Open, pages: Pages) -> None:
    page = drawn(open_page(pages.addresses["review"]), "review")
    preview_task(page, pages.tasks[0])
    preview = page.locator("#review-preview")
    preview.get_by_text("thing number 0").wait_for()
    said = {row[0]: row[1] for row in table_of(preview.locator("table").first)}
    assert said == {
        "ann@example.com": "positive",
        "bob@example.com": "positive",
        "cat@example.com": "negative",
        f"{MARKED_NAME}@example.com": "positive",
    }
    preview.get_by_role("link", name="Why this consensus").click()
    drawn(page, "task")
    expect(page.locator("main h1")).to_have_text(f"Task {pages.tasks[0]}")


def table_of(table: Locator) -> list[list[str]]:
    """Texts of the body of a table, row by row."""
    rows = table.locator("tbody tr").all()
    return [row.locator("td, th").all_inner_texts() for row in rows]


def test_contributions_add_up_to_the_quality(open_page: Open, pages: Pages) -> None:
    task = int(column_of_api(pages)[0])
    page = drawn(open_page(f"/projects/{pages.project}/tasks/{task}"), "task")
    detail = task_detail(pages.service, pages.project, task)
    (answer,) = detail.answers
    parts = page.locator(".parts")
    exact = [_titles(row) for row in parts.locator("tbody tr").all()]
    totals = _titles(parts.locator("tfoot tr"))
    assert len(exact) == len(answer.labels) + 1
    for place, total in enumerate(totals):
        assert sum(row[place] for row in exact) == pytest.approx(total, abs=1e-12)
    assert sum(totals) == pytest.approx(1, abs=1e-12)
    winner = float(parts.locator("tfoot .winner").get_attribute("title") or "nan")
    assert winner == max(totals)
    assert winner == pytest.approx(answer.quality, abs=1e-12)
    assert page.get_by_text(f"{answer.quality:.3f}", exact=True).count() >= 1
    # What is shown adds up too, to the digits that are shown.
    rows = [[_shown(text) for text in row[2:]] for row in table_of(parts)]
    for place, total in enumerate(totals):
        assert sum(row[place] for row in rows) == pytest.approx(total, abs=1e-4 * len(rows))


def _titles(row: Locator) -> list[float]:
    """Exact numbers of a row, which its cells have as titles."""
    return [float(cell.get_attribute("title") or "nan") for cell in row.locator("td[title]").all()]


def _shown(text: str) -> float:
    return 0.0 if text == "·" else float(text)


def column_of_api(pages: Pages) -> list[int]:
    return [row["task"] for row in pages.api("/tasks", sort="quality", limit=5)["rows"]]


def test_markup_is_shown_as_text(open_page: Open, pages: Pages) -> None:
    page = drawn(open_page(pages.addresses["task"]), "task")
    expect(page.locator(".preview")).to_have_text(ATTACK)
    assert page.get_by_text(f"{MARKED_NAME}@example.com").count() >= 2
    assert page.get_by_text(MARKED_CLASS).count() >= 2
    for kind in KINDS:
        page = drawn(open_page(pages.addresses[kind]), kind)
        page.wait_for_load_state("networkidle")
        if kind != "projects":
            expect(page.locator("#crumbs")).to_contain_text(MARKED_TITLE)
        assert page.locator("main script, main b[onmouseover], main i[onclick]").count() == 0
        assert page.locator("img[onerror]").count() == 0
    page = drawn(open_page(pages.addresses["review"]), "review")
    preview_task(page, pages.attacked)
    expect(page.locator("#review-preview .preview")).to_have_text(ATTACK)


def luminance(page: Page) -> float:
    found = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return sum(map(float, re.findall(r"[\d.]+", found)[:3])) / (3 * 255)


def test_light_and_dark(open_page: Open, pages: Pages) -> None:
    page = drawn(open_page("/", scheme="light"), "projects")
    assert luminance(page) > 0.9
    page.get_by_role("button", name="Light or dark").click()
    wait_for(lambda: luminance(page) < 0.2)
    page.goto(pages.url + pages.addresses["annotators"])
    drawn(page, "annotators")
    assert luminance(page) < 0.2
    row = page.locator(".ag-center-cols-container .ag-row").first
    background = row.evaluate("one => getComputedStyle(one.closest('.ag-root')).backgroundColor")
    assert sum(map(float, re.findall(r"[\d.]+", background)[:3])) < 3 * 80
    assert luminance(drawn(open_page("/", scheme="dark"), "projects")) < 0.2


def focused(page: Page) -> str:
    return str(
        page.evaluate(
            "(() => { const one = document.activeElement; return [one.className, one.id, "
            "one.getAttribute('role'), one.getAttribute('aria-label'), one.textContent]"
            ".join(' | '); })()"
        )
    )


def test_keys_reach_everything(open_page: Open, pages: Pages) -> None:
    page = drawn(open_page(pages.addresses["annotators"]), "annotators")
    met = []
    for _ in range(40):
        page.keyboard.press("Tab")
        met.append(focused(page))
    for wanted in (
        "Skip to the content",
        "Light or dark",
        "Projects",
        "Overview",
        "Review",
        "Find a person",
        "CSV",
        "ag-header-cell",
        "ag-cell",
    ):
        assert any(wanted in one for one in met), (wanted, met)


def test_the_skip_link_leads_to_the_content(open_page: Open, pages: Pages) -> None:
    page = drawn(open_page(pages.addresses["overview"]), "overview")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    wait_for(lambda: page.evaluate("document.activeElement.id") == "page")
    expect(page.locator("main h1")).to_have_text(MARKED_TITLE)


def test_a_person_of_the_grid_opens_by_key(open_page: Open, pages: Pages) -> None:
    page = drawn(open_page(pages.addresses["annotators"]), "annotators")
    page.get_by_role("link", name="bob@example.com").focus()
    page.keyboard.press("Enter")
    expect(page.locator("main h1")).to_have_text("bob@example.com")


@pytest.mark.parametrize("address", ["/nowhere", "/projects/x", "/projects/1/tasks/", "/wp-admin"])
def test_a_wrong_address_is_not_found(pages: Pages, browser: Browser, address: str) -> None:
    page = browser.new_page()
    answer = page.goto(pages.url + address)
    assert answer is not None
    assert answer.status == 404
    assert "There is no such page." in page.inner_text("body")
    page.close()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("/projects/999999", "is not known"),
        ("/projects/{project}/tasks/999999999", "has no task"),
        ("/projects/{project}/annotators/999999", "No annotator"),
        ("/projects/{project}/review?question=weather", "asks no question"),
    ],
)
def test_what_is_not_there_is_said(open_page: Open, pages: Pages, address: str, said: str) -> None:
    page = open_page(address.format(project=pages.project))
    page.get_by_role("alert").get_by_text(said).wait_for()


@pytest.fixture
def serve(running: Running, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Run another web application with other settings; returns its address.

    It is named before `open_page`, so that windows are closed before it ends.
    """
    with Processes() as processes:

        def start(**environment: str) -> str:
            port = unused_port()
            values = {**running.environment, "PORT": str(port), **environment}
            processes.start(f"web{port}", own_command("web"), values, tmp_path / f"{port}.log")
            url = f"http://127.0.0.1:{port}"
            wait_for(lambda: _answers(url), 60)
            return url

        yield start


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=2).is_success
    except httpx.HTTPError:
        return False


def test_nothing_is_shown_without_credentials(
    pages: Pages, browser: Browser, serve: Callable[..., str], open_page: Open
) -> None:
    url = serve(BASIC_AUTH_USER=USER, BASIC_AUTH_PASS=PASSWORD)
    addresses = [
        *pages.addresses.values(),
        "/_dash-layout",
        "/_dash-dependencies",
        "/assets/crowdlab.css",
        f"/api/projects/{pages.project}",
    ]
    for address in addresses:
        answer = httpx.get(url + address, headers={"Accept": "text/html"})
        assert (answer.status_code, "Moods" in answer.text) == (401, False)
    assert httpx.post(f"{url}/_dash-update-component", json={}).status_code == 401
    context = browser.new_context(http_credentials={"username": USER, "password": "wrong"})
    page = context.new_page()
    page.goto(url + pages.addresses["overview"])
    assert "Wrong or missing credentials." in page.inner_text("body")
    assert page.locator("main").count() == 0
    context.close()
    known = {"username": USER, "password": PASSWORD}
    page = open_page(pages.addresses["overview"], url=url, http_credentials=known)
    drawn(page, "overview")


@pytest.fixture
def other_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """A Redis in which nothing is."""
    server = EmbeddedRedis(tmp_path_factory.mktemp("o"))
    server.start()
    yield server
    server.stop()


def test_a_service_without_projects_says_how_to_connect_one(
    other_store: EmbeddedRedis, serve: Callable[..., str], open_page: Open
) -> None:
    page = open_page("/", url=serve(REDIS_URL=other_store.url))
    page.get_by_text("No project is connected yet").wait_for()
    page.get_by_text("crowdlab connect PROJECT").wait_for()


def test_a_project_without_labels_says_so(
    open_page: Open, studio: Studio, running: Running
) -> None:
    number = studio.make_project(config(), "Nothing yet")
    studio.add_tasks(number, [{}, {}])
    crowdlab(running, "connect", str(number))
    page = open_page("/")
    page.get_by_role("link", name="Nothing yet").first.wait_for()
    page.get_by_text("no labels yet").first.wait_for()
    for path in ("", "/annotators", "/review", "/activity"):
        page = open_page(f"/projects/{number}{path}")
        page.locator("#crumbs").get_by_text("Nothing yet").wait_for()
        page.locator("#page h1, #page h2").first.wait_for()
        assert "NaN" not in page.inner_text("main")
        assert page.get_by_text("This page cannot be shown").count() == 0
    crowdlab(running, "disconnect", str(number))


def test_pages_go_on_while_label_studio_is_away(
    other_store: EmbeddedRedis, serve: Callable[..., str], open_page: Open
) -> None:
    store = ProjectStore(Redis.from_url(other_store.url), 1)
    fill_project(store, Size(60, 6, 3, (3, 3)))
    recompute_project(store)
    store_insights(store)
    away = f"http://127.0.0.1:{unused_port()}"
    url = serve(REDIS_URL=other_store.url, LABEL_STUDIO_URL=away, LABEL_STUDIO_API_KEY="a-token")
    for number in range(1, 7):
        page = open_page(f"/projects/1/tasks/{number}", url=url)
        drawn(page, "task")
        page.get_by_text("The task cannot be shown").wait_for()
    page.get_by_text("Label Studio does not answer").wait_for()
    drawn(open_page("/projects/1/review", url=url), "review")


def test_a_new_label_shows_without_reload(open_page: Open, studio: Studio, pages: Pages) -> None:
    task = pages.tasks[2]
    page = drawn(open_page(f"/projects/{pages.project}/tasks/{task}"), "task")
    page.evaluate("window.isSame = true")
    studio.annotate(task, "dan", CLASSES[2])
    page.locator(f"main a[href$='/annotators/{studio.person('dan')}']").first.wait_for()
    assert page.evaluate("window.isSame")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_accessibility(open_page: Open, pages: Pages, kind: str, scheme: str, width: int) -> None:
    page = drawn(open_page(pages.addresses[kind], width, scheme), kind)
    page.wait_for_load_state("networkidle")
    assert violations(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessibility_of_a_preview_and_of_a_failure(
    open_page: Open, pages: Pages, scheme: str
) -> None:
    page = drawn(open_page(pages.addresses["review"], 1440, scheme), "review")
    preview_task(page, pages.attacked)
    page.locator("#review-preview .preview").wait_for()
    assert violations(page) == []
    page = open_page("/projects/999999", 390, scheme)
    page.get_by_role("alert").wait_for()
    assert violations(page) == []


def violations(page: Page) -> list[str]:
    """What axe-core finds of serious or critical impact."""
    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']} ({one['impact']}): {node['html'][:200]}: {node['failureSummary'][:300]}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]
