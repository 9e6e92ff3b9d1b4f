"""What it means when the volume refuses something."""

from __future__ import annotations

import errno
import os
from contextlib import suppress

from init_sync.core.errors import NeedsChange, SyncError, TryAgain
from init_sync.core.reasons import Reason

DAMAGED = (errno.EIO, errno.EBADMSG, errno.EUCLEAN, errno.ENODATA, errno.EREMOTEIO)
"""What reading says of a disk that lost bytes; anything else may pass."""
FULL = (errno.ENOSPC, errno.EDQUOT)
NOT_WRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)
IN_THE_WAY = (errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ELOOP)
UNSUPPORTED = {
    errno.EFBIG: "Its file system holds no file as large as this",
    errno.ENAMETOOLONG: "Its file system takes no name as long as this: choose a shorter path, or exclude the file",
    errno.EILSEQ: "Its file system does not take this name: exclude the file",
    **dict.fromkeys(
        (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP),
        "Its file system cannot do what a sync needs, or does not take this name: exclude the file",
    ),
}
"""What no retry will cure, and what it means."""


def volume_failure(error: OSError, doing: str) -> SyncError:
    """The error to raise for an OSError that the volume caused; ``doing`` begins its message."""
    cause = error.strerror or str(error)
    name = error.filename2 or error.filename  # of a rename the second: that is where something may be in the way
    where = f" ({name})" if isinstance(name, str) else ""
    if error.errno in FULL:
        return NeedsChange(Reason.DISK_FULL, f"{doing}: {cause}{where}. {_more_room(error)}; existing files are kept")
    if error.errno in NOT_WRITABLE:
        return NeedsChange(
            Reason.VOLUME_NOT_WRITABLE, f"{doing}: {cause}{where}. Mount the volume writable for this user or its group"
        )
    if meaning := UNSUPPORTED.get(error.errno or 0):
        cure = "or use a volume of another storage class"
        return NeedsChange(Reason.VOLUME_UNSUPPORTED, f"{doing}: {cause}{where}. {meaning}, {cure}")
    if error.errno is None:  # one of ours, whose words end with the cure
        return NeedsChange(Reason.INVALID_SPEC, f"{doing}: {cause}")
    if error.errno in IN_THE_WAY:
        return NeedsChange(Reason.INVALID_SPEC, f"{doing}: {cause}{where}. Move away what is in the way")
    again = "Another run continues from here; if it happens again, look at the volume"
    return TryAgain(Reason.FILE_MISSING, f"{doing}: {cause}{where}. {again}")


def _more_room(error: OSError) -> str:
    """What to enlarge: a quota, the number of inodes, or the volume."""
    if error.errno == errno.EDQUOT:
        return "Enlarge the volume or the quota of this user or project"
    with suppress(OSError, TypeError):
        space = os.statvfs(os.path.dirname(error.filename2 or error.filename))
        if space.f_files and not space.f_favail and space.f_bavail:
            return "No inodes are left, so no more files can be made: use a volume with more inodes, or remove files"
    return "Enlarge the volume"
