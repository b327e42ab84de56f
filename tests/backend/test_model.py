"""CrowdlabModel under both generations' calling conventions."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from label_studio_ml.model import LabelStudioMLBase

from backend.errors import BadRequestError
from backend.label_studio.questions import Question
from backend.model import NO_VERSION, CrowdlabModel, read_project_id
from backend.service import Service
from backend.store.project import ProjectInfo, ProjectStore, Publication

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
    model = CrowdlabModel(25, service=service)
    assert model.fit("ANNOTATION_CREATED", body) == {"model_version": "crowdlab-000007"}
    model.fit((), event="ANNOTATION_CREATED", data=body, job_id="1")
    assert len(service.store(25).inbox) == 2
    with pytest.raises(BadRequestError):
        model.fit(())


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
