"""Partial files: what a later run continues, and what two runs at once do to each other."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import pytest

from init_sync.core.errors import SyncError
from init_sync.volume import journal
from init_sync.volume import partial as module
from init_sync.volume.hashing import HashingCancelled, Hooks, new_hash
from init_sync.volume.partial import Partial, kept_bytes
from init_sync.volume.volume import Volume
from unit.interrupted import CONTENT, CONTENT_ID, SIZE, Download, assert_right


def unnoted(source: str, destination: str) -> None:
    """Nobody wants to know whose file it is."""


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
        partial.publish("model.bin", unnoted)
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
            other.publish("model.bin", unnoted)
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
        other.publish("model.bin", unnoted)
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
            other.publish("model.bin", unnoted)
        late.close()
        other.close()
        assert not place.exists() or place.read_bytes() == CONTENT


@pytest.mark.parametrize("kind", ["md5", "", "sha1"])
def test_an_unknown_kind_of_content_id_is_refused_by_name(kind: str) -> None:
    with pytest.raises(ValueError, match="unknown kind of content id"):
        new_hash(f"{kind}:00", 1)
