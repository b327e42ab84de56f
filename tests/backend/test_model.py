"""CrowdlabModel under both generations' calling conventions."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import numpy as np
import pytest
from label_studio_ml.model import LabelStudioMLBase

from backend.errors import BadRequestError
from backend.label_studio.questions import Question
from backend.model import NO_VERSION, CrowdlabModel, read_project_id
from backend.processes import Processes
from backend.service import Service
from backend.store.project import ProjectInfo, ProjectStore, Publication
from backend.web.server import free_port

CONFIG = (
    '<View><Text name="text" value="$text"/><Choices name="label" toName="text">'
    '<Choice value="a"/><Choice value="b"/></Choices></View>'
)


@pytest.fixture
def service(make_service: Callable[..., Service], store: ProjectStore) -> Service:
    """Service with consensus for tasks 1 and 2 of project 25."""
    info = ProjectInfo("t", CONFIG, (Question("label", "text", ("a", "b")),), cursor=1)
    consensus = {
        "task": np.array([1, 2]),
        "label": np.array([[0], [1]]),
        "quality": np.array([[0.25], [0.87654321]]),
        "agreement": np.array([[1.0], [1.0]]),
        "num_annotations": np.array([[2], [2]]),
    }
    with store.transaction() as pipe:
        store.stage_info(pipe, info)
        store.consensus(1).stage_all(pipe, consensus)
        store.stage_publication(pipe, Publication("crowdlab-000007", 7, 0.0, 2))
    return make_service()


def choices(prediction: Any) -> list[str]:
    found: list[str] = prediction["result"][0]["value"]["choices"]
    return found


def test_it_is_a_label_studio_model() -> None:
    assert issubclass(CrowdlabModel, LabelStudioMLBase)


def test_2x_servers_get_one_entry_per_task(service: Service) -> None:
    model = CrowdlabModel("25.1795506363", label_config=CONFIG, service=service)
    first, unknown, second = model.predict([{"id": 1}, {"id": 99}, {"id": 2}], context=None)
    assert unknown == []
    assert choices(first) == ["a"]
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    assert (first["score"], second["score"]) == (0.25, 0.8765)
    assert first["model_version"] == model.get("model_version") == "crowdlab-000007"
    assert model.get("anything") is None


def test_1x_servers_name_the_project_in_the_tasks(service: Service) -> None:
    model = CrowdlabModel(label_config=CONFIG, train_output={}, service=service)
    (found,) = model.predict([{"id": 2, "project": 25}], login="", password="")
    assert choices(found) == ["b"]
    assert isinstance(found, dict)
    assert found["model_version"] == "crowdlab-000007"


def test_no_tasks_no_predictions(service: Service) -> None:
    assert CrowdlabModel(25, service=service).predict([]) == []


@pytest.mark.parametrize("task", [{}, {"id": None}, {"id": "x"}, {"id": True}, {"id": -1}])
def test_tasks_without_a_usable_id_get_nothing(service: Service, task: dict[str, Any]) -> None:
    assert CrowdlabModel(25, service=service).predict([task, {"id": 1}])[0] == []


@pytest.mark.parametrize("project", [None, "", 0, 404, "x.1", -3, 10**30])
def test_unknown_projects_get_nothing(service: Service, project: Any) -> None:
    model = CrowdlabModel(project, service=service)
    assert model.predict([{"id": 1}, {"id": 2}]) == [[], []]
    assert model.model_version == NO_VERSION


@pytest.mark.parametrize(
    "config",
    [
        CONFIG.replace('name="label"', 'name="other"'),
        CONFIG.replace('<Choice value="b"/>', ""),
        CONFIG.replace('"text"', '"words"'),
        "<View/>",
        "no xml",
    ],
)
def test_a_foreign_labeling_config_gets_no_prediction_that_does_not_fit(
    service: Service, config: str
) -> None:
    assert CrowdlabModel(25, config, service=service).predict([{"id": 1}]) == [[]]


def test_a_wider_labeling_config_still_fits(service: Service) -> None:
    wider = CONFIG.replace("</Choices>", '<Choice value="c"/></Choices>')
    (found,) = CrowdlabModel(25, wider, service=service).predict([{"id": 1}])
    assert choices(found) == ["a"]


@pytest.mark.parametrize("tasks", [None, 3, [3], "text", {"id": 1}])
def test_what_is_no_list_of_tasks_is_refused(service: Service, tasks: Any) -> None:
    with pytest.raises(BadRequestError, match="list of task objects"):
        CrowdlabModel(25, service=service).predict(tasks)


def test_both_ways_to_fit_reach_the_inbox(service: Service, recorded: Any) -> None:
    body = recorded("webhook_ANNOTATION_CREATED.json")["body"]
    del body["action"]
    model = CrowdlabModel(25, service=service)
    assert model.fit("ANNOTATION_CREATED", body) == {"model_version": "crowdlab-000007"}
    of_1x = CrowdlabModel(label_config=CONFIG, train_output={}, service=service)
    fitted = of_1x.fit((), event="ANNOTATION_CREATED", data=body, job_id="1")
    assert fitted == {"model_version": "crowdlab-000007"}
    assert len(service.store(25).inbox) == 2
    with pytest.raises(BadRequestError):
        model.fit(())
    with pytest.raises(BadRequestError, match="no action"):
        model.fit(data=body)


def test_1x_keeps_the_labeling_config_of_another_project(service: Service) -> None:
    model = CrowdlabModel(label_config="<View/>", train_output={}, service=service)
    (found,) = model.predict([{"id": 2, "project": 25}])
    assert choices(found) == ["b"]


class _StockServer:
    """label-studio-ml's own server, made and started by its own commands."""

    def __init__(self, folder: Path, redis_url: str, processes: Processes) -> None:
        self._url = f"http://127.0.0.1:{(port := free_port('127.0.0.1', 9290))}"
        script = folder / "crowdlab_backend.py"
        script.write_text("from backend.model import CrowdlabModel\n")
        programs = Path(sys.executable).parent
        environment = os.environ | {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "REDIS_URL": redis_url,
            "LABEL_STUDIO_ML_BACKEND_V2": "1",
        }
        command = str(programs / "label-studio-ml")
        model = ["--script", f"{script}:CrowdlabModel"]
        subprocess.run([command, "init", "served", *model], cwd=folder, env=environment, check=True)
        start = [command, "start", str(folder / "served"), "--host", "127.0.0.1"]
        processes.start("server", [*start, "--port", str(port)], environment, folder / "log")
        deadline = time.monotonic() + 60
        while not self._is_up():
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.1)

    def _is_up(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self._url}/health").json()["status"] == "UP"
        return False

    def post(self, path: str, body: Any) -> Any:
        answer = httpx.post(f"{self._url}{path}", json=body, timeout=30)
        assert answer.is_success, answer.text
        return answer.json()


