"""What people see in Label Studio, in a real browser."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, sync_playwright

from tests.e2e.chromium import find_chromium
from tests.e2e.conftest import ADMIN, Running, Studio
from tests.e2e.test_live import LABELS, crowdlab

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def page(studio: Studio) -> Iterator[Page]:
    """A browser window in which the administrator is logged in."""
    options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=options)
        window = browser.new_page(viewport={"width": 1440, "height": 900})
        window.set_default_timeout(60_000)
        window.goto(f"{studio.url}/user/login/")
        window.fill("input[name=email]", ADMIN.email)
        window.fill("input[name=password]", ADMIN.password)
        window.click("button[type=submit]")
        window.wait_for_url(f"{studio.url}/**")
        yield window
        browser.close()


def test_the_tab_shows_score_and_consensus_most_doubtful_first(
    studio: Studio, running: Running, page: Page
) -> None:
    project = studio.make_project()
    studio.add_tasks(project, LABELS)
    link = crowdlab(running, "connect", str(project)).split()[-1]
    page.goto(link)
    page.get_by_text("Crowdlab consensus").first.wait_for()
    page.get_by_text("Prediction score").first.wait_for()
    page.get_by_text("Prediction results").first.wait_for()
    rows = page.locator(".dm-table__row-wrapper, [class*='row-wrapper']")
    rows.nth(3).wait_for()
    text = page.inner_text("body")
    scores = [float(word) for word in text.split() if _is_score(word)]
    assert len(scores) >= 5
    assert scores == sorted(scores)
    assert "choices: [positive]" in text or "choices: [negative]" in text
    assert page.get_by_text("Default").count() >= 1


def test_a_task_shows_the_consensus_as_a_prediction(
    studio: Studio, running: Running, page: Page
) -> None:
    project = studio.make_project()
    (task, *_) = studio.add_tasks(project, LABELS)
    crowdlab(running, "connect", str(project))
    version = studio.client.project(project)["model_version"]
    page.goto(f"{studio.url}/projects/{project}/data?task={task}")
    page.get_by_text(version).first.wait_for()


def _is_score(word: str) -> bool:
    return word.startswith("0.") and word[2:].isdigit()
