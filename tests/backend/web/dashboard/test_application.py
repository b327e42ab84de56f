"""The pages, as a browser asks for them."""

import json
import re
from dataclasses import replace

import pytest
from flask.testing import FlaskClient
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from backend.jobs.insights import store_insights
from backend.service import Service
from backend.web.app import create_app
from backend.web.dashboard.place import Page, Place
from benchmarks.live.studio import unused_port
from tests.backend.web.dashboard.conftest import Call, caller, shown

PAGES = [
    (Place(Page.PROJECTS), "up to date|not synced"),
    (Place(Page.OVERVIEW, 25), "Krippendorff"),
    (Place(Page.OVERVIEW, 25, question="tense"), "later"),
    (Place(Page.ANNOTATORS, 25), "Leaderboard"),
    (Place(Page.ANNOTATOR, 25, annotator=3), "Agreement with colleagues"),
    (Place(Page.REVIEW, 25), "Consensus quality"),
    (Place(Page.TASK, 25, task=3), "Why this consensus"),
    (Place(Page.MODELS, 25), "Upload predictions"),
    (Place(Page.ACTIVITY, 25), "Audit trail"),
]


def page(call: Call, place: Place) -> str:
    path, _, search = place.address.partition("?")
    return shown(
        call(
            "page.children",
            "address.pathname",
            address__pathname=path,
            address__search=f"?{search}",
            stamp__data="",
        )
    )


@pytest.mark.parametrize(("place", "text"), PAGES)
def test_every_page_is_shown(call: Call, place: Place, text: str) -> None:
    found = page(call, place)
    assert re.search(text, found)
    assert "This page cannot be shown" not in found


@pytest.mark.parametrize(
    ("place", "text"),
    [
        (Place(Page.OVERVIEW, 77), "Project 77 is not known"),
        (Place(Page.OVERVIEW, 25, question="colour"), "asks no question 'colour'"),
        (Place(Page.ANNOTATOR, 25, annotator=99), "No annotator 99"),
        (Place(Page.TASK, 25, task=10_000), "no task 10000"),
    ],
)
def test_what_is_not_there_is_said(call: Call, place: Place, text: str) -> None:
    found = page(call, place)
    assert "This page cannot be shown" in found
    assert text in found


def test_an_unknown_address_is_refused(web: FlaskClient) -> None:
    answer = web.get("/projects/25/nonsense", headers={"Accept": "text/html"})
    assert answer.status_code == 404


def test_the_frame_asks_for_nothing_from_elsewhere(web: FlaskClient) -> None:
    answer = web.get("/projects/25", headers={"Accept": "text/html"})
    assert answer.status_code == 200
    text = answer.get_data(as_text=True)
    assert not re.findall(r"(?:src|href)=\"(?:https?:)?//", text)
    policy = answer.headers["Content-Security-Policy"]
    assert "'unsafe-eval'" not in policy
    for script in re.findall(r"<script(?![^>]*src)[^>]*>", text):
        assert "application/json" in script or "sha256-" in policy


def test_a_page_that_shows_the_newest_is_not_made_anew(call: Call, service: Service) -> None:
    same = {"address__pathname": "/projects/25/review", "address__search": ""}
    assert call("page.children", "stamp.data", **same, shown__data="/projects/25/review") == {}
    other = {"address__pathname": "/projects/25", "address__search": ""}
    found = call("page.children", "stamp.data", **other, shown__data="/projects/25")
    assert "Krippendorff" in shown(found)


@pytest.mark.parametrize("kind", [Page.OVERVIEW, Page.ANNOTATORS])
def test_a_page_without_labels_fills_when_there_are_some(
    call: Call, service: Service, kind: Page
) -> None:
    store = service.store(25)
    summary = store.read_summary()
    assert summary is not None
    with store.lock(), store.transaction() as changes:
        store.stage_forget_results(changes, 2)
    at = {"address__pathname": Place(kind, 25).address, "address__search": ""}
    found = call("page.children", "address.pathname", **at)
    assert "Nothing was computed for project 25 yet." in shown(found)
    assert "This page cannot be shown" not in shown(found)
    assert found["shown"]["data"] is None
    with store.lock(), store.transaction() as changes:
        store.stage_summary(changes, summary)
    later = call("page.children", "stamp.data", **at, shown__data=found["shown"]["data"])
    assert later["shown"]["data"] == Place(kind, 25).address
    assert "Nothing was computed" not in shown(later)


def test_nobody_has_answered_is_no_failure(call: Call, service: Service) -> None:
    store = service.store(25)
    summary = store.read_summary()
    assert summary is not None
    first, second = summary.questions
    questions = (first, replace(second, annotators=()))
    with store.lock(), store.transaction() as changes:
        store.stage_summary(changes, replace(summary, questions=questions))
    found = page(call, Place(Page.ANNOTATORS, 25, question="tense"))
    assert "Nobody has answered 'tense' yet." in found
    assert "This page cannot be shown" not in found


