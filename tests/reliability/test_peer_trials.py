"""A few of the trials of ``make reliability-peers``, and whether their tally would notice."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from reliability.peer_strikes import KILLED, RECEIVER_KILLED, STRIKES
from reliability.peer_trials import ALL_STRIKES_FROM, BYTES, Tally, ground


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_copies_from_peers_that_are_struck_are_complete_and_cost_the_hub_nothing(tmp_path: Path) -> None:
    tally = Tally()
    with ground(tmp_path) as made:
        for seed in range(12):
            made.trial(seed, tally)
    assert tally.failures() == []
    assert tally.struck[RECEIVER_KILLED] > 0
    assert len(+tally.struck) > len(STRIKES) / 2


def tally(honest: int = ALL_STRIKES_FROM, hub_bytes: int = 0) -> Tally:
    struck = Counter(dict.fromkeys(STRIKES, 1))
    return Tally(Counter({True: honest}), Counter({True: hub_bytes}), struck)


def test_a_strike_that_never_took_place_fails_a_long_run_and_not_a_short_one() -> None:
    for trials, failures in ((ALL_STRIKES_FROM, [f"never struck: {KILLED}"]), (1, [])):
        made = tally(trials)
        del made.struck[KILLED]
        assert made.failures() == failures


def test_a_hub_that_is_asked_although_a_peer_is_honest_fails_the_run() -> None:
    assert tally(hub_bytes=0).failures() == []
    assert tally(hub_bytes=ALL_STRIKES_FROM * BYTES // 10).failures() == ["the hub was asked for too much"]
