"""Content ids of bytes: the hashes that a hub publishes, fed piece by piece.

``sha256:<hex>`` is the plain SHA-256; ``git-sha1:<hex>`` is git's blob id, a SHA-1 over ``blob <size>\\0`` and the
bytes.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from typing import Protocol

from init_sync.volume.layout import NoFile, open_file

READ_BYTES = 1 << 20
OnBytes = Callable[[int], None] | None
"""Told how many more bytes were read; None when nobody wants to know."""

SHA256 = "sha256"
GIT_SHA1 = "git-sha1"


class Hash(Protocol):
    """What ``hashlib`` returns."""

    def update(self, data: bytes | bytearray | memoryview, /) -> None: ...
    def hexdigest(self) -> str: ...
    def copy(self) -> Hash: ...


class Interrupted(Exception):
    """Hashing was stopped from outside."""


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


def hash_range(
    descriptor: int,
    digest: Hash,
    start: int,
    end: int,
    on_bytes: OnBytes = None,
    stop: threading.Event | None = None,
) -> int:
    """Feed bytes [start, end) of an open file to ``digest``; returns where it ended, short at the end of the file."""
    buffer = memoryview(bytearray(min(READ_BYTES, max(1, end - start))))
    position = start
    while position < end:
        if stop is not None and stop.is_set():
            raise Interrupted
        count = os.preadv(descriptor, [buffer[: min(len(buffer), end - position)]], position)
        if count == 0:
            break
        digest.update(buffer[:count])
        position += count
        if on_bytes:
            on_bytes(count)
    return position


def file_matches(
    path: str,
    content_id: str,
    size: int,
    on_bytes: OnBytes = None,
    stop: threading.Event | None = None,
) -> bool:
    """Whether the file holds exactly the content. Raises OSError when it cannot be read."""
    try:
        file = open_file(path)
    except NoFile:
        return False
    with file:
        descriptor = file.fileno()
        if os.fstat(descriptor).st_size != size:
            return False
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        digest = new_hash(content_id, size)
        return hash_range(descriptor, digest, 0, size, on_bytes, stop) == size and matches(digest, content_id)
