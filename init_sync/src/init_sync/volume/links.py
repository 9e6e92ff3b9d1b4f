"""Links: a model's file that must also be found at another place of the volume.

A relative symbolic link where the file system has them (it works wherever the volume is mounted), else a hard link,
else a copy. Whatever lay at the place before is kept beside it as ``<name>_old``, once.
"""

from __future__ import annotations

import contextlib
import os
import shutil

from init_sync.core.receipt import ReceiptLink
from init_sync.core.requirement import REPLACED_SUFFIX
from init_sync.volume.layout import Volume, replace_durably, sync_directory

SYMLINK = "symlink"
HARDLINK = "hardlink"
COPY = "copy"


def link_problem(volume: Volume, link: ReceiptLink) -> str | None:
    """What is wrong with a link that was made before, in words; None when it is in place."""
    place = volume.at(link.at)
    try:
        if link.kind == SYMLINK:
            found = os.readlink(place)
            if found != _relative(link):
                return f"{link.at} leads to {found} instead of {link.target}"
            return None
        here = os.lstat(place)
        if link.kind == HARDLINK:
            target = os.stat(volume.at(link.target))
            return None if os.path.samestat(here, target) else f"{link.at} is no longer the same file as {link.target}"
        target = os.stat(volume.at(link.target))
        if (here.st_size, here.st_mtime_ns) != (target.st_size, link.mtime_ns):
            return f"{link.at} is no longer the copy of {link.target}"
    except OSError as error:
        what = "is not a link" if os.path.lexists(place) else "is missing"
        return (
            f"{link.at} {what} ({error.strerror})"
            if not os.path.lexists(volume.at(link.target))
            else (f"{link.at} {what}; it should lead to {link.target}")
        )
    return None


def make_link(volume: Volume, target: str, at: str) -> ReceiptLink:
    """Put ``target`` (a file of the volume) at ``at`` as well, unless it is there already.

    Raises:
        OSError: when nothing works, or when a directory is in the way.
    """
    for kind in (SYMLINK, HARDLINK):
        existing = ReceiptLink(at, target, kind)
        if os.path.lexists(volume.at(at)) and link_problem(volume, existing) is None:
            return existing
    place = volume.make_parent(at)
    if os.path.isdir(place) and not os.path.islink(place):
        raise IsADirectoryError(f"{at} is a directory on the volume; move it away or choose another place for the link")
    temporary = f"{os.path.dirname(place)}/.{os.path.basename(place)}.modelcache-tmp"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    link = _create(volume, ReceiptLink(at, target, SYMLINK), temporary)
    _keep_original(place)
    replace_durably(temporary, place)
    return link


def _create(volume: Volume, link: ReceiptLink, temporary: str) -> ReceiptLink:
    with contextlib.suppress(OSError):
        os.symlink(_relative(link), temporary)
        return link
    with contextlib.suppress(OSError):
        os.link(volume.at(link.target), temporary)
        return ReceiptLink(link.at, link.target, HARDLINK)
    shutil.copyfile(volume.at(link.target), temporary)
    descriptor = os.open(temporary, os.O_RDWR)
    try:
        os.fsync(descriptor)
        return ReceiptLink(link.at, link.target, COPY, os.fstat(descriptor).st_mtime_ns)
    finally:
        os.close(descriptor)


def _keep_original(place: str) -> None:
    """Move a file of the user's or of the model's aside. A second one is not kept: it would be a restored original."""
    old = place + REPLACED_SUFFIX
    if os.path.isfile(place) and not os.path.islink(place) and not os.path.lexists(old):
        os.rename(place, old)
        sync_directory(os.path.dirname(place))


def _relative(link: ReceiptLink) -> str:
    return os.path.relpath(link.target, os.path.dirname(link.at) or ".")
