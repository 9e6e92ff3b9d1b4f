"""Putting a file that was fetched and verified at its places on the volume, and seeing that it stayed there."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from posixpath import dirname
from typing import NoReturn

from init_sync.core.errors import TryAgain
from init_sync.core.reasons import Reason
from init_sync.core.receipt import ReceiptFile
from init_sync.core.requirement import Requirement
from init_sync.volume.hashing import SILENT, Hooks, file_checksum
from init_sync.volume.layout import TMP, temporary_path
from init_sync.volume.owned import OnName
from init_sync.volume.partial import Partial
from init_sync.volume.receipts import as_receipt_file, differs
from init_sync.volume.volume import Volume


def publish(
    volume: Volume, partial: Partial, content_id: str, checksum: str, paths: tuple[str, ...], on_name: OnName
) -> tuple[ReceiptFile, ...]:
    """Copies first: until the file itself is renamed, an interrupted run has all it needs to go on."""
    for path in paths:
        volume.make_directory(dirname(path))
        if volume.is_directory(path):
            raise IsADirectoryError(errno.EISDIR, "a directory is where this file belongs", volume.at(path))
    for path in paths[1:]:
        volume.make_directory(TMP)
        partial.copy_to(path, temporary_path("copy"), on_name)
    partial.publish(paths[0], on_name)
    return tuple(_as_published(volume, path, content_id, checksum, partial.size) for path in paths)


def _as_published(volume: Volume, path: str, content_id: str, checksum: str, size: int) -> ReceiptFile:
    state = volume.lstat(path)
    if state.st_size != size:
        raise TryAgain(Reason.SIZE_MISMATCH, f"publishing {path}: it changed right after it was put in place")
    return as_receipt_file(path, content_id, state, checksum)


def still_verified(
    volume: Volume,
    requirement: Requirement,
    verified: Mapping[str, ReceiptFile],
    hooks: Hooks = SILENT,
) -> tuple[ReceiptFile, ...]:
    """What a receipt may say of the files: each is still the one that was verified, maybe hours before.

    A file whose time is another one now, or that shares its inode with other content, is hashed again.

    Raises:
        TryAgain: a file is missing, or has other content.
        OSError: when it cannot be told.
    """
    found: list[ReceiptFile] = []
    inodes: dict[tuple[int, int], str] = {}
    for file in requirement.files:
        before = verified[file.path]
        try:
            state = volume.stat(file.path)
        except (FileNotFoundError, NotADirectoryError):
            _gone(requirement, Reason.FILE_MISSING, f"{file.path} was in place, and was removed")
        if state.st_size != file.size:
            what = f"{file.path} was in place, and was changed to {state.st_size:,} bytes"
            _gone(requirement, Reason.SIZE_MISMATCH, what)
        shared = inodes.setdefault((state.st_dev, state.st_ino), file.content_id) != file.content_id
        if shared or differs(before, state):
            checksum = file_checksum(volume, file.path, file.content_id, file.size, hooks)
            if checksum != before.checksum:
                _gone(requirement, Reason.CHECKSUM_MISMATCH, f"{file.path} was in place, and has other content now")
            before = as_receipt_file(file.path, file.content_id, state, before.checksum)
        found.append(before)
    return tuple(found)


def _gone(requirement: Requirement, reason: Reason, what: str) -> NoReturn:
    name = requirement.model.name
    cure = "Another run fetches it again; look for another program that writes to the volume"
    raise TryAgain(reason, f"completing {name}: {what} while others were fetched. {cure}", name)
