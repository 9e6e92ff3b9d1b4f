"""One file on its way from the hub to its places on the volume: which bytes are there, and their hash.

Workers fetch pieces of it in any order. The hash of a file goes from front to back, so the worker at the front
hashes its piece while the bytes are still in the processor's cache, and a worker that ends a piece lets the hash catch
up over pieces that arrived earlier. When the last byte is hashed, the file is published, or thrown away and downloaded
again.
"""

from __future__ import annotations

import threading
import time
from collections import deque

from init_sync.core.errors import TryAgain
from init_sync.core.reasons import Reason
from init_sync.core.receipt import ReceiptFile
from init_sync.core.requirement import Blob
from init_sync.core.settings import MAX_PIECE_BYTES, MIN_PIECE_BYTES, WRONG_CONTENT_ATTEMPTS, Settings
from init_sync.fetch.hooks import Stopped, TransferHooks
from init_sync.fetch.sources import FileSource, PeersFault, Sources
from init_sync.fetch.speed import Speed
from init_sync.fetch.stretch import Stretch, read_into
from init_sync.hub.retry import RetryBudget, Transient
from init_sync.hub.transport import Response
from init_sync.shell.formatting import size
from init_sync.volume.hashing import Hash, Hooks, checksum_of, matches, new_hash
from init_sync.volume.partial import Partial
from init_sync.volume.publishing import publish
from init_sync.volume.spans import Span, covered_until, merged, missing, pieces
from init_sync.volume.volume import Volume

PIECE_ALIGNMENT = 1 << 20
REPORTED_BYTES = 1 << 20
REPORTED_EVERY_S = 0.25
"""Progress is reported in steps of so much, or so often, for it costs time; the first bytes of a piece at once."""


