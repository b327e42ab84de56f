"""Every endpoint, on real Redis, held against the OpenAPI document."""

import io
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import pytest
from flask.testing import FlaskClient

from backend.insights.annotators import annotator_profile, doubtful_labels, leaderboards
from backend.insights.questions import question_insights
from backend.insights.task import task_detail
from backend.insights.tasks import TaskQuery, TaskSort, task_page
from backend.jobs.insights import store_insights
from backend.overview import project_overview
from backend.service import Service
from backend.store.inbox import Entry
from backend.store.project import ModelVersion, ProjectInfo, ProjectStore, Publication
from backend.web.app import create_app
from tests.backend.insights.conftest import NUM_TASKS
from tests.backend.jobs.test_recompute import FIRST
from tests.backend.web.api.conftest import Api

SCRIPT = "<script>alert(1)</script>"
ONE = "/projects/{project}"


def plain(content: Any) -> Any:
    """A dataclass as JSON has it."""
    return json.loads(json.dumps(asdict(content)))


def test_projects(api: Api, service: Service) -> None:
    found = api.get("/projects", "/projects")
    assert found["num_projects"] == 1
    assert found["projects"] == [plain(project_overview(service, 25))]
    assert found["projects"][0]["num_tasks"] == NUM_TASKS
    assert api.get("/projects", "/projects", offset=1)["projects"] == []
    assert api.get("/projects/25", ONE) == found["projects"][0]


def test_leaderboards(api: Api, computed: ProjectStore) -> None:
    store_insights(computed)
    found = api.get("/projects/25/annotators", f"{ONE}/annotators")
    assert found["questions"] == [plain(one) for one in leaderboards(computed)]
    assert found["questions"][0]["annotators"][0]["weeks"][0]["num_labels"] == NUM_TASKS
    part = api.get(
        "/projects/25/annotators", f"{ONE}/annotators", question="mood", offset=1, limit=1
    )
    (board,) = part["questions"]
    assert board["num_annotators"] == 3
    assert board["annotators"] == found["questions"][0]["annotators"][1:2]


def test_questions(api: Api, computed: ProjectStore) -> None:
    store_insights(computed)
    found = api.get("/projects/25/questions", f"{ONE}/questions")["questions"]
    for one, shown in zip(found, question_insights(computed), strict=True):
        summary = shown.summary
        assert one["question"] == summary.name
        for name in ("num_labels", "classifier", "mean_quality", "ground_truth_accuracy"):
            assert one[name] == getattr(summary, name)
        for name in ("consensus_accuracy", "majority_accuracy", "gain", "unanimous", "method",
                     "model_weight", "annotator_weight", "computed_at"):  # fmt: skip
            assert one[name] == getattr(shown, name)
        assert one["quality_histogram"] == shown.quality_histogram.tolist()
        assert one["votes"] == shown.votes.tolist()
        assert one["weeks"] == [plain(week) for week in shown.weeks]
        assert [tuple(row.values()) for row in one["classes"]] == list(
            zip(summary.classes, shown.class_counts, shown.majority_counts, strict=True)
        )
        np.testing.assert_array_equal(matrix_of(one, summary.classes), shown.confusion)
        further = zip(shown.gain_labels.tolist(), shown.gain_accuracy.tolist(), strict=True)
        assert [tuple(row.values()) for row in one["further_labels"]] == list(further)
        assert (one["gain_per_100"], one["num_shared"]) == (shown.gain_per_100, shown.num_shared)
        assert shown.agreement is not None
        assert coefficients_of(one["agreement"]) == coefficients_of(plain(shown.agreement))
        for week, expected in zip(one["agreement_weeks"], shown.agreement_weeks, strict=True):
            assert week["start"] == expected.start
            assert coefficients_of(week["agreement"]) == coefficients_of(plain(expected.agreement))
    assert found[0]["num_annotators"] == 3
    assert found[0]["consensus_accuracy"] > 0.5
    assert 0 < found[0]["agreement"]["krippendorff_alpha"]["value"] < 1
    assert found[0]["further_labels"][0]["num_labels"] == 0


def coefficients_of(agreement: dict[str, Any]) -> list[float | None]:
    numbers = [end for one in agreement.values() for end in one.values()]
    return [None if end is None or math.isnan(end) else end for end in numbers]


def matrix_of(one: dict[str, Any], classes: Sequence[str]) -> np.ndarray:
    matrix = np.zeros((len(classes), len(classes)), dtype=int)
    for cell in one["confusion"]:
        assert cell["num_labels"] > 0
        matrix[classes.index(cell["given"]), classes.index(cell["consensus"])] = cell["num_labels"]
    return matrix


