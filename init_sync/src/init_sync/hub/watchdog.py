"""A limit on how long the head of an answer may take.

Socket timeouts count from byte to byte: a server that sends one header byte every few seconds passes them all and holds
its caller for ever. The watchdog shuts such a connection down from a thread of its own; one serves all workers.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Watchdog:
    """Shuts sockets down whose time is over. Close it to end its thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._limits: dict[object, tuple[float, socket.socket]] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None

    @contextmanager
    def limit(self, watched: socket.socket | None, seconds: float) -> Iterator[None]:
        """Shut ``watched`` down unless the block ends within ``seconds``; the block then sees a failing socket.

        Raises:
            TimeoutError: in place of the failure, so that the cause is told.
        """
        token = object()
        if watched is not None:
            with self._changed:
                self._limits[token] = (self._clock() + seconds, watched)
                self._start()
                self._changed.notify()
        failed: Exception | None = None
        try:
            yield
        except Exception as error:
            failed = error
        with self._changed:
            expired = watched is not None and self._limits.pop(token, None) is None
        if expired:  # a head that was cut off may even look like a complete one
            raise TimeoutError(f"no complete answer within {seconds:g} s") from failed
        if failed:
            raise failed

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread:
            self._thread.join()

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
            self._thread.start()

    def _watch(self) -> None:
        with self._changed:
            while not self._closed:
                now = self._clock()
                for token, (deadline, watched) in list(self._limits.items()):
                    if deadline <= now:
                        del self._limits[token]
                        with contextlib.suppress(OSError):
                            watched.shutdown(socket.SHUT_RDWR)
                deadlines = [deadline for deadline, _ in self._limits.values()]
                self._changed.wait(min(deadlines) - now if deadlines else None)
