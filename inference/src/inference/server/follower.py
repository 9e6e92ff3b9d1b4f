"""A process that computes its part of every step, and serves nobody: ranks above 0.

    volume complete? --no--> one line on stderr, exit 1
         | yes
    load its part --fails--> one line on stderr, exit 1
         | loaded
    take part in steps until rank 0 has ended, exit 0 (a step that fails: one line on stderr, exit 1)

It takes no signals: rank 0 drains, and this process must last longer. If rank 0 dies, so does it.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable

from inference.generation import one_line
from inference.membership import Membership
from inference.server.config import ServerConfig
from inference.server.exits import refuse
from inference.server.volume import Verify, VolumeIncomplete
from init_sync.shell import logs
from init_sync.shell.logs import fields

log = logging.getLogger(__name__)

PARENT_ASKED_EVERY_S = 0.5

Follow = Callable[[ServerConfig, Membership], None]
"""Loads what a follower needs, and takes part in steps until rank 0 has ended."""


def run(config: ServerConfig, place: Membership, *, verify: Verify, follow: Follow) -> int:
    """Take part until rank 0 has ended; returns the exit code."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    _end_with_parent(place.parent or os.getppid())
    logs.set_up(config, "inference")
    for handler in logging.getLogger().handlers:
        handler.addFilter(lambda record: _with_rank(record, place.rank))
    try:
        verify(config)
        follow(config, place)
    except VolumeIncomplete as error:
        return refuse(f"rank {place.rank}: {error}")
    except Exception as error:
        log.exception("taking part failed")
        return refuse(f"rank {place.rank}: {one_line(error)}")
    log.info("rank 0 has ended")
    return 0


def _end_with_parent(parent: int) -> None:
    """A process that loads for minutes would not notice that rank 0, or torchrun, is gone."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_ASKED_EVERY_S)
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def _with_rank(record: logging.LogRecord, rank: int) -> bool:
    record.__dict__.update(fields(**getattr(record, "fields", {}), rank=rank))
    return True
