"""Everything that can be wrong around a project, told in a sentence."""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from redis import Redis
from redis.exceptions import RedisError

from backend.demo.label_studio_server import LabelStudioServer
from backend.label_studio.client import LabelStudioClient
from backend.processes import Processes, own_command
from backend.web.server import free_port
from tests.e2e.conftest import ADMIN, CONFIG, Running, Studio, wait_for
from tests.e2e.environment import label_studio
from tests.e2e.test_live import LABELS, crowdlab, crowdlab_json

pytestmark = pytest.mark.e2e


def refusal(running: Running, *arguments: str, **environment: str) -> str:
    """What the command says as it fails."""
    done = subprocess.run(
        own_command(*arguments),
        env=running.environment | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("Error: ")
    assert done.stdout == ""
    return done.stderr


def legacy_token(studio: Studio) -> str:
    with studio.server._session(ADMIN) as session:
        return str(session.get("/api/current-user/token").json()["token"])


def test_wrong_addresses(running: Running) -> None:
    said = refusal(running, "connect", "1", LABEL_STUDIO_URL="http://127.0.0.1:1")
    assert "does not answer at http://127.0.0.1:1" in said
    assert "LABEL_STUDIO_URL" in said
    said = refusal(running, "connect", "1", LABEL_STUDIO_URL="studio")
    assert "LABEL_STUDIO_URL" in said


def test_an_address_of_something_else(running: Running) -> None:
    port = running.environment["PORT"]
    said = refusal(running, "sync", "1", LABEL_STUDIO_URL=f"http://127.0.0.1:{port}")
    assert "is not Label Studio" in said


def test_tokens(studio: Studio, running: Running) -> None:
    assert "LABEL_STUDIO_API_KEY is not set" in refusal(
        running, "sync", "1", LABEL_STUDIO_API_KEY=""
    )
    wrong = ("0" * 40, legacy_token(studio), studio.api_key[:-4] + "AAAA", "no token", "…")
    for token in wrong:
        said = refusal(running, "connect", "1", LABEL_STUDIO_API_KEY=token)
        assert "does not accept" in said or "not valid" in said, token
        assert "Personal Access Token" in said
        assert token not in said


def test_projects_that_cannot_be_connected(studio: Studio, running: Running) -> None:
    assert "no project 99999" in refusal(running, "connect", "99999")
    other = CONFIG.replace('choice="single"', 'choice="single" perItem="true"')
    per_item = studio.make_project(other, title="Choices per item")
    said = refusal(running, "connect", str(per_item))
    assert "per-item answers have no consensus" in said
    assert "<Choices" in said
    assert studio.client.ml_backends(per_item) == []
    assert studio.client.webhooks(per_item) == []
    assert running.service.store(per_item).read_info() is None


def test_a_project_without_annotations_is_connected_and_waits(
    studio: Studio, running: Running
) -> None:
    project = studio.make_project()
    assert "no label yet" in crowdlab(running, "connect", str(project))
    (task,) = studio.add_tasks(project, [{}])
    assert "no label yet" in refusal(running, "recompute", str(project))
    assert "Nothing was computed" in refusal(running, "leaderboard", str(project))
    studio.annotate(task, "ann", "positive")
    (made,) = wait_for(lambda: studio.client.predictions_of_task(task), 20)
    assert made["result"][0]["value"]["choices"] == ["positive"]


def test_one_annotator_only(studio: Studio, running: Running) -> None:
    project = studio.make_project()
    studio.add_tasks(project, [{"ann": entry["ann"]} for entry in LABELS])
    crowdlab(running, "connect", str(project))
    assert len(studio.predictions(project)) == len(LABELS)
    assert "too little data to tell" in crowdlab(running, "leaderboard", str(project))


def test_a_label_with_emoji_and_other_scripts(studio: Studio, running: Running) -> None:
    classes = ("très bon, 👍", "悪い", 'a "quoted" <one>')
    escaped = ("très bon, 👍", "悪い", "a &quot;quoted&quot; &lt;one&gt;")
    config = CONFIG
    for old, new in zip(("positive", "negative", "neutral"), escaped, strict=True):
        config = config.replace(f'"{old}"', f'"{new}"')
    project = studio.make_project(config)
    tasks = studio.add_tasks(project, [{"ann": one, "bob": one} for one in classes])
    crowdlab(running, "connect", str(project))
    said = [studio.client.predictions_of_task(task)[0]["result"] for task in tasks]
    assert [one[0]["value"]["choices"][0] for one in said] == list(classes)
    (board,) = crowdlab_json(running, "leaderboard", str(project))["questions"]
    assert {row["worst_class"] for row in board["annotators"]} <= set(classes)


def test_a_port_in_use(running: Running) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for command in ("start", "web"):
            said = refusal(running, command, PORT=port)
            assert f"Port {port} on 127.0.0.1 is in use" in said


def test_an_address_that_is_not_this_machines(running: Running) -> None:
    assert "HOST" in refusal(running, "web", HOST="192.0.2.1")


def test_redis_that_does_not_work(running: Running, tmp_path: Path) -> None:
    said = refusal(running, "status", REDIS_URL="redis://127.0.0.1:1/0")
    assert "REDIS_URL" in said
    (tmp_path / "redis").write_text("in the way")
    said = refusal(running, "status", REDIS_URL="", CROWDLAB_DATA_DIR=str(tmp_path))
    assert "CROWDLAB_DATA_DIR" in said


def test_a_service_that_label_studio_cannot_reach(studio: Studio, running: Running) -> None:
    project = studio.make_project()
    said = refusal(running, "connect", str(project), "--url", "http://127.0.0.1:1")
    assert "cannot reach this service at http://127.0.0.1:1" in said
    assert "BACKEND_URL" in said


@pytest.fixture
def strict_studio(tmp_path: Path) -> Iterator[tuple[LabelStudioClient, str]]:
    """A Label Studio that, as by default, calls no local addresses."""
    port = free_port("127.0.0.1", 8097)
    server = LabelStudioServer(label_studio(), tmp_path, port, ADMIN, calls_local_addresses=False)
    with Processes() as processes:
        server.start(processes)
        token = server.personal_access_token(ADMIN)
        client = LabelStudioClient(server.url, token)
        yield client, token
        client.close()


def test_an_address_that_label_studio_does_not_call(
    strict_studio: tuple[LabelStudioClient, str], running: Running
) -> None:
    client, token = strict_studio
    project = client.create_project("Strict", CONFIG, overlap=2)
    said = refusal(
        running,
        "connect",
        str(project),
        LABEL_STUDIO_URL=client.url,
        LABEL_STUDIO_API_KEY=token,
    )
    assert "refused this service's address" in said
    assert "ML_BLOCK_LOCAL_IP=false" in said
    assert "SSRF_PROTECTION_ENABLED=false" in said


def test_doctor_names_what_is_wrong(running: Running, tmp_path: Path) -> None:
    done = subprocess.run(
        own_command("doctor"),
        env=running.environment
        | {"LABEL_STUDIO_URL": "http://127.0.0.1:1", "BACKEND_URL": "http://127.0.0.1:1"}
        | {"REDIS_URL": "", "CROWDLAB_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    for fault in ("Label Studio", "Web application", "Workers for events", "Projects"):
        assert f"fault {fault}" in done.stdout
    assert "crowdlab start" in done.stdout


@pytest.fixture
def own_environment(studio: Studio, tmp_path: Path) -> dict[str, str]:
    """Environment of `crowdlab start` with a Redis of its own."""
    return {
        **os.environ,
        "PORT": str(free_port("127.0.0.1", 9190)),
        "CROWDLAB_DATA_DIR": str(tmp_path),
        "LABEL_STUDIO_URL": studio.url,
        "LABEL_STUDIO_API_KEY": studio.api_key,
        "REDIS_URL": "",
    }


ALL_WORKERS = {"events": 1, "write": 1, "refresh": 1}


def test_start_runs_everything_and_stops_cleanly(
    own_environment: dict[str, str], tmp_path: Path
) -> None:
    process = subprocess.Popen(
        own_command("start"), env=own_environment, stderr=subprocess.PIPE, text=True
    )
    try:
        wait_for(lambda: _workers(own_environment) == ALL_WORKERS, 60)
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in errors
    assert f"Crowdlab starts on http://127.0.0.1:{own_environment['PORT']} (" in errors
    assert "accepts admin@example.com's token\n" in errors
    assert not (tmp_path / "redis" / "redis.sock").exists()


def test_start_goes_on_when_its_redis_is_killed(
    own_environment: dict[str, str], tmp_path: Path
) -> None:
    process = subprocess.Popen(
        own_command("start"), env=own_environment, stderr=subprocess.PIPE, text=True
    )
    try:
        wait_for(lambda: _workers(own_environment) == ALL_WORKERS, 60)
        killed = _process_of_redis(tmp_path)
        os.kill(killed, signal.SIGKILL)
        wait_for(lambda: _process_of_redis(tmp_path) not in (0, killed))
        wait_for(lambda: _workers(own_environment) == ALL_WORKERS)
        port = own_environment["PORT"]
        wait_for(lambda: httpx.get(f"http://127.0.0.1:{port}/versions").is_success)
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "redis-server ended (status -9) and is started again" in errors


def test_nothing_outlives_a_start_that_was_killed(
    own_environment: dict[str, str], tmp_path: Path
) -> None:
    process = subprocess.Popen(own_command("start"), env=own_environment, stderr=subprocess.DEVNULL)
    wait_for(lambda: _workers(own_environment) == ALL_WORKERS, 60)
    started = _processes_with(str(tmp_path))
    assert len(started) >= 5
    process.kill()
    process.wait()
    wait_for(lambda: not _processes_with(str(tmp_path)), 60)


def _processes_with(mark: str) -> list[int]:
    """Processes whose environment holds the mark."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark.encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
    return found


def _process_of_redis(folder: Path) -> int:
    path = str(folder / "redis" / "redis.sock")
    with Redis(unix_socket_path=path) as redis, suppress(RedisError):
        return int(redis.info("server")["process_id"])
    return 0


def _workers(environment: dict[str, str]) -> object:
    done = subprocess.run(
        own_command("status", "--json"), env=environment, capture_output=True, text=True
    )
    return json.loads(done.stdout)["workers"] if done.returncode == 0 else None
