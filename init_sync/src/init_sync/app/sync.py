"""``init-sync sync``: make every model of a manifest complete, or say why that is not possible.

In order: look at the volume (which is all, when everything is complete); take the lease; resolve, list and plan; adopt
what is there already; compare with the free space; fetch; link; write each model's receipt as soon as it is whole.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from init_sync.app.examination import examine_all, volume_problem
from init_sync.app.tracker import Tracker
from init_sync.core.errors import NeedsChange, SyncError
from init_sync.core.formatting import duration, listed, size
from init_sync.core.reasons import Reason
from init_sync.core.settings import SyncOptions
from init_sync.core.spec import Manifest
from init_sync.volume.identity import ensure_volume_id, read_volume_id
from init_sync.volume.inspection import Inspection, is_intact, load_receipt
from init_sync.volume.layout import Volume

if TYPE_CHECKING:
    from init_sync.volume.lease import Holder, Lease

log = logging.getLogger(__name__)

WAITING_LINE_EVERY_S = 15.0
LISTED_FINDINGS = 10


class Run:
    """One sync. ``release`` may be called from a signal handler at any moment."""

    def __init__(
        self, manifest: Manifest, volume: Volume, options: SyncOptions, tracker: Tracker, on_work: Callable[[], None]
    ) -> None:
        self._manifest = manifest
        self._volume = volume
        self._options = options
        self._tracker = tracker
        self._on_work = on_work
        self._stop = threading.Event()
        self._lease: Lease | None = None

    def execute(self) -> None:
        """Returns when every model is complete.

        Raises:
            SyncError: otherwise; the tracker's report says more about each model.
        """
        if problem := volume_problem(self._volume):
            raise NeedsChange(Reason.FILE_MISSING, f"opening the volume: {problem}")
        if self._options.deep:
            log.info("Verifying the content of every file that is there")
            self._on_work()
        self._tracker.volume_id = read_volume_id(self._volume)
        inspections = self._examine(deep=self._options.deep)
        if self._is_complete() and not self._options.refresh:
            self._tracker.volume_id = ensure_volume_id(self._volume)  # volumes of 0.1.0 have none yet
            log.info("All models already complete!")
            return
        log.info("Some models missing or incomplete, downloading...")
        self._log_findings(inspections)
        self._on_work()
        with self._leased() as (waited, lease):
            self._tracker.volume_id = ensure_volume_id(self._volume)
            if waited:
                inspections = self._examine(deep=self._options.deep)
                if self._is_complete() and not self._options.refresh:
                    log.info("All models already complete!")
                    return
            self._complete(inspections, lease)

    def release(self) -> None:
        """Give the lease back at once, so that nobody has to wait for it to expire."""
        if self._lease:
            self._lease.release()

    def _examine(self, deep: bool) -> dict[str, Inspection]:
        inspections = examine_all(
            self._volume, self._tracker, deep=deep, on_bytes=self._tracker.verified, stop=self._stop
        )
        for state in self._tracker.states.values():
            log.info("%s complete: %s", state.model.display_name, state.complete)
        return inspections

    def _is_complete(self) -> bool:
        return all(state.complete for state in self._tracker.states.values())

    def _log_findings(self, inspections: dict[str, Inspection]) -> None:
        for state in self._tracker.states.values():
            if state.complete:
                continue
            inspection = inspections.get(state.model.name)
            findings = inspection.findings if inspection else ()
            for finding in findings[:LISTED_FINDINGS]:
                log.info("%s: %s: %s", state.model.display_name, finding.path, finding.message)
            if len(findings) > LISTED_FINDINGS:
                log.info("%s: and %d more", state.model.display_name, len(findings) - LISTED_FINDINGS)
            if not findings:
                log.info("%s: %s", state.model.display_name, state.message)

    @contextmanager
    def _leased(self) -> Iterator[tuple[bool, Lease]]:
        """Hold the lease; yields whether somebody else had it before, and the lease."""
        from init_sync.volume.failures import volume_failure
        from init_sync.volume.lease import Lease, LeaseTimings

        waiting = _Waiting(self._tracker)
        lease = self._lease = Lease(self._volume, LeaseTimings.expiring_after(self._options.lock_expiry_s))
        try:
            lease.acquire(waiting.tell, is_pointless=self._completed_by_others)
        except OSError as error:
            missing = listed(
                [state.model.display_name for state in self._tracker.states.values() if not state.complete]
            )
            raise volume_failure(error, f"preparing to fetch {missing}") from error
        try:
            yield waiting.happened, lease
        finally:
            lease.release()

    def _completed_by_others(self) -> bool:
        if self._options.refresh or self._options.deep:
            return False  # what others found by looking less closely does not settle it
        receipts = [load_receipt(self._volume, model) for model in self._manifest.models]
        return all(receipt and is_intact(self._volume, receipt) for receipt in receipts)

    def _complete(self, inspections: dict[str, Inspection], lease: Lease) -> None:
        from init_sync.app.completion import Completion  # with the network parts, which a warm start does without

        began = time.monotonic()
        completion = Completion(self._manifest, self._volume, self._options, self._tracker, lease, self._stop)
        try:
            completion.carry_out(inspections)
        except SyncError:
            self._stop.set()
            raise
        report = self._tracker.report()
        log.info(
            "All models complete: %s on the volume, %s fetched in %s",
            size(report.bytes_total),
            size(report.bytes_fetched),
            duration(time.monotonic() - began),
        )


class _Waiting:
    """Says for whom we wait: at once, then now and then."""

    def __init__(self, tracker: Tracker) -> None:
        self.happened = False
        self._tracker = tracker
        self._told_at = float("-inf")

    def tell(self, holder: Holder) -> None:
        self.happened = True
        message = f"waiting for {holder.owner}, which has been syncing this volume since {holder.since}"
        self._tracker.fail(SyncError(Reason.WAITING_FOR_LOCK, message))
        if time.monotonic() - self._told_at >= WAITING_LINE_EVERY_S:
            self._told_at = time.monotonic()
            silent = f" (no sign of life for {holder.silent_s:.0f} s)" if holder.silent_s > 5 else ""
            log.info("%s%s", message[0].upper() + message[1:], silent)
