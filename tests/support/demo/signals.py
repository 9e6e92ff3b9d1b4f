"""Ctrl-C, an ended session and a closed terminal: the first ends the demo in order, further ones do not hurry it."""

from __future__ import annotations

import signal

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def catch_signals() -> None:
    """From now on, one of them raises KeyboardInterrupt, once."""
    for number in ENDING:
        signal.signal(number, _interrupt)


def ignore_signals() -> None:
    """What ends now ends in order."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)


def _interrupt(_number: int, _frame: object) -> None:
    ignore_signals()
    raise KeyboardInterrupt
