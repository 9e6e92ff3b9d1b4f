"""Journals of partial files that are torn, foreign, or tell of bytes that a power failure took."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from init_sync.volume.partial import kept_bytes
from init_sync.volume.spans import missing
from unit.interrupted import CONTENT_ID, SIZE, STRETCH, Download, assert_right

FUZZ = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)


class TestTornJournal:
    @pytest.mark.parametrize("cut", range(1, 60))
    def test_a_journal_cut_off_anywhere_keeps_only_right_bytes(self, download: Download, cut: int) -> None:
        download.interrupted(3000, ((5000, 6000),))
        text = download.journal.read_bytes()
        download.journal.write_bytes(text[:-cut])
        assert_right(download.reopened(), download)

    @pytest.mark.parametrize(
        "torn", ["P", "P 50", "P 5000", "P 5000 ", "P 5000 0123", "C 5000 60", "C 5000 6000 ab", "E"]
    )
    def test_a_torn_line_costs_its_own_bytes_and_no_later_ones(self, download: Download, torn: str) -> None:
        """It stays in the journal, so it must not stand in the way of what is recorded after it."""
        download.interrupted(4000)
        download.append(torn)
        assert download.reopened().hashed == 4000
        download.interrupted(9000)
        assert download.reopened().hashed == 9000

    def test_a_torn_line_does_not_swallow_the_next_one(self, download: Download) -> None:
        download.interrupted(1000)
        download.append("P 20")
        download.interrupted(2000)
        assert download.reopened().hashed == 2000

    @FUZZ
    @given(garbage=st.binary(max_size=200), keep=st.integers(0, 400))
    def test_garbage_after_any_part_of_a_journal_is_survived(
        self, download: Download, garbage: bytes, keep: int
    ) -> None:
        download.part.unlink(missing_ok=True)
        download.journal.unlink(missing_ok=True)
        download.interrupted(3000, ((5000, 6000),))
        download.journal.write_bytes(download.journal.read_bytes()[:keep] + garbage)
        assert_right(download.reopened(), download)
        assert 0 <= kept_bytes(download.volume, CONTENT_ID, SIZE) <= SIZE

    @FUZZ
    @given(
        lines=st.lists(
            st.one_of(
                st.builds("P {} {}".format, st.integers(-5, 2 * SIZE), st.text("0123456789abcdef", max_size=18)),
                st.builds(
                    "C {} {} {}".format, *[st.integers(-5, 2 * SIZE)] * 2, st.text("0123456789abcdef-", max_size=9)
                ),
                st.text(max_size=20),
            ),
            max_size=8,
        )
    )
    def test_lines_that_nobody_wrote_never_make_wrong_bytes_right(self, download: Download, lines: list[str]) -> None:
        download.part.unlink(missing_ok=True)
        download.journal.unlink(missing_ok=True)
        download.interrupted(2000)
        download.damage(1000, 1001)
        with download.journal.open("a", encoding="utf-8", errors="replace") as file:
            file.write("\n".join(["", *lines, ""]))
        recovered = download.reopened()
        assert recovered.hashed <= 1000
        assert_right(recovered, download)


class TestForeignJournal:
    @pytest.mark.parametrize(
        "header",
        [
            f"H 1 {CONTENT_ID} {SIZE - 1}",
            f"H 1 sha256:{'0' * 64} {SIZE}",
            f"H 2 {CONTENT_ID} {SIZE}",
            f"H 1 {CONTENT_ID}",
            "",
        ],
        ids=["another size", "another content", "another format", "torn header", "no header"],
    )
    def test_the_journal_of_something_else_is_void(self, download: Download, header: str) -> None:
        download.interrupted(3000)
        lines = download.journal.read_text().split("\n")
        download.journal.write_text("\n".join([header, *lines[1:]]))
        assert kept_bytes(download.volume, CONTENT_ID, SIZE) == 0
        assert download.reopened().spans == []
        download.interrupted(2000)
        assert download.reopened().hashed == 2000

    def test_bytes_without_a_journal_are_void(self, download: Download) -> None:
        download.interrupted(3000)
        download.journal.unlink()
        assert download.reopened().spans == []

    def test_a_journal_without_bytes_is_void(self, download: Download) -> None:
        download.interrupted(3000, ((5000, 6000),))
        download.part.unlink()
        assert download.reopened().spans == []

    @pytest.mark.parametrize("length", [0, 1, 999, 1000, 2500, 5500, 5999])
    def test_a_part_file_shorter_than_its_journal_keeps_what_it_holds(self, download: Download, length: int) -> None:
        download.interrupted(3000, ((5000, 6000),))
        with download.part.open("r+b") as file:
            file.truncate(length)
        recovered = download.reopened()
        assert recovered.hashed == min(3000, length // STRETCH * STRETCH)
        assert_right(recovered, download)

    def test_a_link_in_place_of_the_part_file_is_not_followed(self, download: Download, tmp_path: Path) -> None:
        victim = tmp_path / "victim"
        victim.write_bytes(b"precious")
        download.part.parent.mkdir(parents=True)
        download.part.symlink_to(victim)
        with contextlib.suppress(OSError):
            download.interrupted(2000)
        assert victim.read_bytes() == b"precious"

    @pytest.mark.parametrize("which", ["part", "journal"])
    def test_a_file_that_has_a_second_name_is_not_written_to(
        self, which: str, download: Download, tmp_path: Path
    ) -> None:
        """A neighbour can give a file that only we may write a name in our directory."""
        download.interrupted(2000)
        victim = tmp_path / "victim"
        victim.hardlink_to(getattr(download, which))
        before = victim.read_bytes()
        download.interrupted(3000)
        assert victim.read_bytes() == before
        assert download.reopened().hashed == 3000


class TestPowerFailure:
    """Journal lines can reach the disk before the bytes that they are about."""

    def test_only_a_stretch_that_did_not_reach_the_disk_is_lost_ahead_of_the_hash(self, download: Download) -> None:
        download.interrupted(0, tuple((start, start + STRETCH) for start in range(2000, SIZE, STRETCH)))
        download.damage(4000, 5000)
        assert download.reopened().spans == [(2000, 4000), (5000, 10000)]

    def test_at_the_front_what_lies_before_the_lost_stretch_is_kept(self, download: Download) -> None:
        """Each of its checks covers everything before it, so nothing behind the gap can be proved."""
        download.interrupted(9000)
        download.damage(2500, 2600)
        recovered = download.reopened()
        assert recovered.spans == [(0, 2000)]
        assert_right(recovered, download)

    @FUZZ
    @given(
        front=st.integers(0, 10).map(lambda count: count * STRETCH),
        ahead=st.sets(st.integers(0, 9)),
        zeroed=st.sets(st.integers(0, 9), max_size=4),
    )
    def test_whatever_is_zeroed_no_more_is_missing_than_it_must_be(
        self, download: Download, front: int, ahead: set[int], zeroed: set[int]
    ) -> None:
        download.part.unlink(missing_ok=True)
        download.journal.unlink(missing_ok=True)
        later = sorted(number for number in ahead if number * STRETCH >= front)
        download.interrupted(front, tuple((number * STRETCH, (number + 1) * STRETCH) for number in later))
        there = {*range(front // STRETCH), *later}
        for number in zeroed & there:
            download.damage(number * STRETCH, (number + 1) * STRETCH)
        recovered = download.reopened()
        assert_right(recovered, download)
        first_lost = min(zeroed & set(range(front // STRETCH)), default=front // STRETCH)
        kept = {*range(first_lost), *(set(later) - zeroed)}
        expected = sorted(set(range(10)) - kept)
        lost = missing(recovered.spans, SIZE)
        assert [position // STRETCH for start, end in lost for position in range(start, end, STRETCH)] == expected

    def test_the_bytes_fetched_again_are_kept_next_time(self, download: Download) -> None:
        download.interrupted(5000)
        download.damage(1500, 1600)
        download.interrupted(9000)
        assert download.reopened().hashed == 9000
