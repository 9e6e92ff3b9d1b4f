"""A file on its way: bytes in any order, and a journal that says which of them can be kept.

``.modelcache/partial/<content id>.part`` holds the bytes, ``.journal`` beside it one line for each stretch received
(``volume.journal``).

Lines are appended after the bytes were written, so a killed process loses at most what it received since its last line.
Nothing is synced to disk in between, which would cost more than it saves: after a power failure the checks show where
the first byte in front went missing, and which stretches ahead did; what lies before that and the good stretches are
kept. The content itself is proved by its hash at the end, always; the journal only decides how much work is left.

A process that was frozen and has lost the lock may still hold these files open. So a file that another process may
have renamed into place is never cut: starting over means a new file.
"""

from __future__ import annotations

import contextlib
import os
import re
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from init_sync.core.errors import TryAgain
from init_sync.core.reasons import Reason
from init_sync.volume.hashing import SILENT, Hash, Hooks, file_matches, new_hash, read_range
from init_sync.volume.journal import CHECK_DIGITS, Records, header, read_journal
from init_sync.volume.layout import PARTIALS, partial_path
from init_sync.volume.links import copy_file
from init_sync.volume.owned import OnName
from init_sync.volume.spans import Span, merged
from init_sync.volume.volume import NoFile, Volume, sync_file
from init_sync.volume.walk import OutsideVolume

OWN_NAME = re.compile(r"(sha256|git-sha1)-[0-9A-Fa-f]{1,128}\.(part|journal)")
"""Nothing else in partial/ is ever removed."""


@dataclass(slots=True)
class Recovered:
    """What an earlier run left of a file."""

    digest: Hash
    """The file's hash over its first ``hashed`` bytes."""
    hashed: int = 0
    spans: list[Span] = field(default_factory=list)
    """All bytes that can be kept, those below ``hashed`` included."""


