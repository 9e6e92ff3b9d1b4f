"""Delays that grow, and differ."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from init_sync.shell.backoff import Backoff, delay_s, doubled_s


@pytest.mark.parametrize(("failures", "delay"), [(1, 1), (2, 2), (3, 4), (4, 8), (5, 8), (10_000, 8)])
def test_delays_double_up_to_a_limit(failures: int, delay: float) -> None:
    assert doubled_s(failures, 1, 8) == delay


@given(failures=st.integers(1, 10_000))
def test_chance_takes_half_of_it_at_most(failures: int) -> None:
    longest = doubled_s(failures, 0.25, 8)
    assert longest / 2 <= delay_s(failures, 0.25, 8) <= longest


def test_two_that_fail_together_do_not_come_back_together() -> None:
    assert len({delay_s(6, 0.25, 8) for _ in range(20)}) > 10


def test_each_thing_has_its_own_delay_and_success_ends_it() -> None:
    backoff = Backoff(first_s=1, longest_s=8)
    delays = [backoff.failed("a") for _ in range(6)]
    assert all(expected / 2 <= delay <= expected for delay, expected in zip(delays, [1, 2, 4, 8, 8, 8], strict=True))
    assert backoff.failed("b") <= 1
    backoff.succeeded("a")
    assert backoff.failed("a") <= 1