def test_one_annotator(api: Api, computed: ProjectStore) -> None:
    store_insights(computed)
    template = f"{ONE}/annotators/{{annotator}}"
    found = api.get("/projects/25/annotators/1", template)
    assert found["name"] == "ann@example.com"
    assert [one["question"] for one in found["questions"]] == ["mood", "tense"]
    (mood,) = api.get("/projects/25/annotators/3", template, doubtful=7)["questions"]
    profile = annotator_profile(computed, 0, 3)
    assert (mood["rank"], mood["num_annotators"]) == (3, 3)
    assert mood["statistics"] == plain(profile.insight)
    np.testing.assert_array_equal(matrix_of(mood, profile.classes), profile.confusion)
    assert [one["name"] for one in mood["classes"]] == ["good", "bad"]
    assert [one["precision"] for one in mood["classes"]] == profile.precision.tolist()
    assert [one["recall"] for one in mood["classes"]] == profile.recall.tolist()
    assert mood["colleagues"] == [plain(one) for one in profile.colleagues]
    assert {one["annotator"] for one in mood["colleagues"]} == {1, 2}
    doubtful = doubtful_labels(computed, 0, 3, 7)
    assert mood["doubtful_labels"] == [plain(one) for one in doubtful]
    assert len(doubtful) == 7
    (mood,) = api.get("/projects/25/annotators/3", template, doubtful=0)["questions"]
    assert mood["doubtful_labels"] == []
    (tense,) = api.get("/projects/25/annotators/4", template)["questions"]
    rates = {one["name"]: one["precision"] for one in tense["classes"]}
    given = {cell["given"] for cell in tense["confusion"]}
    assert {name for name, rate in rates.items() if rate is not None} == given
    said = api.ask("get", "/projects/25/annotators/99", f"{ONE}/annotators/{{annotator}}", {}, 404)
    assert "No label by annotator 99" in said["error"]


def test_tasks(api: Api, service: Service) -> None:
    found = api.get("/projects/25/tasks", f"{ONE}/tasks")
    assert found == plain(task_page(service, 25, TaskQuery(limit=100)))
    query = TaskQuery(
        "tense", TaskSort.AGREEMENT, True, "past", 0.1, 0.99, True, 2, "3", offset=1, limit=3
    )
    found = api.get(
        "/projects/25/tasks",
        f"{ONE}/tasks",
        question="tense",
        sort="agreement",
        descending="true",
        consensus="past",
        min_quality=0.1,
        max_quality=0.99,
        disputed="true",
        min_annotations=2,
        text="3",
        offset=1,
        limit=3,
    )
    assert found == plain(task_page(service, 25, query))
    assert found["rows"]


def test_one_task(api: Api, service: Service) -> None:
    found = api.get("/projects/25/tasks/3", f"{ONE}/tasks/{{task}}")
    assert found == plain(task_detail(service, 25, 3))
    for answer in found["answers"]:
        parts = [one["by_class"] for one in answer["explanation"]["contributions"]]
        said = answer["classes"].index(answer["consensus"])
        assert sum(part[said] for part in parts) == pytest.approx(answer["quality"], abs=1e-12)


def test_versions(api: Api, computed: ProjectStore) -> None:
    assert api.get("/projects/25/versions", f"{ONE}/versions")["versions"] == []
    version = ModelVersion("crowdlab-000001", 1.5, 90, "first", "f" * 32, "recipe")
    with computed.transaction() as changes:
        computed.stage_model_version(changes, version)
        computed.stage_publication(changes, Publication("crowdlab-000001", 1, 1.5, 90))
    (found,) = api.get("/projects/25/versions", f"{ONE}/versions")["versions"]
    assert found == {**asdict(version), "is_current": True, "can_be_restored": False}


def test_audit(api: Api, computed: ProjectStore) -> None:
    with computed.transaction() as changes:
        for number in range(3):
            computed.stage_audit(changes, "published", version=number, reason=SCRIPT)
    found = api.get("/projects/25/audit", f"{ONE}/audit", limit=2)["entries"]
    assert [one["version"] for one in found] == [2, 1]
    assert found[0]["reason"] == SCRIPT


