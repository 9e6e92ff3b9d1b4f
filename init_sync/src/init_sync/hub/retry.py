"""When to try again, after how long, and when to stop.

The budget is time without progress: as long as bytes keep arriving a sync may take days, but a hub from which nothing
comes for ``give_up_s`` is given up. A server that asks for a longer wait than is left (Retry-After) is believed at
once: knocking again earlier would only make it worse.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime

from init_sync.core.errors import TryAgain
from init_sync.core.reasons import Reason
from init_sync.shell.backoff import delay_s

FIRST_DELAY_S = 0.25
LONGEST_DELAY_S = 8.0
PROGRESS_BYTES = 64 * 1024
"""So many bytes count as progress: a server that drips must not keep a sync alive for ever."""


class Transient(Exception):
    """An attempt failed in a way that another attempt may cure."""

    def __init__(self, reason: Reason, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.retry_after_s = retry_after_s


class RetryBudget:
    """The clock of one thing that is being tried, shared by all threads that try it."""

    def __init__(self, give_up_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._give_up_s = give_up_s
        self._clock = clock
        self._since = clock()
        self._bytes = 0
        self._guard = threading.Lock()

    def progress(self, count: int) -> None:
        with self._guard:
            self._bytes += count
            if self._bytes >= PROGRESS_BYTES:
                self._bytes = 0
                self._since = self._clock()

    def reset(self) -> None:
        """Something was achieved, however small."""
        with self._guard:
            self._bytes = 0
            self._since = self._clock()

    def idle_s(self) -> float:
        """How long nothing has been achieved."""
        return self._clock() - self._since

    def delay_s(self, failure: Transient, failures_in_row: int) -> float:
        """Seconds to wait before the next attempt.

        Raises:
            TryAgain: when that would be later than the budget allows.
        """
        delay = failure.retry_after_s
        if delay is None:
            delay = delay_s(failures_in_row, FIRST_DELAY_S, LONGEST_DELAY_S)
        left = self._give_up_s - self.idle_s()
        if left > 0 and delay <= left:
            return delay
        if failure.retry_after_s is not None and left > 0:
            why = f"the hub asks to wait {failure.retry_after_s:.0f} s"
        else:
            why = f"no progress for {self._give_up_s:g} s"
        if failure.reason is Reason.STALLED:  # as from a mirror that first fetches the whole file itself
            why += ". If the server needs longer before it sends, raise --stall-timeout and --give-up-after"
        raise TryAgain(failure.reason, f"{failure.message}; {why}. Another run continues from here") from failure


def retry_after_s(headers: Mapping[str, str], now: Callable[[], float] = time.time) -> float | None:
    """How long the server asks to wait: Retry-After in seconds or as a date, or the reset time of RateLimit."""
    value = headers.get("Retry-After") or headers.get("retry-after")
    if value:
        seconds = value.strip()
        if re.fullmatch(r"[0-9]{1,9}(\.[0-9]+)?", seconds):
            return float(seconds)
        until, sent = _moment(value), _moment(headers.get("Date") or headers.get("date") or "")
        # By the server's own clock, if it tells: ours may be hours off, or jump while we wait.
        return None if until is None else max(0.0, until - (now() if sent is None else sent))
    limit = headers.get("RateLimit") or headers.get("ratelimit") or ""
    reset = re.search(r"\bt=([0-9]{1,9})\b", limit)
    return float(reset.group(1)) if reset else None


def _moment(date: str) -> float | None:
    """An HTTP date as seconds since 1970."""
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
