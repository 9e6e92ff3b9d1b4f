"""Making a prepared copy: file by file under the volume's lock, and its receipt last.

The lock is held for one file at a time, with a pause in which a waiting sync takes it; so a sync waits for one file at
most. A file is written to tmp/, hashed on the way, synced and renamed (``hashed_files``). What a killed run left
is read again and kept, so nothing else needs to be remembered.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from inference.server.prepared_copy.hashed_files import HashedFiles, Part
from init_sync.core.errors import NeedsChange, TryAgain
from init_sync.core.reasons import Reason
from init_sync.core.receipt import Receipt, ReceiptFile
from init_sync.core.spec import Manifest
from init_sync.shell.formatting import size
from init_sync.sync.plan import SPARE_BYTES
from init_sync.volume.check import changes
from init_sync.volume.failures import volume_failure
from init_sync.volume.layout import sweep_temporary
from init_sync.volume.lock import LockTimings, VolumeLock
from init_sync.volume.owned import OwnedFiles
from init_sync.volume.prepared import Recipe, load_copy, models_of
from init_sync.volume.receipts import is_unchanged, load_receipt, store_receipt
from init_sync.volume.timestamps import wait_out_clock_step
from init_sync.volume.volume import Volume

log = logging.getLogger(__name__)

DOING = "preparing the copy"
PATIENCE_S = 60.0
"""For the lock: longer than that of a dead process lasts, shorter than a sync."""


@dataclass(frozen=True, slots=True)
class Told:
    """What became of one part."""

    number: int
    parts: int
    size: int
    kept: bool
    """An earlier run has written it."""
    seconds: float


class Preparation:
    """One run. ``release`` may be called from a signal handler at any moment."""

    def __init__(
        self,
        manifest: Manifest,
        volume: Volume,
        recipe: Recipe,
        parts: Sequence[Part],
        tell: Callable[[Told], None],
        timings: LockTimings | None = None,
    ) -> None:
        self._manifest = manifest
        self._volume = volume
        self._recipe = recipe
        self._model = recipe.model()
        self._parts = parts
        self._tell = tell
        self._timings = timings or LockTimings()
        self._owned = OwnedFiles(volume, manifest.name)
        self._files = HashedFiles(volume, self._model.path, self._owned)
        self._lock: VolumeLock | None = None

    @property
    def path(self) -> str:
        """Directory of the copy."""
        return self._model.path

    def release(self) -> None:
        """Give the lock back at once, if it is held."""
        if self._lock:
            self._lock.release()

    def is_done(self) -> bool:
        """Whether the copy is there, by its receipt and stats alone."""
        receipt = load_copy(self._volume, self._recipe)
        return receipt is not None and not changes(self._volume, receipt)

    def run(self) -> None:
        """Returns once the copy has its receipt.

        Raises:
            NeedsChange: the volume has too little room, or cannot be written to.
            TryAgain: another process keeps the lock, or the models are no longer those of the recipe.
        """
        try:
            found = [self._make(number, part) for number, part in enumerate(self._parts)]
            with self._locked() as lock:
                self._store(found, lock)
        except OSError as error:
            raise volume_failure(error, DOING) from error

    def _make(self, number: int, part: Part) -> ReceiptFile:
        if number:
            time.sleep(2 * self._timings.poll_s)  # a waiting sync looks that often, and takes the lock
        began = time.monotonic()
        with self._locked() as lock:
            if number == 0:
                sweep_temporary(self._volume)
                self._require_room()
            kept = self._files.kept(part)
            file = kept or self._files.write(part, lock)
        self._tell(Told(number + 1, len(self._parts), part.size, kept is not None, time.monotonic() - began))
        return file

    @contextmanager
    def _locked(self) -> Iterator[VolumeLock]:
        began = time.monotonic()
        self._lock = lock = VolumeLock(self._volume, self._timings)
        holders: list[str] = []
        try:
            if not lock.acquire(lambda each: holders.append(each.owner), lambda: time.monotonic() - began > PATIENCE_S):
                waited = f"{DOING}: {holders[-1]} is writing to the volume. Try again when it has ended"
                raise TryAgain(Reason.WAITING_FOR_LOCK, waited)
            self._require_models()
            yield lock
        finally:
            self._owned.close()
            lock.release()

    def _require_models(self) -> None:
        """A sync may have had the lock since they were looked at."""
        receipts = [load_receipt(self._volume, each) for each in self._manifest.models]
        named = [each for each in receipts if each and each.path in self._recipe.models]
        same = models_of(self._volume, self._manifest, self._recipe.files) == self._recipe.models
        if not same or any(changes(self._volume, each) for each in named):
            raise TryAgain(Reason.NOT_VERIFIED, f"{DOING}: the models were changed meanwhile. Another run uses them")

    def _require_room(self) -> None:
        space = self._volume.space()
        if not space.f_blocks:
            return  # some network file systems tell nothing
        missing = sum(part.size for part in self._parts if not self._files.has(part))
        free, needed = space.f_bavail * space.f_frsize, missing + SPARE_BYTES
        if missing and needed > free:
            raise NeedsChange(
                Reason.DISK_FULL,
                f"{DOING}: {size(needed)} more are needed and {size(free)} are free. Enlarge the volume by "
                f"{size(needed - free)} or more, or remove what nothing needs with init-sync prune",
            )

    def _store(self, files: Sequence[ReceiptFile], lock: VolumeLock) -> None:
        gone = [file.path for file in files if not is_unchanged(self._volume, file)]
        if gone:
            raise TryAgain(Reason.FILE_MISSING, f"{DOING}: {gone[0]} was changed meanwhile. Another run makes it again")
        wait_out_clock_step(self._volume, [file.mtime_ns for file in files])
        lock.check_volume()
        store_receipt(self._volume, self._model, self._receipt(files))

    def _receipt(self, files: Sequence[ReceiptFile]) -> Receipt:
        model = self._model
        return Receipt(
            model=model.name,
            path=model.path,
            repo=model.repo,
            revision=model.revision,
            requirement=model.requirement_digest(),
            commits={model.revision: ""},
            chosen={},
            files=tuple(files),
            links=(),
            verified_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            cache=self._manifest.name,
            prepared_from=dict(self._recipe.models),
        ).with_digest()