def test_a_stock_1x_server_predicts_and_hands_on_events(
    service: Service, redis_url: str, recorded: Any, tmp_path: Path
) -> None:
    asked = recorded("ml_predict_batch.request.json")["body"] | {"label_config": CONFIG}
    asked["tasks"] = [task | {"id": number} for number, task in enumerate(asked["tasks"][:3])]
    event = recorded("webhook_ANNOTATION_CREATED.json")["body"]
    with Processes() as processes:
        server = _StockServer(tmp_path, redis_url, processes)
        server.post("/setup", recorded("ml_setup.request.json")["body"])
        nothing, first, second = server.post("/predict", asked)["results"]
        assert nothing == []
        assert (choices(first), choices(second)) == (["a"], ["b"])
        assert first["model_version"] == "crowdlab-000007"
        inbox = service.store(25).inbox
        server.post("/webhook", event)
        deadline = time.monotonic() + 30
        while not len(inbox):  # it hands events on in a process of their own
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.05)


class _Base2x:
    """What the base class of 2.x has in the way of ours; 2.x is on no package index."""

    def __init__(self, project_id: str | None = None, label_config: str | None = None) -> None:
        raise AssertionError("it would fetch and cache things that nothing needs")

    @property
    def label_config(self) -> str | None:
        raise AssertionError("it reads a cache of its own")

    @property
    def model_version(self) -> str | None:
        raise AssertionError("it reads a cache of its own")


def test_2x_servers_call_it_on_their_own_base_class(
    service: Service, recorded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stock = ModuleType("label_studio_ml.model")
    stock.LabelStudioMLBase = _Base2x  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "label_studio_ml.model", stock)
    spec = find_spec("backend.model")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    assert issubclass(module.CrowdlabModel, _Base2x)
    body = recorded("webhook_ANNOTATION_CREATED.json")["body"]
    action = body.pop("action")

    setup = module.CrowdlabModel(project_id="25", label_config=CONFIG, service=service)
    assert setup.get("model_version") == "crowdlab-000007"
    predict = module.CrowdlabModel(project_id="25", label_config=CONFIG, service=service)
    (found,) = predict.predict([{"id": 1}], context={}, login=None, password=None)
    assert choices(found) == ["a"]
    webhook = module.CrowdlabModel("25", label_config=CONFIG, service=service)
    assert webhook.fit(action, body) == {"model_version": "crowdlab-000007"}
    assert len(service.store(25).inbox) == 1


def test_without_a_service_the_settings_decide(
    service: Service, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from backend import model as module

    monkeypatch.setenv("REDIS_URL", redis_url)
    module._default_service.cache_clear()
    model = CrowdlabModel("25", label_config=CONFIG)
    assert model.model_version == "crowdlab-000007"
    model.service.redis.close()
    module._default_service.cache_clear()


def test_project_references_are_read() -> None:
    assert read_project_id("4.1795505267") == 4
    assert read_project_id(4) == 4
    assert read_project_id("٣") == 0
