"""The API against its own description: whatever requests are made from /openapi.json, the answers are as it says.

A server error is never right. What schemathesis cannot know is left out: whether a picture is one, and which video is
there, so requests of the described shape may be refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from inference_server.drawing_engine import DrawingEngine
from inference_server.harness import RunningServer, config_for, running

EXAMPLES = 12
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    unsupported_method,
]


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running(config_for(tmp_path_factory.mktemp("contract")), DrawingEngine()) as started:
        yield started


Operation = schemathesis.APIOperation[Any, Any, Any, Any]


def operations(server: RunningServer) -> list[Operation]:
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    return [each.ok() for each in schema.get_all_operations() if isinstance(each, Ok)]


@pytest.mark.fuzz
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("mode", GenerationMode, ids=lambda mode: f"{mode.value} requests")
def test_every_answer_is_one_that_the_description_names(described: RunningServer, mode: GenerationMode) -> None:
    found = operations(described)
    assert {operation.path for operation in found} >= {"/v1/videos", "/v1/videos/{video_id}", "/v1/models"}
    for operation in found:
        assert try_it(operation, mode) or mode is GenerationMode.NEGATIVE, operation.label


def try_it(operation: Operation, mode: GenerationMode) -> int:
    """Returns how many requests were made; some operations take nothing that could be wrong."""
    tried = 0

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def answers_as_described(case: schemathesis.Case[Any]) -> None:
        nonlocal tried
        tried += 1
        case.call_and_validate(checks=CHECKS)

    with suppress(Unsatisfiable):
        answers_as_described()
    return tried
