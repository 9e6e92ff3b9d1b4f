"""One writer at a time on a volume, on one node or many. Why not ``flock``: docs/decisions/2-lock-by-numbered-files.md.

The files ``.modelcache/lock/<generation>`` are numbered; the owner of the highest number holds the lock, unless that
file says that it was released:

    {"owner": "trainer-0 (process 7)", "host": "trainer-0", "pid": 7, "started": 4711, "pidNamespace": "pid:[402...]",
     "bootId": "9c0f...", "since": "2026-11-23T01:02:03Z", "beat": 12, "released": false}

- The holder rewrites its file every ``heartbeat_s``, through the descriptor that created it. Clocks are never compared:
  a waiter watches the content, and takes over once it has not changed for ``expiry_s`` on the waiter's own clock, or at
  once when the owner was a process in the waiter's own PID namespace and is gone.
- Taking over means creating the next number. Only one can; the highest file is never removed, so a slow waiter cannot
  step in with an old number unnoticed.
- A holder that finds a higher number has lost the lock and must stop writing (``check``). Should it be frozen at the
  very moment, its late bytes are the same bytes: a lost lock costs bandwidth, not data.
- A volume can be unmounted or replaced under its holder. Before anything gets a name, ``check_volume`` asks whether the
  root's name still leads to the volume on which the lock was taken.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from init_sync.core.errors import TryAgain
from init_sync.core.reasons import Reason
from init_sync.core.settings import SyncOptions
from init_sync.volume.layout import LOCK
from init_sync.volume.process import is_dead, own_identity
from init_sync.volume.volume import NoFile, Volume
from init_sync.volume.walk import OutsideVolume

MAX_LOCK_BYTES = 4096
TAKEN_OVER = "another process took the lock over. It will be retried"
REMOVED = "the lock was removed from the volume. It will be retried"
SILENT = "the volume did not let the lock be renewed in time. It will be retried"


class LockLost(TryAgain):
    """The volume is somebody else's by now, or is gone, so this process must not write any more."""


@dataclass(frozen=True, slots=True)
class LockTimings:
    """All in seconds. ``expiry_s`` bounds how long a dead holder on another node blocks the others."""

    heartbeat_s: float = 2.0
    expiry_s: float = SyncOptions().lock_expiry_s
    poll_s: float = 0.5

    @classmethod
    def expiring_after(cls, seconds: float) -> LockTimings:
        return cls(heartbeat_s=seconds / 10, expiry_s=seconds, poll_s=min(cls().poll_s, seconds / 10))


@dataclass(frozen=True, slots=True)
class Holder:
    """Who a waiter waits for."""

    owner: str
    since: str
    silent_s: float
    """Seconds since the waiter last saw a heartbeat."""


