"""Partial files: what a later run can keep of them, after kills, torn journals, foreign journals and power failures."""

from __future__ import annotations

import contextlib
import hashlib
import random
import threading
import zlib
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from init_sync.core.errors import SyncError
from init_sync.volume import journal
from init_sync.volume import partial as module
from init_sync.volume.hashing import HashingCancelled, Hooks, new_hash
from init_sync.volume.layout import partial_path
from init_sync.volume.partial import Partial, Recovered, kept_bytes
from init_sync.volume.spans import Span, missing
from init_sync.volume.volume import Volume

STRETCH = 1000
SIZE = 10 * STRETCH
CONTENT = random.Random(7).randbytes(SIZE)
CONTENT_ID = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
FUZZ = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)


@dataclass(frozen=True)
class Download:
    """A partial file under a volume, and the ways in which a run leaves it."""

    volume: Volume

    @property
    def part(self) -> Path:
        return Path(self.volume.at(partial_path(CONTENT_ID) + ".part"))

    @property
    def journal(self) -> Path:
        return Path(self.volume.at(partial_path(CONTENT_ID) + ".journal"))

    def interrupted(self, front: int = 0, ahead: tuple[Span, ...] = (), *, step: int = STRETCH) -> None:
        """Receive [0, front) in order and ``ahead`` out of order, recording every ``step`` bytes, then die."""
        partial = Partial(self.volume, CONTENT_ID, SIZE)
        recovered = partial.open()
        digest = recovered.digest
        for start in range(recovered.hashed, front, step):
            end = min(start + step, front)
            partial.write(memoryview(CONTENT)[start:end], start)
            digest.update(CONTENT[start:end])
            partial.record_hashed(end, digest)
        for start, end in ahead:
            partial.write(memoryview(CONTENT)[start:end], start)
            partial.record_ahead(start, end, zlib.crc32(CONTENT[start:end]))
        partial.close()

    def reopened(self) -> Recovered:
        partial = Partial(self.volume, CONTENT_ID, SIZE)
        try:
            return partial.open()
        finally:
            partial.close()

    def damage(self, start: int, end: int) -> None:
        with self.part.open("r+b") as file:
            file.seek(start)
            file.write(bytes(end - start))

    def append(self, text: str) -> None:
        with self.journal.open("a") as file:
            file.write(text)


@pytest.fixture
def download(volume: Path) -> Download:
    return Download(Volume(str(volume)))


def assert_right(recovered: Recovered, download: Download) -> None:
    """Every byte that is kept is right, and the digest is the one of the bytes before ``hashed``."""
    held = download.part.read_bytes()
    for start, end in recovered.spans:
        assert held[start:end] == CONTENT[start:end]
    assert recovered.digest.hexdigest() == hashlib.sha256(CONTENT[: recovered.hashed]).hexdigest()
    assert missing(recovered.spans, SIZE) == [] or recovered.hashed < SIZE


