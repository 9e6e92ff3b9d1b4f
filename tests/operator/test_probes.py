"""The answers to the kubelet's probes."""

from __future__ import annotations

import asyncio
import time

import pytest
from aiohttp.test_utils import make_mocked_request

from modelcache_operator.app.health import Health


@pytest.mark.parametrize(
    ("tried", "ready", "healthz", "readyz"),
    [
        pytest.param(None, False, 200, 503, id="a standby"),
        pytest.param(59, True, 200, 200, id="active"),
        pytest.param(61, True, 503, 200, id="lists have stopped"),
    ],
)
def test_liveness_is_about_lists_that_are_tried_and_readiness_about_the_lease(
    tried: float | None, ready: bool, healthz: int, readyz: int
) -> None:
    health = Health(lambda: None if tried is None else time.monotonic() - tried, lambda: ready, limit_s=60)
    request = make_mocked_request("GET", "/")
    answers = (asyncio.run(health.healthz(request)), asyncio.run(health.readyz(request)))
    assert [answer.status for answer in answers] == [healthz, readyz]
