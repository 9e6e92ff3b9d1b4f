"""How fast peers send, so that a slow one is noticed while a faster one could send instead.

Peers are compared with each other only, each by its latest piece: they are under the same load from this run.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from init_sync.core.reasons import Reason
from init_sync.hub.peers import Peer
from init_sync.hub.retry import Transient
from init_sync.shell.formatting import size

WINDOW_S = 3.0
SLOWER = 8
"""So many times slower than another peer is too slow."""
LEAST_BYTES_PER_S = 64 * 1024
"""Of one connection. The hub may not be faster, but a copy in the same cluster should be."""


class Speeds:
    """Bytes per second on one connection, by peer, as last measured. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._latest: dict[Peer, float] = {}
        self._guard = threading.Lock()

    def measure(self, peer: Peer | None) -> Speed:
        return Speed(self, peer, self._clock)

    def measured(self, peer: Peer, rate: float) -> None:
        """Raises Transient when that is too slow."""
        with self._guard:
            self._latest[peer] = rate
            best = max((each for other, each in self._latest.items() if other != peer), default=0.0)
        if rate < LEAST_BYTES_PER_S:
            raise Transient(Reason.STALLED, f"it sends only {size(rate)}/s")
        if rate * SLOWER < best:
            raise Transient(Reason.STALLED, f"it sends {size(rate)}/s, another peer {size(best)}/s")


class Speed:
    """Of one piece."""

    def __init__(self, speeds: Speeds, peer: Peer | None, clock: Callable[[], float]) -> None:
        self._speeds = speeds
        self._peer = peer
        self._clock = clock
        self._since = clock()
        self._bytes = 0

    def add(self, count: int) -> None:
        """Raises Transient when a peer is too slow; the hub never is."""
        self._bytes += count
        took = self._clock() - self._since
        if self._peer and took >= WINDOW_S:
            rate, self._bytes, self._since = self._bytes / took, 0, self._clock()
            self._speeds.measured(self._peer, rate)
