"""Reading a file from its disk while the page cache stays as it is: what a server has mapped must not be pushed out.

Directly (O_DIRECT), where the file system can: that passes the page cache by, and what is read is what the disk has.
Elsewhere through the page cache, without reading ahead; pages that were not there before are given back right after,
and those that were there stay. Which those are, ``mincore`` says: to who owns the file or may write to it.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import BinaryIO

CHUNK_BYTES = 1 << 20
ALIGNMENT = 4096
PAGE = mmap.PAGESIZE

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_int64]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]


class Uncached:
    """An open file; to be used by one thread."""

    def __init__(self, file: BinaryIO, chunk_bytes: int = CHUNK_BYTES) -> None:
        self._descriptor = file.fileno()
        self._buffer = memoryview(mmap.mmap(-1, max(ALIGNMENT, chunk_bytes // ALIGNMENT * ALIGNMENT)))
        self.direct = self._become_direct(True)

    def read(self, size: int, use: Callable[[memoryview], None]) -> int:
        """Feed the first ``size`` bytes to ``use``, piece by piece; returns where the file ended.

        Raises OSError when it cannot be read.
        """
        position = 0
        while position < size:
            count = self._read(position)
            if count == 0:
                break
            use(self._buffer[: min(count, size - position)])
            position += count
            if self.direct and count % ALIGNMENT and position < size:
                self.direct = self._become_direct(
                    False
                )  # a short answer in the middle: not what a direct read can continue
        return min(position, size)

    def _read(self, position: int) -> int:
        if self.direct:
            try:
                return os.preadv(self._descriptor, [self._buffer], position)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                self.direct = self._become_direct(False)
        length = len(self._buffer) - position % PAGE
        absent = list(_absent(self._descriptor, position // PAGE * PAGE, len(self._buffer)))
        count = os.preadv(self._descriptor, [self._buffer[:length]], position)
        for start, end in absent:
            with suppress(OSError):
                os.posix_fadvise(self._descriptor, start, end - start, os.POSIX_FADV_DONTNEED)
        return count

    def _become_direct(self, direct: bool) -> bool:
        flags = fcntl.fcntl(self._descriptor, fcntl.F_GETFL) & ~os.O_DIRECT
        try:
            fcntl.fcntl(self._descriptor, fcntl.F_SETFL, flags | (os.O_DIRECT if direct else 0))
        except OSError:
            direct = False
        if not direct:
            with suppress(OSError):
                os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_RANDOM)
        return direct


def resident_pages(descriptor: int, offset: int, length: int) -> bytes:
    """A byte for each page of the file: odd when it is in the page cache. Raises OSError when nobody can tell."""
    found = ctypes.create_string_buffer((length + PAGE - 1) // PAGE)
    address = _libc.mmap(None, length, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, offset)
    if address in (None, ctypes.c_void_p(-1).value):
        raise OSError(ctypes.get_errno(), "mmap")
    try:
        if _libc.mincore(address, length, found):
            raise OSError(ctypes.get_errno(), "mincore")
    finally:
        _libc.munmap(address, length)
    return found.raw


def _absent(descriptor: int, offset: int, length: int) -> Iterator[tuple[int, int]]:
    """Stretches that are not in the page cache; none when nobody can tell: then all that is there stays."""
    try:
        pages = resident_pages(descriptor, offset, length)
    except OSError:
        return
    begin = None
    for number, page in enumerate((*pages, 1)):
        if not page & 1 and begin is None:
            begin = number
        elif page & 1 and begin is not None:
            yield offset + begin * PAGE, offset + number * PAGE
            begin = None
