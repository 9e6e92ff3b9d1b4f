"""When to try again and when to stop, on a clock that the test turns."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from init_sync.core.errors import TryAgain
from init_sync.core.reasons import Reason
from init_sync.hub.retry import (
    FIRST_DELAY_S,
    LONGEST_DELAY_S,
    PROGRESS_BYTES,
    RetryBudget,
    Transient,
    retry_after_s,
)
from support.clock import Clock

GIVE_UP_S = 30.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def budget(clock: Clock) -> RetryBudget:
    return RetryBudget(GIVE_UP_S, clock)


def away(retry_after_s: float | None = None) -> Transient:
    return Transient(Reason.HUB_UNREACHABLE, "fetching it: the hub answered 503", retry_after_s)


def test_without_an_answer_the_delay_is_the_backoff(budget: RetryBudget) -> None:
    assert FIRST_DELAY_S / 2 <= budget.delay_s(away(), 1) <= FIRST_DELAY_S


@pytest.mark.parametrize("asked", [0.0, 0.5, 17.0, GIVE_UP_S])
def test_what_the_server_asks_for_is_the_delay_as_long_as_it_fits(asked: float, budget: RetryBudget) -> None:
    assert budget.delay_s(away(asked), 5) == asked


def test_a_server_that_asks_for_more_than_there_is_left_is_believed_at_once(budget: RetryBudget, clock: Clock) -> None:
    clock.now_s += 20

    with pytest.raises(TryAgain, match="the hub asks to wait 11 s") as caught:
        budget.delay_s(away(11.0), 1)

    assert caught.value.reason is Reason.HUB_UNREACHABLE
    assert caught.value.message.startswith("fetching it: the hub answered 503; ")
    assert isinstance(caught.value.__cause__, Transient)


def test_patience_ends_when_nothing_came_for_that_long(budget: RetryBudget, clock: Clock) -> None:
    clock.now_s += GIVE_UP_S - LONGEST_DELAY_S
    assert budget.delay_s(away(), 20) > 0
    clock.now_s += LONGEST_DELAY_S

    with pytest.raises(TryAgain, match="no progress for 30 s"):
        budget.delay_s(away(), 20)


def test_a_wait_of_nothing_does_not_prolong_the_patience(budget: RetryBudget, clock: Clock) -> None:
    clock.now_s += GIVE_UP_S + 1

    with pytest.raises(TryAgain, match="no progress"):
        budget.delay_s(away(0.0), 1)


def test_the_sum_of_all_delays_stays_within_the_patience(budget: RetryBudget, clock: Clock) -> None:
    began, attempts = clock.now_s, 0
    with suppress(TryAgain):
        while attempts < 100:
            attempts += 1
            clock.now_s += budget.delay_s(away(), attempts)

    assert clock.now_s - began <= GIVE_UP_S
    assert 6 <= attempts <= 20


def test_bytes_that_arrive_let_patience_start_anew(budget: RetryBudget, clock: Clock) -> None:
    for _ in range(10):
        clock.now_s += GIVE_UP_S - 1
        budget.progress(PROGRESS_BYTES)

    assert budget.delay_s(away(), 1) > 0


def test_a_drip_is_no_progress(budget: RetryBudget, clock: Clock) -> None:
    for _ in range(int(GIVE_UP_S)):
        clock.now_s += 1
        budget.progress(PROGRESS_BYTES // 64)

    with pytest.raises(TryAgain):
        budget.delay_s(away(), 1)


def test_small_amounts_add_up_to_progress(budget: RetryBudget, clock: Clock) -> None:
    clock.now_s += GIVE_UP_S
    for _ in range(64):
        budget.progress(PROGRESS_BYTES // 64)

    assert budget.delay_s(away(), 1) > 0


def test_an_achievement_without_bytes_lets_patience_start_anew(budget: RetryBudget, clock: Clock) -> None:
    clock.now_s += GIVE_UP_S
    budget.reset()

    assert budget.delay_s(away(), 1) > 0


NOW = datetime(2026, 11, 23, 1, 2, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": " 7 "}, 7.0),
        ({"Retry-After": "0.5"}, 0.5),
        ({"retry-after": "9"}, 9.0),
        ({"Retry-After": "Mon, 23 Nov 2026 01:03:03 GMT"}, 60.0),
        ({"Retry-After": "Mon, 23 Nov 2026 02:03:03 +0100"}, 60.0),
        ({"Retry-After": "Sun, 22 Nov 2026 01:02:03 GMT"}, 0.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "Mon, 99 Nov 2026 01:03:03 GMT"}, None),
        ({"RateLimit": '"resolvers";r=0;t=42'}, 42.0),
        ({"RateLimit": '"resolvers";r=0'}, None),
        ({"Retry-After": "3", "RateLimit": '"resolvers";r=0;t=42'}, 3.0),
    ],
    ids=lambda value: str(value),
)
def test_the_wait_that_a_server_asks_for_is_read(headers: dict[str, str], expected: float | None) -> None:
    assert retry_after_s(headers, now=NOW.timestamp) == expected


@given(seconds=st.integers(0, 10**6))
def test_a_date_is_read_as_the_seconds_until_then(seconds: int) -> None:
    date = format_datetime(datetime.fromtimestamp(NOW.timestamp() + seconds, UTC), usegmt=True)

    assert retry_after_s({"Retry-After": date}, now=NOW.timestamp) == seconds


@pytest.mark.parametrize("hours", [-5, 0, 300])
def test_a_date_is_read_by_the_servers_clock_where_it_tells_the_time(hours: int) -> None:
    sent, until = (format_datetime(NOW + timedelta(seconds=seconds), usegmt=True) for seconds in (0, 7))
    wrong = (NOW + timedelta(hours=hours)).timestamp
    assert retry_after_s({"Retry-After": until, "Date": sent}, now=wrong) == 7.0


@given(value=st.text(max_size=40))
def test_no_value_of_the_header_is_an_error(value: str) -> None:
    found = retry_after_s({"Retry-After": value, "RateLimit": value}, now=NOW.timestamp)

    assert found is None or found >= 0
