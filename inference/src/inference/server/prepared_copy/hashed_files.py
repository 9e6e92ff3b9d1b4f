"""Files whose names end with the beginning of their SHA-256: what a killed run left can be believed once it is read.

prepared/MeiGen-MultiTalk-bfloat16-0f3a.../transformer-00001-of-00018-9c41d07be2a85f36.safetensors
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

from init_sync.core.content_id import SHA256
from init_sync.core.receipt import ReceiptFile
from init_sync.volume.failures import DAMAGED
from init_sync.volume.hashing import SILENT, read_range
from init_sync.volume.layout import TMP, temporary_path
from init_sync.volume.lock import VolumeLock
from init_sync.volume.owned import OwnedFiles
from init_sync.volume.receipts import as_receipt_file
from init_sync.volume.volume import Volume, sync_file

log = logging.getLogger(__name__)

DIGITS = 16


@dataclass(frozen=True, slots=True)
class Part:
    """One file that is to be there."""

    stem: str
    suffix: str
    """Between the two is the beginning of the hash."""
    size: int
    content: Callable[[], Iterable[bytes | memoryview]]


class HashedFiles:
    """Those of one directory. The caller holds the lock."""

    def __init__(self, volume: Volume, directory: str, owned: OwnedFiles) -> None:
        self._volume = volume
        self._directory = directory
        self._owned = owned

    def has(self, part: Part) -> bool:
        """Whether anything has its name."""
        return bool(self._candidates(part))

    def kept(self, part: Part) -> ReceiptFile | None:
        """The file of an earlier run, if its content is what its name says; what is damaged is removed."""
        for path in self._candidates(part):
            state = self._volume.stat(path)
            checksum = self._checksum(path, part.size)
            if checksum and path == self._path(part, checksum):
                return as_receipt_file(path, f"{SHA256}:{checksum}", state)
            log.warning("removing %s: it is damaged", path)
            self._volume.unlink(path)
        return None

    def write(self, part: Part, lock: VolumeLock) -> ReceiptFile:
        """Raises OSError; LockLost, before the file has its name."""
        self._volume.make_directory(TMP)
        temporary = temporary_path("prepared")
        try:
            with os.fdopen(self._volume.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
                checksum = _fill(file.fileno(), part, lock)
            path = self._path(part, checksum)
            self._volume.make_directory(self._directory)
            lock.check_volume()
            self._owned.add(temporary, path)
            self._volume.rename(temporary, path)
        except BaseException:
            with suppress(OSError):
                self._volume.unlink(temporary)
            raise
        self._owned.bring_to_disk()
        return as_receipt_file(path, f"{SHA256}:{checksum}", self._volume.lstat(path))

    def _candidates(self, part: Part) -> list[str]:
        form = re.compile(rf"{re.escape(part.stem)}-[0-9a-f]{{{DIGITS}}}{re.escape(part.suffix)}")
        return [f"{self._directory}/{name}" for name in self._volume.names(self._directory) if form.fullmatch(name)]

    def _checksum(self, path: str, size: int) -> str | None:
        digest = hashlib.sha256()
        try:
            with self._volume.open_file(path) as file:
                count = read_range(file.fileno(), 0, size + 1, digest.update, SILENT)
        except OSError as error:
            if error.errno not in DAMAGED:
                raise
            return None
        return digest.hexdigest() if count == size else None

    def _path(self, part: Part, checksum: str) -> str:
        return f"{self._directory}/{part.stem}-{checksum[:DIGITS]}{part.suffix}"


def _fill(descriptor: int, part: Part, lock: VolumeLock) -> str:
    """Write and sync; returns the SHA-256."""
    digest, count = hashlib.sha256(), 0
    for piece in part.content():
        lock.check()
        digest.update(piece)
        left = memoryview(piece)
        while left:
            left = left[os.write(descriptor, left) :]
        count += len(piece)
    if count != part.size:
        raise ValueError(f"{part.stem}: {count} bytes instead of {part.size}")
    sync_file(descriptor)
    return digest.hexdigest()