def test_dead_letters_are_shown_and_tried_again(
    api: Api, computed: ProjectStore, service: Service
) -> None:
    for number in range(3):
        computed.inbox.bury(Entry(b"0-1", b'{"n": %d, "x": "\xff"}' % number, 6), "it broke")
    found = api.get("/projects/25/dead-letters", f"{ONE}/dead-letters", offset=1, limit=1)
    assert found["num_dead_letters"] == 3
    (letter,) = found["dead_letters"]
    assert (letter["reason"], letter["event"]) == ("it broke", '{"n": 1, "x": "\ufffd"}')
    said = api.ask("post", "/projects/25/dead-letters", f"{ONE}/dead-letters", {}, 202)
    assert said == {"project": 25, "effect": "3 dead letter(s) will be tried again."}
    assert computed.inbox.num_dead_letters() == 0
    assert len(computed.inbox) == 3
    assert service.queue.num_waiting() == 1


@pytest.mark.parametrize(("full", "kind"), [("false", "refresh"), ("true", "full_refresh")])
def test_a_refresh_is_asked_for_once(api: Api, service: Service, full: str, kind: str) -> None:
    for _ in range(2):
        said = api.ask("post", "/projects/25/refresh", f"{ONE}/refresh", {"full": full}, 202)
        assert said["project"] == 25
    (queue,) = [one for one in service.queue.queues() if one.count]
    (job,) = queue.jobs
    assert job.args == [25, kind]


@pytest.mark.parametrize("what", ["consensus", "labels", "leaderboard"])
def test_files_are_streamed(web: FlaskClient, what: str) -> None:
    answers = {
        name: web.get(f"/api/projects/25/exports/{what}.{name}")
        for name in ("csv", "json", "jsonl", "parquet")
    }
    for name, answer in answers.items():
        assert answer.status_code == 200
        assert answer.is_streamed
        disposition = f'attachment; filename="crowdlab-25-{what}.{name}"'
        assert answer.headers["Content-Disposition"] == disposition
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    frames = [
        pd.read_csv(io.BytesIO(answers["csv"].data)),
        pd.DataFrame(json.loads(answers["json"].data)),
        pd.DataFrame([json.loads(line) for line in answers["jsonl"].data.splitlines()]),
        pd.read_parquet(io.BytesIO(answers["parquet"].data)),
    ]
    column = {
        "consensus": "mood.consensus_quality_score",
        "labels": "label_quality",
        "leaderboard": "quality",
    }[what]
    for frame in frames:
        assert frame[column].tolist() == frames[0][column].tolist()
        assert list(frame.columns) == list(frames[0].columns)
    assert len(frames[0]) == {"consensus": NUM_TASKS, "labels": 330, "leaderboard": 5}[what]


def test_the_report_is_sent_as_a_file(web: FlaskClient) -> None:
    answer = web.get("/api/projects/25/exports/report.html")
    assert answer.status_code == 200
    assert answer.content_type == "text/html; charset=utf-8"
    disposition = 'attachment; filename="crowdlab-25-report.html"'
    assert answer.headers["Content-Disposition"] == disposition
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "&lt;script&gt;" in answer.text
    assert "<script" not in answer.text


