"""Which worker does what next: the shared list of transfers, their backoff, and the end of the run.

Order: a worker stays with its file (its bytes are hashed as they come), else opens the next file of the list, else
helps with the open file that has the fewest workers. At most one file for each connection is open.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from init_sync.core.errors import SyncError
from init_sync.fetch.concurrency import Concurrency
from init_sync.fetch.transfer import Transfer
from init_sync.volume.spans import Span

Task = tuple[Transfer, Span | None]
"""A piece to fetch; None in its place means: open the file and look what is there."""


class Scheduler:
    """Thread-safe. ``failed`` holds what went wrong with single files, ``fatal`` what ends the whole run."""

    def __init__(
        self,
        transfers: Sequence[Transfer],
        concurrency: Concurrency,
        stop: threading.Event,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._unopened = deque(transfers)
        self._open: list[Transfer] = []
        self._preparing = 0
        self._concurrency = concurrency
        self._paused_until = 0.0
        self._stop = stop
        self._clock = clock
        self._changed = threading.Condition()
        self.failed: dict[str, SyncError] = {}
        """By content id."""
        self.fatal: SyncError | None = None

    def next(self, stay_with: Transfer | None) -> Task | None:
        """Wait for something to do; None when the run is over for this worker."""
        with self._changed:
            while not self._stop.is_set():
                now = self._clock()
                task = self._pick(stay_with, now) if now >= self._paused_until and self._has_room() else None
                if task:
                    return task
                if not self._unopened and not self._open and not self._preparing:
                    return None
                self._changed.wait(self._nap_s(now))
            return None

    def prepared(self, transfer: Transfer) -> None:
        with self._changed:
            self._preparing -= 1
            self._open.append(transfer)
            self._changed.notify_all()

    def left(self, transfer: Transfer) -> None:
        """A worker is done with a piece, for better or worse."""
        with self._changed:
            transfer.active -= 1
            self._changed.notify_all()

    def finished(self, transfer: Transfer) -> None:
        with self._changed:
            if transfer in self._open:
                self._open.remove(transfer)
            self._changed.notify_all()

    def retry_later(self, transfer: Transfer, delay_s: float, everybody: bool) -> None:
        with self._changed:
            transfer.not_before = self._clock() + delay_s
            if everybody:
                self._paused_until = max(self._paused_until, transfer.not_before)
            self._changed.notify_all()

    def fail(self, transfer: Transfer, error: SyncError) -> None:
        """Give this file up; the others go on."""
        transfer.give_up()
        self.failed[transfer.blob.content_id] = error
        self.finished(transfer)

    def abort(self, error: SyncError) -> None:
        """End the whole run."""
        with self._changed:
            if self.fatal is None:
                self.fatal = error
            self._stop.set()
            self._changed.notify_all()

    def wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _has_room(self) -> bool:
        return self._preparing + sum(each.active for each in self._open) < self._concurrency.allowed

    def _pick(self, stay_with: Transfer | None, now: float) -> Task | None:
        if stay_with in self._open and (task := self._piece_of(stay_with, now)):
            return task
        if self._unopened:
            self._preparing += 1
            return self._unopened.popleft(), None
        for transfer in sorted(self._open, key=lambda each: each.active):
            if task := self._piece_of(transfer, now):
                return task
        return None

    def _piece_of(self, transfer: Transfer | None, now: float) -> Task | None:
        if transfer is None or now < transfer.not_before:
            return None
        span = transfer.take()
        if span is None:
            return None
        transfer.active += 1
        return transfer, span

    def _nap_s(self, now: float) -> float | None:
        """Until the first backoff ends; None (until woken) when nobody is in backoff."""
        ends = [each.not_before for each in self._open if each.has_pending and each.not_before > now]
        if self._paused_until > now:
            ends.append(self._paused_until)
        return min(ends) - now if ends else None
