"""A volume is never left, whatever links others put on it, and whenever they do."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from init_sync.core.volumepath import STATE_DIRECTORY
from init_sync.volume.volume import NoFile, Volume
from init_sync.volume.walk import OutsideVolume


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A directory that is not ours, with a file in it."""
    path = tmp_path / "outside"
    path.mkdir()
    (path / "file").write_text("precious")
    return path


ACTS: dict[str, Callable[[Volume, str], object]] = {
    "stat": lambda volume, path: volume.stat(path),
    "open_file": lambda volume, path: volume.open_file(path).close(),
    "create": lambda volume, path: os.close(volume.open(f"{path}-new", os.O_WRONLY | os.O_CREAT)),
    "make_directory": lambda volume, path: volume.make_directory(f"{path}-new"),
    "unlink": lambda volume, path: volume.unlink(path),
    "names": lambda volume, path: volume.names(path.rpartition("/")[0]),
    "rename here": lambda volume, path: volume.rename("mine", path),
    "rename away": lambda volume, path: volume.rename(path, "theirs"),
    "symlink": lambda volume, path: volume.symlink("x", f"{path}-new"),
    "link": lambda volume, path: volume.link(path, "theirs"),
    "remove_directory": lambda volume, path: volume.remove_directory(path.rpartition("/")[0]),
}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("link", ["{outside}", "../outside", "a/../../outside", "/", "again"])
def test_nothing_is_done_through_a_link_that_leads_out(act: str, link: str, volume: Path, outside: Path) -> None:
    (volume / "a").mkdir()
    (volume / "mine").write_text("mine")
    (volume / "again").symlink_to("../outside")
    (volume / "link").symlink_to(link.format(outside=outside))
    before = sorted(outside.iterdir())
    refused = contextlib.nullcontext() if act == "remove_directory" else pytest.raises(OutsideVolume)
    with refused:
        ACTS[act](Volume(str(volume)), "link/file")
    assert sorted(outside.iterdir()) == before
    assert (outside / "file").read_text() == "precious"
    assert not (volume / "theirs").exists()


@pytest.mark.parametrize("text", ["real", "./real", "../volume-2/../volume/real", "a/../real", "{root}/real"])
def test_a_link_to_another_place_of_the_volume_is_followed(text: str, volume: Path) -> None:
    (volume / "real").mkdir()
    (volume / "a").mkdir()
    (volume / "real/file").write_text("here")
    (volume / "link").symlink_to(text.format(root=volume))
    opened = Volume(str(volume))
    if text.startswith("../"):  # by way of the outside, even if it comes back
        with pytest.raises(OutsideVolume):
            opened.stat("link/file")
        return
    with opened.open_file("link/file") as file:
        assert file.read() == b"here"
    assert opened.real_path("link") == "real"


@pytest.mark.parametrize("place", ["", "/tmp", "/receipts", "/lock"])
def test_our_own_directories_are_never_links_not_even_to_the_volume_itself(place: str, volume: Path) -> None:
    (volume / "elsewhere").mkdir()
    where = volume / f"{STATE_DIRECTORY}{place}"
    where.parent.mkdir(exist_ok=True)
    where.symlink_to(os.path.relpath(volume / "elsewhere", where.parent))
    with pytest.raises(OutsideVolume, match="remove that link"):
        Volume(str(volume)).make_directory(f"{STATE_DIRECTORY}{place}/x")
    assert list((volume / "elsewhere").iterdir()) == []


def test_no_link_leads_into_our_own_directory(volume: Path) -> None:
    """A model directory that is a link there would overwrite receipts."""
    (volume / STATE_DIRECTORY / "receipts").mkdir(parents=True)
    (volume / "model").symlink_to(f"{STATE_DIRECTORY}/receipts")
    with pytest.raises(OutsideVolume, match=r"leads into \.modelcache"):
        Volume(str(volume)).open("model/x.json", os.O_WRONLY | os.O_CREAT)
    assert list((volume / STATE_DIRECTORY / "receipts").iterdir()) == []


@pytest.mark.parametrize("act", ["create", "rename here", "make_directory", "symlink"])
@pytest.mark.parametrize("gap", range(6))
def test_a_directory_that_becomes_a_link_in_any_gap_leads_nowhere(
    act: str, gap: int, volume: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other writer moves before the n-th system call that opens a directory."""
    (volume / "m/deep").mkdir(parents=True)
    (volume / "mine").write_text("mine")
    opened = Volume(str(volume))
    assert opened.descriptor
    open_, calls = os.open, 0

    def moved(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        nonlocal calls
        if calls == gap:
            (volume / "m").rename(volume / "was")
            (volume / "m").symlink_to(outside)
        calls += 1
        return open_(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", moved)
    with contextlib.suppress(OSError):
        ACTS[act](opened, "m/deep/file")
    monkeypatch.undo()
    assert [path.name for path in outside.rglob("*")] == ["file"]
    assert (outside / "file").read_text() == "precious"


def test_links_in_a_circle_end(volume: Path) -> None:
    (volume / "a").symlink_to("b")
    (volume / "b").symlink_to("a")
    with pytest.raises(OSError, match="Too many levels"):
        Volume(str(volume)).stat("a/x")


def test_what_is_no_file_is_not_waited_for(volume: Path) -> None:
    os.mkfifo(volume / "pipe")
    with pytest.raises(NoFile):
        Volume(str(volume)).open_file("pipe")


def test_a_volume_that_was_replaced_is_noticed_and_the_old_one_still_reached(volume: Path) -> None:
    opened = Volume(str(volume))
    opened.make_directory("m")
    assert opened.is_in_place()
    volume.rename(volume.parent / "unmounted")
    assert not opened.is_in_place()
    volume.mkdir()
    assert not opened.is_in_place()
    assert opened.is_directory("m")
    assert list(volume.iterdir()) == []
