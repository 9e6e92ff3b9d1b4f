"""Reading a file while the page cache stays as it is, measured before and after on a file of which half is there."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from init_sync.volume.uncached import PAGE, Uncached, resident_pages

CONTENT = os.urandom(8 << 20) + b"a tail that fills no page"
HALF = 4 << 20


def resident(path: Path) -> int:
    """How many of its bytes are in the page cache."""
    with path.open("rb") as file:
        return sum(page & 1 for page in resident_pages(file.fileno(), 0, len(CONTENT))) * PAGE


@pytest.fixture
def half_resident(tmp_path: Path) -> Path:
    """Its first half is in the page cache; skipped where the file system keeps everything there."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(CONTENT)
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        os.pread(file.fileno(), HALF, 0)
    if resident(path) != HALF:
        pytest.skip(f"{resident(path):,} bytes are in the page cache, whatever it is told")
    return path


def read(path: Path) -> tuple[str, bool]:
    """The hash of what was read, and whether it was read directly to the end."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        uncached = Uncached(file)
        assert uncached.read(len(CONTENT), digest.update) == len(CONTENT)
        return digest.hexdigest(), uncached.direct


def refuse_flag(descriptor: int, command: int, flags: int = 0) -> int:
    if command == fcntl.F_SETFL and flags & os.O_DIRECT:
        raise OSError(errno.EINVAL, "Invalid argument")
    return SET_FLAGS(descriptor, command, flags)


def refuse_reading(descriptor: int, buffers: list[memoryview], position: int) -> int:
    if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT:
        raise OSError(errno.EINVAL, "Invalid argument")
    return READ(descriptor, buffers, position)


def short(descriptor: int, buffers: list[memoryview], position: int) -> int:
    return READ(descriptor, [buffers[0][:5000]], position) if position == 0 else READ(descriptor, buffers, position)


SET_FLAGS: Callable[..., int] = fcntl.fcntl
READ = os.preadv


@pytest.mark.parametrize("way", ["directly", "no such flag", "no such read", "a short answer"])
def test_what_was_in_the_page_cache_stays_and_nothing_is_added(
    way: str, half_resident: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "no such flag":
        monkeypatch.setattr(fcntl, "fcntl", refuse_flag)
    elif way == "no such read":
        monkeypatch.setattr(os, "preadv", refuse_reading)
    elif way == "a short answer":
        monkeypatch.setattr(os, "preadv", short)
    digest, direct = read(half_resident)
    monkeypatch.undo()
    assert digest == hashlib.sha256(CONTENT).hexdigest()
    assert resident(half_resident) == HALF
    assert direct <= (way == "directly")


def test_a_page_that_nobody_can_tell_about_stays(half_resident: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from init_sync.volume import uncached

    def refuse(*_: object) -> bytes:
        raise OSError(errno.EPERM, "mincore")

    monkeypatch.setattr(fcntl, "fcntl", refuse_flag)
    monkeypatch.setattr(uncached, "resident_pages", refuse)
    read(half_resident)
    monkeypatch.undo()
    assert resident(half_resident) >= HALF
