from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page
from redis import Redis

from backend.store.embedded import EmbeddedRedis
from backend.store.project import ProjectStore
from benchmarks import pages
from benchmarks.large import Size
from benchmarks.live.findings import Findings
from benchmarks.pages import ACTIONS, VIEWS, Site

SIZE = Size(600, 20, 10, (5, 5))
VIEW = {view.name: view for view in VIEWS}


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    server = EmbeddedRedis(tmp_path_factory.mktemp("p"))
    server.start()
    pages.fill(ProjectStore(Redis.from_url(server.url), 1), SIZE)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def site(redis_server: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with pages.serving(redis_server.url, tmp_path_factory.mktemp("w")) as site:
        yield site


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    yield page
    page.close()


def test_labels_are_spread_over_half_a_year(redis_server: EmbeddedRedis) -> None:
    sums = ProjectStore(Redis.from_url(redis_server.url), 1).read_insights(0)
    assert sums is not None
    assert sums["week_labels"].sum() == 5 * SIZE.num_tasks
    assert len(set(sums["week"].tolist())) in (26, 27)


@pytest.mark.parametrize("name", VIEW)
def test_a_page_is_timed_until_it_is_there(site: Site, page: Page, name: str) -> None:
    assert 0 < pages.load(page, site.url, VIEW[name]) < 20
    assert page.locator("main h1").count() == 1
    assert page.evaluate(f"Boolean({VIEW[name].is_there})")


def test_a_click_is_timed_without_a_new_document(site: Site, page: Page) -> None:
    seconds = pages.click(page, site.url, VIEW["review"])
    assert 0 < seconds < 20
    assert page.url.endswith("/projects/1/review")
    assert page.evaluate("performance.getEntriesByType('navigation')[0].name").endswith("/1")


@pytest.mark.parametrize(
    ("name", "what"), [(name, what) for name, actions in ACTIONS.items() for what in actions]
)
def test_an_action_is_timed_until_its_rows_are_there(
    site: Site, page: Page, name: str, what: str
) -> None:
    pages.load(page, site.url, VIEW[name])
    before = page.evaluate(pages._ROWS)
    assert 0 < pages.act(page, ACTIONS[name][what]) < 10
    assert page.evaluate(pages._ROWS) != before


def test_all_that_a_page_fetches_is_counted(site: Site, browser: Browser) -> None:
    sizes = pages._fetched(browser, site, VIEW["annotators"])
    assert all(url.startswith(site.url) for url in sizes)
    (bundle,) = [url for url in sizes if "dash_ag_grid.v" in url]
    length = len(httpx.get(bundle).content)
    assert length <= sizes[bundle] < length + 2_000


def test_memory_is_that_of_gunicorn_and_its_workers(site: Site, browser: Browser) -> None:
    processes = [site.web, *pages._children(site.web)]
    assert len(processes) == 2
    kilobytes = 0
    for process in processes:
        status = Path(f"/proc/{process}/status").read_text()
        kilobytes += int(status.partition("VmRSS:")[2].split()[0])
    assert site.megabytes() == pytest.approx(kilobytes / 1024, rel=0.1)
    findings = Findings()
    pages.measure_memory(browser, site, 7, findings)
    assert findings.rows[-1].what == "growth by 7 views"
    assert findings.rows[-1].is_met is not None
