"""The page of other classifiers' predictions."""

import base64
from pathlib import Path
from typing import Any

from backend.jobs.recompute import recompute_project
from backend.jobs.train import train_classifiers
from backend.service import Service
from tests.backend.sources.test_shelf import predictions
from tests.backend.web.dashboard.conftest import Call, shown

PATH = {"address__pathname": "/projects/25/models"}


def send(call: Call, content: bytes, name: str, **values: Any) -> str:
    encoded = base64.b64encode(content).decode()
    return shown(
        call(
            "models-report.children",
            "models-file.contents",
            **{"models-file__contents": f"data:text/csv;base64,{encoded}"},
            **{"models-file__filename": name},
            **values,
            **PATH,
        )
    )


def test_a_file_is_taken_in_counted_and_dropped(
    call: Call, service: Service, tmp_path: Path
) -> None:
    content = predictions(tmp_path, range(80, 100)).read_bytes()
    said = send(call, content, "theirs.csv", **{"models-question__value": "mood"})
    assert "theirs is stored" in said
    assert "11 of 20 rows are used." in said
    assert "no task of the project is meant" in said
    assert "not yet" in said
    store = service.store(25)
    recompute_project(store, train_classifiers(store))
    listed = shown(call("models-sources.children", "stamp.data", **PATH))
    assert "not yet" not in listed
    assert "Drop theirs" in listed


def test_what_cannot_be_used_is_said(call: Call, service: Service) -> None:
    said = send(call, b"task,good,bad\n1,1,0\n", "a.csv", **{"models-question__value": "tense"})
    assert "Nothing was changed" in said
    assert "No column is named like a class of question tense" in said
    assert service.store(25).prediction_sources.all() == []
