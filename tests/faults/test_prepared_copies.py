"""Making a prepared copy beside syncs, on a volume without room, and killed before every single change."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from inference.server.prepared_copy import preparation as module
from inference.server.prepared_copy.hashed_files import Part
from inference.server.prepared_copy.preparation import Preparation
from init_sync.app.specfile import read_manifest
from init_sync.core.errors import NeedsChange, SyncError, TryAgain
from init_sync.core.reasons import Reason
from init_sync.volume.lock import LockTimings, VolumeLock
from init_sync.volume.prepared import copies_of
from init_sync.volume.volume import Volume
from support.crash import Nursery
from support.hub import LocalHub, RepoBuilder
from support.preparing import FAST, PROGRAM, preparation
from support.sync import manifest, model, run_command, run_sync, tree

FILES = {"a.json": b"{}\n", "b.bin": bytes(range(200)), "c/d.bin": b"twelve bytes"}
IT = manifest(model("it", "owner/it"))


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, LocalHub, Nursery]]:
    """A complete volume to copy, its hub, and where commands are started."""
    folder = tmp_path_factory.mktemp("prepared")
    (folder / "synced").mkdir()
    with LocalHub(folder / "hub") as hub, Nursery(hub.endpoint, folder) as nursery:
        RepoBuilder(folder / "hub", "owner/it").commit(FILES)
        assert run_sync(IT, folder / "synced", hub).returncode == 0
        yield folder / "synced", hub, nursery


@pytest.fixture
def whole(ground: tuple[Path, LocalHub, Nursery], tmp_path: Path) -> Path:
    return Path(shutil.copytree(ground[0], tmp_path / "whole"))


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Preparation:
    made = preparation(Volume(str(whole)), read_manifest(str(written(tmp_path))))
    assert made
    return made


def written(folder: Path) -> Path:
    path = folder / "spec.json"
    path.write_text(json.dumps(IT))
    return path


def wrapped(run: Preparation, before: Callable[[int], object]) -> Preparation:
    """The same, with something done before each file's content is asked for."""

    def content(number: int, part: Part) -> Callable[[], Any]:
        def ask() -> Any:
            before(number)
            return part.content()

        return ask

    parts = [Part(each.stem, each.suffix, each.size, content(n, each)) for n, each in enumerate(run._parts, 1)]
    return Preparation(run._manifest, run._volume, run._recipe, parts, lambda _: None, FAST)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("part", range(4))
def test_a_run_killed_before_any_single_change_is_continued(
    ground: tuple[Path, LocalHub, Nursery], tmp_path: Path, part: int
) -> None:
    """After each kill the models are complete, no half copy is taken, and what a finished file holds is kept."""
    synced, _, nursery = ground
    for number in itertools.count(part + 1, 4):
        volume = tmp_path / f"killed-{number}"
        shutil.copytree(synced, volume)
        killed = nursery.start("prepare", IT, volume, kill_at=number, program=PROGRAM)
        code = killed.wait()
        assert run_command("verify", IT, volume).returncode == 0
        assert len(copies_of(Volume(str(volume)), "cache")) <= len(list(volume.glob("prepared/*/part-*"))) // 3
        there = {each: each.stat().st_mtime_ns for each in volume.glob("prepared/*/*")}
        again = nursery.start("prepare", IT, volume, program=PROGRAM)
        assert again.wait() == 0, again.output
        copy = {each.name.split("-")[1]: each.read_bytes() for each in volume.glob("prepared/*/*")}
        assert copy == {str(n): FILES[path][::-1] for n, path in enumerate(sorted(FILES), 1)}
        assert there.items() <= {each: each.stat().st_mtime_ns for each in volume.glob("prepared/*/*")}.items()
        assert list((volume / ".modelcache/tmp").iterdir()) == []
        assert run_command("prune", IT, volume, "--json").report["files"] == 0
        if code == 0:
            assert number > 30, "a run makes more changes than this; is the kill in its way?"
            return
        assert code == -signal.SIGKILL, killed.output
        everything = manifest(model("else", "owner/else"))
        assert run_command("prune", everything, volume).returncode == 0
        assert tree(volume) == {}, "no file is left without its owner"
        shutil.rmtree(volume)


def test_a_sync_that_waits_gets_the_lock_between_two_files(run: Preparation, whole: Path) -> None:
    """And the next file waits until it has ended."""
    began, ended = threading.Event(), threading.Event()
    seen: list[tuple[int, bool]] = []

    def hold() -> None:
        lock = VolumeLock(Volume(str(whole)), FAST)
        assert lock.acquire(lambda _: began.set(), lambda: False)
        ended.set()
        lock.release()

    other = threading.Thread(target=hold)

    def before(number: int) -> None:
        seen.append((number, ended.is_set()))
        if number == 1:
            other.start()
            assert began.wait(10)

    slow = wrapped(run, before)
    slow._timings = LockTimings(poll_s=0.05)
    slow.run()
    other.join()
    assert seen == [(1, False), (2, True), (3, True)]
    assert run.is_done()


