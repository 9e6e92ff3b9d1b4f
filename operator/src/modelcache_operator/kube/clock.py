"""One clock: that of the API server, which writes the times in objects.

Delays run from times in objects to now. By the clock of another machine, which may be ahead or behind, they would
vanish or grow. Every answer of the API has its time, in whole seconds; the operator's own clock is used as long as it
agrees with that.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime

TOLERANCE_S = 2.0
"""A header's rounding and the time that an answer takes."""


class ServerClock:
    """Called: the time now, in seconds since 1970."""

    def __init__(self, own: Callable[[], float] = time.time) -> None:
        self._own = own
        self._ahead = 0.0

    def __call__(self) -> float:
        return self._own() + self._ahead

    def observe(self, date: str | None) -> None:
        """Take the ``Date`` header of an answer into account."""
        try:
            server = parsedate_to_datetime(date or "").timestamp() + 0.5
        except ValueError:
            return
        if abs(server - self()) > TOLERANCE_S:
            ahead = server - self._own()
            self._ahead = ahead if abs(ahead) > TOLERANCE_S else 0.0
