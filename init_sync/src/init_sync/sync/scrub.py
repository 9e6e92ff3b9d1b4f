"""``init-sync scrub``: read files again whose verification is old, and record when, or that they are damaged.

Oldest first, at a limited rate. All that it knows is in the receipts, so it can be ended at any time. It takes the lock
only to write a receipt, and then changes in the present one what is still as it was when the file was read: a sync may
have written another one meanwhile.
"""

from __future__ import annotations

import calendar
import logging
import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import NamedTuple

from init_sync.core.errors import NeedsChange, TryAgain
from init_sync.core.reasons import Reason
from init_sync.core.receipt import DAMAGED_NS, Damage, Receipt, ReceiptFile
from init_sync.core.spec import Manifest, Model
from init_sync.shell.formatting import listed, size
from init_sync.sync.progress import Progress
from init_sync.volume.check import changes, check_all, refresh_receipts
from init_sync.volume.failures import DAMAGED, volume_failure
from init_sync.volume.hashing import checksum_of, matches, new_hash
from init_sync.volume.identity import read_volume_id
from init_sync.volume.layout import RECEIPTS, receipt_path
from init_sync.volume.links import COPY
from init_sync.volume.lock import LockLost, VolumeLock
from init_sync.volume.prepared import copies_of, model_of
from init_sync.volume.receipts import as_receipt_file, differs, load_receipt, store_receipt
from init_sync.volume.uncached import CHUNK_BYTES, Uncached
from init_sync.volume.volume import NoFile, Volume, volume_problem

log = logging.getLogger(__name__)

RECORD_EVERY_S = 60.0
"""What a kill may cost: so much reading is done again."""
LINE_EVERY_S = 60.0
PATIENCE_S = 60.0
"""For the lock, at the end: more than a dead process blocks it."""
LEAST_CHUNK_BYTES = 64 << 10
CLOCK_ERROR_S = 86_400


class Due(NamedTuple):
    """A file to be read."""

    model: Model
    file: ReceiptFile
    copies: tuple[str, ...]
    """Paths of copies of it that stand for links."""
    at_s: float


class Found(NamedTuple):
    """What came of it."""

    due: Due
    now: ReceiptFile
    """To be recorded in the place of the file, if it is still as it was."""
    broken: tuple[str, ...]
    """Copies with other content."""

    @property
    def damaged(self) -> bool:
        return bool(self.now.damage or self.broken)