def test_a_store_that_is_away_is_said_and_waited_for(service: Service) -> None:
    away = Service(service.settings, Redis(port=unused_port(), retry=Retry(NoBackoff(), 0)))
    call = caller(create_app(away).test_client())
    at = {"address__pathname": "/projects/25", "address__search": ""}
    looked = call("stamp.data", "tick.n_intervals", **at, stamp__data="25:1:2:v")
    assert looked["stamp"]["data"] == ""
    assert "The store (Redis) does not answer" in shown(looked)
    found = page(call, Place(Page.OVERVIEW, 25))
    assert "The store (Redis) cannot be used now." in found


def test_the_stamp_changes_with_the_data(call: Call, service: Service) -> None:
    at = {"address__pathname": "/projects/25"}
    first = call("stamp.data", "tick.n_intervals", **at, stamp__data=None)["stamp"]["data"]
    again = call("stamp.data", "tick.n_intervals", **at, stamp__data=first)
    assert "stamp" not in again
    store = service.store(25)
    info = store.read_info()
    assert info is not None
    with store.lock():
        store.touch(info, data_version=info.data_version + 1)
    later = call("stamp.data", "tick.n_intervals", **at, stamp__data=first)["stamp"]["data"]
    assert later != first


def test_banners_say_what_is_wrong(call: Call, service: Service) -> None:
    store = service.store(25)
    at = {"address__pathname": "/projects/25"}
    assert call("stamp.data", "tick.n_intervals", **at)["banners"]["children"] == []
    store.save_last_error("Label Studio is on fire. Put it out.")
    store.inbox.add("{}")
    with store.lock():
        (entry,) = store.inbox.take(1)
        store.inbox.bury(entry, "not an event")
    text = shown(call("stamp.data", "tick.n_intervals", **at))
    assert "Label Studio is on fire" in text
    assert "1 events could not be applied" in text
    assert "not an event" in page(call, Place(Page.ACTIVITY, 25))


def test_names_are_text_and_can_be_kept_back(service: Service, call: Call) -> None:
    assert "<script>alert(1)</script>@example.com" in page(call, Place(Page.ANNOTATORS, 25))
    hidden = Service(service.settings.model_copy(update={"show_names": False}), service.redis)
    store_insights(hidden.store(25))
    body = create_app(hidden).test_client().get("/projects/25").get_data(as_text=True)
    assert "ann@example.com" not in body


def test_the_rows_of_the_review_are_filtered_and_sorted(call: Call) -> None:
    def rows(sort: list[dict[str, str]], *filters: object) -> tuple[list[dict[str, object]], str]:
        wanted = {
            "startRow": 0,
            "endRow": 10,
            "sortModel": sort,
            "filterModel": {"filters": {"filter": json.dumps(filters)}},
        }
        found = call(
            "review.getRowsResponse",
            "review.getRowsRequest",
            review__getRowsRequest=wanted,
            address__pathname="/projects/25/review",
            address__search="",
        )
        response = found["review"]["getRowsResponse"]
        return response["rowData"], found["review-count"]["children"]

    everything, count = rows([], None, [0, 1], 1, "", False)
    assert count == "90 of 90 tasks"
    qualities = [row["quality"] for row in everything]
    assert qualities == sorted(qualities)
    disputed, count = rows([], None, [0, 1], 1, "", True)
    assert count == "30 of 90 tasks"
    assert all(row["agreement"] < 1 for row in disputed)
    good, count = rows([{"colId": "task", "sort": "desc"}], "good", [0, 1], 1, "", False)
    assert count == "45 of 90 tasks"
    assert [row["task"] for row in good][:2] == ["90", "88"]
    none, count = rows([], None, [0, 0], 1, "", False)
    assert (none, count) == ([], "0 of 90 tasks")
    _, said = rows([], "purple", [0, 1], 1, "", False)
    assert "has no class 'purple'" in json.dumps(said)


def test_a_bar_of_the_histogram_leads_to_its_tasks(web: FlaskClient) -> None:
    known = web.get("/_dash-dependencies").get_json()
    (one,) = [entry for entry in known if entry["output"] == "address.href"]
    bar = {"id": {"role": "quality-chart", "page": "overview"}, "property": "clickData"}
    body = {
        "output": "address.href",
        "outputs": {"id": "address", "property": "href"},
        "inputs": [[{**bar, "value": {"from": "0.35", "Tasks": 4}}]],
        "changedPropIds": ['{"page":"overview","role":"quality-chart"}.clickData'],
        "state": [
            {"id": "address", "property": "pathname", "value": "/projects/25"},
            {"id": "address", "property": "search", "value": "?question=tense"},
        ],
    }
    assert len(one["inputs"]) == 1
    answer = web.post("/_dash-update-component", json=body).get_json()
    address = answer["response"]["address"]["href"]
    assert address == "/projects/25/review?question=tense&quality=0.35-0.4"
