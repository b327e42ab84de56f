"""Asking for one more label in a real Label Studio, and what comes of it."""

from typing import Any

import httpx
import pytest

from backend.errors import (
    LabelStudioUnreachableError,
    NotAcceptedError,
    ProjectNotFoundError,
    ReviewPolicyError,
)
from backend.jobs import ground_truth, pipeline, reannotate
from backend.jobs.reannotate import ReviewReport
from backend.jobs.review_plan import ReviewPlan, plan_review
from backend.label_studio.client import LabelStudioClient
from backend.label_studio.project_setup import REVIEW_TAB_TITLE
from backend.store.project import ProjectStore, Work
from backend.store.review import RequestState, ReviewPolicy
from tests.e2e.conftest import Running, Studio, wait_for
from tests.e2e.test_live import LABELS, crowdlab, crowdlab_json, is_published

pytestmark = pytest.mark.e2e


def fully_labelled(studio: Studio, running: Running) -> int:
    """A connected project whose tasks have all the labels that they should have."""
    number = studio.make_project()
    studio.add_tasks(number, LABELS)
    studio.as_person("dan")
    crowdlab(running, "connect", str(number))
    wait_for(lambda: is_published(studio, running, number))
    return number


@pytest.fixture
def project(studio: Studio, running: Running) -> int:
    return fully_labelled(studio, running)


def next_of(studio: Studio, project: int, name: str) -> dict | None:
    """What Label Studio hands out to somebody; None if nothing."""
    try:
        return studio.as_person(name)._request("GET", f"api/projects/{project}/next/")
    except ProjectNotFoundError:
        return None


def scores_shown(studio: Studio, project: int) -> dict[int, float]:
    """Score of each task in the Data Manager."""
    answer = studio.client._request(
        "GET", "api/tasks", params={"project": project, "page_size": 100, "fields": "all"}
    )
    return {task["id"]: task["predictions_score"] for task in answer["tasks"]}


def ask(running: Running, project: int, **policy: Any) -> tuple[ReviewPlan, ReviewReport]:
    """Plan and apply a policy."""
    plan = plan_review(running.service, project, ReviewPolicy(**policy))
    return plan, reannotate.apply_plan(running.service, plan, by="a test")


def states_of(studio: Studio, project: int) -> dict[int, tuple[int, bool]]:
    return studio.client.task_states(project, studio.client.task_ids(project))


def states_of_requests(store: ProjectStore) -> dict[int, str]:
    return {one["task"]: one["state"] for one in reannotate.requests_of(store, tuple(RequestState))}


def test_a_plan_changes_nothing(studio: Studio, running: Running, project: int) -> None:
    before = (states_of(studio, project), studio.client.project(project))
    plan = crowdlab_json(running, "review", str(project), "--budget", "4")["plan"]
    after = (states_of(studio, project), studio.client.project(project))
    assert after == before
    assert [one["was_labeled"] for one in plan["tasks"]] == [True] * 4
    scores = [one["score"] for one in plan["tasks"]]
    rounded = [round(score, 2) for score in scores]
    assert rounded == sorted(rounded)
    tasks = studio.client.task_ids(project)
    doubtful = {task for task, entry in zip(tasks, LABELS, strict=True) if "neutral" in str(entry)}
    assert {one["task"] for one in plan["tasks"]} <= doubtful
    first = plan["tasks"][0]
    assert (first["overlap"], first["new_overlap"], first["num_annotators"]) == (3, 4, 3)
    assert sum(first["votes"].values()) == 3
    assert running.service.store(project).requests.read()["task"].tolist() == []
    recent = plan_review(running.service, project, ReviewPolicy(budget=4, min_hours=1))
    assert recent.tasks == ()
    assert recent.left_out == {"labelled or asked for too short ago": len(LABELS)}
    with pytest.raises(ReviewPolicyError, match="has no task 999999"):
        plan_review(running.service, project, ReviewPolicy(tasks=(tasks[0], 999_999)))


