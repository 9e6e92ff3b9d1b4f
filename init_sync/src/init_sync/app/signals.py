"""Ending at a signal, at once: whatever a command does, another run continues from there."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType

from init_sync.core.errors import TryAgain
from init_sync.core.reasons import Reason


def end_at_signals(finish: Callable[[TryAgain], None], program: str = "init-sync") -> None:
    """At SIGTERM and SIGINT call ``finish``, which must not wait for long, and end. PID 1 has no default handlers."""

    def end(number: int, _frame: FrameType | None) -> None:
        cause = f"interrupted by {signal.Signals(number).name}"
        finish(TryAgain(Reason.INTERRUPTED, f"{cause}. Another run continues from here"))
        os.write(2, f"{program}: {cause}; another run continues from here\n".encode())
        os._exit(1)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
