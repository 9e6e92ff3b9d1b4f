"""Content ids of bytes: the hashes that a hub publishes, fed piece by piece.

``sha256:<hex>`` is the plain SHA-256; ``git-sha1:<hex>`` is git's blob id, a SHA-1 over ``blob <size>\\0`` and the
bytes.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple, Protocol

from init_sync.core.content_id import GIT_SHA1, SHA256
from init_sync.volume.volume import NoFile, Volume

READ_BYTES = 1 << 20
OnBytes = Callable[[int], None] | None


class Hash(Protocol):
    """What ``hashlib`` returns."""

    def update(self, data: bytes | bytearray | memoryview, /) -> None: ...
    def hexdigest(self) -> str: ...
    def copy(self) -> Hash: ...


class HashingCancelled(Exception):
    """Hashing was stopped from outside."""


class Hooks(NamedTuple):
    """What long reading reports to, and what ends it."""

    on_bytes: OnBytes = None
    """Gets how many more bytes were read; None when nobody wants to know."""
    stop: threading.Event | None = None


SILENT = Hooks()


def new_hash(content_id: str, size: int) -> Hash:
    """An empty hash of the kind of ``content_id``, for content of ``size`` bytes."""
    kind = content_id.partition(":")[0]
    if kind == SHA256:
        return hashlib.sha256()
    if kind == GIT_SHA1:
        return hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    raise ValueError(f"unknown kind of content id: {content_id!r}")


def matches(digest: Hash, content_id: str) -> bool:
    return digest.hexdigest() == content_id.partition(":")[2]


def read_range(descriptor: int, start: int, end: int, use: Callable[[memoryview], object], hooks: Hooks) -> int:
    """Feed bytes [start, end) of an open file to ``use``; returns where it ended, short at the end of the file.

    Raises:
        HashingCancelled: stopped from outside.
    """
    buffer = memoryview(bytearray(min(READ_BYTES, max(1, end - start))))
    position = start
    while position < end:
        if hooks.stop is not None and hooks.stop.is_set():
            raise HashingCancelled
        count = os.preadv(descriptor, [buffer[: min(len(buffer), end - position)]], position)
        if count == 0:
            break
        use(buffer[:count])
        position += count
        if hooks.on_bytes:
            hooks.on_bytes(count)
    return position


def file_matches(volume: Volume, path: str, content_id: str, size: int, hooks: Hooks = SILENT) -> bool:
    """Whether the file holds exactly the content. Raises OSError when it cannot be read."""
    try:
        file = volume.open_file(path)
    except NoFile:
        return False
    with file:
        descriptor = file.fileno()
        if os.fstat(descriptor).st_size != size:
            return False
        with suppress(OSError, AttributeError):  # advice only
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        digest = new_hash(content_id, size)
        return read_range(descriptor, 0, size, digest.update, hooks) == size and matches(digest, content_id)
