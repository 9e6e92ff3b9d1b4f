"""Links: a model's file that must also be found at another place of the volume.

A relative symbolic link where the file system has them (it works wherever the volume is mounted), else a hard link,
else a copy. Whatever lay at the place before is kept beside it as ``<name>_old``, once.
"""

from __future__ import annotations

import contextlib
import errno
import os

from init_sync.core.receipt import ReceiptLink
from init_sync.core.volumepath import REPLACED_SUFFIX
from init_sync.volume.layout import Volume, replace_durably, sync_directory, sync_file

SYMLINK = "symlink"
HARDLINK = "hardlink"
COPY = "copy"


def link_problem(volume: Volume, link: ReceiptLink) -> str | None:
    """What is wrong with a link that was made before, in words; None when it is in place.

    Whether the target is there is not asked again: it is a file of its own, with a stat of its own.
    """
    place, target = volume.at(link.at), volume.at(link.target)
    try:
        if link.kind == SYMLINK:
            found = os.readlink(place)
            return None if found == link.text else f"{link.at} leads to {found} instead of {link.target}"
        here, there = os.lstat(place), os.stat(target)
        if link.kind == HARDLINK and not _is_one_file(here, there):
            return f"{link.at} is no longer the same file as {link.target}"
        if link.kind == COPY and (here.st_size, here.st_mtime_ns) != (there.st_size, link.mtime_ns):
            return f"{link.at} is no longer the copy of {link.target}"
    except OSError:
        what = "is not a link" if os.path.lexists(place) else "is missing"
        return f"{link.at} {what}; it should lead to {link.target}"
    return None


def _is_one_file(here: os.stat_result, there: os.stat_result) -> bool:
    """Inode numbers are not stable everywhere; size and time of a hard link are those of its target in any case."""
    return os.path.samestat(here, there) or (here.st_size, here.st_mtime_ns) == (there.st_size, there.st_mtime_ns)


def make_link(volume: Volume, target: str, at: str) -> ReceiptLink:
    """Put ``target`` (a file of the volume) at ``at`` as well, unless it is there already.

    Raises:
        OSError: when nothing works, or when a directory is in the way.
    """
    existing = _existing(volume, target, at)
    if existing:
        return existing
    place = volume.make_parent(at)
    if os.path.isdir(place) and not os.path.islink(place):
        raise IsADirectoryError(errno.EISDIR, "a directory is where this link belongs", place)
    os.makedirs(volume.tmp, exist_ok=True)
    temporary = volume.temporary(place)
    link = _create(volume, ReceiptLink(at, target, SYMLINK), temporary)
    _keep_original(place)
    replace_durably(temporary, place)
    return link


def _existing(volume: Volume, target: str, at: str) -> ReceiptLink | None:
    """A link that is in place already. An absolute one is not: it breaks where the volume is mounted elsewhere."""
    place = volume.at(at)
    try:
        if not os.path.samefile(place, volume.at(target)):
            return None
        if not os.path.islink(place):
            return ReceiptLink(at, target, HARDLINK)
        text = os.readlink(place)
        return None if text.startswith("/") else ReceiptLink(at, target, SYMLINK, text=text)
    except OSError:
        return None


def _create(volume: Volume, link: ReceiptLink, temporary: str) -> ReceiptLink:
    with contextlib.suppress(OSError):
        text = _relative(volume, link)
        os.symlink(text, temporary)
        return ReceiptLink(link.at, link.target, SYMLINK, text=text)
    with contextlib.suppress(OSError):
        os.link(volume.at(link.target), temporary)
        return ReceiptLink(link.at, link.target, HARDLINK)
    import shutil  # only where a file system knows no links at all

    shutil.copyfile(volume.at(link.target), temporary)
    descriptor = os.open(temporary, os.O_RDWR)
    try:
        sync_file(descriptor)
        return ReceiptLink(link.at, link.target, COPY, os.fstat(descriptor).st_mtime_ns)
    finally:
        os.close(descriptor)


def _keep_original(place: str) -> None:
    """Move a file of the user's or of the model's aside. A second one is not kept: it would be a restored original."""
    old = place + REPLACED_SUFFIX
    if os.path.isfile(place) and not os.path.islink(place) and not os.path.lexists(old):
        os.rename(place, old)
        sync_directory(os.path.dirname(place))


def _relative(volume: Volume, link: ReceiptLink) -> str:
    """As the file system will follow it: a model's directory may itself be a link to elsewhere on the volume."""
    directory = os.path.realpath(os.path.dirname(volume.at(link.at)))
    return os.path.relpath(os.path.realpath(volume.at(link.target)), directory)