class Transfer:
    """State of one file, shared by the workers that fetch its pieces."""

    def __init__(
        self, volume: Volume, blob: Blob, sources: Sources, settings: Settings, *, publishes: bool = True
    ) -> None:
        """``publishes``: whether it is put in place when it is complete; if not, a later transfer does so."""
        self.blob = blob
        self.sources = sources
        self.budget = RetryBudget(settings.give_up_s)
        self.active = 0
        """Workers on it; kept by the scheduler."""
        self.failures = 0
        """Attempts that failed since bytes last came."""
        self.not_before = 0.0
        self.checksum = ""
        """Its SHA-256, once it is complete."""
        self.published: tuple[ReceiptFile, ...] = ()
        self._volume = volume
        self._partial = Partial(volume, blob.content_id, blob.size)
        self._connections = settings.connections
        self._publishes = publishes
        self._pending: deque[Span] = deque()
        self._spans: list[Span] = []
        self._digest: Hash = new_hash(blob.content_id, blob.size)
        self._hashed = 0
        self._hashing = False
        self._receiving = 0
        self._finished = False
        self._whole = False
        self._wrong = 0
        self._guard = threading.Lock()

    @property
    def has_pending(self) -> bool:
        return bool(self._pending)

    def prepare(self, hooks: TransferHooks) -> int:
        """Take up what an earlier run left; returns how many bytes of it can be kept.

        Raises:
            LockLost: a successor is at work, or done: a new partial file would be left behind for nobody.
        """
        hooks.may_name()
        recovered = self._partial.open(Hooks(hooks.on_hashed, hooks.stop))
        self._digest, self._hashed, self._spans = recovered.digest, recovered.hashed, recovered.spans
        self._plan()
        kept = sum(end - start for start, end in self._spans)
        if kept:
            self.sources.recovered()
        hooks.on_present(self.blob, kept)
        self.budget.reset()
        return kept

    def take(self) -> Span | None:
        with self._guard:
            return self._pending.popleft() if self._pending else None

    def give_back(self, span: Span) -> None:
        with self._guard:
            self._pending.appendleft(span)

    def want_whole(self) -> None:
        """The server cannot send ranges: one worker reads the file from its beginning."""
        with self._guard:
            if not self._whole:
                self._whole = True
                self._pending = deque([(0, self.blob.size)])

    def give_up(self) -> None:
        """Nothing of it will be published any more in this run; what came is kept for the next."""
        with self._guard:
            self._finished = True

    def receive(
        self, answer: Response, taken: FileSource, speed: Speed, span: Span, buffer: memoryview, hooks: TransferHooks
    ) -> None:
        """Read the body of ``answer`` into the file, recording as it goes.

        Raises:
            Transient: when it broke off, or is too slow; what came is kept, the rest is pending again.
        """
        start, end = span
        known = self._hashed if self._whole else start
        with self._guard:
            self._receiving += 1
        begin = max(start, known)
        at_front = self._take_front(begin)
        stretch = Stretch(self._partial, begin, self._digest if at_front else None)
        position = reported = start
        reported_at = time.monotonic()
        try:
            while position < end:
                if hooks.stop.is_set():
                    raise Stopped
                count, broken = read_into(answer, buffer[: min(len(buffer), end - position)])
                hooks.may_write()  # after the read: that is where a process practically always is when it is frozen
                stretch.add(buffer[min(count, max(0, stretch.position - position)) : count])
                position += count
                now = time.monotonic()
                if (
                    position - reported >= REPORTED_BYTES
                    or now - reported_at >= REPORTED_EVERY_S
                    or position - start < REPORTED_BYTES
                ):
                    reported, reported_at = self._report(hooks, taken, reported, position, known), now
                if broken:
                    raise self._ends_early(position, broken) if self._whole else broken
                speed.add(count)
            answer.done()
        finally:
            self._end_stretch(stretch, begin, at_front)
            self._report(hooks, taken, reported, position, known)
            with self._guard:
                self._receiving -= 1
                if position < end and not self._whole:
                    self._pending.appendleft((position, end))
                elif position < end and (start, end) == (0, self.blob.size):
                    self._pending.appendleft((start, end))  # without ranges it takes another run from the beginning

    def _report(self, hooks: TransferHooks, taken: FileSource, reported: int, position: int, known: int) -> int:
        """Report the bytes of [reported, position); those below ``known`` were on the volume before."""
        if position > reported:
            gained = max(0, position - max(reported, known))
            if gained:
                self.failures = 0
                self.sources.gave(taken)
                self.budget.progress(gained)
            hooks.on_received(self.blob, position - reported, gained, taken.peer is not None)
            hooks.on_present(self.blob, gained)
        return position

    def _ends_early(self, position: int, broken: Transient) -> Transient:
        """Without ranges each attempt begins at the front, so what ends the answers decides whether one can succeed."""
        ends = f"the server sends no ranges and ends after {size(position)} of {size(self.blob.size)}"
        cause = f"{self.blob.label}: {ends} ({broken.message}). A proxy or mirror on the way may limit answers"
        return Transient(broken.reason, cause, broken.retry_after_s)

    def catch_up(self, hooks: TransferHooks) -> None:
        """Let the hash follow over bytes that arrived ahead of it."""
        while True:
            with self._guard:
                target = covered_until(self._spans, self._hashed)
                if self._hashing or target == self._hashed:
                    return
                self._hashing = True
            reached = self._hashed
            try:
                reached = self._partial.hash(self._digest, self._hashed, target, Hooks(hooks.on_hashed, hooks.stop))
                self._partial.record_hashed(reached, self._digest)
            finally:
                with self._guard:
                    self._hashed, self._hashing = reached, False

    def finish(self, hooks: TransferHooks) -> bool:
        """Publish the file once it is complete, if it is to be. True for exactly one caller.

        Raises:
            TryAgain: its content was wrong too often.
            Transient: its content was wrong; everything is pending again.
        """
        with self._guard:
            if self._finished or self._hashing or self._receiving or self._hashed < self.blob.size:
                return False
            self._finished = True
        hooks.may_name()
        if not matches(self._digest, self.blob.content_id):
            self._start_over(hooks)
        self.sources.right_content()
        self.checksum = checksum_of(self._digest)
        if self._publishes:
            blob = self.blob
            content = blob.content_id, self.checksum
            self.published = publish(self._volume, self._partial, *content, blob.paths, hooks.on_name)
        return True

    def close(self) -> None:
        self._partial.close()

    def _take_front(self, position: int) -> bool:
        """Whether the caller is at the front, and so the one who hashes."""
        with self._guard:
            if self._hashing or position != self._hashed:
                return False
            self._hashing = True
            return True

    def _plan(self) -> None:
        share = self.blob.size // (4 * self._connections)
        length = min(MAX_PIECE_BYTES, max(MIN_PIECE_BYTES, -(-share // PIECE_ALIGNMENT) * PIECE_ALIGNMENT))
        self._pending = deque(pieces(missing(self._spans, self.blob.size), length))

    def _start_over(self, hooks: TransferHooks) -> None:
        from_others = self.sources.wrong_content()
        self._wrong += not from_others
        message = f"{self.blob.label}: the bytes received are not those that the hub listed"
        if not self.blob.size:  # nothing to download again, and so nobody who would come to finish it
            raise TryAgain(
                Reason.CHECKSUM_MISMATCH,
                f"{self.blob.label}: the hub lists it as empty and with the hash of something else",
            )
        if self._wrong >= WRONG_CONTENT_ATTEMPTS:
            self._partial.restart()
            raise TryAgain(
                Reason.CHECKSUM_MISMATCH, f"{message}, {self._wrong} times in a row. Nothing was put in place"
            )
        hooks.on_present(self.blob, -sum(end - start for start, end in self._spans))
        with self._guard:
            self._digest, self._hashed, self._spans = self._partial.restart(), 0, []
            self._plan()
            self._finished = False
        kind = PeersFault if from_others else Transient
        raise kind(Reason.CHECKSUM_MISMATCH, f"{message}; downloading it again")

    def _end_stretch(self, stretch: Stretch, start: int, hashed: bool) -> None:
        try:
            stretch.record()
        finally:
            with self._guard:
                self._spans = merged([*self._spans, (start, stretch.position)])
                if hashed:
                    self._hashed, self._hashing = stretch.position, False
