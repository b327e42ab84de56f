"""`crowdlab demo`, as a newcomer runs it, and what it leaves in Label Studio."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from backend.label_studio.client import LabelStudioClient
from backend.processes import own_command
from tests.e2e.environment import FOLDER

pytestmark = pytest.mark.e2e


def command(folder: Path, *options: str) -> list[str]:
    places = ["--data-dir", str(folder), "--label-studio-env", str(FOLDER)]
    return own_command("demo", *places, *options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("d")


def run(folder: Path, *options: str) -> dict[str, Any]:
    done = subprocess.run(
        command(folder, "--no-wait", "--json", *options),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.fixture(scope="module")
def result(folder: Path) -> dict[str, Any]:
    return run(folder)


def test_consensus_is_better_than_majority_vote(result: dict[str, Any]) -> None:
    assert result["consensus_accuracy"] > result["majority_vote_accuracy"] + 0.03
    assert (result["num_tasks"], result["num_annotators"]) == (750, 15)
    assert result["num_labeled"] == 700


def test_the_two_bad_annotators_are_last(result: dict[str, Any]) -> None:
    last = {row["name"] for row in result["worst_annotators"][-2:]}
    assert last == set(result["bad_annotators"])


def test_nothing_that_it_started_still_runs(folder: Path, result: dict[str, Any]) -> None:
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert str(folder) not in running
    assert not (folder / "redis" / "redis.sock").exists()


def test_its_secrets_are_its_owners_alone(folder: Path, result: dict[str, Any]) -> None:
    assert (folder / "demo.json").stat().st_mode & 0o077 == 0


def test_a_second_run_goes_on_until_it_is_interrupted(folder: Path, result: dict[str, Any]) -> None:
    """It finds its project again, changes nothing, and Ctrl-C stops it cleanly."""
    process = subprocess.Popen(
        command(folder, "--json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        text = ""
        for line in process.stdout:
            text += line
            if line == "}\n":
                break
        second = json.loads(text)
        assert second["project"] == result["project"]
        assert second["model_version"] == result["model_version"]
        state = json.loads((folder / "demo.json").read_text())
        client = LabelStudioClient(second["label_studio"], state["api_key"])
        check_label_studio(client, second, state)
        client.close()
        check_that_another_is_refused(folder)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        assert "Traceback" not in errors
        assert errors.endswith("Stopping.\n")
    finally:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGTERM)
            process.wait(timeout=60)
    time.sleep(0.5)
    assert not (folder / "redis" / "redis.sock").exists()


def check_that_another_is_refused(folder: Path) -> None:
    before = (folder / "demo.json").read_text()
    for options in ([], ["--fresh"]):
        done = subprocess.run(command(folder, *options), capture_output=True, text=True, timeout=60)
        assert done.returncode == 1
        assert f"A demo runs in the folder {folder}" in done.stderr
    assert (folder / "demo.json").read_text() == before
    assert (folder / "redis" / "redis.sock").exists()


def check_label_studio(
    client: LabelStudioClient, result: dict[str, Any], state: dict[str, Any]
) -> None:
    project = result["project"]
    assert client.model_versions(project) == {result["model_version"]: 700}
    assert client.project(project)["model_version"] == result["model_version"]
    predictions = client._request("GET", "api/predictions/", params={"project": project})
    assert len({one["task"] for one in predictions}) == 700
    right = [
        one["result"][0]["value"]["choices"] == [str(state["truth"][str(one["task"])])]
        for one in predictions
    ]
    assert sum(right) / 700 == pytest.approx(result["consensus_accuracy"])
    (page, _) = next(client.tasks(project, page_size=20))
    assert all(set(task["data"]) == {"image"} for task in page)
    users = {user["email"] for user in client.users()}
    assert {row["name"] for row in result["worst_annotators"]} <= users


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A small data set in the format of the public ones."""

    texts = ["lovely and warm", "awful and cold"] * 30
    tasks = pd.DataFrame({"task": [f"t{n}" for n in range(60)], "truth": [1, 0] * 30})
    tasks["text"] = [f"{text} {number}" for number, text in enumerate(texts)]
    labels = pd.DataFrame(
        [
            (f"t{task}", f"w{person}", (task + 1) % 2 if (task + person) % 7 else task % 2)
            for task in range(60)
            for person in range(25)
            if (task * 3 + person) % 8 == 0
        ],
        columns=["task", "annotator", "label"],
    )
    folder = tmp_path / "small"
    folder.mkdir()
    tasks.to_parquet(folder / "tasks.parquet")
    labels.to_parquet(folder / "labels.parquet")
    meta = {"name": "small & <odd>", "classes": ["not good", 'very "good"']}
    (folder / "meta.json").write_text(json.dumps(meta))
    return folder


def test_a_data_set_can_be_shown_instead(folder: Path, dataset: Path) -> None:
    shown = run(folder, "--dataset", str(dataset))
    assert (shown["num_tasks"], shown["num_annotators"]) == (60, 25)
    assert shown["title"].startswith("small & <odd>")
    assert shown["consensus_accuracy"] >= shown["majority_vote_accuracy"]


@pytest.mark.parametrize("missing", ["meta.json", "labels.parquet", "tasks.parquet"])
def test_an_incomplete_data_set_is_explained(tmp_path: Path, dataset: Path, missing: str) -> None:
    (dataset / missing).unlink()
    done = subprocess.run(
        command(tmp_path, "--no-wait", "--dataset", str(dataset)), capture_output=True, text=True
    )
    assert done.returncode == 1
    assert f"has no {missing}" in done.stderr
    assert "Traceback" not in done.stderr
