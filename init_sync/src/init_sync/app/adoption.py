"""Files that are on the volume already, from an earlier manifest or by hand: verified once, never fetched again."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from init_sync.core.formatting import size
from init_sync.core.receipt import ReceiptFile
from init_sync.core.requirement import RequiredFile
from init_sync.core.volumepath import REPLACED_SUFFIX
from init_sync.volume.contents import file_matches
from init_sync.volume.inspection import as_receipt_file, is_unchanged
from init_sync.volume.layout import Volume

log = logging.getLogger(__name__)

WORTH_A_LINE_BYTES = 64 << 20


class Adoption:
    """Decides for required files whether what lies on the volume is right."""

    def __init__(
        self,
        volume: Volume,
        known: Mapping[str, ReceiptFile],
        threads: int,
        on_bytes: Callable[[int], None],
        stop: threading.Event,
    ) -> None:
        self._volume = volume
        self._on_bytes = on_bytes
        self._known = known
        self._threads = threads
        self._stop = stop

    def verify(self, files: Iterable[RequiredFile]) -> dict[str, ReceiptFile]:
        """The files that are right, by path: known from a receipt and unchanged, or hashed now."""
        found: dict[str, ReceiptFile] = {}
        to_hash: list[RequiredFile] = []
        for file in files:
            known = self._known.get(file.path)
            if known and known.content_id == file.content_id and is_unchanged(self._volume, known):
                found[file.path] = known
            elif self._candidate(file):
                to_hash.append(file)
        if to_hash:
            total = sum(file.size for file in to_hash)
            if total >= WORTH_A_LINE_BYTES:
                log.info("Verifying %s in %d files that are on the volume already", size(total), len(to_hash))
            with ThreadPoolExecutor(self._threads, thread_name_prefix="verify") as pool:
                for file, verified in zip(to_hash, pool.map(self._hash, to_hash), strict=True):
                    if verified:
                        found[file.path] = verified
        return found

    def _candidate(self, file: RequiredFile) -> bool:
        """Whether a file of the right size is at its place, after moving an original out of a link's way."""
        if file.path.endswith(REPLACED_SUFFIX) and not os.path.lexists(self._volume.at(file.path)):
            self._move_original(file)
        place = self._volume.at(file.path)
        with suppress(OSError):
            return os.path.getsize(place) == file.size and self._volume.holds(place)
        return False

    def _move_original(self, file: RequiredFile) -> None:
        """``index.json`` is where a link will be: if it is the very original that is required, it becomes ``_old``."""
        place = self._volume.at(file.path.removesuffix(REPLACED_SUFFIX))
        if self._is_original(place) and file_matches(place, file.content_id, file.size, self._on_bytes, self._stop):
            os.rename(place, self._volume.at(file.path))

    def _is_original(self, place: str) -> bool:
        return os.path.isfile(place) and not os.path.islink(place) and self._volume.holds(place)

    def _hash(self, file: RequiredFile) -> ReceiptFile | None:
        place = self._volume.at(file.path)
        try:
            if file_matches(place, file.content_id, file.size, self._on_bytes, self._stop):
                return as_receipt_file(file.path, file.content_id, os.stat(place))
        except OSError as error:
            log.warning("%s: cannot be read (%s); fetching it again", file.path, error.strerror)
            return None
        log.info("%s: its content differs from what the hub lists; fetching it again", file.path)
        return None
