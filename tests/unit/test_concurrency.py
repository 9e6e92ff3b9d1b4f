"""How many connections a run keeps, for networks and machines of different kinds. No real time passes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from init_sync.fetch.concurrency import FIRST, RETRY_AFTER_S, Concurrency

MIB = 1 << 20


def run(pace: Concurrency, rate: Callable[[int], float], seconds: float) -> list[int]:
    """Let bytes arrive at ``rate(connections)`` for a while; returns how many connections there were over time."""
    now, step, seen = 0.0, 0.01, [pace.allowed]
    while now < seconds:
        now += step
        pace.arrived(int(rate(pace.allowed) * step), now)
        if pace.allowed != seen[-1]:
            seen.append(pace.allowed)
    return seen


def test_connections_with_a_limit_of_their_own_are_doubled_up_to_the_cap() -> None:
    assert run(Concurrency(16), lambda connections: 50 * MIB * connections, 1.0) == [4, 8, 16]


def test_a_machine_that_is_busy_already_goes_back_to_the_first_few() -> None:
    assert run(Concurrency(16), lambda connections: 1000 * MIB, 5.0) == [4, 8, 4]


def test_a_network_that_is_full_with_eight_keeps_eight() -> None:
    assert run(Concurrency(16), lambda connections: min(connections, 8) * 50 * MIB, 5.0) == [4, 8, 16, 8]


def test_after_a_while_it_tries_again() -> None:
    seen = run(Concurrency(16), lambda connections: 1000 * MIB, RETRY_AFTER_S + 5)
    assert seen == [4, 8, 4, 8, 4]


@pytest.mark.parametrize("most", range(1, 20))
def test_the_cap_is_never_exceeded_and_one_is_always_allowed(most: int) -> None:
    seen = run(Concurrency(most), lambda connections: 50.0 * MIB * connections, 3.0)
    assert seen[0] == min(FIRST, most)
    assert all(1 <= allowed <= most for allowed in seen)
    assert seen[-1] == most


def test_a_cap_that_is_no_power_of_two_is_tried_and_left_again() -> None:
    assert run(Concurrency(6), lambda connections: 1000 * MIB, 2.0) == [4, 6, 4]


def test_a_slow_line_is_measured_until_the_steps_in_which_bytes_are_told_do_not_matter() -> None:
    pace, now = Concurrency(16), 0.0
    for _ in range(7):
        now += 0.5
        assert not pace.arrived(1 * MIB, now)
