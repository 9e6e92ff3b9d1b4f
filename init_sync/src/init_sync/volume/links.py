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
from init_sync.volume.layout import Volume, replace_durably, sync_directory

SYMLINK = "symlink"
HARDLINK = "hardlink"
COPY = "copy"


def link_problem(volume: Volume, link: ReceiptLink) -> str | None:
    """What is wrong with a link that was made before, in words; None when it is in place."""
    place, target = volume.at(link.at), volume.at(link.target)
    try:
        if link.kind == SYMLINK and os.readlink(place).startswith("/"):
            return f"{link.at} is an absolute link, which breaks where the volume is mounted elsewhere"
        if link.kind == COPY:
            state = os.lstat(place)
            same = (state.st_size, state.st_mtime_ns) == (os.stat(target).st_size, link.mtime_ns)
        else:
            same = os.path.samefile(place, target)
    except OSError as error:
        if not os.path.lexists(place):
            return f"{link.at} is missing; it should lead to {link.target}"
        if error.errno == errno.EINVAL:
            return f"{link.at} is not a link; it should lead to {link.target}"
        return f"{link.at} leads nowhere ({error.strerror})"
    return None if same else f"{link.at} does not lead to {link.target}"


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
        raise IsADirectoryError(errno.EISDIR, "a directory is where this link belongs", place)
    os.makedirs(volume.tmp, exist_ok=True)
    temporary = volume.temporary(place)
    link = _create(volume, ReceiptLink(at, target, SYMLINK), temporary)
    _keep_original(place)
    replace_durably(temporary, place)
    return link


def _create(volume: Volume, link: ReceiptLink, temporary: str) -> ReceiptLink:
    with contextlib.suppress(OSError):
        os.symlink(_relative(volume, link), temporary)
        return link
    with contextlib.suppress(OSError):
        os.link(volume.at(link.target), temporary)
        return ReceiptLink(link.at, link.target, HARDLINK)
    import shutil  # only where a file system knows no links at all

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


def _relative(volume: Volume, link: ReceiptLink) -> str:
    """As the file system will follow it: a model's directory may itself be a link to elsewhere on the volume."""
    directory = os.path.realpath(os.path.dirname(volume.at(link.at)))
    return os.path.relpath(os.path.realpath(volume.at(link.target)), directory)
