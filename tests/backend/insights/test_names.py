"""What annotators are called."""

from collections.abc import Callable

import pandas as pd
import pytest

from backend.exports.data_sets import open_data_set
from backend.exports.names import DataSetName
from backend.insights.annotators import leaderboards
from backend.insights.names import AnnotatorNames
from backend.insights.task import task_detail
from backend.service import Service
from backend.store.project import ProjectStore
from backend.web.app import create_app
from backend.web.dashboard import annotators, shell
from backend.web.dashboard.place import Page, Place

KNOWN = {1: "ann@example.com", 2: "<script>alert(1)</script>@example.com", 3: "annotator 3"}
HIDDEN = {number: f"annotator {number}" for number in (1, 2, 3)}


def test_whom_nobody_has_named_is_called_by_number(computed: ProjectStore) -> None:
    names = AnnotatorNames.read(computed, show_names=True)
    assert {one: names.of(one) for one in KNOWN} == KNOWN
    assert AnnotatorNames({4: ""}).of(4) == "annotator 4"


def test_names_can_be_kept_back(computed: ProjectStore) -> None:
    names = AnnotatorNames.read(computed, show_names=False)
    assert {one: names.of(one) for one in KNOWN} == HIDDEN


@pytest.mark.parametrize(("show_names", "expected"), [(True, KNOWN), (False, HIDDEN)])
def test_everything_that_shows_people_calls_them_so(
    service: Service,
    make_service: Callable[..., Service],
    show_names: bool,
    expected: dict[int, str],
) -> None:
    service = make_service(show_names=show_names)
    web = create_app(service).test_client()
    board = leaderboards(service.store(25), show_names=show_names)[0]
    assert {one.annotator: one.name for one in board.annotators} == expected
    detail = task_detail(service, 25, 3).answers[0]
    assert {one.annotator: one.name for one in detail.labels} == expected
    assert detail.explanation is not None
    parts = [one for one in detail.explanation.contributions if one.annotator is not None]
    assert {one.annotator: one.name for one in parts} == expected
    rows = annotators.rows_of(service, Place(Page.ANNOTATORS, 25))
    assert {int(row["annotator"]): row["name"] for row in rows} == expected
    for annotator, name in expected.items():
        crumbs = shell.crumbs(service, Place(Page.ANNOTATOR, 25, annotator))
        assert crumbs.children[-1].children == name
        answer = web.get(f"/api/projects/25/annotators/{annotator}").json
        assert answer is not None
        assert answer["name"] == name
    for data_set, column in {
        DataSetName.LEADERBOARD: "name",
        DataSetName.LABELS: "annotator_name",
    }.items():
        parts_of = open_data_set(service, 25, data_set).parts()
        found = pd.concat([one.to_pandas() for one in parts_of])
        named = dict(zip(found["annotator"], found[column], strict=True))
        assert {one: named[one] for one in expected} == expected
        assert named[4] == "annotator 4"
