"""The clock is the API server's."""

from __future__ import annotations

import pytest

from modelcache_operator.kube.clock import ServerClock


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        pytest.param("Mon, 21 Sep 2026 10:13:20 GMT", 0.0, id="the same time"),
        pytest.param("Mon, 21 Sep 2026 10:13:21 GMT", 0.0, id="as precise as the header"),
        pytest.param("Mon, 21 Sep 2026 10:23:20 GMT", 600.5, id="the server is ahead"),
        pytest.param("Mon, 21 Sep 2026 10:03:20 GMT", -599.5, id="the server is behind"),
        *(pytest.param(date, 0.0, id=str(date)) for date in (None, "", "yesterday", "Mon, 99 Sep 2026 10:03:20 GMT")),
    ],
)
def test_time_is_that_of_the_api_server(date: str | None, expected: float) -> None:
    own = 1_789_985_600.0
    clock = ServerClock(lambda: own)
    clock.observe(date)
    assert clock() - own == pytest.approx(expected)
    clock.observe("Mon, 21 Sep 2026 10:13:20 GMT")
    assert clock() - own == pytest.approx(0.0)
