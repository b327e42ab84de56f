"""The endpoints of other classifiers' predictions; borrowing is in tests/e2e."""

from collections.abc import Callable
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from backend.jobs.recompute import recompute_project
from backend.jobs.train import train_classifiers
from backend.service import Service
from backend.store.project import ProjectStore
from backend.web.app import create_app
from tests.backend.sources.test_shelf import predictions
from tests.backend.web.api.conftest import Api

ONE = "/projects/{project}"
UPLOADS = "/api/projects/25/uploads"


def test_upload_list_and_drop(
    api: Api, web: FlaskClient, computed: ProjectStore, service: Service, tmp_path: Path
) -> None:
    own, other = api.get("/projects/25/sources", f"{ONE}/sources")["sources"]
    assert (own["name"], own["question"], other["question"]) == ("own", "mood", "tense")
    content = predictions(tmp_path, range(1, 100)).read_bytes()
    query = {"file": "a.csv", "question": "mood", "name": "theirs"}
    sent = web.post(UPLOADS, query_string=query, data=content)
    assert sent.status_code == 202
    (taken,) = sent.get_json()["sources"]
    assert (taken["name"], taken["kind"], taken["report"]["num_used"]) == ("theirs", "uploaded", 90)
    assert service.queue.num_waiting() == 1
    recompute_project(computed, train_classifiers(computed))
    listed = api.get("/projects/25/sources", f"{ONE}/sources")["sources"]
    (theirs,) = [one for one in listed if one["name"] == "theirs"]
    assert theirs["is_counted"]
    assert theirs["weight"] > 0
    assert theirs["report"]["faults"] == {"no task of the project is meant": 9}
    source = f"{ONE}/sources/{{source}}"
    done = api.ask("delete", "/projects/25/sources/theirs", source, {}, 200)
    assert done["effect"].startswith("theirs is forgotten")
    said = api.ask("delete", "/projects/25/sources/theirs", source, {}, 404)
    assert "no source 'theirs'" in said["error"]


@pytest.mark.parametrize(
    ("query", "content", "status", "reason"),
    [
        ({"file": "a.csv", "question": "mood"}, b"", 400, "body is empty"),
        ({"file": "a.csv", "question": "mood"}, b"nonsense", 400, "no column 'task'"),
        ({"file": "a.csv", "question": "mood"}, b"x" * 2_000_000, 413, "CROWDLAB_MAX_UPLOAD_MB"),
        ({"file": "a.exe", "question": "mood"}, b"MZ", 400, "which is no form"),
        ({"file": "a.csv"}, b"task,good,bad\n1,1,0\n", 400, "Name one of them"),
        ({"file": "a.csv", "question": "no"}, b"task,good,bad\n1,1,0\n", 404, "It asks: mood"),
        ({}, b"task,good,bad\n1,1,0\n", 400, "`file`"),
    ],
)
def test_refusals(
    make_service: Callable[..., Service],
    computed: ProjectStore,
    query: dict[str, str],
    content: bytes,
    status: int,
    reason: str,
) -> None:
    web = create_app(make_service(max_upload_mb=1)).test_client()
    found = web.post(UPLOADS, query_string=query, data=content)
    assert found.status_code == status
    assert reason in found.get_json()["error"]
    assert computed.prediction_sources.all() == []


def test_a_compressed_body_is_refused(web: FlaskClient) -> None:
    query = {"file": "a.csv", "question": "mood"}
    found = web.post(UPLOADS, query_string=query, data=b"x", headers={"Content-Encoding": "gzip"})
    assert found.status_code == 415


def test_uploads_need_credentials_and_our_own_page(
    make_service: Callable[..., Service], computed: ProjectStore
) -> None:
    web = create_app(make_service(api_token="s3cret")).test_client()
    content = b"task,good,bad\n1,1,0\n"
    query = {"file": "a.csv", "question": "mood"}
    assert web.post(UPLOADS, query_string=query, data=content).status_code == 401
    token = {"Authorization": "Bearer s3cret"}
    elsewhere = {**token, "Sec-Fetch-Site": "cross-site"}
    found = web.post(UPLOADS, query_string=query, data=content, headers=elsewhere)
    assert found.status_code == 403
    assert computed.prediction_sources.all() == []
    found = web.post(UPLOADS, query_string=query, data=content, headers=token)
    assert found.status_code == 202
