"""The command `crowdlab review` without Label Studio."""

import json

import pytest
from redis import Redis

from backend import review
from backend.jobs.review_plan import ReviewPlan
from backend.store.project import ProjectStore
from backend.store.review import RequestState, ReviewPolicy
from tests.backend.jobs.test_requests import request_rows
from tests.backend.jobs.test_review_plan import PLANNED
from tests.backend.test_cli import run


@pytest.fixture
def asked(store: ProjectStore, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> ProjectStore:
    """A project with an open request and an answered one."""
    monkeypatch.setenv("REDIS_URL", redis_url)
    rows = request_rows(
        task=[7, 8],
        state=[RequestState.OPEN, RequestState.ANSWERED],
        old_overlap=[3, 3],
        new_overlap=[4, 4],
        score=[0.4, 0.5],
    )
    with store.transaction() as changes:
        store.requests.stage_all(changes, rows)
    return store


def test_open_requests_are_listed(
    asked: ProjectStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, shown, _ = run(monkeypatch, capsys, "review", "25", "--open")
    assert (code, shown) == (
        0, "task 7: waits for a label, asked never, overlap 3 → 4, score 0.400\n"
    )  # fmt: skip
    shown = run(monkeypatch, capsys, "review", "25", "--open", "--json")[1]
    (request,) = json.loads(shown)["requests"]
    assert (request["task"], request["state"], request["was_labeled"]) == (7, "open", False)


def test_no_open_request_is_said(
    redis: Redis,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    shown = run(monkeypatch, capsys, "review", "25", "--open")[1]
    assert shown == "No request of project 25 waits for a label.\n"


def test_the_automatic_review_is_switched(
    asked: ProjectStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--automatic", "--budget-per-day", "50", "--exclude-below", "0.6")
    shown = run(monkeypatch, capsys, "review", "25", *options)[1]
    assert "up to 50 task(s) a day (UTC)" in shown
    found = asked.read_automatic_review()
    assert found is not None
    assert found.policy == ReviewPolicy(budget=50, exclude_below=0.6)
    assert found.started_by.endswith("(crowdlab review)")
    shown = run(monkeypatch, capsys, "review", "25", "--no-automatic", "--json")[1]
    assert json.loads(shown) == {"project": 25, "automatic": None}
    assert asked.read_automatic_review() is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--apply", "--undo"), "--apply and --undo exclude each other."),
        (("--open", "--no-automatic"), "--open and --automatic exclude each other."),
        (("--tasks", "1,x"), "--tasks names 'x', which is no number of a task."),
        (("--threshold", "2"), "threshold is 2.0: it must be from 0 to 1."),
        (("--budget-per-day", "2"), "--budget-per-day says something to --automatic only."),
        (("--automatic",), "An automatic review needs a budget per day"),
        (("--apply",), "--apply needs to know how much to ask for."),
        ((), "Nothing was computed for project 25 yet."),
    ],
)
def test_what_cannot_be_done_is_a_sentence(
    asked: ProjectStore,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "0123456789abcdef0123456789abcdef01234567")
    code, _, said = run(monkeypatch, capsys, "review", "25", *options)
    assert code == 1
    assert message in said


def test_a_plan_is_a_table_with_reasons(capsys: pytest.CaptureFixture[str]) -> None:
    plan = ReviewPlan(25, ReviewPolicy(), (PLANNED,), 9, {"labelled by everybody": 2}, (4, 9))
    review._show_plan(plan)
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "Task Score Quality Labels Why",
        "7 0.400 0.550 3 → 4 2 × good, 1 × bad: good",
        "Left out: 2 task(s) labelled by everybody.",
        "Not counted as given: labels of annotators 4, 9.",
    ]
