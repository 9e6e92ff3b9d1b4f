"""``init-sync sync``: make every model of a manifest complete, or say why that is not possible.

check     what is on the volume; that is all, when every model is complete
lock      one writer at a time
plan      resolve revisions, list, decide what is adopted, downloaded and linked, and whether it fits
fetch     download what is missing, verified as it comes
publish   each file under its final name, when it is complete
receipt   of each model, as soon as its last file is in place
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from init_sync.core.anchor import refuse_checked
from init_sync.core.copy_pins import held_against
from init_sync.core.errors import NeedsChange, SyncError, TryAgain
from init_sync.core.model_check import ModelCheck
from init_sync.core.reasons import Reason
from init_sync.core.settings import SyncOptions
from init_sync.core.spec import Manifest
from init_sync.shell.formatting import duration, listed, size
from init_sync.volume.check import check_all, looks_complete, refresh_receipts
from init_sync.volume.hashing import Hooks
from init_sync.volume.identity import ensure_volume_id, read_volume_id
from init_sync.volume.volume import Volume, volume_problem

if TYPE_CHECKING:
    from init_sync.sync.progress import Progress
    from init_sync.volume.lock import Holder, VolumeLock

WAITING_LINE_EVERY_S = 15.0
LISTED_FINDINGS = 10


class SyncRun:
    """One sync. ``release`` may be called from a signal handler at any moment."""

    def __init__(
        self,
        manifest: Manifest,
        volume: Volume,
        options: SyncOptions,
        progress: Progress,
        on_work: Callable[[], None],
        say: Callable[[str, str], None],
    ) -> None:
        """``on_work`` is called once there is more to do than to look; ``say`` gets level and text of log lines.

        Not the logging library: importing it would be a sixth of a warm start.
        """
        self._manifest = manifest
        self._volume = volume
        self._options = options
        self._progress = progress
        self._on_work = on_work
        self._say = say
        self._stop = threading.Event()
        self._lock: VolumeLock | None = None

    def sync(self) -> None:
        """Returns when every model is complete.

        Raises:
            SyncError: otherwise; the report of the progress says more about each model.
        """
        try:
            self._run()
        except SyncError as error:
            self._stop.set()
            self._progress.failed(error)
            raise

    def release(self) -> None:
        """Give the lock back at once, so that nobody has to wait for it to expire."""
        if self._lock:
            self._lock.release()

    def _run(self) -> None:
        if problem := volume_problem(self._volume):
            raise NeedsChange(Reason.FILE_MISSING, f"opening the volume: {problem}")
        if self._options.deep:
            self._say("info", "Verifying the content of every file that is there")
            self._on_work()
        self._progress.volume_id = read_volume_id(self._volume)
        checks = self._check()
        if self._is_done():
            self._progress.volume_id = ensure_volume_id(self._volume)  # volumes of 0.1.0 have none yet
            self._complete_receipts(checks)
            return
        self._say("info", "Some models missing or incomplete, downloading...")
        self._say_findings(checks)
        self._on_work()
        waited = self._acquire()
        try:
            if waited:
                checks = self._check()
            if not (waited and self._is_done()):
                self._complete(checks)
        finally:
            self.release()

    def _check(self) -> dict[str, ModelCheck]:
        hooks = Hooks(self._progress.hashed, self._stop)
        checks = check_all(self._volume, self._manifest, deep=self._options.deep, hooks=hooks)
        refresh_receipts(self._volume, checks.values())
        checks = held_against(self._options.pins, checks)
        self._note_needs(checks)
        self._progress.checked(checks)
        for check in checks.values():
            self._say("info", f"{check.model.display_name} complete: {check.complete}")
            if check.complete and check.message:
                self._say("warning", f"{check.model.display_name}: {check.message}")
        if not self._options.refresh:
            refuse_checked(checks.values())
        return checks

    def _note_needs(self, checks: Mapping[str, ModelCheck]) -> None:
        """Of receipts that another cache wrote, so that it does not prune what this one needs."""
        name = self._manifest.name
        shared = [each.receipt for each in checks.values() if each.receipt and each.receipt.cache not in ("", name)]
        if shared:
            from init_sync.volume.needs import note_need

            with suppress(OSError):  # a read-only mount: the sync that made it complete has noted it
                for receipt in shared:
                    note_need(self._volume, receipt.requirement, name)

    def _complete_receipts(self, checks: Mapping[str, ModelCheck]) -> None:
        """Once, for receipts of version 0.1.0. It is not worth waiting for another process, nor is a failure one."""
        if not any(check.lacks_digest for check in checks.values()):
            return
        from init_sync.volume.completion import complete_receipts
        from init_sync.volume.lock import LockLost, VolumeLock

        hooks = Hooks(self._progress.hashed, self._stop)
        self._lock = VolumeLock(self._volume)
        try:
            if self._lock.acquire(on_wait=lambda _: None, is_pointless=lambda: True):
                for name, receipt in complete_receipts(self._volume, checks.values(), self._lock, hooks):
                    self._progress.completed(name, receipt)
        except (OSError, LockLost):
            pass
        finally:
            self.release()

    def _is_done(self) -> bool:
        if not self._progress.complete or self._options.refresh:
            return False
        self._say("info", f"{size(self._progress.bytes_total)} on the volume, nothing fetched")
        self._say("info", "All models already complete!")
        return True

    def _acquire(self) -> bool:
        """Take the lock; returns whether somebody else had it before."""
        from init_sync.volume.failures import volume_failure
        from init_sync.volume.lock import LockTimings, VolumeLock

        waiting = _Waiting(self._progress, self._say)
        self._lock = VolumeLock(self._volume, LockTimings.expiring_after(self._options.lock_expiry_s))
        try:
            self._lock.acquire(waiting.tell, is_pointless=self._completed_by_others)
            self._progress.volume_id = ensure_volume_id(self._volume)
        except OSError as error:
            self.release()
            missing = listed(
                [model.model.display_name for model in self._progress.models.values() if not model.complete]
            )
            raise volume_failure(error, f"preparing to fetch {missing}") from error
        return waiting.happened

    def _completed_by_others(self) -> bool:
        if self._options.refresh or self._options.deep or self._options.pins:
            return False  # what others found by looking less closely does not settle it
        return looks_complete(self._volume, self._manifest)

    def _complete(self, checks: Mapping[str, ModelCheck]) -> None:
        from init_sync.sync.execute import Execution  # with the network parts, which a warm start does without

        assert self._lock is not None
        began = time.monotonic()
        Execution(self._manifest, self._volume, self._options, self._progress, self._lock, self._stop).execute(checks)
        report = self._progress.report()
        if not report.complete:
            raise TryAgain(Reason.INTERNAL_ERROR, "syncing: ended without an error or a complete cache. Report it")
        took = duration(time.monotonic() - began)
        total, fetched = size(report.bytes_total), size(report.bytes_fetched)
        from_peers = f", {size(report.bytes_from_peers)} of them from peers" if report.bytes_from_peers else ""
        self._say("info", f"All models complete: {total} on the volume, {fetched} fetched in {took}{from_peers}")

    def _say_findings(self, checks: Mapping[str, ModelCheck]) -> None:
        for check in checks.values():
            found = [f"{finding.path}: {finding.message}" for finding in check.findings]
            more = [f"and {len(found) - LISTED_FINDINGS} more"] if len(found) > LISTED_FINDINGS else []
            for line in [] if check.complete else [*found[:LISTED_FINDINGS], *more] or [check.message]:
                self._say("info", f"{check.model.display_name}: {line}")


class _Waiting:
    """Says for whom we wait: at once, then now and then."""

    def __init__(self, progress: Progress, say: Callable[[str, str], None]) -> None:
        self.happened = False
        self._progress = progress
        self._say = say
        self._said_at = float("-inf")

    def tell(self, holder: Holder) -> None:
        self.happened = True
        message = f"waiting for {holder.owner}, which has been syncing this volume since {holder.since}"
        self._progress.waiting(message)
        if time.monotonic() - self._said_at >= WAITING_LINE_EVERY_S:
            self._said_at = time.monotonic()
            silent = f" (no heartbeat for {holder.silent_s:.0f} s)" if holder.silent_s > 5 else ""
            self._say("info", message[0].upper() + message[1:] + silent)
