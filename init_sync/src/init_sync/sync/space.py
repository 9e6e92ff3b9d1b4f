"""Whether what is still to be downloaded fits on the volume: bytes, and inodes where they are limited."""

from __future__ import annotations

import logging

from init_sync.core.errors import NeedsChange
from init_sync.core.reasons import Reason
from init_sync.shell.formatting import size
from init_sync.sync.plan import SPARE_BYTES, SPARE_INODES, SyncPlan
from init_sync.volume.partial import remove_other_partials
from init_sync.volume.volume import Volume

log = logging.getLogger(__name__)


def make_room(volume: Volume, plan: SyncPlan) -> None:
    """Remove partial files of other contents if need be. Raises NeedsChange, reason DiskFull, when it cannot fit."""
    problem = room_problem(volume, plan)
    if problem and remove_other_partials(volume, [blob.content_id for blob in plan.blobs]):
        log.info("Removed partial files that nothing wants any more, to make room")
        problem = room_problem(volume, plan)
    if problem:
        raise NeedsChange(Reason.DISK_FULL, f"checking {volume.root}: {problem}; existing files are kept")


def room_problem(volume: Volume, plan: SyncPlan) -> str | None:
    """What there is too little of, and how much more is needed; None when the plan fits, or nobody can tell."""
    space = volume.space()
    if space.f_blocks:  # some network file systems tell nothing
        free, needed = space.f_bavail * space.f_frsize, plan.bytes_needed + SPARE_BYTES
        if plan.bytes_needed and needed > free:
            return (
                f"{size(needed)} more are needed and {size(free)} are free. Enlarge the volume by "
                f"{size(needed - free)} or more"
            )
    if space.f_files:
        inodes, files = plan.inodes_needed + SPARE_INODES, space.f_favail
        if plan.inodes_needed and inodes > files:
            return (
                f"{inodes:,} more inodes are needed and {files:,} are free, so not all files can be made. "
                "Use a volume with more inodes, or remove files from it"
            )
    return None
