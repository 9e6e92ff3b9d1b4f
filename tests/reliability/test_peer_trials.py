"""A few of the trials of ``make reliability-peers``."""

from __future__ import annotations

from pathlib import Path

import pytest

from reliability.peer_trials import BYTES, Tally, ground


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_copies_from_peers_that_fail_and_lie_are_complete_and_cost_the_hub_nothing(tmp_path: Path) -> None:
    tally = Tally()
    with ground(tmp_path) as made:
        for seed in range(12):
            made.trial(seed, tally)
    assert not tally.wrong
    assert tally.hub_bytes <= 0.05 * tally.trials * BYTES
    assert tally.struck["receiver killed"] > 0
