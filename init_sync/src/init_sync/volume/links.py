"""Links: a model's file that must also be found at another path of the volume.

A relative symbolic link where the file system has them (it works wherever the volume is mounted), else a hard link,
else a copy. What lay at the path before is kept beside it as ``<name>_old``, once, unless it is the same content.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from posixpath import dirname, relpath

from init_sync.core.receipt import ReceiptFile, ReceiptLink
from init_sync.core.volumepath import REPLACED_SUFFIX
from init_sync.volume.hashing import READ_BYTES, file_matches
from init_sync.volume.layout import TMP, temporary_path
from init_sync.volume.owned import OwnedFiles
from init_sync.volume.volume import Volume, sync_file
from init_sync.volume.walk import OutsideVolume

SYMLINK = "symlink"
HARDLINK = "hardlink"
COPY = "copy"


def link_problem(volume: Volume, link: ReceiptLink) -> str | None:
    """What is wrong with a link that was made before, in words; None when it is in place.

    Whether the target is there is not asked again: it is a file of its own, with a stat of its own.
    """
    try:
        if link.kind == SYMLINK:
            found = volume.readlink(link.at)
            return None if found == link.text else f"{link.at} leads to {found} instead of {link.target}"
        here, there = volume.lstat(link.at), volume.stat(link.target)
        if link.kind == HARDLINK and not _is_one_file(here, there):
            return f"{link.at} is no longer the same file as {link.target}"
        if link.kind == COPY and (here.st_size, here.st_mtime_ns) != (there.st_size, link.mtime_ns):
            return f"{link.at} is no longer the copy of {link.target}"
    except OSError:
        what = "is not a link" if _is_there(volume, link.at) else "is missing"
        return f"{link.at} {what}; it should lead to {link.target}"
    return None


def make_link(volume: Volume, target: ReceiptFile, at: str, owned: OwnedFiles) -> ReceiptLink:
    """Put ``target`` at ``at`` as well, unless it is there already; ``owned`` gets to know of it.

    Raises:
        OSError: when nothing works, or when a directory is in the way.
    """
    existing = existing_link(volume, target.path, at)
    if existing:
        return existing
    volume.make_directory(dirname(at))
    if volume.is_directory(at):
        raise IsADirectoryError(errno.EISDIR, "a directory is where this link belongs", volume.at(at))
    volume.make_directory(TMP)
    temporary = temporary_path("link")
    link = _create(volume, ReceiptLink(at, target.path, SYMLINK), temporary)
    _keep_original(volume, target, at, owned)
    owned.add(temporary, at)
    volume.rename(temporary, at)
    return link


def copy_file(volume: Volume, source: int, temporary: str) -> int:
    """Copy an open file to a new one at ``temporary``, brought to disk; returns the time of the copy in ns."""
    with os.fdopen(volume.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as copy:
        position = 0
        while data := os.pread(source, READ_BYTES, position):
            copy.write(data)
            position += len(data)
        copy.flush()
        sync_file(copy.fileno())
        return os.fstat(copy.fileno()).st_mtime_ns


def _is_one_file(here: os.stat_result, there: os.stat_result) -> bool:
    """Inode numbers are not stable everywhere; size and time of a hard link are those of its target in any case."""
    return os.path.samestat(here, there) or (here.st_size, here.st_mtime_ns) == (there.st_size, there.st_mtime_ns)


def _is_there(volume: Volume, path: str) -> bool:
    try:
        return volume.exists(path)
    except OSError:
        return False


def existing_link(volume: Volume, target: str, at: str) -> ReceiptLink | None:
    """A link that is in place already. An absolute one is not: it breaks where the volume is mounted elsewhere."""
    try:
        if not os.path.samestat(volume.stat(at), volume.stat(target)):
            return None
        if not stat.S_ISLNK(volume.lstat(at).st_mode):
            return ReceiptLink(at, target, HARDLINK)
        text = volume.readlink(at)
        return None if text.startswith("/") else ReceiptLink(at, target, SYMLINK, text=text)
    except OSError:
        return None


def _create(volume: Volume, link: ReceiptLink, temporary: str) -> ReceiptLink:
    text = _relative(volume, link)
    with contextlib.suppress(OSError):
        volume.symlink(text, temporary)
        return link._replace(text=text)
    with contextlib.suppress(OSError):
        volume.link(link.target, temporary)
        return link._replace(kind=HARDLINK)
    with volume.open_file(link.target) as source:
        return link._replace(kind=COPY, mtime_ns=copy_file(volume, source.fileno(), temporary))


def _keep_original(volume: Volume, target: ReceiptFile, at: str, owned: OwnedFiles) -> None:
    """Move a file of the user's or of the model's aside. A second one is not kept: it would be a restored original."""
    old = at + REPLACED_SUFFIX
    try:
        if not stat.S_ISREG(volume.lstat(at).st_mode) or volume.exists(old):
            return
    except FileNotFoundError:
        return
    if not file_matches(volume, at, target.content_id, target.size):  # a link that was copied as a file, maybe 10 GB
        owned.moved(at, old)
        volume.rename(at, old)


def _relative(volume: Volume, link: ReceiptLink) -> str:
    """As the file system will follow it: a model's directory may itself be a link to elsewhere on the volume."""
    directory = volume.real_path(dirname(link.at))
    target_directory, _, name = link.target.rpartition("/")
    with contextlib.suppress(OutsideVolume, FileNotFoundError):
        target_directory = volume.real_path(target_directory)
    return relpath(f"/{target_directory}/{name}", f"/{directory}")