@pytest.mark.parametrize(
    ("path", "template", "status", "said"),
    [
        ("/projects/26", ONE, 404, "Project 26 is not known"),
        ("/projects/26/annotators", f"{ONE}/annotators", 404, "Project 26 is not known"),
        ("/projects/26/annotators/1", f"{ONE}/annotators/{{annotator}}", 404, "Project 26"),
        ("/projects/26/tasks", f"{ONE}/tasks", 404, "Project 26"),
        ("/projects/26/questions", f"{ONE}/questions", 404, "Project 26"),
        ("/projects/26/review/requests", f"{ONE}/review/requests", 404, "Project 26"),
        ("/projects/26/tasks/1", f"{ONE}/tasks/{{task}}", 404, "Project 26"),
        ("/projects/26/versions", f"{ONE}/versions", 404, "Project 26"),
        ("/projects/26/audit", f"{ONE}/audit", 404, "Project 26"),
        ("/projects/26/dead-letters", f"{ONE}/dead-letters", 404, "Project 26"),
        ("/projects/25/tasks/5000", f"{ONE}/tasks/{{task}}", 404, "has no task 5000"),
        ("/projects/x", ONE, 400, "`project` is 'x'"),
        ("/projects/0", ONE, 400, "`project` is '0'"),
        ("/projects/-1", ONE, 400, "`project` is '-1'"),
        (f"/projects/{2**63}", ONE, 400, "`project` is '9223372036854775808'"),
        (f"/projects/{'9' * 5000}", ONE, 400, "`project` is '999"),
        (f"/projects/25/tasks/{SCRIPT[:8]}", f"{ONE}/tasks/{{task}}", 400, "`task` is '<script>'"),
        ("/projects/25/tasks?limit=0", f"{ONE}/tasks", 400, "`limit` is '0'"),
        ("/projects/25/tasks?limit=1001", f"{ONE}/tasks", 400, "`limit` is '1001'"),
        ("/projects/25/tasks?offset=1000001", f"{ONE}/tasks", 400, "`offset`"),
        ("/projects/25/tasks?sort=beauty", f"{ONE}/tasks", 400, "`sort` is 'beauty'"),
        ("/projects/25/tasks?min_quality=nan", f"{ONE}/tasks", 400, "`min_quality` is 'nan'"),
        ("/projects/25/tasks?text=x", f"{ONE}/tasks", 400, "`text` is 'x'"),
        ("/projects/25/tasks?page=2", f"{ONE}/tasks", 400, "no parameter `page`. /api/docs"),
        ("/projects/25/tasks?question=x", f"{ONE}/tasks", 404, "It asks: mood, tense"),
        ("/projects/25/tasks?consensus=x", f"{ONE}/tasks", 404, "Its classes: good, bad"),
        ("/projects/25/annotators?question=x", f"{ONE}/annotators", 404, "no question 'x'"),
    ],
)
def test_refusals_say_why(api: Api, path: str, template: str, status: int, said: str) -> None:
    assert said in api.ask("get", path, template, {}, status)["error"]


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("labels.label-studio", 400, "does not come in the format"),
        ("labels.xlsx", 400, "`export_format` is 'xlsx'"),
        ("people.csv", 400, "`what` is 'people'"),
        ("consensus", 404, ""),
        ("consensus.label-studio", 500, "LABEL_STUDIO_API_KEY is not set"),
        ("report.csv", 400, "'report' does not come in the format 'csv'. Choose the format html."),
        ("consensus.label-studio?consensus_as=x", 400, "`consensus_as` is 'x'"),
    ],
)
def test_exports_that_cannot_be(web: FlaskClient, path: str, status: int, said: str) -> None:
    answer = web.get(f"/api/projects/25/exports/{path}")
    assert answer.status_code == status
    assert answer.json is not None
    assert said in answer.json["error"]


def test_a_project_without_results(make_service: Callable[..., Service]) -> None:
    service = make_service()
    store = service.store(25)
    with store.transaction() as changes:
        store.stage_info(changes, ProjectInfo("t", "<View/>", (FIRST,)))
    api = Api(create_app(service).test_client())
    assert api.get("/projects/25", ONE)["num_tasks"] == 0
    assert api.get("/projects/25/tasks", f"{ONE}/tasks")["rows"] == []
    for path in ("questions", "annotators", "annotators/1", "exports/consensus.csv"):
        answer = create_app(service).test_client().get(f"/api/projects/25/{path}")
        assert answer.status_code == 409
        assert "Nothing was computed for project 25" in str(answer.json)


def test_markup_in_names_is_data(service: Service, computed: ProjectStore) -> None:
    info = computed.read_info()
    assert info is not None
    question = info.questions[0]
    marked = type(question)(question.name, question.to_name, (SCRIPT, "bad"), question.sources)
    computed.touch(info, title=SCRIPT, questions=(marked, info.questions[1]))
    web = create_app(service).test_client()
    for path, where in {
        "/projects/25": lambda one: one["title"],
        "/projects/25/tasks?sort=task&offset=1": lambda one: one["rows"][0]["consensus"],
        "/projects/25/tasks/2": lambda one: one["answers"][0]["labels"][0]["label"],
    }.items():
        answer = web.get(f"/api{path}")
        assert where(answer.json) == SCRIPT
        assert answer.content_type == "application/json"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", ["dead-letters", "refresh"])
def test_other_sites_cannot_act(
    web: FlaskClient, service: Service, computed: ProjectStore, path: str
) -> None:
    computed.inbox.bury(Entry(b"0-1", b"{}", 6), "it broke")
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example"}):
        answer = web.post(f"/api/projects/25/{path}", headers=headers)
        assert answer.status_code == 403
    assert service.queue.num_waiting() == 0
    assert computed.inbox.num_dead_letters() == 1


def test_everything_asks_for_credentials(make_service: Callable[..., Service]) -> None:
    web = create_app(make_service(api_token="a-token")).test_client()
    app = web.application
    adapter = [rule for rule in app.url_map.iter_rules() if rule.rule.startswith("/api/")]
    assert len(adapter) >= 21
    for rule in adapter:
        for method in (rule.methods or set()) - {"OPTIONS"}:
            path = rule.rule.replace("<", "").replace(">", "")
            assert web.open(path, method=method).status_code == 401
            headers = {"Authorization": "Bearer a-token"}
            assert web.open(path, method=method, headers=headers).status_code != 401
