"""What is tried on a volume before the first byte, and what each answer means."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from init_sync.core.errors import NeedsChange
from init_sync.core.reasons import Reason
from init_sync.core.requirement import RequiredFile
from init_sync.volume.probe import LARGE_FILE_BYTES, FileSystem, check_files, check_names, probe
from init_sync.volume.volume import Volume


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of files that were opened, as they came."""
    names: list[str] = []
    open_ = os.open

    def watched(path: str, flags: int, *arguments: Any, **named: Any) -> int:
        if flags & os.O_CREAT:
            names.append(path)
        return open_(path, flags, *arguments, **named)

    monkeypatch.setattr(os, "open", watched)
    return names


def failing(number: int) -> Callable[..., Any]:
    """Of ``open``, only what creates a file fails."""
    open_ = os.open

    def fail(*arguments: Any, **named: Any) -> int:
        if isinstance(arguments[0], str) and isinstance(arguments[1], int) and not arguments[1] & os.O_CREAT:
            return open_(*arguments, **named)
        raise OSError(number, os.strerror(number))

    return fail


def large(size: int) -> list[RequiredFile]:
    return [RequiredFile("m/large", "large", "owner/m", "c0ffee", size, "sha256:00")]


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["m/config.json", "m/a-b_c.D9"], []),
        (["m/a:b", "m/long:er", "n:n/x"], ["long:er"]),
        (["m/a:b", "m/a?b"], ["a:b", "a?b"]),
        (["m/größe", "m/x/modèle"], ["größe", "modèle"]),
        ([f"m/{'x' * 200}", f"m/{'x' * 150}"], ["x" * 200]),
        ([f"{'é' * 70}/x"], ["é" * 70]),
        (["m/end.", "m/end ", "m/.hidden"], ["end.", "end "]),
    ],
)
def test_one_name_of_each_unusual_kind_is_tried(
    paths: list[str], names: list[str], volume: Path, tried: list[str]
) -> None:
    check_names(Volume(str(volume)), paths)
    assert sorted(name for name in tried if not name.startswith("probe.")) == sorted(names)


def test_nothing_is_left_behind(volume: Path) -> None:
    files = [*large(LARGE_FILE_BYTES + 1), RequiredFile("m/a:b", "a:b", "owner/m", "c0ffee", 1, "sha256:00")]
    assert isinstance(probe(Volume(str(volume))), FileSystem)
    check_files(Volume(str(volume)), files)
    assert list((volume / ".modelcache/tmp").iterdir()) == []


def test_only_files_that_may_be_too_large_are_tried(volume: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "ftruncate", failing(errno.EFBIG))
    check_files(Volume(str(volume)), large(LARGE_FILE_BYTES - 1))
    with pytest.raises(NeedsChange, match=r"cannot hold a file of 2\.0 GiB") as caught:
        check_files(Volume(str(volume)), large(LARGE_FILE_BYTES))
    assert caught.value.reason is Reason.VOLUME_UNSUPPORTED


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_where_holes_take_room_a_large_file_that_may_be_there_already_is_no_full_volume(
    number: int, volume: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "ftruncate", failing(number))
    check_files(Volume(str(volume)), large(LARGE_FILE_BYTES))


@pytest.mark.parametrize("call", ["open", "pwrite", "replace"])
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.ENOENT, errno.EROFS, errno.EACCES])
def test_trouble_that_may_pass_or_has_a_cure_is_not_called_unsupported(
    call: str, number: int, volume: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ENOENT: another process took the lock over, and removed what lies in tmp/."""
    monkeypatch.setattr(os, call, failing(number))
    with pytest.raises(OSError, match=r".") as caught:
        probe(Volume(str(volume)))
    assert caught.value.errno == number


@pytest.mark.parametrize("call", ["open", "pwrite", "replace"])
@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
def test_what_will_never_work_says_what_and_what_to_do(
    call: str, number: int, volume: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, call, failing(number))
    with pytest.raises(
        NeedsChange, match=r"its file system cannot .*\. Use a volume of another storage class"
    ) as caught:
        probe(Volume(str(volume)))
    assert caught.value.reason is Reason.VOLUME_UNSUPPORTED


def test_bytes_that_come_back_otherwise_are_unsupported(volume: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "pread", lambda *_: b"behind")
    with pytest.raises(NeedsChange, match="other bytes came back"):
        probe(Volume(str(volume)))
