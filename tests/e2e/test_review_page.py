"""A lead asks for one more label on the page, and somebody else gives it."""

import pytest
from playwright.sync_api import Browser, Page, expect

from backend.store.project import ProjectStore
from tests.e2e.conftest import Running, Studio, wait_for
from tests.e2e.test_reannotation import fully_labelled, next_of, states_of, states_of_requests

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def page(browser: Browser) -> Page:
    """A browser window of the lead."""
    window = browser.new_page(viewport={"width": 1440, "height": 900})
    window.set_default_timeout(60_000)
    return window


@pytest.fixture(scope="module")
def project(studio: Studio, running: Running) -> int:
    return fully_labelled(studio, running)


@pytest.fixture
def store(running: Running, project: int) -> ProjectStore:
    return running.service.store(project)


def choose(page: Page, running: Running, project: int, row: int) -> int:
    """Open the page, and tick a row of the review; returns its task."""
    page.goto(f"{running.service.settings.public_url}/projects/{project}/review")
    links = page.locator(".ag-center-cols-container .cell-link")
    links.nth(row).wait_for()
    task = int(links.nth(row).inner_text())
    page.locator(f".ag-row[row-id='{task}'] .ag-checkbox-input").first.check()
    return task


def quality_of(page: Page, task: int) -> float:
    cell = page.locator(f".ag-row[row-id='{task}'] [col-id='quality'] .number")
    return float(cell.inner_text())


def test_asked_on_the_page_labelled_by_somebody_else_and_seen_without_reload(
    studio: Studio, running: Running, project: int, page: Page, store: ProjectStore
) -> None:
    task = choose(page, running, project, 0)
    before = quality_of(page, task)
    assert next_of(studio, project, "dan") is None
    page.get_by_role("button", name="Ask for one more label (1)").click()
    expect(page.locator("#plan-content")).to_contain_text("3 → 4")
    assert states_of(studio, project)[task] == (3, True)
    page.get_by_role("button", name="Ask for 1 labels").click()
    expect(page.locator("#review-requests")).to_contain_text("1 tasks wait for one more label")
    assert states_of(studio, project)[task] == (4, False)
    got = next_of(studio, project, "dan")
    assert got is not None
    assert (got["id"], got["predictions"], got["annotations"]) == (task, [], [])
    for name in ("ann", "bob", "cat"):
        assert next_of(studio, project, name) is None
    answer = next(word for word in ("positive", "negative") if word in got["data"]["text"])
    studio.annotate(task, "dan", answer)
    wait_for(lambda: states_of_requests(store)[task] == "answered", 20)
    wait_for(lambda: quality_of(page, task) > before, 20)
    expect(page.locator("#review-requests")).not_to_contain_text("wait for one more label")
    stored = float(store.consensus(1).read([task])["quality"][0, 0])
    wait_for(lambda: quality_of(page, task) == pytest.approx(stored, abs=5.1e-4), 20)


def test_a_request_is_taken_back_on_the_page(
    studio: Studio, running: Running, project: int, page: Page
) -> None:
    before = states_of(studio, project)
    task = choose(page, running, project, 1)
    page.get_by_role("button", name="Ask for one more label (1)").click()
    page.get_by_role("button", name="Ask for 1 labels").click()
    page.get_by_role("button", name="Take these requests back").click()
    expect(page.get_by_text("1 requests are taken back")).to_be_visible()
    assert states_of(studio, project)[task] == before[task]


def test_a_suggestion_is_a_dry_run_until_it_is_asked(
    studio: Studio, running: Running, project: int, page: Page, store: ProjectStore
) -> None:
    before = states_of(studio, project)
    page.goto(f"{running.service.settings.public_url}/projects/{project}/review")
    page.get_by_role("button", name="Suggest tasks …").click()
    budget = page.get_by_label("At most tasks")
    budget.fill("2")
    expect(page.get_by_role("button", name="Ask for 2 labels")).to_be_enabled()
    expect(page.locator("#plan-content tbody tr")).to_have_count(2)
    page.get_by_label("ActiveLab below").fill("0.0001")
    expect(page.locator("#plan-content")).to_contain_text("No task fits")
    expect(page.get_by_role("button", name="Ask for 0 labels")).to_be_disabled()
    page.get_by_role("button", name="Cancel").click()
    assert states_of(studio, project) == before


def test_a_consensus_is_accepted_as_ground_truth(
    studio: Studio, running: Running, project: int, page: Page, store: ProjectStore
) -> None:
    task = choose(page, running, project, 2)
    page.get_by_role("button", name="Accept as ground truth").click()
    expect(page.get_by_text("1 consensus labels are ground truth now")).to_be_visible()
    (found,) = studio.client.tasks_by_id(project, [task])
    (truth,) = [one for one in found["annotations"] if one["ground_truth"]]
    shown = page.locator(f".ag-row[row-id='{task}'] [col-id='consensus']").inner_text()
    assert truth["result"][0]["value"]["choices"] == [shown]
    assert store.accepted()[task] == truth["id"]
