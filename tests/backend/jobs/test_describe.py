"""Reading the files of tasks, from a host that answers for Label Studio.

The real one is asked in `tests/e2e/test_files.py`.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from PIL import Image

from backend.errors import LabelStudioError, NothingToComputeError
from backend.features.fetch import MOST_FAILURES, AllowedHosts, ContentFetcher, FetchLimits
from backend.features.image import describe_image
from backend.features.matrix import feature_matrix
from backend.features.media import media_of, recipe_of, width_of
from backend.features.models import NONE, load_models
from backend.features.outcome import Outcome
from backend.jobs import describe
from backend.jobs.describe import DescribeReport, describe_files
from backend.jobs.sync import TaskRows, forget_tasks, replace_tasks
from backend.label_studio.client import LabelStudioClient
from backend.label_studio.questions import Question, Source
from backend.store.project import ProjectInfo, ProjectStore
from tests.backend.features.disk_models import save_image_model, save_text_model
from tests.backend.features.files import encoded
from tests.backend.features.hosts import Host, file, running_host, status

IMAGE = Source("image", "picture")
QUESTION = Question("label", "picture", ("a", "b"), (IMAGE,))
RED = encoded(Image.new("RGB", (20, 20), "red"))
BLUE = encoded(Image.new("RGB", (20, 20), "blue"))


class Project:
    """A project with tasks, in the store and at a host that plays Label Studio."""

    def __init__(self, store: ProjectStore, host: Host, question: Question = QUESTION) -> None:
        self.store, self.host, self.question = store, host, question
        self.data: dict[int, dict[str, Any]] = {}
        self.models = NONE
        host.otherwise = self._answer
        host.answers |= {"/data/red.png": file(RED), "/data/blue.png": file(BLUE)}

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        """Tasks that a list of ids asks for, or nothing."""
        parts = urlsplit(request.path)
        if parts.path != "/api/tasks":
            status(404)(request)
            return
        query = json.loads(parse_qs(parts.query)["query"][0])
        (wanted,) = [one["value"] for one in query["filters"]["items"]]
        tasks = [{"id": one, "data": self.data[one]} for one in wanted if one in self.data]
        body = json.dumps({"tasks": tasks, "total": len(tasks)}).encode()
        file(body, "application/json")(request)

    def put(self, data: dict[int, Any], labelled: tuple[int, ...] = ()) -> None:
        """Add or change tasks by the address of their picture, as a sync does."""
        (source,) = self.question.sources
        new = {task: {source.key: value} for task, value in data.items()}
        self.data |= new
        rows = TaskRows((self.question,))
        region = {"from_name": "label", "value": {"choices": ["a"]}}
        annotation = {"completed_by": 1, "result": [region]}
        rows.add(
            {
                "id": task,
                "data": one,
                "annotations": [{"id": task, **annotation}] if task in labelled else [],
            }
            for task, one in new.items()
        )
        info = self.store.read_info() or ProjectInfo("t", "<View/>", (self.question,))
        replace_tasks(self.store, info, rows.task_ids, *rows.arrays(self.store.answer_book))

    def read(self, seconds: float | None = None) -> DescribeReport:
        limits = FetchLimits(AllowedHosts.parse(""), 100_000, 5, 1)
        client = LabelStudioClient(self.host.url, "0" * 40)
        fetcher = ContentFetcher(self.host.url, client.authorization, limits)
        try:
            return describe_files(self.store, client, fetcher, models=self.models, seconds=seconds)
        finally:
            client.close()

    def files_asked(self) -> list[str]:
        """Files that were asked for since the last time."""
        paths = [path for path in self.host.paths if not path.startswith("/api/")]
        self.host.asked.clear()
        return paths

    def outcomes(self) -> dict[int, int]:
        rows = self.store.described(self.recipe, 1).read()
        return dict(zip(rows["task"].tolist(), rows["outcome"][:, 0].tolist(), strict=True))

    def features(self) -> dict[int, np.ndarray]:
        media = media_of(self.question.sources, self.models)
        rows = self.store.descriptors(self.recipe, width_of(media, self.models)).read()
        return dict(zip(rows["task"].tolist(), rows["values"], strict=True))

    @property
    def recipe(self) -> str:
        return recipe_of(media_of(self.question.sources, self.models), self.models)

    def sentences(self) -> list[str]:
        report = self.store.read_media()
        assert report is not None
        return report.sentences()

    def sync_fully(self) -> None:
        info = self.store.read_info()
        assert info is not None
        self.store.touch(info, fully_synced_at=time.time())


@pytest.fixture
def project(store: ProjectStore) -> Iterator[Project]:
    with running_host() as host:
        yield Project(store, host)


def test_what_is_read_is_kept(project: Project) -> None:
    project.put({1: "/data/red.png", 2: "", 3: "/data/gone.png"})
    assert project.read() == DescribeReport(3, 1, 0)
    assert project.outcomes() == {1: Outcome.READ, 2: Outcome.EMPTY, 3: 404}
    found = project.features()
    assert set(found) == {1}
    np.testing.assert_allclose(found[1], describe_image(RED), atol=1e-3)
    assert project.sentences() == [
        "1 of 3 images (picture) could not be read: 1 answered with HTTP status 404, such as "
        "that of task 3."
    ]
    project.host.asked.clear()
    assert project.read() == DescribeReport()
    assert not project.host.asked


def test_what_was_trained_without_the_files_is_out_of_date(project: Project) -> None:
    project.put({1: "/data/red.png"})
    before = project.store.read_info()
    project.read()
    after = project.store.read_info()
    assert before is not None
    assert after == replace(before, data_version=before.data_version + 1)


def test_equal_contents_are_read_once(project: Project) -> None:
    project.put(dict.fromkeys(range(1, 80), "/data/red.png"))
    project.read()
    assert project.files_asked() == ["/data/red.png"]
    project.put({500: "/data/red.png"})
    project.read()
    assert project.files_asked() == []
    found = project.features()
    assert len(found) == 80
    np.testing.assert_array_equal(found[500], found[1])


def test_a_changed_task_is_read_anew_and_a_deleted_one_forgotten(project: Project) -> None:
    project.put({1: "/data/red.png", 2: "/data/red.png", 3: "/data/blue.png"})
    project.read()
    project.files_asked()
    project.host.answers["/data/new.png"] = file(BLUE)
    project.put({1: "/data/new.png"})
    forget_tasks(project.store, np.asarray([3]))
    project.read()
    assert project.files_asked() == ["/data/new.png"]
    found = project.features()
    assert set(found) == set(project.outcomes()) == {1, 2}
    np.testing.assert_allclose(found[1], describe_image(BLUE), atol=1e-3)
    np.testing.assert_allclose(found[2], describe_image(RED), atol=1e-3)


def test_what_failed_is_tried_again_after_the_next_full_sync(project: Project) -> None:
    project.put({1: "/data/red.png", 2: "/data/later.png"})
    project.read()
    project.files_asked()
    project.host.answers["/data/later.png"] = file(BLUE)
    project.put({3: "/data/blue.png"})
    project.read()
    assert project.files_asked() == ["/data/blue.png"]
    project.sync_fully()
    assert project.read() == DescribeReport(1, 0, 0)
    assert project.files_asked() == ["/data/later.png"]
    assert project.outcomes()[2] == Outcome.READ
    assert project.sentences() == []


def test_a_run_out_of_time_goes_on_where_it_ended(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(describe, "TASKS_AT_ONCE", 2)
    project.host.answers |= {f"/data/{n}.png": file(RED) for n in range(1, 6)}
    project.put({n: f"/data/{n}.png" for n in range(1, 6)}, labelled=(5,))
    assert project.read(seconds=0) == DescribeReport(0, 0, 5)
    assert project.sentences() == ["5 of 5 images (picture) are still to be read."]

    def slow(request: BaseHTTPRequestHandler) -> None:
        time.sleep(0.3)
        file(RED)(request)

    project.host.answers["/data/5.png"] = slow
    assert project.read(seconds=0.2) == DescribeReport(2, 0, 3)
    # Tasks with labels come first.
    assert set(project.files_asked()) == {"/data/1.png", "/data/5.png"}
    assert project.read() == DescribeReport(3, 0, 0)
    assert len(project.files_asked()) == 3
    assert project.sentences() == []


def test_a_killed_run_goes_on_where_it_ended(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(describe, "TASKS_AT_ONCE", 2)
    project.host.answers |= {f"/data/{n}.png": file(RED) for n in range(1, 6)}
    project.put({n: f"/data/{n}.png" for n in range(1, 6)})
    tasks = project.host.otherwise
    project.host.otherwise = lambda request: (
        status(500) if len(project.host.asked) > 3 else tasks
    )(request)
    with pytest.raises(LabelStudioError):
        project.read()
    assert set(project.outcomes()) == {1, 2}
    project.host.otherwise = tasks
    project.host.asked.clear()
    assert project.read().num_described == 3


def test_a_label_studio_that_fails_is_asked_later(project: Project) -> None:
    project.host.answers |= {f"/data/{n}.png": status(503) for n in range(10)}
    project.put({n + 1: f"/data/{n}.png" for n in range(10)})
    report = project.read()
    assert report.num_waiting == 10
    assert set(project.outcomes().values()) == {Outcome.UNREACHABLE}
    assert len(project.outcomes()) == MOST_FAILURES
    project.host.answers |= {f"/data/{n}.png": file(RED) for n in range(10)}
    assert project.read() == DescribeReport(10 - MOST_FAILURES, 0, 0)


def test_of_several_files_the_mean_is_kept(project: Project) -> None:
    project.put({1: ["/data/red.png", None, "/data/blue.png"], 2: ["/data/red.png", "/data/x"]})
    project.read()
    assert project.outcomes() == {1: Outcome.READ, 2: 404}
    mean = (describe_image(RED) + describe_image(BLUE)) / 2
    np.testing.assert_allclose(project.features()[1], mean, atol=1e-3)


def test_other_sources_leave_nothing_behind(project: Project) -> None:
    project.put({1: "/data/red.png"})
    project.read()
    old = project.recipe
    project.question = replace(QUESTION, sources=(Source("image", "other"),))
    info = project.store.read_info()
    assert info is not None
    project.store.touch(info, questions=(project.question,))
    project.read()
    assert project.outcomes() == {1: Outcome.EMPTY}
    assert not project.store.described(old, 1).block_numbers()
    info = project.store.read_info()
    assert info is not None
    project.store.touch(info, questions=(replace(QUESTION, sources=()),))
    project.read()
    assert project.store.read_media() is None
    assert not project.store.described(project.recipe, 1).block_numbers()


def test_a_config_that_changes_meanwhile_stops_the_run(project: Project) -> None:
    project.put({1: "/data/red.png"})

    def change(request: BaseHTTPRequestHandler) -> None:
        info = project.store.read_info()
        assert info is not None
        other = replace(QUESTION, classes=("x", "y"))
        ProjectStore(project.store.redis, 25).touch(info, questions=(other,))
        file(RED)(request)

    project.host.answers["/data/red.png"] = change
    with pytest.raises(NothingToComputeError, match="changed while its files were read"):
        project.read()
    assert project.outcomes() == {}


def test_an_image_models_vectors_are_kept_and_by_another_one_computed_anew(
    project: Project, tmp_path: Path
) -> None:
    project.put({1: "/data/red.png"})
    project.read()
    plain = project.features()[1]
    project.files_asked()
    for scale in (1.0, 2.0):
        file = save_image_model(tmp_path / f"{scale}.onnx", scale=scale)
        project.models = load_models(None, file)
        assert project.models.image is not None
        assert project.read() == DescribeReport(1, 0, 0)
        assert project.files_asked() == ["/data/red.png"]
        vector = project.models.image.describe(RED)
        np.testing.assert_allclose(project.features()[1], np.r_[plain, vector], atol=2e-3)
        assert project.read() == DescribeReport()
    project.models = NONE
    project.read()
    np.testing.assert_array_equal(project.features()[1], plain)


def test_without_the_image_model_descriptors_are_still_kept(
    project: Project, tmp_path: Path
) -> None:
    project.put({1: "/data/red.png"})
    (tmp_path / "broken.onnx").touch()
    project.models = load_models(tmp_path, tmp_path / "broken.onnx")
    assert project.read() == DescribeReport(1, 0, 0)
    (sentence,) = project.sentences()
    assert "CROWDLAB_IMAGE_MODEL" in sentence
    assert set(project.features()) == {1}
    project.models = NONE
    project.read()
    assert project.sentences() == []


@pytest.fixture
def texts(store: ProjectStore) -> Iterator[Project]:
    """A project of texts, with labels."""
    source = Source("text", "words")
    with running_host() as host:
        project = Project(store, host, Question("label", "words", ("a", "b"), (source,)))
        project.put({1: "good", 2: "bad", 3: "good", 4: " ", 5: 7})
        yield project


def test_texts_are_described_once_and_stand_beside_the_words(
    texts: Project, tmp_path: Path
) -> None:
    assert texts.read() == DescribeReport()
    texts.models = load_models(save_text_model(tmp_path / "one"), None)
    assert texts.models.text is not None
    assert texts.read() == DescribeReport(5, 0, 0)
    assert texts.sentences() == []
    good, bad = texts.models.text.vectors(["good", "bad"])
    found = texts.features()
    assert set(found) == {1, 2, 3}
    for task, vector in ((1, good), (2, bad), (3, good)):
        np.testing.assert_allclose(found[task], vector, atol=2e-3)
    info = texts.store.read_info()
    assert info is not None
    before = info.data_version
    texts.host.asked.clear()
    assert texts.read() == DescribeReport()
    texts.put({2: "good bad"})
    assert texts.read() == DescribeReport(1, 0, 0)
    np.testing.assert_allclose(texts.features()[2], (good + bad) / 2, atol=2e-3)
    info = texts.store.read_info()
    assert info is not None
    assert info.data_version > before
    tasks = texts.store.tasks.read()["task"]
    features = feature_matrix(texts.store, info, tasks, texts.models)
    assert features is not None
    assert features.is_known.tolist() == [True, True, True, False, True]
    assert features.matrix.toarray()[:3, ~features.is_count][:, :4] == pytest.approx(
        np.stack([good, (good + bad) / 2, good]), abs=2e-3
    )


def test_another_text_model_computes_anew_and_none_forgets(texts: Project, tmp_path: Path) -> None:
    for seed in (0, 1):
        folder = save_text_model(tmp_path / str(seed), seed=seed)
        texts.models = load_models(folder, None)
        assert texts.models.text is not None
        assert texts.read() == DescribeReport(5, 0, 0)
        (good,) = texts.models.text.vectors(["good"])
        np.testing.assert_allclose(texts.features()[1], good, atol=2e-3)
    texts.models = NONE
    assert texts.read() == DescribeReport()
    assert texts.store.read_media() is None


def test_without_the_text_model_a_sentence_says_so_and_words_remain(
    texts: Project, tmp_path: Path
) -> None:
    texts.models = load_models(tmp_path, None)
    assert texts.read() == DescribeReport()
    (sentence,) = texts.sentences()
    assert "has no config.json" in sentence
    info = texts.store.read_info()
    assert info is not None
    tasks = texts.store.tasks.read()["task"]
    assert feature_matrix(texts.store, info, tasks, texts.models) is not None
    texts.host.asked.clear()
    assert texts.read() == DescribeReport()
    assert not texts.host.asked
    texts.models = NONE
    texts.read()
    assert texts.store.read_media() is None