def test_somebody_else_labels_it_blind_and_the_request_is_closed(
    studio: Studio, running: Running, project: int
) -> None:
    store = running.service.store(project)
    assert next_of(studio, project, "dan") is None
    shown = scores_shown(studio, project)
    done = crowdlab_json(running, "review", str(project), "--budget", "1", "--apply")
    (task,) = [one["task"] for one in done["plan"]["tasks"]]
    assert done["report"]["opened"] == 1
    assert states_of(studio, project)[task] == (4, False)
    assert scores_shown(studio, project) == shown
    for name in ("ann", "bob", "cat"):
        assert next_of(studio, project, name) is None
    got = next_of(studio, project, "dan")
    assert got is not None
    assert (got["id"], got["predictions"], got["annotations"]) == (task, [], [])
    (request,) = crowdlab_json(running, "review", str(project), "--open")["requests"]
    assert (request["task"], request["state"], request["num_annotators"]) == (task, "open", 3)
    assert f"task {task}" in crowdlab(running, "review", str(project), "--open")

    before = float(store.consensus(1).read([task])["quality"][0, 0])
    answer = next(word for word in ("positive", "negative") if word in got["data"]["text"])
    studio.annotate(task, "dan", answer)
    wait_for(lambda: states_of_requests(store)[task] == "answered", 10)
    wait_for(lambda: store.consensus(1).read([task])["num_annotations"][0, 0] == 4, 10)
    assert float(store.consensus(1).read([task])["quality"][0, 0]) > before
    assert states_of(studio, project)[task] == (4, True)
    assert reannotate.requests_of(store) == []
    assert next_of(studio, project, "dan") is None
    audit = store.audit_trail()
    (asked,) = [one for one in audit if one["action"] == "ask again"]
    assert (asked["tasks"], asked["policy"]["budget"]) == ([task], 1)
    assert [one["tasks"] for one in audit if one["action"] == "answered"] == [[task]]
    undone = reannotate.withdraw_requests(running.service, project, tasks=(task,), by="a test")
    assert undone == ReviewReport(not_withdrawn=(task,))


def test_undo_restores_what_was_before(studio: Studio, running: Running, project: int) -> None:
    before = states_of(studio, project)
    ask(running, project, budget=3)
    assert sum(not labeled for _, labeled in states_of(studio, project).values()) == 3
    report = crowdlab_json(running, "review", str(project), "--undo")["report"]
    assert (report["withdrawn"], report["not_withdrawn"]) == (3, [])
    assert states_of(studio, project) == before
    assert next_of(studio, project, "dan") is None
    # Taken back, they may be asked for again.
    assert ask(running, project, budget=3)[1].opened == 3


def test_undo_says_what_it_cannot_undo(studio: Studio, running: Running, project: int) -> None:
    for hook in studio.client.webhooks(project):
        studio.client.delete_webhook(hook["id"])  # nothing tells the service of the label
    plan, _ = ask(running, project, budget=3)
    labeled, changed, open_ = (one.task for one in plan.tasks)
    studio.annotate(labeled, "dan", "positive")
    studio.client.update_task(changed, overlap=7)
    report = reannotate.withdraw_requests(running.service, project, by="a test")
    assert (report.withdrawn, report.answered, report.changed) == (1, 1, 1)
    assert report.not_withdrawn == tuple(sorted([labeled, changed]))
    states = states_of(studio, project)
    assert (states[labeled], states[changed], states[open_]) == ((4, True), (7, False), (3, True))


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_process_killed_in_the_middle_is_carried_on(
    studio: Studio,
    running: Running,
    project: int,
    monkeypatch: pytest.MonkeyPatch,
    when: str,
) -> None:
    service, store = running.service, running.service.store(project)
    before = states_of(studio, project)
    plan = plan_review(service, project, ReviewPolicy(budget=4))
    change = LabelStudioClient.update_task
    done: list[int] = []

    def change_or_die(client: LabelStudioClient, task: int, **fields: object) -> None:
        if len(done) == 2 and when == "before":
            raise Killed
        change(client, task, **fields)
        done.append(task)
        if len(done) == 3:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(LabelStudioClient, "update_task", change_or_die)
        with pytest.raises(Killed):
            reannotate.apply_plan(service, plan, by="a test")
    states = states_of_requests(store)
    assert sorted(states.values()) == ["noted", "noted", "open", "open"]
    assert not store.is_locked(Work.REVIEW)
    report = reannotate.finish_requests(service, project)
    assert report.opened == 2
    assert set(states_of_requests(store).values()) == {"open"}
    now = states_of(studio, project)
    assert {task for task in now if now[task] == (4, False)} == {one.task for one in plan.tasks}
    assert sum(now[task] != before[task] for task in now) == 4

    done.clear()
    with monkeypatch.context() as patched:
        patched.setattr(LabelStudioClient, "update_task", change_or_die)
        with pytest.raises(Killed):
            reannotate.withdraw_requests(service, project, by="a test")
    assert sorted(states_of_requests(store).values()).count("withdrawing") == 2
    assert reannotate.finish_requests(service, project).withdrawn == 2
    assert states_of(studio, project) == before


