"""A file on its way: bytes in any order, and a journal that says which of them can be kept.

``.modelcache/partial/<content id>.part`` holds the bytes, ``.journal`` beside it one line for each stretch received:

    H 1 sha256:9f86... 9847223624          format, content id and size; any other first line voids the journal
    P 4194304 5d8f0c31a2b4e6f7             bytes [0, 4194304) hash to this (first 16 digits)
    C 67108864 71303168 9ae0daaf           bytes [67108864, 71303168) have this CRC-32; received ahead of the hash
    E "3f2a-61c"                           the server's ETag, for If-Range

Lines are appended after the bytes were written, so a killed process loses at most what it received since its last line.
Nothing is synced to disk in between, which would cost more than it saves: after a power failure the checks in each
line show which bytes did not make it, and just these are fetched again. The content itself is proved by its hash at
the end, always; the journal only decides how much work is left.
"""

from __future__ import annotations

import contextlib
import os
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

from init_sync.volume.contents import READ_BYTES, Hash, hash_range, new_hash
from init_sync.volume.layout import Volume, replace_durably
from init_sync.volume.spans import Span, merged

CHECK_DIGITS = 16


@dataclass(slots=True)
class Recovered:
    """What an earlier run left of a file."""

    digest: Hash
    """The file's hash over its first ``hashed`` bytes."""
    hashed: int = 0
    spans: list[Span] = field(default_factory=list)
    """All bytes that can be kept, those below ``hashed`` included."""
    etag: str | None = None


class Partial:
    """The partial file of one content id. Writing at different places from several threads is fine."""

    def __init__(self, volume: Volume, content_id: str, size: int) -> None:
        self._content_id = content_id
        self._size = size
        self._part = volume.partial(content_id) + ".part"
        self._journal = volume.partial(content_id) + ".journal"
        self._descriptor = -1
        self._journal_descriptor = -1

    def open(self, on_bytes: Callable[[int], None] | None = None, stop: threading.Event | None = None) -> Recovered:
        """Open for writing, and check what is there already. ``on_bytes`` hears of every byte that is re-read."""
        os.makedirs(os.path.dirname(self._part), exist_ok=True)
        self._descriptor = os.open(self._part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        records = _read_journal(self._journal, self._header)
        recovered = self._check(records, on_bytes, stop) if records else self._nothing()
        if not records:
            self._restart_journal()
        else:
            self._journal_descriptor = os.open(self._journal, os.O_WRONLY | os.O_APPEND)
            self._append("")  # a line that was cut off by a crash ends here
        return recovered

    def write(self, data: memoryview, position: int) -> None:
        written = os.pwrite(self._descriptor, data, position)
        while written < len(data):
            written += os.pwrite(self._descriptor, data[written:], position + written)

    def hash(self, digest: Hash, start: int, end: int, stop: threading.Event | None = None) -> int:
        """Feed bytes that were written before to ``digest``; they are still in the page cache as a rule."""
        return hash_range(self._descriptor, digest, start, end, stop=stop)

    def record_hashed(self, end: int, digest: Hash) -> None:
        self._append(f"P {end} {digest.copy().hexdigest()[:CHECK_DIGITS]}")

    def record_ahead(self, start: int, end: int, crc: int) -> None:
        self._append(f"C {start} {end} {crc:08x}")

    def record_etag(self, etag: str) -> None:
        if "\n" not in etag:
            self._append(f"E {etag}")

    def publish(self, destination: str) -> os.stat_result:
        """Put the file under its final name, whole and on disk. The one before stays until that moment."""
        os.ftruncate(self._descriptor, self._size)
        os.fsync(self._descriptor)
        replace_durably(self._part, destination)
        result = os.fstat(self._descriptor)
        self.close()
        with contextlib.suppress(OSError):
            os.unlink(self._journal)
        return result

    def restart(self) -> Hash:
        """Forget every byte; returns the hash to start over with."""
        os.ftruncate(self._descriptor, 0)
        os.close(self._journal_descriptor)
        self._restart_journal()
        return new_hash(self._content_id, self._size)

    def close(self) -> None:
        for descriptor in (self._descriptor, self._journal_descriptor):
            if descriptor >= 0:
                os.close(descriptor)
        self._descriptor = self._journal_descriptor = -1

    @property
    def _header(self) -> str:
        return f"H 1 {self._content_id} {self._size}"

    def _append(self, line: str) -> None:
        os.write(self._journal_descriptor, f"{line}\n".encode())

    def _restart_journal(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_NOFOLLOW
        self._journal_descriptor = os.open(self._journal, flags, 0o666)
        self._append(self._header)

    def _nothing(self) -> Recovered:
        os.ftruncate(self._descriptor, 0)
        return Recovered(new_hash(self._content_id, self._size))

    def _check(
        self, records: Records, on_bytes: Callable[[int], None] | None, stop: threading.Event | None
    ) -> Recovered:
        """Keep what still has the hash or CRC that its line says."""
        recovered = Recovered(new_hash(self._content_id, self._size), etag=records.etag)
        for end, check in sorted(records.hashed):
            if end <= recovered.hashed:
                continue
            attempt = recovered.digest.copy()
            if hash_range(self._descriptor, attempt, recovered.hashed, end, on_bytes, stop) != end:
                break
            if attempt.hexdigest()[:CHECK_DIGITS] != check:
                break
            recovered.digest, recovered.hashed = attempt, end
        spans = [(0, recovered.hashed)]
        for start, end, crc in records.ahead:
            if end > recovered.hashed and self._crc(start, end, on_bytes) == crc:
                spans.append((start, end))
        recovered.spans = merged(spans)
        return recovered

    def _crc(self, start: int, end: int, on_bytes: Callable[[int], None] | None) -> int | None:
        crc, position = 0, start
        while position < end:
            data = os.pread(self._descriptor, min(READ_BYTES, end - position), position)
            if not data:
                return None
            crc, position = zlib.crc32(data, crc), position + len(data)
            if on_bytes:
                on_bytes(len(data))
        return crc


@dataclass(slots=True)
class Records:
    """The lines of a journal that could be read."""

    hashed: list[tuple[int, str]] = field(default_factory=list)
    ahead: list[tuple[int, int, int]] = field(default_factory=list)
    etag: str | None = None

    def add(self, line: str, size: int) -> None:
        kind, _, rest = line.partition(" ")
        fields = rest.split(" ")
        if kind == "P" and len(fields) == 2 and 0 < int(fields[0]) <= size:
            self.hashed.append((int(fields[0]), fields[1]))
        elif kind == "C" and len(fields) == 3 and 0 <= int(fields[0]) < int(fields[1]) <= size:
            self.ahead.append((int(fields[0]), int(fields[1]), int(fields[2], 16)))
        elif kind == "E" and rest:
            self.etag = rest


def _read_journal(path: str, header: str) -> Records | None:
    """The journal's lines; None when there is none or it belongs to something else."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read().split("\n")
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
    records = _read_journal(volume.partial(content_id) + ".journal", f"H 1 {content_id} {size}")
    if records is None:
        return 0
    hashed = max((end for end, _ in records.hashed), default=0)
    spans = merged([(0, hashed), *((start, end) for start, end, _ in records.ahead)])
    return sum(end - start for start, end in spans)
