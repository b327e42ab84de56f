"""What people see in Label Studio, in a real browser."""

import pytest
from playwright.sync_api import Page

from tests.e2e.conftest import Running, Studio
from tests.e2e.test_live import LABELS, crowdlab

pytestmark = pytest.mark.e2e


def test_the_tab_shows_score_and_consensus_most_doubtful_first(
    studio: Studio, running: Running, studio_page: Page
) -> None:
    project = studio.make_project()
    studio.add_tasks(project, LABELS)
    link = crowdlab(running, "connect", str(project)).split()[-1]
    studio_page.goto(link)
    studio_page.get_by_text("Crowdlab consensus").first.wait_for()
    studio_page.get_by_text("Prediction score").first.wait_for()
    studio_page.get_by_text("Prediction results").first.wait_for()
    rows = studio_page.locator(".dm-table__row-wrapper, [class*='row-wrapper']")
    rows.nth(3).wait_for()
    text = studio_page.inner_text("body")
    scores = [float(word) for word in text.split() if _is_score(word)]
    assert len(scores) >= 5
    assert scores == sorted(scores)
    assert "choices: [positive]" in text or "choices: [negative]" in text
    assert studio_page.get_by_text("Default").count() >= 1


def test_a_task_shows_the_consensus_as_a_prediction(
    studio: Studio, running: Running, studio_page: Page
) -> None:
    project = studio.make_project()
    (task, *_) = studio.add_tasks(project, LABELS)
    crowdlab(running, "connect", str(project))
    version = studio.client.project(project)["model_version"]
    studio_page.goto(f"{studio.url}/projects/{project}/data?task={task}")
    studio_page.get_by_text(version).first.wait_for()


def _is_score(word: str) -> bool:
    return word.startswith("0.") and word[2:].isdigit()
