"""``init-sync sync``: make every model of a manifest complete, or say why that is not possible.

check     what is on the volume; that is all, when every model is complete
lock      one writer at a time
plan      resolve revisions, list, decide what is adopted, downloaded and linked, and whether it fits
fetch     download what is missing, verified as it comes
publish   each file under its final name, when it is complete
receipt   of each model, as soon as its last file is in place
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from init_sync.core.errors import NeedsChange, SyncError
from init_sync.core.formatting import duration, listed, size
from init_sync.core.reasons import Reason
from init_sync.core.settings import SyncOptions
from init_sync.core.spec import Manifest
from init_sync.volume.check import ModelCheck, check_all, looks_complete, refresh_receipts
from init_sync.volume.hashing import Hooks
from init_sync.volume.identity import ensure_volume_id, read_volume_id
from init_sync.volume.volume import Volume, volume_problem

if TYPE_CHECKING:
    from init_sync.sync.progress import Progress
    from init_sync.volume.lock import Holder, VolumeLock

log = logging.getLogger(__name__)

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
    ) -> None:
        """``on_work`` is called once there is more to do than to look."""
        self._manifest = manifest
        self._volume = volume
        self._options = options
        self._progress = progress
        self._on_work = on_work
        self._stop = threading.Event()
        self._lock: VolumeLock | None = None

    def run(self) -> None:
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
            log.info("Verifying the content of every file that is there")
            self._on_work()
        self._progress.volume_id = read_volume_id(self._volume)
        checks = self._check()
        if self._is_done():
            self._progress.volume_id = ensure_volume_id(self._volume)  # volumes of 0.1.0 have none yet
            return
        log.info("Some models missing or incomplete, downloading...")
        _log_findings(checks)
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
        self._progress.checked(checks)
        for check in checks.values():
            log.info("%s complete: %s", check.model.display_name, check.complete)
            if check.complete and check.message:
                log.warning("%s: %s", check.model.display_name, check.message)
        return checks

    def _is_done(self) -> bool:
        if not self._progress.complete or self._options.refresh:
            return False
        log.info("%s on the volume, nothing fetched", size(self._progress.bytes_total))
        log.info("All models already complete!")
        return True

    def _acquire(self) -> bool:
        """Take the lock; returns whether somebody else had it before."""
        from init_sync.volume.failures import volume_failure
        from init_sync.volume.lock import LockTimings, VolumeLock

        waiting = _Waiting(self._progress)
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
        if self._options.refresh or self._options.deep:
            return False  # what others found by looking less closely does not settle it
        return looks_complete(self._volume, self._manifest)

    def _complete(self, checks: Mapping[str, ModelCheck]) -> None:
        from init_sync.sync.execute import Execution  # with the network parts, which a warm start does without

        assert self._lock is not None
        began = time.monotonic()
        Execution(self._manifest, self._volume, self._options, self._progress, self._lock, self._stop).run(checks)
        report = self._progress.report()
        log.info(
            "All models complete: %s on the volume, %s fetched in %s",
            size(report.bytes_total),
            size(report.bytes_fetched),
            duration(time.monotonic() - began),
        )


def _log_findings(checks: Mapping[str, ModelCheck]) -> None:
    for check in checks.values():
        if check.complete:
            continue
        name = check.model.display_name
        for finding in check.findings[:LISTED_FINDINGS]:
            log.info("%s: %s: %s", name, finding.path, finding.message)
        if len(check.findings) > LISTED_FINDINGS:
            log.info("%s: and %d more", name, len(check.findings) - LISTED_FINDINGS)
        if not check.findings:
            log.info("%s: %s", name, check.message)


class _Waiting:
    """Says for whom we wait: at once, then now and then."""

    def __init__(self, progress: Progress) -> None:
        self.happened = False
        self._progress = progress
        self._logged_at = float("-inf")

    def tell(self, holder: Holder) -> None:
        self.happened = True
        message = f"waiting for {holder.owner}, which has been syncing this volume since {holder.since}"
        self._progress.waiting(message)
        if time.monotonic() - self._logged_at >= WAITING_LINE_EVERY_S:
            self._logged_at = time.monotonic()
            silent = f" (no heartbeat for {holder.silent_s:.0f} s)" if holder.silent_s > 5 else ""
            log.info("%s%s", message[0].upper() + message[1:], silent)
