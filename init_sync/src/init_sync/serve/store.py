"""The volume as the server sees it: its receipts and pins, read again when they change, and its files."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from time import monotonic

from init_sync.core.listing import RemoteFile
from init_sync.serve.catalog import Catalog, make_catalog
from init_sync.serve.content import Content, open_content
from init_sync.shell.logs import fields
from init_sync.volume.layout import MAX_STATE_FILES, PINS, RECEIPTS
from init_sync.volume.pins import all_pins
from init_sync.volume.receipts import all_receipts
from init_sync.volume.volume import Volume

log = logging.getLogger(__name__)

LOOK_S = 1.0
"""How often receipts and pins are looked at: one stat for each."""
MOST_TOLD = 5
State = tuple[tuple[str, int, int, int], ...]


class Store:
    """Shared by all connections."""

    def __init__(self, volume: Volume) -> None:
        self._volume = volume
        self._guard = threading.Lock()
        self._state: State | None = None
        self._look_at = 0.0
        self.offered = Catalog()
        """As it was at the last look."""
        self._told: set[str] = set()

    def catalog(self) -> Catalog:
        """What is offered now. While one request reads receipts again, the others have the catalog of before.

        Raises:
            OSError: the volume cannot be read now.
        """
        never = self._state is None
        if monotonic() >= self._look_at and self._guard.acquire(blocking=never):
            try:
                self._look()
            finally:
                self._guard.release()
        return self.offered

    def open(self, file: RemoteFile) -> Content | None:
        """A file of the volume with this content; None when it holds none. Raises OSError."""
        return open_content(self._volume, self.offered.copies(file), self._tell_once)

    def _look(self) -> None:
        state = tuple(self._states())
        if state != self._state:
            self.offered = make_catalog(all_receipts(self._volume), all_pins(self._volume))
            self._state = state
            self._told.clear()
            self._tell()
        self._look_at = monotonic() + LOOK_S

    def _states(self) -> Iterator[tuple[str, int, int, int]]:
        for folder in (RECEIPTS, PINS):
            for name in self._volume.names(folder)[:MAX_STATE_FILES]:
                found = self._volume.lstat(f"{folder}/{name}")
                yield f"{folder}/{name}", found.st_ino, found.st_mtime_ns, found.st_size

    def _tell(self) -> None:
        catalog = self.offered
        log.info("offering", extra=fields(commits=catalog.commits, held_bytes=catalog.held_bytes))
        for commit in catalog.unlisted[:MOST_TOLD]:
            why = "commit is not offered for lack of its checked listing: run init-sync sync --refresh"
            log.warning(why, extra=fields(commit=commit))

    def _tell_once(self, path: str) -> None:
        if path not in self._told:
            self._told.add(path)
            log.warning("file is not what its receipt says, and is not served", extra=fields(path=path))
