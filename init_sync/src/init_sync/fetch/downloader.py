"""The downloader: a fixed number of workers fetches the pieces of many files over one connection each.

Memory is one buffer for each worker. A failed piece goes back with what is left of it; a file whose pieces keep failing
is given up after ``give_up_s``, and the run as soon as nothing at all has come for that long.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from init_sync.core.errors import NeedsChange, SyncError, TryAgain
from init_sync.core.reasons import Reason
from init_sync.core.requirement import Blob
from init_sync.core.settings import BUFFER_BYTES, Settings
from init_sync.fetch.concurrency import Concurrency
from init_sync.fetch.hooks import Stopped, TransferHooks
from init_sync.fetch.scheduler import Scheduler, Task
from init_sync.fetch.sources import FileSource, PeersFault
from init_sync.fetch.speed import Speeds
from init_sync.fetch.transfer import Transfer
from init_sync.hub.peers import Peer
from init_sync.hub.retry import RetryBudget, Transient
from init_sync.hub.source import WholeFileOnly
from init_sync.hub.transport import Connections
from init_sync.hub.watchdog import Watchdog
from init_sync.volume.failures import volume_failure
from init_sync.volume.hashing import HashingCancelled
from init_sync.volume.lock import LockLost
from init_sync.volume.spans import Span

log = logging.getLogger(__name__)

SAME_SILENCE = 0.9
"""Share of a file's silence from which on the whole hub counts as silent."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run could not do."""

    failed: dict[str, SyncError]
    """By content id; the other files are in place."""
    fatal: SyncError | None


