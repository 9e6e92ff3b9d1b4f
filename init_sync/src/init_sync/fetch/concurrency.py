"""How many connections are worth having: more as long as more bring more.

Behind a content network each connection has its own speed limit, so twice as many move twice as much. Where the
processor or the disk is the limit, more of them only get in each other's way: bytes arrive out of order and have to be
read again to be hashed. So a run begins with a few, doubles them as long as that raises the rate noticeably, and goes
back when it does not; from time to time it tries again.
"""

from __future__ import annotations

import threading

FIRST = 4
SETTLE_S = 0.1
"""Not measured after a change: new connections have to be made first."""
MEASURE_S = 0.15
MEASURE_BYTES = 8 << 20
"""Both must have passed for a rate to mean something: bytes are told in steps."""
WORTH_IT = 0.25
"""A doubling must bring this share of a doubled rate at least."""
RETRY_AFTER_S = 20.0


class Concurrency:
    """Decides from the bytes that arrive; the caller's clock comes with them."""

    def __init__(self, most: int) -> None:
        self.allowed = min(FIRST, most)
        """Connections that should be at work now."""
        self._most = most
        self._trying: tuple[int, float] | None = None
        """How many there were before the present attempt, and at what rate; None when nothing is being tried."""
        self._since: float | None = None
        self._bytes = 0
        self._guard = threading.Lock()

    def arrived(self, count: int, now: float) -> bool:
        """Count bytes; True when ``allowed`` has changed."""
        with self._guard:
            if self._since is None:
                self._since = now + SETTLE_S
            if now < self._since:
                return False
            self._bytes += count
            if now - self._since < MEASURE_S or self._bytes < MEASURE_BYTES:
                return False
            return self._judge(self._bytes / (now - self._since), now)

    def _judge(self, rate: float, now: float) -> bool:
        before = self.allowed
        if self._trying and not self._is_worth_it(rate, *self._trying):
            self.allowed = self._trying[0]
            self._trying = None
            self._restart(now + RETRY_AFTER_S)
        elif self.allowed < self._most:
            self.allowed = min(2 * self.allowed, self._most)
            self._trying = (before, rate)
            self._restart(now + SETTLE_S)
        else:
            self._trying = None
            self._restart(now + RETRY_AFTER_S)
        return self.allowed != before

    def _is_worth_it(self, rate: float, fewer: int, rate_before: float) -> bool:
        growth = self.allowed / fewer - 1
        return rate >= rate_before * (1 + WORTH_IT * growth)

    def _restart(self, at: float) -> None:
        self._since, self._bytes = at, 0