class TestContinuing:
    def test_a_new_partial_file_has_nothing(self, download: Download) -> None:
        recovered = download.reopened()
        assert (recovered.hashed, recovered.spans) == (0, [])

    def test_what_was_recorded_is_kept(self, download: Download) -> None:
        download.interrupted(3000, ((5000, 6000), (8000, 10000)))
        recovered = download.reopened()
        assert recovered.hashed == 3000
        assert recovered.spans == [(0, 3000), (5000, 6000), (8000, 10000)]
        assert_right(recovered, download)

    def test_what_is_read_back_to_be_checked_is_told(self, download: Download) -> None:
        """A large file on a slow volume takes long, and nothing else shows that the run moves."""
        download.interrupted(3000, ((5000, 6000), (8000, 10000)))
        told: list[int] = []
        partial = Partial(download.volume, CONTENT_ID, SIZE)
        recovered = partial.open(Hooks(told.append))
        assert sum(told) == 3000 + 1000 + 2000
        partial.hash(recovered.digest, 5000, 6000, Hooks(told.append))
        partial.close()
        assert sum(told) == 7000

    def test_checking_what_is_there_ends_when_the_run_is_ended(self, download: Download) -> None:
        download.interrupted(0, ((5000, 6000),))
        stop = threading.Event()
        stop.set()
        partial = Partial(download.volume, CONTENT_ID, SIZE)
        with pytest.raises(HashingCancelled):
            partial.open(Hooks(stop=stop))
        partial.close()

    def test_bytes_without_a_record_are_not_kept(self, download: Download) -> None:
        download.interrupted(2000)
        with download.part.open("r+b") as file:
            file.seek(2000)
            file.write(CONTENT[2000:4000])
        assert download.reopened().spans == [(0, 2000)]

    def test_several_interruptions_add_up(self, download: Download) -> None:
        for front in (1000, 4000, 9000):
            download.interrupted(front)
        assert download.reopened().hashed == 9000

    def test_a_whole_file_is_published_with_its_size_and_without_a_journal(
        self, download: Download, volume: Path
    ) -> None:
        partial = Partial(download.volume, CONTENT_ID, SIZE)
        partial.open()
        partial.write(memoryview(CONTENT + b"left over from another life"), 0)
        partial.publish("model.bin")
        assert (volume / "model.bin").read_bytes() == CONTENT
        assert not download.part.exists()
        assert not download.journal.exists()

    def test_starting_over_forgets_every_byte(self, download: Download) -> None:
        download.interrupted(3000, ((5000, 6000),))
        partial = Partial(download.volume, CONTENT_ID, SIZE)
        partial.open()
        partial.restart()
        partial.close()
        assert download.reopened().spans == []

    def test_progress_figures_count_each_recorded_byte_once(self, download: Download) -> None:
        download.interrupted(3000, ((2000, 6000), (5000, 7000)))
        assert kept_bytes(download.volume, CONTENT_ID, SIZE) == 7000

    def test_progress_figures_do_not_count_bytes_that_are_not_there(self, download: Download) -> None:
        """The free space is compared with what is missing: a journal alone must not make it look like less."""
        download.interrupted(3000, ((5000, 6000),))
        download.part.unlink()
        assert kept_bytes(download.volume, CONTENT_ID, SIZE) == 0

    def test_progress_figures_stop_at_the_end_of_the_part_file(self, download: Download) -> None:
        download.interrupted(3000, ((5000, 6000),))
        with download.part.open("r+b") as file:
            file.truncate(2000)
        assert kept_bytes(download.volume, CONTENT_ID, SIZE) <= 2000


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


class TestTwoRunsAtOnce:
    """A lease can be lost between any two instructions; what its former holder still does must not harm."""

    def test_a_late_open_does_not_empty_a_file_that_was_published_meanwhile(
        self, download: Download, volume: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The late one has opened the part file and then sleeps; the other one completes it."""
        place = volume / "model.bin"
        read_journal = journal.read_journal

        def sleep_meanwhile(volume: Volume, path: str, header: str) -> object:
            monkeypatch.setattr(module, "read_journal", read_journal)
            other = Partial(download.volume, CONTENT_ID, SIZE)
            other.open()
            other.write(memoryview(CONTENT), 0)
            other.publish("model.bin")
            return read_journal(volume, path, header)

        monkeypatch.setattr(module, "read_journal", sleep_meanwhile)
        late = Partial(download.volume, CONTENT_ID, SIZE)
        late.open()
        late.close()
        assert place.read_bytes() == CONTENT

    def test_a_late_restart_does_not_empty_a_file_that_was_published_meanwhile(
        self, download: Download, volume: Path
    ) -> None:
        place = volume / "model.bin"
        late, other = Partial(download.volume, CONTENT_ID, SIZE), Partial(download.volume, CONTENT_ID, SIZE)
        late.open()
        other.open()
        other.write(memoryview(CONTENT), 0)
        other.publish("model.bin")
        late.restart()
        late.close()
        assert place.read_bytes() == CONTENT

    @pytest.mark.parametrize("late_act", ["open", "restart"])
    def test_a_late_fresh_start_is_never_published_as_the_work_of_another(
        self, download: Download, volume: Path, monkeypatch: pytest.MonkeyPatch, late_act: str
    ) -> None:
        """The late one throws the part file away that the other one is filling, and begins one of its own."""
        place = volume / "model.bin"
        late, other = (Partial(download.volume, CONTENT_ID, SIZE) for _ in range(2))
        if late_act == "restart":
            late.open()
        other.open()
        other.write(memoryview(CONTENT), 0)
        if late_act == "open":
            monkeypatch.setattr(module, "read_journal", lambda *_: None)  # read before the other wrote it
            late.open()
        else:
            late.restart()
        late.write(memoryview(CONTENT)[:10], 0)
        with contextlib.suppress(OSError, SyncError):
            other.publish("model.bin")
        late.close()
        other.close()
        assert not place.exists() or place.read_bytes() == CONTENT


@pytest.mark.parametrize("kind", ["md5", "", "sha1"])
def test_an_unknown_kind_of_content_id_is_refused_by_name(kind: str) -> None:
    with pytest.raises(ValueError, match="unknown kind of content id"):
        new_hash(f"{kind}:00", 1)
