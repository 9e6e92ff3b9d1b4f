"""What the file system of a volume can do, tried once under ``.modelcache/tmp`` before the first byte is downloaded.

A file system that cannot do what a sync needs will not learn it: the run ends with VolumeUnsupported, exit code 2. What
has another way (links, ``fsync`` of a directory, stable inode numbers) is not asked for here.
"""

from __future__ import annotations

import contextlib
import errno
import os
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from init_sync.core.errors import NeedsChange
from init_sync.core.reasons import Reason
from init_sync.core.requirement import RequiredFile
from init_sync.shell.formatting import size
from init_sync.volume.failures import FULL
from init_sync.volume.layout import temporary_path
from init_sync.volume.volume import Volume, sync_file

PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
"""Characters that every file system takes."""
LONG_NAME_BYTES = 128
"""Encrypting file systems take 143 bytes, most others 255."""
LARGE_FILE_BYTES = 1 << 31
"""Smaller files fit everywhere, and some file systems fill a file that is extended with zeros, which takes time."""
OFFSET = 1 << 16
CURE = "Use a volume of another storage class; an object store that is mounted as a folder often cannot do it"


@dataclass(frozen=True, slots=True)
class FileSystem:
    """Which differences between names this file system does not see, and whether it has links."""

    folds_case: bool = False
    folds_unicode: bool = False
    folds_trailing: bool = False
    """Full stops and spaces at the end, as on SMB."""
    has_links: bool = True
    """Symbolic or hard ones; elsewhere a link costs a copy."""

    def key(self, name: str) -> str:
        """The same for two names that are one file."""
        if self.folds_unicode:
            name = unicodedata.normalize("NFC", name)
        if self.folds_case:
            name = unicodedata.normalize("NFC", name.casefold()) if self.folds_unicode else name.casefold()
        return name.rstrip(". ") or name if self.folds_trailing else name


def probe(volume: Volume) -> FileSystem:
    """Try what every sync does, and find out which names are one file here.

    Raises:
        NeedsChange: VolumeUnsupported, naming what cannot be done.
        OSError: for any other trouble, such as a full volume.
    """
    with _folder(volume) as folder:
        _write_and_rename(volume, folder)
        return FileSystem(
            folds_case=_is_one_file(volume, f"{folder}/Probe-Case", f"{folder}/probe-case"),
            folds_unicode=_is_one_file(volume, f"{folder}/probe-\u00e9", f"{folder}/probe-e\u0301"),
            folds_trailing=_is_one_file(volume, f"{folder}/probe-end.", f"{folder}/probe-end"),
            has_links=_has_links(volume, folder),
        )


def check_files(volume: Volume, files: Collection[RequiredFile]) -> None:
    """Try whether these files may be as large, and have the names, that they have. Raises as ``probe`` does."""
    with _folder(volume) as folder:
        _hold_largest(volume, folder, max((file.size for file in files), default=0))
    check_names(volume, (file.path for file in files))


def check_names(volume: Volume, paths: Iterable[str]) -> None:
    """Try names with unusual characters, and long ones, one of each kind. Raises as ``probe`` does."""
    with _folder(volume) as folder:
        for name, path in _unusual_names(paths):
            _take_name(volume, folder, name, path)


@contextmanager
def _folder(volume: Volume) -> Iterator[str]:
    folder = temporary_path("probe")
    volume.make_directory(folder)
    try:
        yield folder
    finally:
        volume.remove_directory(folder)


def _write_and_rename(volume: Volume, folder: str) -> None:
    first, second = f"{folder}/first", f"{folder}/second"
    with _needed("create a file only if it is not there"):
        descriptor = volume.open(first, os.O_RDWR | os.O_CREAT | os.O_EXCL)
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
        volume.rename(first, second)
        found = volume.lstat(second).st_size
    if found != OFFSET + 6 or volume.exists(first):
        raise _unsupported("rename a file", "it is not under its new name afterwards")


def _hold_largest(volume: Volume, folder: str, largest: int) -> None:
    if largest < LARGE_FILE_BYTES:
        return
    descriptor = volume.open(f"{folder}/large", os.O_RDWR | os.O_CREAT)
    try:
        with _needed(f"hold a file of {size(largest)}", (errno.EFBIG, errno.EINVAL)):
            os.ftruncate(descriptor, largest)
    except OSError as error:
        if error.errno not in FULL:  # of room, where holes take some; what is needed is counted elsewhere
            raise
    finally:
        os.close(descriptor)


def _unusual_names(paths: Iterable[str]) -> Collection[tuple[str, str]]:
    """Names with unusual characters or ends, and long ones: the longest of each kind, with its path."""
    kinds: dict[tuple[frozenset[str], bool, str], tuple[str, str]] = {}
    for path in paths:
        for name in path.split("/"):
            end = name[-1] if name[-1] in ". " else ""
            kind = frozenset(name) - PLAIN, len(name.encode()) > LONG_NAME_BYTES, end
            if any(kind) and len(name) > len(kinds.get(kind, ("", ""))[0]):
                kinds[kind] = name, path
    return kinds.values()


def _take_name(volume: Volume, folder: str, name: str, path: str) -> None:
    try:
        os.close(volume.open(f"{folder}/{name}", os.O_WRONLY | os.O_CREAT))
    except OSError as error:
        if error.errno in (*FULL, errno.EIO, errno.ENOENT):
            raise
        raise NeedsChange(
            Reason.VOLUME_UNSUPPORTED,
            f"checking the volume: its file system refuses the name {name!r} ({error.strerror}). "
            f"Exclude {path}, give it another path, or use a volume of another storage class",
        ) from error


def _is_one_file(volume: Volume, path: str, other: str) -> bool:
    """Whether a file made under one name is found under the other."""
    with contextlib.suppress(OSError):  # a name that is refused cannot stand for another
        os.close(volume.open(path, os.O_WRONLY | os.O_CREAT))
        return volume.exists(other)
    return False


def _has_links(volume: Volume, folder: str) -> bool:
    for make in (volume.symlink, volume.link):
        with contextlib.suppress(OSError):
            make("second" if make == volume.symlink else f"{folder}/second", f"{folder}/link")
            return True
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
