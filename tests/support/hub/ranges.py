"""Byte ranges of RFC 9110 section 14, as far as a file server for model weights needs them.

Owns the reading of one ``Range`` header. Several ranges in one header are answered with the whole file, which the RFC
allows and the hub's CDN does too; a header that cannot be read is ignored, as the RFC demands.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_SINGLE = re.compile(r"^\s*bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*$")

RequestedRange = tuple[int | None, int | None]


class UnsatisfiableRangeError(ValueError):
    """The range lies beyond the end of the file: the answer is 416."""


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes ``first`` to ``last`` of a file, both included."""

    first: int
    last: int

    @property
    def length(self) -> int:
        return self.last - self.first + 1

    def content_range(self, size: int) -> str:
        return f"bytes {self.first}-{self.last}/{size}"


def parse_range(header: str | None) -> RequestedRange | None:
    """Read ``bytes=a-b``, ``bytes=a-`` or ``bytes=-n``; None where the whole file is to be sent."""
    match = _SINGLE.match(header or "")
    if match is None or match.group(1) == match.group(2) == "":
        return None
    first, last = (int(text) if text else None for text in match.groups())
    if first is not None and last is not None and last < first:
        return None
    return first, last


def resolve_range(requested: RequestedRange | None, size: int) -> Span | None:
    """Place a requested range in a file of ``size`` bytes; None means the whole file."""
    if requested is None:
        return None
    first, last = requested
    if first is None:
        suffix = last or 0
        if suffix == 0 or size == 0:
            raise UnsatisfiableRangeError(f"bytes=-{suffix} of {size} bytes")
        return Span(max(0, size - suffix), size - 1)
    if first >= size:
        raise UnsatisfiableRangeError(f"bytes={first}- of {size} bytes")
    return Span(first, size - 1 if last is None else min(last, size - 1))
