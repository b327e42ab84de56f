"""Every documented operation, called with whatever its schema allows and with what it forbids.

`tests/e2e/test_schema.py` does the same with a Label Studio behind.
"""

import os
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from backend.service import Service
from backend.web.app import create_app

EXAMPLES = int(os.environ.get("SCHEMA_EXAMPLES", "8"))
"""Calls per operation and mode; `SCHEMA_EXAMPLES=300 pytest tests/backend/web/api/test_schema.py`
is the full run."""

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]

SAME_CALLS = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
"""Each run makes the same ones, however slow the machine is."""


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_no_call_fails_the_server(service: Service, mode: GenerationMode) -> None:
    schema = schemathesis.openapi.from_wsgi("/api/openapi.json", create_app(service))
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) > 15
    for operation in operations:

        @given(case=operation.as_strategy(generation_mode=mode))
        @SAME_CALLS
        def call(case: Any) -> None:
            if case.method == "GET" and mode is GenerationMode.POSITIVE:
                case.path_parameters |= {"project": 25} if case.path_parameters else {}
            case.call_and_validate(checks=CHECKS)

        call()
