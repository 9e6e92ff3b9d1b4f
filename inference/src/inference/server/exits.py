"""How a process of the server ends."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from typing import NoReturn

ERROR = "multitalk-server: error: "


def refuse(reason: str) -> int:
    """Say in one line why it cannot go on; returns the exit code."""
    print(f"{ERROR}{reason}", file=sys.stderr, flush=True)
    return 1


def leave_at_once(code: int) -> NoReturn:
    """Leave without finalizing the interpreter: that can crash under a thread that is inside torch, and would wait for
    other ranks that are gone."""
    logging.shutdown()
    with contextlib.suppress(OSError):  # nobody may read it any more
        sys.stdout.flush()
    os._exit(code)
