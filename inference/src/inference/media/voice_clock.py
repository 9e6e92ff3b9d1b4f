"""Where a piece of sound belongs: on the clock that the timestamps of its file state.

    timestamps  0.00 ---- 0.40             1.00 ---- 1.40     a microphone that sends nothing in pauses
    placed      0.00 ---- 0.40             1.00 ---- 1.40     by counting samples it would be 0.00 ---- 0.80

Timestamps jitter: Matroska rounds them to a millisecond, and recorders of calls write when a packet arrived. So a piece
follows the one before it directly, unless its timestamp is further off than `TOLERANCE_S`.
"""

from __future__ import annotations

CLOCKED = frozenset({"mov", "matroska", "ogg"})
"""Formats, by FFmpeg's names, whose timestamps are stored. The others have none; FFmpeg counts samples or bytes."""
TOLERANCE_S = 0.04
"""One frame of the video: no voice is ever off by more."""
RESTART_S = 1.0
"""A clock that goes back by more was restarted, by a recorder that wrote two recordings into one file."""


class VoiceClock:
    """Places the pieces of one voice, in their order; times are seconds on the clock of the file."""

    def __init__(self, shift: float = 0.0) -> None:
        self._shift = shift
        self.end: float | None = None

    def place(self, stated: float | None, seconds: float) -> float:
        """Where a piece of `seconds` begins whose timestamp is `stated`; None: it has none."""
        at = self._start(None if stated is None else stated + self._shift)
        self.end = at + seconds
        return at

    def _start(self, stated: float | None) -> float:
        if self.end is None:
            return stated or 0.0
        if stated is None or abs(stated - self.end) <= TOLERANCE_S:
            return self.end
        if stated < self.end - RESTART_S:
            self._shift += self.end - stated
            return self.end
        return stated