class Partial:
    """The partial file of one content id. Writing at different offsets from several threads is fine."""

    def __init__(self, volume: Volume, content_id: str, size: int) -> None:
        self.size = size
        self._volume = volume
        self._content_id = content_id
        self._part = partial_path(content_id) + ".part"
        self._journal = partial_path(content_id) + ".journal"
        self._descriptor = -1
        self._journal_descriptor = -1

    def open(self, hooks: Hooks = SILENT) -> Recovered:
        """Open for writing, and check what is there already."""
        self._volume.make_directory(PARTIALS)
        records = read_journal(self._volume, self._journal, header(self._content_id, self.size))
        if records is None or not self._open_existing():
            return Recovered(self.restart())
        recovered = self._check(records, hooks)
        self._append("")  # a line that was cut off by a crash ends here
        return recovered

    def write(self, data: memoryview, position: int) -> None:
        written = os.pwrite(self._descriptor, data, position)
        while written < len(data):
            written += os.pwrite(self._descriptor, data[written:], position + written)

    def hash(self, digest: Hash, start: int, end: int, hooks: Hooks = SILENT) -> int:
        """Feed bytes that were written before to ``digest``; they are still in the page cache as a rule."""
        return read_range(self._descriptor, start, end, digest.update, hooks)

    def record_hashed(self, end: int, digest: Hash) -> None:
        self._append(f"P {end} {digest.copy().hexdigest()[:CHECK_DIGITS]}")

    def record_ahead(self, start: int, end: int, crc: int) -> None:
        self._append(f"C {start} {end} {crc:08x}")

    def copy_to(self, destination: str, temporary: str, on_name: OnName) -> None:
        """Put a copy of the whole file at ``destination``."""
        copy_file(self._volume, self._descriptor, temporary)
        on_name(temporary, destination)
        self._volume.rename(temporary, destination)

    def publish(self, destination: str, on_name: OnName) -> None:
        """Put the file under its final name, complete and on disk. The one before stays until that moment.

        Raises:
            TryAgain: what lies under the partial name is not the file that was written and verified here. That takes
                a process that was frozen while it held the lock, and goes on after another one took it over.
        """
        os.ftruncate(self._descriptor, self.size)
        sync_file(self._descriptor)
        written = os.fstat(self._descriptor)
        if not self._is_unchanged(written, self._part):
            raise self._replaced(self._part)
        self.close()  # some file systems do not rename an open file
        on_name(self._part, destination)
        self._volume.rename(self._part, destination)
        # Another inode, or another time, is no proof against it: where a rename is a copy, both change.
        if not self._is_unchanged(written, destination) and not self._matches(destination):
            with contextlib.suppress(FileNotFoundError):
                self._volume.unlink(destination)
            raise self._replaced(destination)
        with contextlib.suppress(OSError):
            self._volume.unlink(self._journal)

    def restart(self) -> Hash:
        """Forget every byte; returns the hash to start over with."""
        self.close()
        for path in (self._part, self._journal):
            with contextlib.suppress(FileNotFoundError):
                self._volume.unlink(path)
        flags = os.O_CREAT | os.O_EXCL
        self._descriptor = self._volume.open(self._part, os.O_RDWR | flags)
        self._journal_descriptor = self._volume.open(self._journal, os.O_WRONLY | os.O_APPEND | flags)
        self._append(header(self._content_id, self.size))
        return new_hash(self._content_id, self.size)

    def close(self) -> None:
        for descriptor in (self._descriptor, self._journal_descriptor):
            if descriptor >= 0:
                os.close(descriptor)
        self._descriptor = self._journal_descriptor = -1

    def _append(self, line: str) -> None:
        os.write(self._journal_descriptor, f"{line}\n".encode())

    def _open_existing(self) -> bool:
        try:
            self._volume.open_file(self._part).close()  # neither a pipe nor a link
            self._descriptor = self._volume.open(self._part, os.O_RDWR)
            self._journal_descriptor = self._volume.open(self._journal, os.O_WRONLY | os.O_APPEND)
        except (NoFile, FileNotFoundError, OutsideVolume):
            return False
        # A second name of a file means that it is somebody else's too, and must not be written to.
        return all(os.fstat(each).st_nlink <= 1 for each in (self._descriptor, self._journal_descriptor))

    def _is_unchanged(self, before: os.stat_result, path: str) -> bool:
        """Whether the file at ``path`` is the one that was looked at before, by all that a stat tells."""
        try:
            now = self._volume.lstat(path)
        except FileNotFoundError:
            return False
        return os.path.samestat(before, now) and (before.st_size, before.st_mtime_ns) == (now.st_size, now.st_mtime_ns)

    def _matches(self, path: str) -> bool:
        try:
            return file_matches(self._volume, path, self._content_id, self.size)
        except FileNotFoundError:
            return False

    def _replaced(self, path: str) -> TryAgain:
        return TryAgain(
            Reason.WAITING_FOR_LOCK,
            f"publishing {os.path.basename(path)}: another process replaced or removed the file meanwhile. "
            "Another run fetches it",
        )

    def _check(self, records: Records, hooks: Hooks) -> Recovered:
        """Keep what still has the hash or CRC that its line says; each byte is read once for either."""
        recovered = Recovered(new_hash(self._content_id, self.size))
        for end, checks in sorted(records.hashed.items()):
            attempt = recovered.digest.copy()
            if self.hash(attempt, recovered.hashed, end, hooks) != end:
                break
            if attempt.hexdigest()[:CHECK_DIGITS] not in checks:
                break
            recovered.digest, recovered.hashed = attempt, end
        spans, read_to = [(0, recovered.hashed)], recovered.hashed
        for start, end, crc in sorted(records.ahead):
            if start >= read_to and self._crc(start, end, hooks) == crc:
                spans.append((start, end))
                read_to = end
        recovered.spans = merged(spans)
        return recovered

    def _crc(self, start: int, end: int, hooks: Hooks) -> int | None:
        crc = 0

        def add(data: memoryview) -> None:
            nonlocal crc
            crc = zlib.crc32(data, crc)

        return crc if read_range(self._descriptor, start, end, add, hooks) == end else None


def kept_bytes(volume: Volume, content_id: str, size: int) -> int:
    """Bytes that a journal says are there, without checking them: for plans and progress."""
    base = partial_path(content_id)
    records = read_journal(volume, f"{base}.journal", header(content_id, size))
    try:
        there = volume.lstat(f"{base}.part").st_size
    except OSError:
        return 0
    return sum(max(0, min(end, there) - start) for start, end in records.spans()) if records else 0


def kept_by_content(volume: Volume, contents: Mapping[str, int]) -> dict[str, int]:
    """``kept_bytes`` of many contents, given with their sizes; those without a journal are left out."""
    names = set(_own_names(volume))
    found = {each: size for each, size in contents.items() if f"{each.replace(':', '-')}.journal" in names}
    return {content_id: kept_bytes(volume, content_id, size) for content_id, size in found.items()}


def remove_orphan_journals(volume: Volume) -> None:
    """Remove journals whose file is in place already: their run was killed between the two."""
    names = set(_own_names(volume))
    for name in names:
        if name.endswith(".journal") and name.removesuffix("journal") + "part" not in names:
            _remove(volume, name)


def remove_other_partials(volume: Volume, wanted: Collection[str]) -> int:
    """Remove what was downloaded of contents that nobody wants any more; returns how many files went."""
    kept = {os.path.basename(partial_path(content_id)) for content_id in wanted}
    others = [name for name in _own_names(volume) if name.rpartition(".")[0] not in kept]
    for name in others:
        _remove(volume, name)
    return len(others)


def _own_names(volume: Volume) -> list[str]:
    return [name for name in volume.names(PARTIALS) if OWN_NAME.fullmatch(name)]


def _remove(volume: Volume, name: str) -> None:
    with contextlib.suppress(OSError):
        volume.unlink(f"{PARTIALS}/{name}")
