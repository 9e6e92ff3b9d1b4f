"""Numbers, and text from elsewhere, as people read them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from init_sync.shell.formatting import duration, listed, percent, printable, quantity, size, timestamp


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 KiB"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (8 << 20, "8.0 MiB"),
        (92_600_000_000, "86.2 GiB"),
        (310 << 20, "310 MiB"),
        ((100 << 20) - 1, "100 MiB"),
        (999 << 20, "999 MiB"),
        ((1 << 30) - 1, "1.0 GiB"),
        (5 << 40, "5.0 TiB"),
        (5000 << 40, "4.9 PiB"),
    ],
)
def test_sizes_are_in_binary_units(count: int, text: str) -> None:
    assert size(count) == text
    assert quantity(count) == text.replace(" ", "").removesuffix("B"), "as Kubernetes writes it"


@given(st.integers(min_value=0, max_value=1 << 59))
def test_a_size_has_three_digits_at_most(count: int) -> None:
    assert re.fullmatch(r"(\d{1,3}|\d{3} [KMGTP]i|\d{1,2}\.\d [KMGTP]i) ?B", size(count))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0s"),
        (0.34, "0.3s"),
        (9.94, "9.9s"),
        (42, "42s"),
        (59.4, "59s"),
        (59.6, "1m00s"),
        (303, "5m03s"),
        (3599.7, "1h00m"),
        (7805, "2h10m"),
        (90_000, "25h00m"),
    ],
)
def test_durations_have_two_units_at_most(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@given(st.floats(min_value=0, max_value=1e7))
def test_a_duration_never_shows_sixty_of_anything(seconds: float) -> None:
    assert re.fullmatch(r"\d\.\ds|10\.0s|[1-5]?\ds|[1-5]?\dm[0-5]\ds|\d+h[0-5]\dm", duration(seconds))


@given(st.integers(0, 1 << 50), st.integers(0, 1 << 50))
def test_a_hundred_percent_means_all_of_it(one: int, other: int) -> None:
    part, total = sorted((one, other))
    assert 0 <= percent(part, total) <= 100
    assert (percent(part, total) == 100) == (part == total > 0)


@pytest.mark.parametrize(
    ("part", "total", "shown"), [(999, 1000, 99), (10**11 - 1, 10**11, 99), (1, 3, 33), (2, 2, 100)]
)
def test_percent_is_rounded_down(part: int, total: int, shown: int) -> None:
    assert percent(part, total) == shown


def test_nothing_of_nothing_is_no_percent() -> None:
    assert percent(0, 0) == 0


def test_a_list_shows_the_first_names_and_counts_the_rest() -> None:
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"], most=3) == "a, b, c"
    assert listed(["a", "b", "c", "d", "e"], most=3) == "a, b, c and 2 more"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a.safetensors", "a.safetensors"),
        ("größe 模型", "größe 模型"),
        ("x\nAll models complete: FAKE", "x\\nAll models complete: FAKE"),
        ("\x1b[2J", "\\u001b[2J"),
        ("\x9b31m", "\\u009b31m"),
        ("a\u202egpj.exe", "a\\u202egpj.exe"),
        ("\ud800", "\\ud800"),
        ("tab\tbell\x07\r", "tab\\tbell\\u0007\\r"),
    ],
)
def test_text_from_elsewhere_stays_on_its_line(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text(st.characters(), max_size=40))
def test_nothing_that_moves_the_cursor_is_left(text: str) -> None:
    assert printable(text).isprintable()
    assert printable(printable(text)) == printable(text)


@pytest.mark.parametrize(
    ("at_s", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1795395723.456789, "2026-11-23T01:02:03.456789Z"),
        (0.9999999, "1970-01-01T00:00:01.000000Z"),
    ],
)
def test_a_time_has_microseconds_and_is_in_utc(at_s: float, text: str) -> None:
    assert timestamp(at_s) == text
