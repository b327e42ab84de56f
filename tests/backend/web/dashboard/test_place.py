"""Addresses of pages."""

import pytest

from backend.web.dashboard.place import Page, Place, is_page, place_of


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("/", Place(Page.PROJECTS)),
        ("/projects/5", Place(Page.OVERVIEW, 5)),
        ("/projects/5?question=a%26b", Place(Page.OVERVIEW, 5, question="a&b")),
        ("/projects/5/annotators", Place(Page.ANNOTATORS, 5)),
        ("/projects/5/annotators/7", Place(Page.ANNOTATOR, 5, annotator=7)),
        ("/projects/5/review?quality=0.2-0.25", Place(Page.REVIEW, 5, quality=(0.2, 0.25))),
        ("/projects/5/review?consensus=%3Cb%3E", Place(Page.REVIEW, 5, consensus="<b>")),
        ("/projects/5/tasks/9", Place(Page.TASK, 5, task=9)),
        ("/projects/5/models", Place(Page.MODELS, 5)),
        ("/projects/5/activity", Place(Page.ACTIVITY, 5)),
    ],
)
def test_addresses_lead_there_and_back(address: str, place: Place) -> None:
    path, _, search = address.partition("?")
    assert place_of(path, f"?{search}") == place
    assert place.address == address
    assert is_page(path)


@pytest.mark.parametrize(
    "path",
    ["/nowhere", "/projects/x", "/projects/5/tasks/", "/projects/5/annotators/1e3", "/projects/-1"],
)
def test_other_addresses_are_no_pages(path: str) -> None:
    assert place_of(path) is None
    assert not is_page(path)


@pytest.mark.parametrize("text", ["", "0.5", "2-3", "0.9-0.1", "a-b", "0.1-0.2-0.3"])
def test_what_is_no_range_is_left_out(text: str) -> None:
    found = place_of("/projects/5/review", f"?quality={text}")
    assert found is not None
    assert found.quality is None
