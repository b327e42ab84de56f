"""Choosing tasks to label once more; what Label Studio collects of them needs one."""

from dataclasses import replace

from backend.jobs.review_plan import PlannedTask, ReviewPlan
from backend.store.review import ReviewPolicy

PLANNED = PlannedTask(
    task=7,
    score=0.4,
    question="mood",
    consensus="good",
    quality=0.55,
    agreement=2 / 3,
    votes={"good": 2, "bad": 1},
    num_annotators=3,
    num_extra=0,
    overlap=3,
    new_overlap=4,
    was_labeled=True,
    last_annotation=703,
)


def plan_of(*tasks: PlannedTask, **policy: object) -> ReviewPlan:
    return ReviewPlan(25, ReviewPolicy(**policy), tasks, 10, {}, ())


def test_a_task_says_why_it_was_chosen() -> None:
    assert PLANNED.reason == ("2 × good, 1 × bad; consensus good with quality 0.550, score 0.400")
    new = replace(PLANNED, consensus=None, quality=None, votes={})
    assert new.reason == "nobody has labelled it; score 0.400"
    plain = plan_of(PLANNED, budget=1).to_plain()
    assert plain["tasks"][0]["reason"] == PLANNED.reason
    assert plain["policy"]["budget"] == 1


def test_open_tasks_need_no_request() -> None:
    waiting = replace(PLANNED, task=8, was_labeled=False, new_overlap=3)
    stuck = replace(PLANNED, task=9, was_labeled=False)
    plan = plan_of(waiting, PLANNED, stuck)
    assert [one.task for one in plan.to_ask] == [7, 9]
