"""Growing delays for what keeps failing, with some chance in them so that many do not return at the same moment."""

from __future__ import annotations

import random
from collections.abc import Hashable


class Backoff:
    """Doubled with each failure of the same thing, up to a limit: 1 s, 2 s, 4 s, ..."""

    def __init__(self, first_s: float, longest_s: float) -> None:
        self._first = first_s
        self._longest = longest_s
        self._failures: dict[Hashable, int] = {}

    def failed(self, what: Hashable) -> float:
        """One more failure; returns how long to wait."""
        count = self._failures.get(what, 0)
        self._failures[what] = min(count + 1, 30)
        delay = min(self._longest, self._first * 2.0**count)
        return delay * random.uniform(0.75, 1.0)  # noqa: S311 - spreading, not secrecy

    def succeeded(self, what: Hashable) -> None:
        self._failures.pop(what, None)
