"""Growing delays for what keeps failing, with some chance in them, so that many do not come back at the same moment."""

from __future__ import annotations

import random
from collections.abc import Hashable

DOUBLINGS = 30
"""At most: a power of two must stay a number, however often something fails."""


def doubled_s(failures_in_row: int, first_s: float, longest_s: float) -> float:
    """1 s, 2 s, 4 s, ... up to a limit."""
    return min(longest_s, first_s * 2.0 ** min(failures_in_row - 1, DOUBLINGS))


def delay_s(failures_in_row: int, first_s: float, longest_s: float) -> float:
    """The same, or down to half of it."""
    return doubled_s(failures_in_row, first_s, longest_s) * random.uniform(0.5, 1.0)  # noqa: S311  # not a secret


class Backoff:
    """Delays of many things, each by its own failures."""

    def __init__(self, first_s: float, longest_s: float) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._failures: dict[Hashable, int] = {}

    def failed(self, what: Hashable) -> float:
        """One more failure; returns how long to wait."""
        self._failures[what] = self._failures.get(what, 0) + 1
        return delay_s(self._failures[what], self._first_s, self._longest_s)

    def succeeded(self, what: Hashable) -> None:
        self._failures.pop(what, None)