class VolumeLock:
    """The lock of one volume, as this process holds it or waits for it."""

    def __init__(
        self, volume: Volume, timings: LockTimings | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._volume = volume
        self._timings = timings or LockTimings()
        self._clock = clock
        self._generation: int | None = None
        self._identity = own_identity()
        self._beats = 0
        self._last_beat = 0.0
        self._released = False
        self._lost = ""
        """Why, once it is."""
        self._descriptor = -1
        self._stop = threading.Event()
        self._guard = threading.Lock()

    def acquire(self, on_wait: Callable[[Holder], None], is_pointless: Callable[[], bool]) -> bool:
        """Wait until the lock is ours, telling ``on_wait`` at each look for whom.

        Returns False, without the lock, as soon as ``is_pointless`` says that there is nothing left to do.
        Raises OSError when the volume cannot be written to.
        """
        self._volume.make_directory(LOCK)
        seen: tuple[int, bytes] | None = None
        seen_at = self._clock()
        while True:
            generation, content = self._current()
            if (generation, content) != seen:
                seen, seen_at = (generation, content), self._clock()
            silent_s = self._clock() - seen_at
            holder = _parse(content)
            if generation == 0 or holder.get("released") or silent_s > self._timings.expiry_s or is_dead(holder):
                if self._create(generation + 1):
                    return True
                self._stop.wait(self._timings.poll_s / 10)  # somebody was faster, or the directory's view is old
                continue
            on_wait(Holder(str(holder.get("owner", "unknown")), str(holder.get("since", "")), silent_s))
            if is_pointless():
                return False
            self._stop.wait(self._timings.poll_s)

    def check(self) -> None:
        """Raise LockLost unless the lock is still ours; costs nothing while heartbeats are fresh."""
        if self._clock() - self._last_beat > self._timings.expiry_s / 2:
            self._beat()  # this process was frozen or the volume was: look before writing another byte
        if self._lost:
            self._check_root()  # then that is the better explanation
            raise LockLost(Reason.WAITING_FOR_LOCK, f"writing to the volume: {self._lost}")

    def check_volume(self) -> None:
        """``check``, and whether the volume is still where it was: before anything gets a name.

        Raises OSError when the volume's root cannot be looked at.
        """
        self.check()
        self._check_root()

    def _check_root(self) -> None:
        if self._volume.is_in_place():
            return
        raise LockLost(
            Reason.FILE_MISSING,
            f"writing to the volume: {self._volume.root} is no longer the volume on which this run began. It was "
            "unmounted or replaced: mount it again, and another run continues there",
        )

    def release(self) -> None:
        """Let the next one in. Safe to call more than once, and from a signal handler."""
        self._stop.set()
        self._released = True
        if self._generation is None or self._lost:
            return
        guarded = self._guard.acquire(timeout=1)  # a heartbeat on its way would write that nothing was released
        try:
            with contextlib.suppress(OSError):
                self._write()
        finally:
            if guarded:
                self._guard.release()

    def _current(self) -> tuple[int, bytes]:
        generation = max((int(name) for name in self._volume.names(LOCK) if is_generation(name)), default=0)
        if generation == 0:
            return 0, b""
        try:
            with self._volume.open_file(f"{LOCK}/{generation}") as file:  # opening makes NFS look at the server again
                return generation, file.read(MAX_LOCK_BYTES)
        except (FileNotFoundError, NoFile, OutsideVolume):
            return generation, b""  # a newer one is there already, and the next look sees it; or it tells nothing

    def _create(self, generation: int) -> bool:
        path = f"{LOCK}/{generation}"
        try:
            self._descriptor = self._volume.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            where = f"{self._volume.root}/{LOCK}"
            raise OSError(f"the highest number in {where} is none that a sync wrote: remove that file") from error
        began = self._clock()
        self._generation = generation
        try:
            self._write()
        except OSError:  # a full volume: an empty file would look like a holder on another node
            self._undo(path)
            raise
        if self._current()[0] != generation:  # we acted on an old view of the directory
            self._undo(path)
            return False
        self._last_beat = began
        self._remove_older(generation)
        threading.Thread(target=self._keep_beating, name="lock", daemon=True).start()
        return True

    def _undo(self, path: str) -> None:
        self._generation = None
        os.close(self._descriptor)
        with contextlib.suppress(OSError):
            self._volume.unlink(path)

    def _remove_older(self, generation: int) -> None:
        for name in self._volume.names(LOCK):
            if is_generation(name) and int(name) < generation:
                with contextlib.suppress(OSError):
                    self._volume.unlink(f"{LOCK}/{name}")

    def _keep_beating(self) -> None:
        while not self._stop.wait(self._timings.heartbeat_s) and not self._lost:
            self._beat()

    def _beat(self) -> None:
        with self._guard:
            began = self._clock()  # before looking: whatever happens afterwards must not count as fresh
            try:
                if (highest := self._current()[0]) != self._generation:
                    self._lost = TAKEN_OVER if highest > (self._generation or 0) else REMOVED
                    return
                self._beats += 1
                self._write()
                if self._released:
                    self._write()  # released while this heartbeat was being written: that must be the last word
                self._last_beat = began
            except FileNotFoundError:
                self._lost = REMOVED
            except OSError:
                # The volume may come back; until it does, nobody may write without a fresh heartbeat.
                if self._clock() - self._last_beat > self._timings.expiry_s:
                    self._lost = self._lost or SILENT

    def _write(self) -> None:
        """In place, through the descriptor that created the file: a lock that was taken over stays lost."""
        content = {**self._identity, "beat": self._beats, "released": self._released}
        os.pwrite(self._descriptor, json.dumps(content).encode().ljust(MAX_LOCK_BYTES // 4), 0)
        os.close(os.dup(self._descriptor))  # closing makes NFS and FUSE hand what was written to the server


def is_generation(name: str) -> bool:
    """Nothing else in lock/ is ever read or removed."""
    return name.isascii() and name.isdigit()


def _parse(content: bytes) -> dict[str, Any]:
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        return {}  # just created, or being written: alive as long as it changes
    return data if isinstance(data, dict) else {}
