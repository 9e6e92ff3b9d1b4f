"""The range engine: a fixed number of workers fetches the pieces of many files over one connection each.

Memory is one buffer for each worker. A failed piece goes back with what is left of it; a file whose pieces keep failing
is given up after ``give_up_s``, and the run as soon as nothing at all has come for that long.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from init_sync.core.errors import NeedsChange, SyncError, TryAgain
from init_sync.core.reasons import Reason
from init_sync.core.settings import BUFFER_BYTES, Settings
from init_sync.hub.board import Board, Task
from init_sync.hub.pace import Pace
from init_sync.hub.retry import Patience, Transient
from init_sync.hub.source import WholeFileOnly
from init_sync.hub.transfer import Stopped, Transfer, Watch
from init_sync.hub.transport import Connections
from init_sync.hub.watchdog import Watchdog
from init_sync.volume.contents import Interrupted as HashingStopped
from init_sync.volume.failures import volume_failure
from init_sync.volume.lease import LeaseLost

log = logging.getLogger(__name__)

SAME_SILENCE = 0.9
"""Share of a file's silence from which on the whole hub counts as silent."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run could not do."""

    failed: dict[str, SyncError]
    """By content id; the other files are in place."""
    fatal: SyncError | None
    fatal_content: str | None
    """The content that the fatal error is about; None when it concerns all that is missing."""


class Engine:
    """Fetches a list of transfers."""

    def __init__(
        self, transfers: Sequence[Transfer], settings: Settings, watch: Watch, on_file: Callable[[Transfer], None]
    ) -> None:
        self._settings = settings
        self._watch = watch
        self._on_file = on_file
        self._patience = Patience(settings.give_up_s)
        self._watchdog = Watchdog()
        self._pace = Pace(settings.connections)
        self._board = Board(transfers, self._pace, watch.stop)
        self._transfers = transfers

    def run(self) -> Outcome:
        """Returns when every file is in place or given up, or when the run was ended."""
        workers = [
            threading.Thread(target=self._work, name=f"fetch-{number}", daemon=True)
            for number in range(self._settings.connections)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        self._watchdog.close()
        for transfer in self._transfers:
            transfer.close()
        return Outcome(self._board.failed, self._board.fatal, self._board.fatal_content)

    def _work(self) -> None:
        connections = Connections(self._settings.stall_timeout_s, self._watchdog)
        buffer = memoryview(bytearray(BUFFER_BYTES))
        current: Transfer | None = None
        try:
            while task := self._board.next(current):
                current = task[0]
                self._do(task, connections, buffer)
        except Exception as error:  # a bug must end the run with its message, not hang it
            log.exception("fetching stopped by an unexpected error")
            self._board.abort(TryAgain(Reason.INTERNAL_ERROR, f"fetching: unexpected {type(error).__name__}: {error}"))
        finally:
            connections.close()

    def _do(self, task: Task, connections: Connections, buffer: memoryview) -> None:
        transfer, span = task
        try:
            if span is None:
                self._prepare(transfer)
            else:
                self._fetch(transfer, span, connections, buffer)
            transfer.catch_up(self._watch)
            if transfer.finish(self._watch):
                self._on_file(transfer)
                self._board.finished(transfer)
        except (Stopped, HashingStopped):
            pass
        except Transient as error:
            self._failed(transfer, error)
        except SyncError as error:
            self._give_up(transfer, error)
        except OSError as error:
            self._board.abort(volume_failure(error, f"writing {transfer.wanted.label}"))
        finally:
            if span is not None:
                self._board.left(transfer)

    def _prepare(self, transfer: Transfer) -> None:
        kept = transfer.prepare(self._watch)
        if kept:
            size = transfer.wanted.size
            log.info("%s: continuing, %s of %s bytes are there", transfer.wanted.label, f"{kept:,}", f"{size:,}")
        self._board.prepared(transfer)

    def _fetch(self, transfer: Transfer, span: tuple[int, int], connections: Connections, buffer: memoryview) -> None:
        try:
            answer = transfer.source.open(connections, *span)
        except WholeFileOnly:
            log.warning("%s: the server does not know ranges; reading it from its beginning", transfer.wanted.label)
            transfer.want_whole()
            return
        except BaseException:
            transfer.give_back(span)
            raise
        transfer.receive(answer, span, buffer, self._watch)

    def arrived(self, transfer: Transfer, count: int, gained: int) -> None:
        """Bytes came. Only those gained are progress: a server without ranges sends the same ones again and again."""
        if gained:
            transfer.failures = 0
            transfer.source.succeeded()
            transfer.patience.progress(gained)
            self._patience.progress(gained)
        if self._pace.arrived(count, time.monotonic()):
            self._board.wake()

    def _failed(self, transfer: Transfer, error: Transient) -> None:
        transfer.failures += 1
        self._watch.on_error(error.reason)
        message = error.message
        if transfer.wanted.label not in message and transfer.source.label not in message:
            message = f"{transfer.wanted.label}: {message}"
        named = Transient(error.reason, message, error.retry_after_s)
        try:
            delay = transfer.patience.delay_s(named, transfer.failures)
        except TryAgain as final:
            self._give_up_unless_others_progress(transfer, final)
            return
        if delay > 0:
            log.warning("%s; trying again in %.1f s", message, delay)
        self._board.retry_later(transfer, delay, everybody=error.reason is Reason.RATE_LIMITED)

    def _give_up_unless_others_progress(self, transfer: Transfer, final: TryAgain) -> None:
        """A hub that gives nothing to anybody ends the run; one that fails with this file only does not."""
        if self._patience.idle_s() >= SAME_SILENCE * transfer.patience.idle_s():
            self._board.abort(final)
        else:
            self._give_up(transfer, final)

    def _give_up(self, transfer: Transfer, error: SyncError) -> None:
        if isinstance(error, LeaseLost):
            self._board.abort(error)
        elif isinstance(error, NeedsChange):
            self._board.abort(error, because_of=transfer)
        else:
            log.error("%s", error.message)
            self._board.fail(transfer, error)
