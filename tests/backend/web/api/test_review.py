"""The endpoints of re-annotation, as far as no Label Studio is needed; see tests/e2e."""

from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from backend.jobs.review_plan import ReviewPlan
from backend.store.project import ProjectStore
from backend.store.review import RequestState, ReviewPolicy
from backend.web.api.answers import ShownPlan
from backend.web.api.parameters import MOST_TASKS, PolicyBody
from tests.backend.jobs.test_requests import request_rows
from tests.backend.jobs.test_review_plan import PLANNED
from tests.backend.web.api.conftest import Api

ONE = "/projects/{project}"


def test_defaults_are_those_of_the_policy() -> None:
    assert PolicyBody().to_policy() == ReviewPolicy(budget=MOST_TASKS)
    policy = ReviewPolicy(
        budget=7,
        threshold=0.25,
        most_extra=3,
        min_hours=1.5,
        exclude_below=0.5,
        tasks=(3, 4),
        only_labeled=True,
        blind=False,
    )
    body = {**asdict(policy), "tasks": [3, 4]}
    assert PolicyBody.model_validate(body).to_policy() == policy


@pytest.mark.parametrize(
    ("body", "is_bounded"),
    [
        ({}, False),
        ({"blind": False, "most_extra": 1}, False),
        ({"budget": 1}, True),
        ({"threshold": 0.0}, True),
        ({"tasks": [5]}, True),
    ],
)
def test_a_policy_says_how_much(body: dict[str, Any], is_bounded: bool) -> None:
    assert PolicyBody.model_validate(body).is_bounded is is_bounded


def test_a_plan_is_shown_as_the_terminal_shows_it() -> None:
    plan = ReviewPlan(25, ReviewPolicy(budget=2), (PLANNED,), 9, {"labelled by everybody": 2}, (4,))
    shown, plain = asdict(ShownPlan.of(plan)), plan.to_plain()
    assert list(shown.pop("tasks")) == plain.pop("tasks")
    assert shown == plain


def test_requests_are_listed_the_newest_first(api: Api, computed: ProjectStore) -> None:
    rows = request_rows(
        task=[7, 8, 9, 10],
        state=[RequestState.OPEN, RequestState.ANSWERED, RequestState.NOTED, RequestState.OPEN],
        requested_at=[5.0, 6.0, 7.0, 8.0],
        quality=[0.5, 0.5, np.nan, 0.25],
    )
    with computed.transaction() as changes:
        computed.requests.stage_all(changes, rows)
    found = api.get("/projects/25/review/requests", f"{ONE}/review/requests")
    assert found["num_requests"] == 3
    shown = [(one["task"], one["state"], one["quality"]) for one in found["requests"]]
    assert shown == [(10, "open", 0.25), (9, "noted", None), (7, "open", 0.5)]
    part = api.get("/projects/25/review/requests", f"{ONE}/review/requests", offset=1, limit=1)
    assert part["num_requests"] == 3
    assert part["requests"] == found["requests"][1:2]


def test_where_nothing_is_asked_nothing_is_taken_back(api: Api) -> None:
    said = api.ask("post", "/projects/25/review/undo", f"{ONE}/review/undo", {}, 200, {})
    assert said["num_requests"] == 0
    assert said["report"]["withdrawn"] == 0


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("plan", {"budget": 0}, 400, "`budget` is 0"),
        ("plan", {"budget": MOST_TASKS + 1}, 400, f"`budget` is {MOST_TASKS + 1}"),
        ("plan", {"budget": True}, 400, "`budget` is True"),
        ("plan", {"budget": "3"}, 400, "`budget` is '3'"),
        ("plan", {"threshold": 1.5}, 400, "`threshold` is 1.5"),
        ("plan", {"most_extra": 0}, 400, "`most_extra` is 0"),
        ("plan", {"min_hours": -1}, 400, "`min_hours` is -1"),
        ("plan", {"tasks": [1, "x"]}, 400, "`tasks.1` is 'x'"),
        ("plan", {"tasks": list(range(1, MOST_TASKS + 2))}, 400, "`tasks` is"),
        ("plan", {"tasks": [2**63]}, 400, "`tasks.0` is"),
        ("plan", {"blind": "no"}, 400, "`blind` is 'no'"),
        ("plan", {"by": "me"}, 400, "There is no parameter `by`"),
        ("plan", [], 400, "must be a JSON object, not a list"),
        ("apply", {}, 400, "Give `budget`, `threshold` or `tasks`."),
        ("apply", {"blind": True}, 400, "Give `budget`, `threshold` or `tasks`."),
        ("plan", {}, 500, "LABEL_STUDIO_API_KEY is not set"),
        ("apply", {"budget": 3}, 500, "LABEL_STUDIO_API_KEY is not set"),
        ("undo", {"tasks": [0]}, 400, "`tasks.0` is 0"),
        ("undo", {"budget": 1}, 400, "There is no parameter `budget`"),
    ],
)
def test_refusals_say_why(api: Api, path: str, body: Any, status: int, said: str) -> None:
    where = f"review/{path}"
    answer = api.ask("post", f"/projects/25/{where}", f"{ONE}/{where}", {}, status, body)
    assert said in answer["error"]


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b'{"a":' * 70 + b"1" + b"}" * 70, b"null"])
def test_bodies_are_read_strictly(web: FlaskClient, raw: bytes) -> None:
    answer = web.post("/api/projects/25/review/plan", data=raw)
    assert answer.status_code == 400
    assert answer.json is not None
    assert "The request body" in answer.json["error"]


def test_large_bodies_are_refused(web: FlaskClient) -> None:
    answer = web.post("/api/projects/25/review/plan", data=b" " * (1024 * 1024 + 1))
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("post", "review/plan"),
        ("post", "review/apply"),
        ("post", "review/undo"),
        ("post", "tasks/3/ground-truth"),
        ("delete", "tasks/3/ground-truth"),
    ],
)
def test_other_sites_cannot_act_nor_anybody_on_unknown_projects(
    web: FlaskClient, method: str, path: str
) -> None:
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example"}):
        answer = web.open(f"/api/projects/25/{path}", method=method, json={}, headers=headers)
        assert answer.status_code == 403
    body = {"budget": 1} if path.endswith("apply") else {}
    answer = web.open(f"/api/projects/26/{path}", method=method, json=body)
    assert answer.status_code == 404
    assert "Project 26 is not known" in str(answer.json)


def test_what_was_not_accepted_is_not_taken_back(api: Api) -> None:
    template = f"{ONE}/tasks/{{task}}/ground-truth"
    said = api.ask("delete", "/projects/25/tasks/3/ground-truth", template, {}, 409)
    assert "was not accepted as ground truth here" in said["error"]
    said = api.ask("post", "/projects/25/tasks/3/ground-truth", template, {}, 500)
    assert "LABEL_STUDIO_API_KEY is not set" in said["error"]