class Scrub:
    """One run. ``release`` may be called from a signal handler at any moment."""

    def __init__(
        self,
        manifest: Manifest,
        volume: Volume,
        progress: Progress,
        *,
        rate: int,
        older_than_s: float,
        begin: Callable[[], None] = lambda: None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """``begin`` is called by the thread that reads, to lower its priority: not by the one that holds the lock."""
        self._manifest = manifest
        self._volume = volume
        self._progress = progress
        self._rate = rate
        self._older_than_s = older_than_s
        self._now = now
        self._reader = ThreadPoolExecutor(1, "scrub", begin)
        self._next_at = self._line_at = self._recorded_at = time.monotonic()
        self._found: list[Found] = []
        """Not yet recorded."""
        self._total = 0
        self._lock: VolumeLock | None = None

    def release(self) -> None:
        """Give the lock back at once, if it is held."""
        if self._lock:
            self._lock.release()

    def run(self) -> None:
        """Returns when all is read and recorded; the progress says what is complete.

        Raises:
            NeedsChange: the volume cannot be read or written to.
            TryAgain: another process kept the lock; damage is in the progress all the same.
        """
        if problem := volume_problem(self._volume):
            raise NeedsChange(Reason.FILE_MISSING, f"opening the volume: {problem}")
        self._progress.volume_id = read_volume_id(self._volume)
        self._look()
        due = sorted(self._due(), key=lambda each: (each.at_s, each.file.path))
        self._total = sum(each.file.size * (1 + len(each.copies)) for each in due)
        log.info("Reading %s in %d files again", size(self._total), len(due))
        self._record(0.0)  # a volume that cannot be written to is found before hours of reading
        for each in due:
            self._read(each)
        if not self._record(PATIENCE_S):
            self._tell_unrecorded()
            raise TryAgain(Reason.WAITING_FOR_LOCK, "recording what was read: another process kept the lock")
        verified = self._progress.bytes_verified
        self._look()
        incomplete = [name for name, model in self._progress.models.items() if not model.complete]
        state = f"incomplete or damaged: {listed(incomplete)}. A sync cures it" if incomplete else "nothing is damaged"
        log.info("%s read again, %s", size(verified), state)

    def _look(self) -> None:
        checks = check_all(self._volume, self._manifest)
        refresh_receipts(self._volume, checks.values())
        self._progress.checked(checks)

    def _due(self) -> Iterable[Due]:
        for model in self._manifest.models:
            receipt = load_receipt(self._volume, model)
            if receipt:
                yield from self._due_of(model, receipt)
        for receipt in copies_of(self._volume, self._manifest.name):
            if not changes(self._volume, receipt):  # what was changed or removed by hand is not taken any more
                yield from self._due_of(model_of(receipt), receipt)

    def _due_of(self, model: Model, receipt: Receipt) -> Iterable[Due]:
        for file in receipt.files_with_times():
            at_s = self._seconds(file.verified_at)
            if file.damage is None and at_s <= self._now() - self._older_than_s:
                yield Due(model, file, _copies(receipt, file.path), at_s)

    def _seconds(self, text: str) -> float:
        """0 for what is no time, or one to come: such a file would never be read."""
        try:
            at_s = calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ"))
        except (ValueError, OverflowError):
            return 0.0
        return at_s if at_s <= self._now() + CLOCK_ERROR_S else 0.0

    def _read(self, due: Due) -> None:
        self._progress.activity = due.file.path
        found = self._reader.submit(self._result, due).result()
        if found is None:
            return
        self._found.append(found)
        if found.damaged:
            log.error("%s: %s", due.file.path, found.now.damage.message if found.now.damage else "a copy differs")
        if found.damaged or time.monotonic() - self._recorded_at >= RECORD_EVERY_S:
            self._record(0.0)

    def _result(self, due: Due) -> Found | None:
        """None when it is not what was to be read, or nobody can tell."""
        try:
            state = self._volume.stat(due.file.path)
            if differs(due.file, state):
                return None
            damage, checksum = self._content(due, due.file.path)
            broken = tuple(path for path in due.copies if self._content(due, path)[0])
            after = self._volume.stat(due.file.path)
        except OSError as error:
            log.warning("%s: cannot be read now (%s)", due.file.path, error.strerror or error)
            return None
        if (state.st_size, state.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            return None
        if damage:
            return Found(due, due.file._replace(mtime_ns=DAMAGED_NS, damage=Damage(damage, state.st_mtime_ns)), broken)
        now = datetime.fromtimestamp(self._now(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        file = as_receipt_file(due.file.path, due.file.content_id, state, checksum)
        return Found(due, file._replace(verified_at=now), broken)

    def _content(self, due: Due, path: str) -> tuple[str, str]:
        """The kind of damage, and the SHA-256. Raises OSError for what is no damage."""
        file = due.file
        digest = new_hash(file.content_id, file.size)

        def use(data: memoryview) -> None:
            digest.update(data)
            self._progress.hashed(len(data))
            self._pace(len(data))

        try:
            with self._volume.open_file(path) as opened:
                if os.fstat(opened.fileno()).st_size != file.size:
                    return "content", ""
                chunk = min(CHUNK_BYTES, max(LEAST_CHUNK_BYTES, self._rate // 4))
                count = Uncached(opened, chunk).read(file.size, use)
        except OSError as error:
            if error.errno not in DAMAGED or isinstance(error, NoFile):
                raise
            return "unreadable", ""
        checksum = checksum_of(digest)
        same = count == file.size and matches(digest, file.content_id) and file.checksum in ("", checksum)
        return ("", checksum) if same else ("content", "")

    def _pace(self, count: int) -> None:
        """Sleep as long as that many bytes may take."""
        now = time.monotonic()
        self._next_at = max(self._next_at, now) + count / self._rate
        if now - self._line_at >= LINE_EVERY_S:
            self._line_at = now
            log.info("%s of %s read again", size(self._progress.bytes_verified), size(self._total))
        time.sleep(self._next_at - now)

    def _tell_unrecorded(self) -> None:
        for each in self._found:
            if each.damaged and each.due.model.name in self._progress.models:
                what = f"{each.due.file.path}: damaged, as this scrub found"
                self._progress.models[each.due.model.name].incomplete(Reason.CHECKSUM_MISMATCH, what)

    def _record(self, patience_s: float) -> bool:
        """Write what was found; returns whether the lock could be had. Raises NeedsChange, TryAgain."""
        self._recorded_at = began = time.monotonic()
        self._lock = lock = VolumeLock(self._volume)
        try:
            if not lock.acquire(lambda _: None, lambda: time.monotonic() - began >= patience_s):
                return False
            for name in {each.due.model.name for each in self._found}:
                self._record_model([each for each in self._found if each.due.model.name == name], lock)
        except LockLost:
            return False
        except OSError as error:
            raise volume_failure(error, "recording what was read") from error
        finally:
            lock.release()
        self._found.clear()
        return True

    def _record_model(self, found: list[Found], lock: VolumeLock) -> None:
        model = found[0].due.model
        receipt = load_receipt(self._volume, model)
        if receipt is None:
            return
        if receipt.prepared_from and any(each.damaged for each in found):
            self._drop_copy(model, lock)
            return
        by_path = {each.due.file.path: each for each in found}
        files = tuple(_recorded(file, by_path.get(file.path)) for file in receipt.files_with_times())
        broken = {path for each in found for path in each.broken}
        links = tuple(
            link._replace(mtime_ns=DAMAGED_NS) if link.kind == COPY and link.at in broken else link
            for link in receipt.links
        )
        changed = receipt._replace(files=files, links=links).with_oldest_time()
        if changed != receipt:
            lock.check_volume()
            store_receipt(self._volume, model, changed, keeps_time=True)

    def _drop_copy(self, model: Model, lock: VolumeLock) -> None:
        """A damaged prepared copy is not repaired but made again, by those who want one; its models are complete."""
        lock.check_volume()
        self._volume.unlink(receipt_path(model))
        self._volume.sync_directory(RECEIPTS)
        log.error("%s: this prepared copy is damaged and no longer taken. Prepare it again", model.path)


def _recorded(present: ReceiptFile, found: Found | None) -> ReceiptFile:
    """The present record, unless it is the one that was read."""
    return found.now if found and found.due.file == present else present


def _copies(receipt: Receipt, path: str) -> tuple[str, ...]:
    return tuple(
        link.at for link in receipt.links if link.kind == COPY and link.target == path and link.mtime_ns != DAMAGED_NS
    )
