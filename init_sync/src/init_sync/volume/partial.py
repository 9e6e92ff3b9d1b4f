"""A file on its way: bytes in any order, and a journal that says which of them can be kept.

``.modelcache/partial/<content id>.part`` holds the bytes, ``.journal`` beside it one line for each stretch received:

    H 1 sha256:9f86... 9847223624          format, content id and size; any other first line voids the journal
    P 4194304 5d8f0c31a2b4e6f7             bytes [0, 4194304) hash to this (first 16 digits)
    C 67108864 71303168 9ae0daaf           bytes [67108864, 71303168) have this CRC-32; received ahead of the hash

Lines are appended after the bytes were written, so a killed process loses at most what it received since its last line.
Nothing is synced to disk in between, which would cost more than it saves: after a power failure the checks show where
the first byte in front went missing, and which stretches ahead did; what lies before that and the good stretches are
kept. The content itself is proved by its hash at the end, always; the journal only decides how much work is left.

A process that was frozen and has lost the lease may still hold these files open. So a file that another process may
have renamed into place is never cut: starting over means a new file.
"""

from __future__ import annotations

import contextlib
import os
import threading
import zlib
from collections.abc import Collection
from dataclasses import dataclass, field

from init_sync.core.errors import TryAgain
from init_sync.core.reasons import Reason
from init_sync.volume.contents import READ_BYTES, Hash, Interrupted, OnBytes, file_matches, hash_range, new_hash
from init_sync.volume.layout import Volume, open_file, replace_durably, sync_file
from init_sync.volume.spans import Span, merged

CHECK_DIGITS = 16
CRC_DIGITS = 8


@dataclass(slots=True)
class Recovered:
    """What an earlier run left of a file."""

    digest: Hash
    """The file's hash over its first ``hashed`` bytes."""
    hashed: int = 0
    spans: list[Span] = field(default_factory=list)
    """All bytes that can be kept, those below ``hashed`` included."""


class Partial:
    """The partial file of one content id. Writing at different places from several threads is fine."""

    def __init__(self, volume: Volume, content_id: str, size: int) -> None:
        self._content_id = content_id
        self.size = size
        self._part = volume.partial(content_id) + ".part"
        self._journal = volume.partial(content_id) + ".journal"
        self._descriptor = -1
        self._journal_descriptor = -1

    def open(self, stop: threading.Event | None = None, on_bytes: OnBytes = None) -> Recovered:
        """Open for writing, and check what is there already."""
        os.makedirs(os.path.dirname(self._part), exist_ok=True)
        records = _read_journal(self._journal, self._header)
        if records is None or not os.path.isfile(self._part) or os.path.islink(self._part):
            return Recovered(self.restart())
        self._descriptor = os.open(self._part, os.O_RDWR | os.O_NOFOLLOW)
        recovered = self._check(records, stop, on_bytes)
        self._journal_descriptor = os.open(self._journal, os.O_WRONLY | os.O_APPEND)
        self._append("")  # a line that was cut off by a crash ends here
        return recovered

    def write(self, data: memoryview, position: int) -> None:
        written = os.pwrite(self._descriptor, data, position)
        while written < len(data):
            written += os.pwrite(self._descriptor, data[written:], position + written)

    def hash(
        self, digest: Hash, start: int, end: int, stop: threading.Event | None = None, on_bytes: OnBytes = None
    ) -> int:
        """Feed bytes that were written before to ``digest``; they are still in the page cache as a rule."""
        return hash_range(self._descriptor, digest, start, end, on_bytes, stop)

    def record_hashed(self, end: int, digest: Hash) -> None:
        self._append(f"P {end} {digest.copy().hexdigest()[:CHECK_DIGITS]}")

    def record_ahead(self, start: int, end: int, crc: int) -> None:
        self._append(f"C {start} {end} {crc:08x}")

    def copy_to(self, destination: str, temporary: str) -> None:
        """Put a copy of the whole file at ``destination``."""
        with open(temporary, "xb") as copy:
            position = 0
            while data := os.pread(self._descriptor, READ_BYTES, position):
                copy.write(data)
                position += len(data)
            copy.flush()
            sync_file(copy.fileno())
        replace_durably(temporary, destination)

    def publish(self, destination: str) -> None:
        """Put the file under its final name, whole and on disk. The one before stays until that moment.

        Raises:
            TryAgain: what lies under the partial name is not the file that was written and verified here. That takes
                a process that was frozen while it held the lease, and starts over after it was succeeded.
        """
        os.ftruncate(self._descriptor, self.size)
        sync_file(self._descriptor)
        written = os.fstat(self._descriptor)
        if not _is_unchanged(written, self._part):
            raise self._replaced(self._part)
        self.close()  # some file systems do not rename an open file
        replace_durably(self._part, destination)
        # Another inode, or another time, is no proof against it: where a rename is a copy, both change.
        if not _is_unchanged(written, destination) and not file_matches(destination, self._content_id, self.size):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(destination)
            raise self._replaced(destination)
        with contextlib.suppress(OSError):
            os.unlink(self._journal)

    def _replaced(self, path: str) -> TryAgain:
        return TryAgain(
            Reason.WAITING_FOR_LOCK,
            f"publishing {os.path.basename(path)}: another process replaced or removed the file meanwhile. "
            "Another run fetches it",
        )

    def restart(self) -> Hash:
        """Forget every byte; returns the hash to start over with."""
        self.close()
        for path in (self._part, self._journal):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        flags = os.O_CREAT | os.O_EXCL
        self._descriptor = os.open(self._part, os.O_RDWR | flags, 0o666)
        self._journal_descriptor = os.open(self._journal, os.O_WRONLY | os.O_APPEND | flags, 0o666)
        self._append(self._header)
        return new_hash(self._content_id, self.size)

    def close(self) -> None:
        for descriptor in (self._descriptor, self._journal_descriptor):
            if descriptor >= 0:
                os.close(descriptor)
        self._descriptor = self._journal_descriptor = -1

    @property
    def _header(self) -> str:
        return f"H 1 {self._content_id} {self.size}"

    def _append(self, line: str) -> None:
        os.write(self._journal_descriptor, f"{line}\n".encode())

    def _check(self, records: Records, stop: threading.Event | None, on_bytes: OnBytes) -> Recovered:
        """Keep what still has the hash or CRC that its line says."""
        recovered = Recovered(new_hash(self._content_id, self.size))
        for end, checks in sorted(records.hashed.items()):
            attempt = recovered.digest.copy()
            if hash_range(self._descriptor, attempt, recovered.hashed, end, on_bytes, stop) != end:
                break
            if attempt.hexdigest()[:CHECK_DIGITS] not in checks:
                break
            recovered.digest, recovered.hashed = attempt, end
        spans = [(0, recovered.hashed)]
        for start, end, crc in records.ahead:
            if end > recovered.hashed and self._crc(start, end, stop, on_bytes) == crc:
                spans.append((start, end))
        recovered.spans = merged(spans)
        return recovered

    def _crc(self, start: int, end: int, stop: threading.Event | None, on_bytes: OnBytes) -> int | None:
        crc, position = 0, start
        while position < end:
            if stop is not None and stop.is_set():
                raise Interrupted
            data = os.pread(self._descriptor, min(READ_BYTES, end - position), position)
            if not data:
                return None
            crc, position = zlib.crc32(data, crc), position + len(data)
            if on_bytes:
                on_bytes(len(data))
        return crc


