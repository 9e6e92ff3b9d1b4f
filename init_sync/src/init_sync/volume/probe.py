"""What the file system of a volume can do, tried once under ``.modelcache/tmp`` before the first byte is downloaded.

A file system that cannot do what a sync needs will not learn it: the run ends with VolumeUnsupported, exit code 2. What
has another way (links, ``fsync`` of a directory, stable inode numbers) is not asked for here.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import unicodedata
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from init_sync.core.errors import NeedsChange
from init_sync.core.formatting import size
from init_sync.core.reasons import Reason
from init_sync.core.requirement import RequiredFile
from init_sync.volume.failures import FULL
from init_sync.volume.layout import Volume, sync_file

PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
"""Characters that every file system takes."""
LONG_NAME_BYTES = 128
"""Encrypting file systems take 143 bytes, most others 255."""
LARGE_FILE_BYTES = 1 << 31
"""Smaller files fit everywhere, and some file systems fill a file that is extended with zeros, which takes time."""
OFFSET = 1 << 16
CURE = "Use a volume of another storage class; an object store that is mounted as a folder often cannot do it"


@dataclass(frozen=True, slots=True)
class Folding:
    """Which differences between names this file system does not see."""

    case: bool = False
    unicode_form: bool = False
    trailing: bool = False
    """Full stops and spaces at the end, as on SMB."""

    def key(self, name: str) -> str:
        """The same for two names that are one file."""
        if self.unicode_form:
            name = unicodedata.normalize("NFC", name)
        if self.case:
            name = unicodedata.normalize("NFC", name.casefold()) if self.unicode_form else name.casefold()
        return name.rstrip(". ") or name if self.trailing else name


def probe(volume: Volume) -> Folding:
    """Try what every sync does, and find out which names are one file here.

    Raises:
        NeedsChange: VolumeUnsupported, naming what cannot be done.
        OSError: for any other trouble, such as a full volume.
    """
    with _folder(volume) as folder:
        _write_and_rename(folder)
        return _folding(folder)


def check_files(volume: Volume, files: Collection[RequiredFile]) -> None:
    """Try whether these files may be as large, and have the names, that they have. Raises as ``probe`` does."""
    with _folder(volume) as folder:
        _hold_largest(folder, max((file.size for file in files), default=0))
    check_names(volume, [file.path for file in files])


def check_names(volume: Volume, paths: Collection[str]) -> None:
    """Try names with unusual characters, or long ones, one of each kind. Raises as ``probe`` does."""
    with _folder(volume) as folder:
        for name, path in _unusual(paths):
            _take_name(f"{folder}/{name}", name, path)


@contextmanager
def _folder(volume: Volume) -> Iterator[str]:
    os.makedirs(volume.tmp, exist_ok=True)
    folder = volume.temporary("probe")
    os.mkdir(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write_and_rename(folder: str) -> None:
    first, second = f"{folder}/first", f"{folder}/second"
    with _needed("create a file only if it is not there"):
        descriptor = os.open(first, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with _needed("write at any place of a file"):
            os.pwrite(descriptor, b"behind", OFFSET)
            os.pwrite(descriptor, b"before", 0)
            sync_file(descriptor)
            read = os.pread(descriptor, 6, 0) + os.pread(descriptor, 6, OFFSET)
        if read != b"beforebehind":
            raise _unsupported("read what was written", "other bytes came back")
    finally:
        os.close(descriptor)
    with _needed("rename a file"):
        os.replace(first, second)
        found = os.stat(second).st_size
    if found != OFFSET + 6 or os.path.lexists(first):
        raise _unsupported("rename a file", "it is not under its new name afterwards")


def _hold_largest(folder: str, largest: int) -> None:
    if largest < LARGE_FILE_BYTES:
        return
    path = f"{folder}/large"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        with _needed(f"hold a file of {size(largest)}", (errno.EFBIG, errno.EINVAL)):
            os.ftruncate(descriptor, largest)
    except OSError as error:
        if error.errno not in FULL:  # of room, where holes take some; what is needed is counted elsewhere
            raise
    finally:
        os.close(descriptor)
        os.unlink(path)


def _unusual(paths: Collection[str]) -> Collection[tuple[str, str]]:
    """Of each kind of unusual name the longest, with a path that has it."""
    kinds: dict[tuple[frozenset[str], bool, str], tuple[str, str]] = {}
    for path in paths:
        for name in path.split("/"):
            odd, long = frozenset(name) - PLAIN, len(name.encode()) > LONG_NAME_BYTES
            end = name[-1] if name[-1] in ". " else ""
            if (odd or long or end) and len(name) > len(kinds.get((odd, long, end), ("", ""))[0]):
                kinds[odd, long, end] = name, path
    return kinds.values()


def _take_name(place: str, name: str, path: str) -> None:
    try:
        os.close(os.open(place, os.O_WRONLY | os.O_CREAT, 0o666))
        os.unlink(place)
    except OSError as error:
        if error.errno in (*FULL, errno.EIO, errno.ENOENT):
            raise
        raise NeedsChange(
            Reason.VOLUME_UNSUPPORTED,
            f"checking the volume: its file system refuses the name {name!r} ({error.strerror}). "
            f"Exclude {path}, give it another place, or use a volume of another storage class",
        ) from error


def _folding(folder: str) -> Folding:
    return Folding(
        case=_is_one_file(folder, "Probe-Case", "probe-case"),
        unicode_form=_is_one_file(folder, "probe-\u00e9", "probe-e\u0301"),
        trailing=_is_one_file(folder, "probe-end.", "probe-end"),
    )


def _is_one_file(folder: str, name: str, other: str) -> bool:
    """Whether a file made under one name is found under the other."""
    with contextlib.suppress(OSError):  # a name that is refused cannot stand for another
        os.close(os.open(f"{folder}/{name}", os.O_WRONLY | os.O_CREAT, 0o666))
        return os.path.lexists(f"{folder}/{other}")
    return False


@contextmanager
def _needed(what: str, never: Collection[int] = ()) -> Iterator[None]:
    """Turns "not supported" into the refusal that says what is; a full volume or an I/O error stays what it is."""
    unsupported = never or (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EXDEV)
    try:
        yield
    except OSError as error:
        if error.errno not in unsupported:
            raise
        raise _unsupported(what, error.strerror or str(error)) from error


def _unsupported(what: str, cause: str) -> NeedsChange:
    message = f"checking the volume: its file system cannot {what} ({cause}). {CURE}"
    return NeedsChange(Reason.VOLUME_UNSUPPORTED, message)
