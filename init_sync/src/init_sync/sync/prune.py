"""``init-sync prune``: remove what syncs of a cache put on the volume and nothing needs any more.

In an order in which it can be killed between any two steps, and the volume is as right as before:

1. Stale receipts go, and their directory is brought to disk: from here on nothing claims these files.
2. Links go, then files, each only if it is still what a sync left there.
3. Directories that this emptied go; what is gone is brought to disk.
4. The record of owned files is replaced by one without them. Until then the next run finds them there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from posixpath import dirname
from typing import Any

from init_sync.core.errors import NeedsChange, SyncError, TryAgain
from init_sync.core.reasons import Reason
from init_sync.core.spec import Manifest
from init_sync.shell.formatting import listed
from init_sync.volume.failures import volume_failure
from init_sync.volume.layout import NEEDS, RECEIPTS
from init_sync.volume.lock import VolumeLock
from init_sync.volume.needs import forget_need
from init_sync.volume.owned import OwnedFile, OwnedFiles
from init_sync.volume.unused import Unused, find_unused
from init_sync.volume.volume import Volume, volume_problem

log = logging.getLogger(__name__)

DOING = "pruning the volume"


@dataclass(slots=True)
class PruneReport:
    """What was to be removed, and what was."""

    cache: str
    dry_run: bool
    files: int = 0
    bytes: int = 0
    files_removed: int = 0
    bytes_freed: int = 0
    paths: list[str] = field(default_factory=list)
    """Of what was to be removed."""
    error: SyncError | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "cache": self.cache,
            "dryRun": self.dry_run,
            "files": self.files,
            "bytes": self.bytes,
            "filesRemoved": self.files_removed,
            "bytesFreed": self.bytes_freed,
            "reason": self.error.reason if self.error else None,
            "message": self.error.message if self.error else "",
            "paths": self.paths,
        }


def look(volume: Volume, manifest: Manifest, report: PruneReport) -> Unused:
    """What there is to remove; nothing is changed.

    Raises:
        NeedsChange: the volume cannot be used, or it cannot be told what is needed.
        TryAgain: the volume cannot be read now.
    """
    if problem := volume_problem(volume):
        raise NeedsChange(Reason.FILE_MISSING, f"opening the volume: {problem}")
    try:
        unused = find_unused(volume, manifest)
    except OSError as error:
        raise volume_failure(error, "looking for unused files") from error
    report.files, report.bytes = len(unused.files), unused.bytes
    report.paths = [file.path for file in unused.files]
    if unused.changed:
        log.warning(
            "%d files that are no longer needed stay, since they were changed after the sync that put them there: %s",
            len(unused.changed),
            listed(list(unused.changed), 3),
        )
    return unused


def prune(
    volume: Volume, manifest: Manifest, lock: VolumeLock, is_too_long: Callable[[], bool], report: PruneReport
) -> None:
    """Remove it; the report tells, after an error too.

    Raises:
        NeedsChange: as ``look``; the volume cannot be written to.
        TryAgain: another process holds the lock for too long or took it over, or something could not be removed.
    """
    if problem := volume_problem(volume):
        raise NeedsChange(Reason.FILE_MISSING, f"opening the volume: {problem}")
    holders: list[str] = []
    try:
        if not lock.acquire(lambda holder: holders.append(holder.owner), is_too_long):
            waited = f"{DOING}: {holders[-1]} is writing to it. Try again when it has ended"
            raise TryAgain(Reason.WAITING_FOR_LOCK, waited)
        unused = look(volume, manifest, report)
        _retire(volume, manifest.name, unused, lock)
        failed = _remove(volume, unused, lock, report)
        lock.check_volume()
        _tidy(volume, unused.directories)
        OwnedFiles(volume, manifest.name).replace([*unused.needed, *failed])
    except OSError as error:
        lock.check()
        raise volume_failure(error, DOING) from error
    if failed:
        names = listed([file.path for file in failed], 3)
        raise TryAgain(Reason.VOLUME_NOT_WRITABLE, f"{DOING}: {names} cannot be removed. Look at their permissions")


def _retire(volume: Volume, cache: str, unused: Unused, lock: VolumeLock) -> None:
    lock.check_volume()
    for path in unused.stale_receipts:
        with suppress(FileNotFoundError):
            volume.unlink(path)
    for requirement in unused.stale_needs:
        forget_need(volume, requirement, cache)
    for folder, changed in ((RECEIPTS, unused.stale_receipts), (NEEDS, unused.stale_needs)):
        if changed:
            volume.sync_directory(folder)


def _remove(volume: Volume, unused: Unused, lock: VolumeLock, report: PruneReport) -> list[OwnedFile]:
    """Returns what could not be removed."""
    failed: list[OwnedFile] = []
    for file in unused.files:
        lock.check()
        try:
            state = file.found(volume, remove=True)
        except FileNotFoundError:
            continue
        except OSError as error:
            log.warning("%s: cannot be removed (%s)", file.path, error.strerror or error)
            failed.append(file)
            continue
        if state:
            report.files_removed += 1
            report.bytes_freed += state.st_size if not file.text and state.st_nlink == 1 else 0
    return failed


def _tidy(volume: Volume, directories: Iterable[str]) -> None:
    """Deepest first; the others hold something."""
    for directory in directories:
        with suppress(OSError):
            volume.remove_empty_directory(directory)
            continue
        volume.sync_directory(directory)
    for directory in {dirname(each) for each in directories}:
        volume.sync_directory(directory)
