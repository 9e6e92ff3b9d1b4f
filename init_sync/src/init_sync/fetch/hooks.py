"""What a transfer reports, and whom it asks whether it may go on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from init_sync.core.reasons import Reason
from init_sync.core.requirement import Blob
from init_sync.volume.owned import OnName


class Stopped(Exception):
    """The run is ending; this worker should end too."""


@dataclass(frozen=True, slots=True)
class TransferHooks:
    """What a transfer tells, and whom it asks whether it may go on."""

    on_received: Callable[[Blob, int, int, bool], None]
    """So many bytes arrived, so many of them were not on the volume before, and whether a peer sent them."""
    on_present: Callable[[Blob, int], None]
    """So many bytes of the file are on the volume now."""
    on_hashed: Callable[[int], None]
    """So many bytes that were on the volume already were read back and checked."""
    on_error: Callable[[Reason], None]
    """An attempt failed."""
    may_write: Callable[[], None]
    """Raises when this process must not write any more."""
    may_name: Callable[[], None]
    """The same, and when the volume is not where it was: before something gets a name there."""
    on_name: OnName
    """A file is about to get its name."""
    stop: threading.Event
