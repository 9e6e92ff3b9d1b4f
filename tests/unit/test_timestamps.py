"""How far a file's time is trusted, and that a receipt is never as young as what it vouches for."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from init_sync.volume.timestamps import is_too_young, wait_out_clock_step
from init_sync.volume.volume import Volume

MS, S = 1_000_000, 1_000_000_000
NOON = 1_800_000_000 * S


@pytest.mark.parametrize(
    ("mtime", "written", "young"),
    [
        (NOON + 5 * MS, NOON + 5 * MS, True),
        (NOON + 5 * MS, NOON + 24 * MS, True),
        (NOON + 5 * MS, NOON + 25 * MS, False),
        (NOON + 5 * MS, NOON + 1 * MS, True),
        (NOON + 5 * MS, NOON - 60 * S, False),
        (NOON, NOON, True),
        (NOON, NOON + 1 * S, True),
        (NOON, NOON + 2 * S - 1, True),
        (NOON, NOON + 2 * S, False),
        (NOON, NOON - 1 * S, True),
        (0, NOON, False),
    ],
)
def test_a_file_is_too_young_within_one_step_of_its_receipt(mtime: int, written: int, young: bool) -> None:
    """A time of whole seconds may be that of a clock with steps of two."""
    assert is_too_young(mtime, written) is young


@pytest.mark.parametrize("step_s", [0, 1, 2])
def test_a_receipt_that_is_written_after_the_wait_is_old_enough(
    step_s: int, volume: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On clocks of each kind, at any moment within a step."""
    now = NOON

    def sleep(seconds: float) -> None:
        nonlocal now
        now += int(seconds * S)

    def rounded() -> int:
        return now - now % (step_s * S) if step_s else now

    def told(self: Volume, path: str) -> os.stat_result:
        os.utime(self.at(path), ns=(rounded(), rounded()))
        return os.stat(self.at(path))

    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr(Volume, "lstat", told)
    for offset in range(0, 2 * S, 170 * MS + 1):
        now = NOON + offset
        files = [rounded(), NOON - 50 * S]
        wait_out_clock_step(Volume(str(volume)), files)
        assert now - NOON - offset <= 2 * S + 10 * MS
        assert not any(is_too_young(mtime, rounded()) for mtime in files)