class Downloader:
    """Fetches a list of transfers."""

    def __init__(
        self,
        transfers: Sequence[Transfer],
        settings: Settings,
        hooks: TransferHooks,
        on_file: Callable[[Transfer], None],
        on_failure: Callable[[Blob, SyncError], None],
    ) -> None:
        """``on_file`` gets each file that is in place, ``on_failure`` each that will not be."""
        self._settings = settings
        self._outer_hooks = hooks
        self._hooks = replace(hooks, on_received=self._received)
        self._on_file = on_file
        self._on_failure = on_failure
        self._budget = RetryBudget(settings.give_up_s)
        self._speeds = Speeds()
        self._watchdog = Watchdog()
        self._concurrency = Concurrency(settings.connections)
        self._scheduler = Scheduler(transfers, self._concurrency, hooks.stop)
        self._transfers = transfers

    def download(self) -> Outcome:
        """Returns when every file is in place or given up, or when the run was ended."""
        workers = [
            threading.Thread(target=self._work, name=f"fetch-{number}", daemon=True)
            for number in range(self._settings.connections)
        ]
        started = _start(workers)
        for worker in started:
            worker.join()
        self._watchdog.close()
        for transfer in self._transfers:
            transfer.close()
        return Outcome(self._scheduler.failed, self._scheduler.fatal)

    def _work(self) -> None:
        connections = Connections(self._settings.stall_timeout_s, self._watchdog)
        buffer = memoryview(bytearray(BUFFER_BYTES))
        current: Transfer | None = None
        try:
            while task := self._scheduler.next(current):
                current = task[0]
                self._do(task, connections, buffer)
        except Exception as error:  # a bug must end the run with its message, not hang it
            log.exception("fetching stopped by an unexpected error")
            unexpected = f"fetching: unexpected {type(error).__name__}: {error}. Report it, with the log"
            self._scheduler.abort(TryAgain(Reason.INTERNAL_ERROR, unexpected))
        finally:
            connections.close()

    def _do(self, task: Task, connections: Connections, buffer: memoryview) -> None:
        transfer, span = task
        try:
            if span is None:
                self._prepare(transfer)
            else:
                self._fetch(transfer, span, connections, buffer)
            transfer.catch_up(self._hooks)
            if transfer.finish(self._hooks):
                self._on_file(transfer)
                self._scheduler.finished(transfer)
        except (Stopped, HashingCancelled):
            pass
        except Transient as error:
            self._failed(transfer, error)
        except SyncError as error:
            self._give_up(transfer, error)
        except OSError as error:
            self._scheduler.abort(self._volume_error(error, transfer))
        finally:
            if span is not None:
                self._scheduler.left(transfer)

    def _volume_error(self, error: OSError, transfer: Transfer) -> SyncError:
        """A process that took the lock over moves files away: that is no fault of the volume."""
        try:
            self._hooks.may_write()
        except LockLost as lost:
            return lost
        return volume_failure(error, f"writing {transfer.blob.label}")

    def _prepare(self, transfer: Transfer) -> None:
        kept = transfer.prepare(self._hooks)
        if kept:
            size = transfer.blob.size
            log.info("%s: continuing, %s of %s bytes are there", transfer.blob.label, f"{kept:,}", f"{size:,}")
        self._scheduler.prepared(transfer)

    def _fetch(self, transfer: Transfer, span: Span, connections: Connections, buffer: memoryview) -> None:
        taken = transfer.sources.take()
        try:
            if taken.peer is None:
                self._fetch_from(taken, transfer, span, connections, buffer)
            else:
                self._fetch_from_peer(taken, taken.peer, transfer, span, connections, buffer)
        finally:
            transfer.sources.release(taken)

    def _fetch_from_peer(
        self,
        taken: FileSource,
        peer: Peer,
        transfer: Transfer,
        span: Span,
        connections: Connections,
        buffer: memoryview,
    ) -> None:
        """A peer's fault costs the file nothing but time: another source gets the rest of the piece."""
        try:
            self._fetch_from(taken, transfer, span, connections, buffer)
        except (Transient, NeedsChange, WholeFileOnly) as error:
            transfer.sources.failed(peer, error)
            transfer.budget.reset()
            self._budget.reset()

    def _fetch_from(
        self, taken: FileSource, transfer: Transfer, span: Span, connections: Connections, buffer: memoryview
    ) -> None:
        try:
            answer = taken.source.open(connections, *span)
        except WholeFileOnly:
            if taken.peer:
                transfer.give_back(span)
                raise
            log.warning("%s: the server sends no ranges; reading it from its beginning", transfer.blob.label)
            transfer.want_whole()
            return
        except BaseException:
            transfer.give_back(span)
            raise
        transfer.receive(answer, taken, self._speeds.measure(taken.peer), span, buffer, self._hooks)

    def _received(self, blob: Blob, count: int, gained: int, from_peer: bool) -> None:
        """Bytes came. Only those gained are progress: a server without ranges sends the same ones again and again."""
        if gained:
            self._budget.progress(gained)
        if self._concurrency.arrived(count, time.monotonic()):
            self._scheduler.wake()
        self._outer_hooks.on_received(blob, count, gained, from_peer)

    def _failed(self, transfer: Transfer, error: Transient) -> None:
        transfer.failures += 1
        if not isinstance(error, PeersFault):
            self._hooks.on_error(error.reason)
        message = error.message
        if transfer.blob.label not in message and transfer.sources.hub.label not in message:
            message = f"{transfer.blob.label}: {message}"
        named = Transient(error.reason, message, error.retry_after_s)
        try:
            delay = transfer.budget.delay_s(named, transfer.failures)
        except TryAgain as final:
            self._give_up_unless_others_progress(transfer, final)
            return
        if delay > 0:
            log.warning("%s; trying again in %.1f s", message, delay)
        self._scheduler.retry_later(transfer, delay, everybody=error.reason is Reason.RATE_LIMITED)

    def _give_up_unless_others_progress(self, transfer: Transfer, final: TryAgain) -> None:
        """A hub that gives nothing to anybody ends the run; one that fails with this file only does not."""
        if self._budget.idle_s() >= SAME_SILENCE * transfer.budget.idle_s():
            self._scheduler.abort(final)
        else:
            self._give_up(transfer, final)

    def _give_up(self, transfer: Transfer, error: SyncError) -> None:
        if isinstance(error, LockLost):
            self._scheduler.abort(error)
        elif isinstance(error, NeedsChange):
            self._on_failure(transfer.blob, error)
            self._scheduler.abort(error)
        else:
            log.error("%s", error.message)
            self._on_failure(transfer.blob, error)
            self._scheduler.fail(transfer, error)


def _start(workers: Sequence[threading.Thread]) -> Sequence[threading.Thread]:
    """Start as many as the limits of the container allow. Raises RuntimeError when not even one can be started."""
    for number, worker in enumerate(workers):
        try:
            worker.start()
        except RuntimeError:
            if not number:
                raise
            log.warning("only %d of %d connections are used: no more threads can be started", number, len(workers))
            return workers[:number]
    return workers
