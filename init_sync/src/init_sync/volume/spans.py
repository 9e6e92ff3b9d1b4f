"""Sets of byte ranges [start, end): what of a file is there, and what is not."""

from __future__ import annotations

from collections.abc import Iterable

Span = tuple[int, int]


def merged(spans: Iterable[Span]) -> list[Span]:
    """The same bytes as the fewest spans, in order."""
    result: list[Span] = []
    for start, end in sorted(spans):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        elif end > start:
            result.append((start, end))
    return result


def missing(spans: Iterable[Span], size: int) -> list[Span]:
    """The bytes of [0, size) that no span covers."""
    gaps: list[Span] = []
    position = 0
    for start, end in merged(spans):
        if start > position:
            gaps.append((position, min(start, size)))
        position = max(position, end)
    if position < size:
        gaps.append((position, size))
    return gaps


def covered_until(spans: Iterable[Span], position: int) -> int:
    """How far the bytes reach without a gap from ``position`` on."""
    for start, end in merged(spans):
        if start <= position < end:
            return end
    return position


def pieces(gaps: Iterable[Span], length: int) -> list[Span]:
    """The gaps cut into spans of at most ``length`` bytes."""
    return [(begin, min(begin + length, end)) for start, end in gaps for begin in range(start, end, length)]
