"""Range headers against RFC 9110."""

from __future__ import annotations

import pytest

from support.hub.ranges import Span, UnsatisfiableRangeError, parse_range, resolve_range


@pytest.mark.parametrize(
    ("header", "span"),
    [
        (None, None),
        ("bytes=0-0", Span(0, 0)),
        ("bytes=3-5", Span(3, 5)),
        ("bytes=3-", Span(3, 9)),
        ("bytes=3-99", Span(3, 9)),
        ("bytes=-4", Span(6, 9)),
        ("bytes=-99", Span(0, 9)),
        ("bytes=5-3", None),
        ("bytes=0-1,3-4", None),
        ("bytes=-", None),
        ("items=0-1", None),
        ("bytes=a-b", None),
    ],
)
def test_a_range_of_a_file_of_ten_bytes(header: str | None, span: Span | None) -> None:
    assert resolve_range(parse_range(header), 10) == span


@pytest.mark.parametrize(
    ("header", "size"), [("bytes=10-", 10), ("bytes=99-100", 10), ("bytes=-0", 10), ("bytes=0-", 0)]
)
def test_a_range_behind_the_end_cannot_be_satisfied(header: str, size: int) -> None:
    with pytest.raises(UnsatisfiableRangeError):
        resolve_range(parse_range(header), size)
