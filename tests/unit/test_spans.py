"""Sets of byte ranges, against sets of single bytes."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from init_sync.volume.spans import Span, covered_until, merged, missing, pieces

SIZE = 24
spans = st.lists(st.tuples(st.integers(0, SIZE), st.integers(0, SIZE)).map(lambda pair: (min(pair), max(pair))))


def bytes_of(found: list[Span]) -> set[int]:
    return {position for start, end in found for position in range(start, end)}


@given(spans)
def test_merging_keeps_the_same_bytes_in_the_fewest_spans(found: list[Span]) -> None:
    result = merged(found)
    assert bytes_of(result) == bytes_of(found)
    assert all(start < end for start, end in result)
    assert all(before[1] < after[0] for before, after in pairwise(result))


@given(spans)
def test_what_is_missing_and_what_is_there_make_the_whole(found: list[Span]) -> None:
    gaps = missing(found, SIZE)
    assert bytes_of(gaps) == set(range(SIZE)) - bytes_of(found)
    assert merged(gaps) == gaps


@given(spans, st.integers(0, SIZE))
def test_bytes_are_covered_up_to_the_first_gap(found: list[Span], position: int) -> None:
    there = bytes_of(found)
    end = position
    while end in there:
        end += 1
    assert covered_until(found, position) == end


@given(spans, st.integers(1, SIZE))
def test_pieces_are_the_gaps_in_order_and_none_is_too_long(found: list[Span], length: int) -> None:
    gaps = missing(found, SIZE)
    cut = pieces(gaps, length)
    assert [position for start, end in cut for position in range(start, end)] == sorted(bytes_of(gaps))
    assert all(0 < end - start <= length for start, end in cut)


def test_nothing_is_missing_from_an_empty_file() -> None:
    assert missing([], 0) == []
    assert pieces([], 8) == []


def test_a_span_beyond_the_end_leaves_no_gap_behind_it() -> None:
    assert missing([(10, 40)], 20) == [(0, 10)]