def _is_unchanged(before: os.stat_result, path: str) -> bool:
    """Whether the file at ``path`` is the one that was looked at before, by all that a stat tells."""
    try:
        now = os.stat(path)
    except FileNotFoundError:
        return False
    return os.path.samestat(before, now) and (before.st_size, before.st_mtime_ns) == (now.st_size, now.st_mtime_ns)


@dataclass(slots=True)
class Records:
    """The lines of a journal that could be read."""

    hashed: dict[int, set[str]] = field(default_factory=dict)
    """Checks by end; more than one when bytes were fetched anew after a crash."""
    ahead: list[tuple[int, int, int]] = field(default_factory=list)

    def add(self, line: str, size: int) -> None:
        kind, *fields = line.split(" ")
        if kind == "P" and len(fields) == 2 and len(fields[1]) == CHECK_DIGITS and 0 < int(fields[0]) <= size:
            self.hashed.setdefault(int(fields[0]), set()).add(fields[1])
        elif kind == "C" and len(fields) == 3 and len(fields[2]) == CRC_DIGITS:
            start, end, crc = int(fields[0]), int(fields[1]), int(fields[2], 16)
            if 0 <= start < end <= size:
                self.ahead.append((start, end, crc))

    def spans(self) -> list[Span]:
        front = max(self.hashed, default=0)
        return merged([(0, front), *((start, end) for start, end, _ in self.ahead)])


def _read_journal(path: str, header: str) -> Records | None:
    """The journal's lines; None when there is none or it belongs to something else."""
    try:
        with open_file(path) as file:
            lines = file.read().decode(errors="replace").split("\n")
    except OSError:
        return None
    if lines[0] != header:
        return None
    records, size = Records(), int(header.rpartition(" ")[2])
    for line in lines[1:]:
        with contextlib.suppress(ValueError):  # a line that a crash cut off
            records.add(line, size)
    return records


def kept_bytes(volume: Volume, content_id: str, size: int) -> int:
    """Bytes that a journal says are there, without checking them: for plans and progress figures."""
    base = volume.partial(content_id)
    records = _read_journal(f"{base}.journal", f"H 1 {content_id} {size}")
    try:
        there = os.stat(f"{base}.part").st_size
    except OSError:
        return 0
    return sum(max(0, min(end, there) - start) for start, end in records.spans()) if records else 0


def sweep(volume: Volume) -> None:
    """Remove journals whose file is in place already: their run was killed between the two."""
    for name in _names(volume):
        if name.endswith(".journal") and not os.path.lexists(volume.partials + "/" + name.replace(".journal", ".part")):
            _remove(volume, name)


def remove_others(volume: Volume, wanted: Collection[str]) -> int:
    """Remove what was fetched of contents that nobody wants any more; returns how many files went."""
    kept = {os.path.basename(volume.partial(content_id)) for content_id in wanted}
    others = [name for name in _names(volume) if name.rpartition(".")[0] not in kept]
    for name in others:
        _remove(volume, name)
    return len(others)


def _names(volume: Volume) -> list[str]:
    try:
        return os.listdir(volume.partials)
    except FileNotFoundError:
        return []


def _remove(volume: Volume, name: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(f"{volume.partials}/{name}")
