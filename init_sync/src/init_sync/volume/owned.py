"""Files that syncs of one cache put on the volume: what ``prune`` may remove once nothing needs them.

``.modelcache/owned/<cache>-<digest>``, one line for each name, written before the file gets it:

    9c2f11d0 {"format": 1, "cache": "multitalk"}                             the first line; any other voids the file
    5d8f0c31 ["base/model.safetensors", 9847223624, 1763859723000000000]     path, size, time in ns
    9ae0daaf ["base/index.json", "../multitalk/index.json"]                  a symbolic link, and what it says

In front of each line is the CRC-32 of the rest; of two lines for one path the later one counts. A file is owned as long
as it is what its line says: one that was touched since is somebody else's. What a sync found on the volume has no line.
"""

from __future__ import annotations

import json
import os
import stat
import threading
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, NamedTuple

from init_sync.core.volumepath import path_problem
from init_sync.volume.layout import TMP, owned_path, temporary_path
from init_sync.volume.volume import Volume, sync_file

FORMAT = 1
MAX_OWNED_BYTES = 64 << 20
"""What lies behind is not read, and so never removed: some 600,000 names."""
MAX_TEXT = 4096
OnName = Callable[[str, str], None]
"""Is told that the first path is about to be renamed to the second."""


class OwnedFile(NamedTuple):
    """A name on the volume, as a sync gave it."""

    path: str
    size: int = 0
    mtime_ns: int = 0
    text: str = ""
    """What a symbolic link says; empty for a file, and for a hard link or a copy that stands for a link."""

    def found(self, volume: Volume, *, remove: bool = False) -> os.stat_result | None:
        """What is at the path, if it is still this by all that a stat tells; removed, if that is asked.

        Looked at and removed in one directory, which was opened once. Raises OSError.
        """
        with volume.reach(self.path) as (directory, name):
            state = os.stat(name, dir_fd=directory, follow_symlinks=False)
            if stat.S_ISLNK(state.st_mode):
                same = os.readlink(name, dir_fd=directory) == self.text
            else:
                found = stat.S_ISREG(state.st_mode), state.st_size, state.st_mtime_ns, ""
                same = found == (True, self.size, self.mtime_ns, self.text)
            if same and remove:
                os.unlink(name, dir_fd=directory)
            return state if same else None


class OwnedFiles:
    """The record of one cache. Adding from several threads is fine; only the holder of the lock may add."""

    def __init__(self, volume: Volume, cache: str) -> None:
        self._volume = volume
        self._cache = cache
        self._path = owned_path(cache)
        self._descriptor = -1
        self._guard = threading.RLock()

    def read(self) -> dict[str, OwnedFile]:
        """By path; empty when there is none, or none that a sync of this cache wrote."""
        return _entries(self._lines(), self._cache)

    def add(self, source: str, destination: str) -> None:
        """What is at ``source`` is about to be renamed to ``destination``. Raises OSError when it cannot be written."""
        state = self._volume.lstat(source)
        text = self._volume.readlink(source) if stat.S_ISLNK(state.st_mode) else ""
        file = OwnedFile(destination, text=text) if text else OwnedFile(destination, state.st_size, state.st_mtime_ns)
        self._append(file)

    def moved(self, source: str, destination: str) -> None:
        """The same for a file that lay at ``source`` under its final name: it stays whose it is."""
        known = self.read().get(source)
        if known and known.found(self._volume):
            self._append(known._replace(path=destination))

    def bring_to_disk(self) -> None:
        """Before a receipt is written: a power failure must not leave its files without their owner."""
        with self._guard:
            if self._descriptor >= 0:
                sync_file(self._descriptor)

    def replace(self, files: Iterable[OwnedFile]) -> None:
        """Forget all others."""
        self._volume.make_directory(TMP)
        self._volume.make_directory(self._path.rpartition("/")[0])
        temporary = temporary_path("state")
        with os.fdopen(self._volume.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
            file.write(_line({"format": FORMAT, "cache": self._cache}))
            file.writelines(_line(_as_list(each)) for each in files)
            file.flush()
            sync_file(file.fileno())
        self.close()
        self._volume.rename(temporary, self._path)

    def close(self) -> None:
        with self._guard:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1

    def _append(self, file: OwnedFile) -> None:
        with self._guard:
            if self._descriptor < 0:
                self._open()
            os.write(self._descriptor, _line(_as_list(file)))

    def _open(self) -> None:
        """Written once more if it is void, holds paths twice, or has a second name: then it is somebody else's too."""
        lines = self._lines()
        known = _entries(lines, self._cache)
        is_plain = False
        with suppress(OSError):
            state = self._volume.lstat(self._path)
            is_plain = stat.S_ISREG(state.st_mode) and state.st_nlink == 1
        if not is_plain or not _is_valid(lines, self._cache) or len(lines) > 2 * len(known) + 100:
            self.replace(known.values())
        flags = os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK  # to open a pipe would wait for its reader
        self._descriptor = self._volume.open(self._path, flags)
        os.write(self._descriptor, b"\n")  # a line that was cut off by a crash ends here

    def _lines(self) -> list[bytes]:
        with suppress(OSError), self._volume.open_file(self._path) as file:
            return file.read(MAX_OWNED_BYTES).split(b"\n")
        return []


def _line(value: Any) -> bytes:
    text = json.dumps(value).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _as_list(file: OwnedFile) -> list[str | int]:
    return [file.path, file.text] if file.text else [file.path, file.size, file.mtime_ns]


def _parse(line: bytes) -> Any:
    """None for what ``_line`` did not write."""
    check, _, text = line.partition(b" ")
    if check != b"%08x" % zlib.crc32(text):
        return None
    with suppress(ValueError, RecursionError):
        return json.loads(text)
    return None


def _is_valid(lines: list[bytes], cache: str) -> bool:
    return bool(lines) and _parse(lines[0]) == {"format": FORMAT, "cache": cache}


def _entries(lines: list[bytes], cache: str) -> dict[str, OwnedFile]:
    if not _is_valid(lines, cache):
        return {}
    found = (_as_file(_parse(line)) for line in lines[1:])
    return {file.path: file for file in found if file}


def _as_file(value: Any) -> OwnedFile | None:
    """Anybody who may write to the volume may have written it."""
    match value:
        case [str(path), int(size), int(mtime_ns)] if size >= 0 and not path_problem(path):
            return OwnedFile(path, size, mtime_ns)
        case [str(path), str(text)] if 0 < len(text) <= MAX_TEXT and not path_problem(path):
            return OwnedFile(path, text=text)
    return None
