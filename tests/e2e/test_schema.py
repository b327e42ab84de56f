"""Every documented operation of a running service with a Label Studio behind it."""

from typing import Any

import pytest
import schemathesis
from hypothesis import given

from tests.backend.web.api.test_schema import CHECKS, SAME_CALLS
from tests.e2e.conftest import Running, Studio
from tests.e2e.test_live import LABELS, crowdlab

pytestmark = pytest.mark.e2e


def test_no_call_fails_the_server(studio: Studio, running: Running) -> None:
    project = studio.make_project(title="Called with everything")
    tasks = studio.add_tasks(project, LABELS)
    crowdlab(running, "connect", str(project))
    url = running.service.settings.public_url
    schema = schemathesis.openapi.from_url(f"{url}/api/openapi.json")
    called = set()
    for found in schema.get_all_operations():
        operation = found.ok()

        @given(case=operation.as_strategy())
        @SAME_CALLS
        def call(case: Any) -> None:
            known = {"project": project, "task": tasks[0]}
            case.path_parameters |= {
                name: known.get(name, value) for name, value in case.path_parameters.items()
            }
            case.call_and_validate(checks=CHECKS)

        call()
        called.add(operation.label)
    assert len(called) > 15
