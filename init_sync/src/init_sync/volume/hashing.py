"""Content ids of bytes: the hashes that a hub publishes, fed piece by piece.

``sha256:<hex>`` is the plain SHA-256; ``git-sha1:<hex>`` is git's blob id, a SHA-1 over ``blob <size>\\0`` and the
bytes. Whatever names it, the plain SHA-256 of each content is computed on the way: digests need it.
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


class GitHash:
    """git's blob id, and beside it the SHA-256 of the same bytes."""

    def __init__(self, git: Hash, sha256: Hash) -> None:
        self._git = git
        self.sha256 = sha256

    def update(self, data: bytes | bytearray | memoryview, /) -> None:
        self._git.update(data)
        self.sha256.update(data)

    def hexdigest(self) -> str:
        return self._git.hexdigest()

    def copy(self) -> GitHash:
        return GitHash(self._git.copy(), self.sha256.copy())


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
        return GitHash(hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False), hashlib.sha256())
    raise ValueError(f"unknown kind of content id: {content_id!r}")


def checksum_of(digest: Hash) -> str:
    """The plain SHA-256 of the bytes, whichever hash was asked for."""
    return (digest.sha256 if isinstance(digest, GitHash) else digest).hexdigest()


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
    return file_checksum(volume, path, content_id, size, hooks) is not None


def file_checksum(volume: Volume, path: str, content_id: str, size: int, hooks: Hooks = SILENT) -> str | None:
    """The SHA-256 of the file if it holds exactly the content, else None. Raises OSError when it cannot be read."""
    try:
        file = volume.open_file(path)
    except NoFile:
        return None
    with file:
        descriptor = file.fileno()
        if os.fstat(descriptor).st_size != size:
            return None
        with suppress(OSError, AttributeError):  # advice only
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        digest = new_hash(content_id, size)
        if read_range(descriptor, 0, size, digest.update, hooks) != size or not matches(digest, content_id):
            return None
        return checksum_of(digest)