def test_what_label_studio_does_not_take_stays_noted(
    studio: Studio, running: Running, project: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, store = running.service, running.service.store(project)
    plan = plan_review(service, project, ReviewPolicy(budget=2))
    away = LabelStudioClient("http://127.0.0.1:1", studio.api_key)
    with monkeypatch.context() as patched:
        patched.setattr(service.label_studio, "update_task", away.update_task)
        with pytest.raises(LabelStudioUnreachableError):
            reannotate.apply_plan(service, plan, by="a test")
    away.close()
    assert set(states_of_requests(store).values()) == {"noted"}
    assert reannotate.apply_plan(service, plan, by="a test").opened == 2
    assert states_of_requests(store) == {one.task: "open" for one in plan.tasks}


def test_nobody_is_asked_who_could_not_answer(
    studio: Studio, running: Running, project: int
) -> None:
    people = [user["id"] for user in studio.client.users()]
    task = studio.client.task_ids(project)[0]
    done = {studio.person(name) for name in ("ann", "bob", "cat")}
    for number in set(people) - done - {1}:
        body = {"result": [], "was_cancelled": True, "completed_by": number}
        studio.client._request("POST", f"api/tasks/{task}/annotations/", body=body)
    pipeline.refresh(running.service, project)
    plan = plan_review(running.service, project, ReviewPolicy(tasks=(task,)))
    assert plan.tasks == ()
    assert plan.left_out == {"labelled by everybody": 1}


def test_unlabelled_tasks_rank_with_the_others_and_wait_anyway(
    studio: Studio, running: Running, project: int
) -> None:
    (task,) = studio.add_tasks(project, [{}])
    pipeline.refresh(running.service, project)
    plan, report = ask(running, project, threshold=1.0)
    (waiting,) = [one for one in plan.tasks if one.task == task]
    assert (waiting.waits, waiting.consensus, waiting.overlap) == (True, None, 3)
    assert states_of(studio, project)[task] == (3, False)
    assert report.opened == len(LABELS)


def test_the_tab_exists_once_and_shows_what_was_asked(
    studio: Studio, running: Running, project: int
) -> None:
    asked: set[int] = set()
    for budget in (2, 3):
        asked |= {one.task for one in ask(running, project, budget=budget)[0].tasks}
    tabs = [
        view
        for view in studio.client.views(project)
        if view["data"].get("title") == REVIEW_TAB_TITLE
    ]
    assert len(tabs) == 1
    answer = studio.client._request("GET", "api/tasks", params={"view": tabs[0]["id"]})
    scores = [task["predictions_score"] for task in answer["tasks"]]
    rounded = [round(score, 2) for score in scores]
    assert rounded == sorted(rounded)
    assert asked <= {task["id"] for task in answer["tasks"]}
    assert len(scores) < len(LABELS)


def test_predictions_are_shown_on_request(studio: Studio, running: Running, project: int) -> None:
    shown = scores_shown(studio, project)
    ask(running, project, budget=1)
    ask(running, project, budget=1, blind=False)
    got = next_of(studio, project, "dan")
    assert got is not None
    assert len(got["predictions"]) == 1
    assert scores_shown(studio, project) == shown
    assert is_published(studio, running, project)


def test_the_automatic_review_keeps_to_its_budget(
    studio: Studio, running: Running, project: int
) -> None:
    service, store = running.service, running.service.store(project)
    reannotate.start_automatic(service, project, ReviewPolicy(budget=3), by="a test")
    # The worker does it, by its own clock.
    wait_for(lambda: list(states_of_requests(store).values()) == ["open"] * 3, 60)
    wait_for(lambda: not store.is_locked(Work.REVIEW))
    review = store.read_automatic_review()
    assert review is not None
    assert (review.num_asked, review.policy.budget) == (3, 3)
    today = review.looked_at
    tomorrow = (today // 86_400 + 1.5) * 86_400
    for moment, number in ((tomorrow, 6), (tomorrow + 7200, 6), (today, 6)):
        wait_for(lambda: not store.is_locked(Work.REVIEW))
        reannotate.review_automatically(service, project, now=moment)
        assert len(states_of_requests(store)) == number
    opened = [task for task, (_, is_done) in states_of(studio, project).items() if not is_done]
    assert sorted(states_of_requests(store)) == opened
    assert reannotate.stop_automatic(service, project, by="a test")
    reannotate.review_automatically(service, project, now=tomorrow + 86_400)
    assert len(states_of_requests(store)) == 6
    reasons = [one["why"] for one in store.audit_trail() if one["action"] == "ask again"]
    assert reasons == ["automatic review"] * 2


def test_uncertainty_sampling_is_set_up_and_explained(
    studio: Studio, running: Running, project: int
) -> None:
    said = reannotate.sample_by_uncertainty(running.service, project, by="a test")
    assert "lowest consensus quality first" in said
    assert "collects 3 labels per task" in said
    assert studio.client.project(project)["sampling"] == "Uncertainty sampling"


def test_a_consensus_is_accepted_as_ground_truth_and_that_is_taken_back(
    studio: Studio, running: Running, project: int
) -> None:
    service, store = running.service, running.service.store(project)
    task = studio.client.task_ids(project)[1]
    before = states_of(studio, project)
    consensus = {name: values.tolist() for name, values in store.consensus(1).read([task]).items()}
    annotation = ground_truth.accept_consensus(service, project, task, by="a test")
    assert ground_truth.accept_consensus(service, project, task, by="a test") == annotation
    wait_for(lambda: store.annotations(1).read([task])["is_ground_truth"].any(), 10)
    (present,) = studio.client.tasks_by_id(project, [task])
    (truth,) = [one for one in present["annotations"] if one["ground_truth"]]
    assert (truth["id"], truth["completed_by"]) == (annotation, 1)
    assert truth["result"][0]["value"]["choices"] == ["negative"]
    assert states_of(studio, project) == before
    pipeline.recompute(service, project)
    now = {name: values.tolist() for name, values in store.consensus(1).read([task]).items()}
    assert now == consensus
    summary = store.read_summary()
    assert summary is not None
    assert summary.questions[0].ground_truth_accuracy == 1.0

    with store.transaction() as changes:  # as if the process was killed before it kept the id
        store.stage_accepted(changes, task, None)
    again = ground_truth.accept_consensus(service, project, task, by="a test")
    (present,) = studio.client.tasks_by_id(project, [task])
    assert [one["id"] for one in present["annotations"] if one["ground_truth"]] == [again]
    ground_truth.unaccept_consensus(service, project, task, by="a test")
    (present,) = studio.client.tasks_by_id(project, [task])
    assert len(present["annotations"]) == 3
    with pytest.raises(NotAcceptedError, match="was not accepted"):
        ground_truth.unaccept_consensus(service, project, task, by="a test")
    other = studio.client.task_ids(project)[2]
    body = {"result": [], "ground_truth": True}
    studio.as_person("ann")._request("POST", f"api/tasks/{other}/annotations/", body=body)
    with pytest.raises(NotAcceptedError, match="somebody else gave"):
        ground_truth.accept_consensus(service, project, other, by="a test")


def test_all_of_it_works_through_the_api(studio: Studio, running: Running, project: int) -> None:
    store = running.service.store(project)
    before = states_of(studio, project)
    url = f"{running.service.settings.public_url}/api/projects/{project}"
    with httpx.Client(base_url=url, timeout=120) as api:

        def post(path: str, **body: Any) -> Any:
            answer = api.post(path, json=body)
            assert answer.status_code == 200, answer.text
            return answer.json()

        plan = post("/review/plan", budget=3)
        assert states_of(studio, project) == before
        chosen = [one["task"] for one in plan["tasks"]]
        assert chosen == [
            one["task"]
            for one in crowdlab_json(running, "review", str(project), "--budget", "3")["plan"][
                "tasks"
            ]
        ]
        applied = post("/review/apply", tasks=chosen[:2])
        assert [one["task"] for one in applied["plan"]["tasks"]] == chosen[:2]
        assert applied["report"]["opened"] == 2
        opened = [task for task, (_, is_done) in states_of(studio, project).items() if not is_done]
        assert opened == sorted(chosen[:2])
        found = api.get("/review/requests").json()
        assert {one["task"] for one in found["requests"]} == set(chosen[:2])
        undone = post("/review/undo", tasks=chosen[:1])
        assert (undone["report"]["withdrawn"], undone["num_requests"]) == (1, 1)
        undone = post("/review/undo")
        assert (undone["report"]["withdrawn"], undone["num_requests"]) == (1, 0)
        assert states_of(studio, project) == before

        task = studio.client.task_ids(project)[1]
        made = post(f"/tasks/{task}/ground-truth")
        (present,) = studio.client.tasks_by_id(project, [task])
        truths = [one["id"] for one in present["annotations"] if one["ground_truth"]]
        assert truths == [made["annotation"]]
        assert api.delete(f"/tasks/{task}/ground-truth").status_code == 200
        (present,) = studio.client.tasks_by_id(project, [task])
        assert not any(one["ground_truth"] for one in present["annotations"])
        assert api.delete(f"/tasks/{task}/ground-truth").status_code == 409
    trail = [(one["action"], one["by"]) for one in store.audit_trail() if one.get("by")]
    assert trail == [
        ("unaccept consensus", "api"),
        ("accept consensus", "api"),
        ("withdraw", "api"),
        ("withdraw", "api"),
        ("ask again", "api"),
    ]
