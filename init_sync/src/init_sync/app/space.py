"""Whether what is still to be fetched fits on the volume."""

from __future__ import annotations

import logging
import os

from init_sync.core.errors import NeedsChange
from init_sync.core.formatting import size
from init_sync.core.reasons import Reason
from init_sync.hub.wanted import Wanted
from init_sync.volume.layout import Volume
from init_sync.volume.partial import kept_bytes, remove_others

log = logging.getLogger(__name__)

SPARE_BYTES = 1 << 20
"""For receipts, journals and directories."""


def check_space(volume: Volume, wanted: list[Wanted]) -> None:
    """Raises NeedsChange, reason DiskFull, before a byte is fetched that could not be kept."""
    space = os.statvfs(volume.root)
    if space.f_blocks == 0:
        return  # some network file systems do not say
    free = space.f_bavail * space.f_frsize
    needed = SPARE_BYTES + sum(
        each.size * len(each.places) - kept_bytes(volume, each.content_id, each.size) for each in wanted
    )
    if needed > free and remove_others(volume, [each.content_id for each in wanted]):
        log.info("Removed partial files that nothing wants any more, to make room")
        check_space(volume, wanted)
    elif needed > free:
        raise NeedsChange(
            Reason.DISK_FULL,
            f"checking {volume.root}: {size(needed)} more are needed and {size(free)} are free. "
            f"Enlarge the volume by {size(needed - free)} or more; what is there is kept",
        )
