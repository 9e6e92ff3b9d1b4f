"""Consecutive bytes that one worker writes: recorded in the journal every MiB, hashed when they are at the front."""

from __future__ import annotations

import zlib

from init_sync.core.reasons import Reason
from init_sync.core.settings import RECORD_BYTES
from init_sync.hub.retry import Transient
from init_sync.hub.transport import ConnectionBroken, Response
from init_sync.volume.hashing import Hash
from init_sync.volume.partial import Partial


class Stretch:
    """From ``start`` on, for as long as bytes come."""

    def __init__(self, partial: Partial, start: int, digest: Hash | None) -> None:
        """``digest`` is the file's hash up to ``start``; None when these bytes arrive ahead of it."""
        self.position = start
        self._partial = partial
        self._digest = digest
        self._recorded = start
        self._crc = 0

    def add(self, data: memoryview) -> None:
        if not len(data):
            return
        self._partial.write(data, self.position)
        if self._digest:
            self._digest.update(data)
        else:
            self._crc = zlib.crc32(data, self._crc)
        self.position += len(data)
        if self.position - self._recorded >= RECORD_BYTES:
            self.record()

    def record(self) -> None:
        """Let the journal say what was written since it last did."""
        if self.position == self._recorded:
            return
        if self._digest:
            self._partial.record_hashed(self.position, self._digest)
        else:
            self._partial.record_ahead(self._recorded, self.position, self._crc)
        self._recorded, self._crc = self.position, 0


def read_into(answer: Response, buffer: memoryview) -> tuple[int, Transient | None]:
    """How many bytes came, and what broke the body off if it did."""
    try:
        count = answer.read_into(buffer)
    except ConnectionBroken as error:
        return error.filled, error.cause
    if count < len(buffer):
        answer.abandon()
        return count, Transient(Reason.HUB_UNREACHABLE, "the connection ended early")
    return count, None
