"""How a process of the server ends."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from typing import NoReturn

PROGRAM = "multitalk-server"
ERROR = f"{PROGRAM}: error: "


def refuse(reason: str, code: int = 1, program: str = PROGRAM) -> int:
    """Say in one line why it cannot go on; returns the exit code."""
    print(f"{program}: error: {' '.join(reason.split())}", file=sys.stderr, flush=True)
    return code


def leave_at_once(code: int) -> NoReturn:
    """Leave without finalizing the interpreter: that can crash under a thread that is inside torch, and would wait for
    other ranks that are gone."""
    logging.shutdown()
    with contextlib.suppress(OSError):  # nobody may read it any more
        sys.stdout.flush()
    os._exit(code)
