"""How far a file's time can be trusted: a change within one step of the clock leaves the time as it is.

File systems keep times in steps: some milliseconds on local disks, one second on some network volumes, two on FAT. A
file whose time is within one step of its receipt's may have been changed after it was verified, unnoticed, so it is
hashed once more; git does the same with its index. A sync waits for the step to pass before it writes a receipt, so
that this stays rare.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

from init_sync.volume.layout import TMP, temporary_path
from init_sync.volume.volume import Volume

FINE_STEP_NS = 20_000_000
COARSE_STEP_NS = 2_000_000_000
SECOND_NS = 1_000_000_000
TICK_NS = 10_000_000
"""Kernels take times from a clock that lags behind by up to so much."""


def is_too_young(mtime_ns: int, written_ns: int) -> bool:
    """Whether a file of this time could have changed after a receipt of that time without another time to show it."""
    return abs(written_ns - mtime_ns) < _step_ns(mtime_ns)


def wait_out_clock_step(volume: Volume, mtimes_ns: Iterable[int]) -> None:
    """Return once a receipt written now is older than none of these times, by the clock of the volume."""
    newest = max(mtimes_ns)
    now = _now_ns(volume)
    if is_too_young(newest, now):
        time.sleep((_step_ns(newest) - max(0, now - newest) + TICK_NS) / SECOND_NS)


def _step_ns(mtime_ns: int) -> int:
    return FINE_STEP_NS if mtime_ns % SECOND_NS else COARSE_STEP_NS


def _now_ns(volume: Volume) -> int:
    """The time that the file system gives a file that is written now; a server's clock may differ from ours."""
    volume.make_directory(TMP)
    path = temporary_path("now")
    os.close(volume.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    try:
        return volume.lstat(path).st_mtime_ns
    finally:
        volume.unlink(path)