def test_models_that_a_sync_changed_between_two_files_end_it(
    run: Preparation, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pause(_: float) -> None:
        (whole / "it/c/d.bin").write_bytes(b"another")

    monkeypatch.setattr("time.sleep", pause)
    with pytest.raises(TryAgain, match="the models were changed meanwhile") as caught:
        run.run()
    assert caught.value.reason is Reason.NOT_VERIFIED
    assert copies_of(Volume(str(whole)), "cache") == []


def test_a_prune_between_two_files_removes_them_and_another_run_makes_them_again(
    run: Preparation, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pause(_: float) -> None:
        monkeypatch.undo()
        assert run_command("prune", IT, whole).returncode == 0

    monkeypatch.setattr("time.sleep", pause)
    with pytest.raises(TryAgain, match=r"part-1-.* was changed meanwhile"):
        run.run()
    run.run()
    assert run.is_done()


def test_a_file_of_the_copy_that_was_changed_before_the_receipt_ends_it(run: Preparation, whole: Path) -> None:
    def before(number: int) -> None:
        if number == 3:
            os.utime(next((whole / "prepared").glob("*/part-1-*")), ns=(1, 1))

    with pytest.raises(TryAgain, match=r"part-1-.* was changed meanwhile"):
        wrapped(run, before).run()
    run.run()
    assert run.is_done()


def test_a_lock_that_was_taken_over_ends_it_before_the_file_gets_its_name(run: Preparation, whole: Path) -> None:
    def before(number: int) -> None:
        if number == 2:
            (whole / ".modelcache/lock/99").write_text("{}")
            lock = run_of_now[0]._lock
            assert lock
            lock._beat()

    run_of_now = [wrapped(run, before)]
    with pytest.raises(TryAgain, match="took the lock over"):
        run_of_now[0].run()
    assert [each.name.split("-")[1] for each in whole.glob("prepared/*/*")] == ["1"]


def test_a_process_that_keeps_the_lock_is_named(run: Preparation, whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.0)
    lock = VolumeLock(Volume(str(whole)))
    assert lock.acquire(lambda _: None, lambda: True)
    try:
        with pytest.raises(TryAgain, match=r"\(process \d+\) is writing to the volume") as caught:
            run.run()
    finally:
        lock.release()
    assert caught.value.reason is Reason.WAITING_FOR_LOCK


def test_a_file_of_a_killed_run_that_its_disk_does_not_give_any_more_is_made_again(
    run: Preparation, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def before(number: int) -> None:
        if number == 3:
            raise OSError(28, "No space left on device")

    with pytest.raises(SyncError):
        wrapped(run, before).run()
    bad = next(whole.glob("prepared/*/part-2-*")).stat()
    reading = os.preadv

    def preadv(descriptor: int, buffers: Any, offset: int) -> int:
        if os.fstat(descriptor).st_ino == bad.st_ino:
            raise OSError(5, "Input/output error")
        return reading(descriptor, buffers, offset)

    monkeypatch.setattr("os.preadv", preadv)
    run.run()
    assert run.is_done()
    assert next(whole.glob("prepared/*/part-2-*")).stat().st_mtime_ns > bad.st_mtime_ns


class Space:
    """Of a file system with so many bytes left."""

    f_frsize = 1

    def __init__(self, free: int, blocks: int = 1) -> None:
        self.f_bavail, self.f_blocks = free, blocks


def test_a_lack_of_room_is_told_in_bytes_before_anything_is_written(
    run: Preparation, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SPARE_BYTES", 0)
    monkeypatch.setattr(Volume, "space", lambda _: Space(100))
    with pytest.raises(
        NeedsChange, match=r"215 B more are needed and 100 B are free. Enlarge the volume by 115 B"
    ) as caught:
        run.run()
    assert caught.value.reason is Reason.DISK_FULL
    assert not (whole / "prepared").exists()


@pytest.mark.parametrize(
    ("free", "blocks"), [(215, 1), (0, 0)], ids=["just enough", "a file system that does not tell"]
)
def test_it_begins_where_there_is_room(
    run: Preparation, monkeypatch: pytest.MonkeyPatch, free: int, blocks: int
) -> None:
    monkeypatch.setattr(module, "SPARE_BYTES", 0)
    monkeypatch.setattr(Volume, "space", lambda _: Space(free, blocks))
    run.run()
    assert run.is_done()


def test_what_is_written_already_needs_no_room(run: Preparation, whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def before(number: int) -> None:
        if number == 3:
            raise OSError(28, "No space left on device")

    with pytest.raises(SyncError) as caught:
        wrapped(run, before).run()
    assert caught.value.reason is Reason.DISK_FULL
    assert len(list(whole.glob("prepared/*/*"))) == 2
    assert list((whole / ".modelcache/tmp").iterdir()) == []
    monkeypatch.setattr(module, "SPARE_BYTES", 0)
    monkeypatch.setattr(Volume, "space", lambda _: Space(len(FILES["c/d.bin"])))
    run.run()
    assert run.is_done()
