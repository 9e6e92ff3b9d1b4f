"""Where everything lies on a volume, and the two ways in which a file of ours is written.

    <volume>/
      <model path>/...                          model files, under their final names only when whole and verified
      .modelcache/
        volume.json                             the volume's random id (volume.identity)
        receipts/<directory>-<digest>.json      what was verified (core.receipt)
        pins/<directory>-<digest>.json          the commit that a branch was resolved to, with its listing
        partial/<content id>.part, .journal     bytes on their way (volume.partial)
        lock/<generation>                       who is syncing (volume.lease)
        tmp/                                    files that are about to be renamed into place

A name never shows half a file: text is written to tmp/, synced and renamed; model files are renamed from partial/.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import stat
from typing import Any, BinaryIO

from init_sync.core.spec import Model
from init_sync.core.volumepath import STATE_DIRECTORY


class OutsideVolume(OSError):
    """A directory on the volume is a link that leads out of it."""


class NoFile(OSError):
    """A pipe, a device or the like in the place of a file."""


def open_file(path: str) -> BinaryIO:
    """For reading, what may lie on a volume: opening a pipe would wait for ever, and reading a device would never end.

    Raises:
        NoFile: at once.
    """
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))  # noqa: SIM115  # handed on
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise NoFile(errno.EINVAL, "Not a regular file", path)


class Volume:
    """A directory that holds models: a mounted PersistentVolumeClaim, or any folder."""

    def __init__(self, root: str) -> None:
        self.root = os.path.abspath(root)
        self.state = f"{self.root}/{STATE_DIRECTORY}"

    def at(self, path: str) -> str:
        """The absolute place of a path relative to the root."""
        return f"{self.root}/{path}"

    def receipt(self, model: Model) -> str:
        return f"{self.state}/receipts/{_slug(model.path)}-{model.digest()[:16]}.json"

    def pin(self, model: Model, revision: str) -> str:
        """Pins belong to a directory, so that a changed pattern does not mix two commits in it."""
        key = hashlib.sha256(f"{model.path}\0{model.repo}\0{revision}".encode()).hexdigest()
        return f"{self.state}/pins/{_slug(model.path)}-{key[:16]}.json"

    def partial(self, content_id: str) -> str:
        return f"{self.partials}/{content_id.replace(':', '-')}"

    @property
    def partials(self) -> str:
        return f"{self.state}/partial"

    @property
    def identity(self) -> str:
        return f"{self.state}/volume.json"

    @property
    def lock(self) -> str:
        return f"{self.state}/lock"

    @property
    def tmp(self) -> str:
        return f"{self.state}/tmp"  # noqa: S108  # on the volume

    def temporary(self, path: str) -> str:
        """A name in tmp/ that no other process or container uses."""
        return f"{self.tmp}/{os.path.basename(path)[:100]}.{os.urandom(6).hex()}"

    def make_parent(self, path: str) -> str:
        """Create the directory that ``path`` belongs in, and return the absolute place of ``path``.

        Raises:
            OutsideVolume: when a link on the way leads out of the volume; writing there could harm others.
        """
        self.check_parent(path)
        place = self.at(path)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        return place

    def check_parent(self, path: str) -> None:
        """Raises OutsideVolume as ``make_parent`` would, and makes nothing: to know it before anything is fetched."""
        existing = os.path.dirname(self.at(path))
        while not os.path.lexists(existing):
            existing = os.path.dirname(existing)
        if not self.holds(existing):
            raise OutsideVolume(f"{existing} leads out of the volume {self.root}; remove that link")

    def holds(self, place: str) -> bool:
        """Whether an absolute place is on this volume once all links are followed."""
        real_root = os.path.realpath(self.root)
        return os.path.commonpath([real_root, os.path.realpath(place)]) == real_root


def _slug(path: str) -> str:
    return path.replace("/", "--")[:80]


def read_json(path: str) -> Any:
    """What ``write_json`` wrote; None when there is nothing, or anything but that: both mean that nothing is known."""
    try:
        with open_file(path) as file:
            data = json.loads(file.read())
        check = data.pop("check")
    except (OSError, ValueError, RecursionError, AttributeError, KeyError, TypeError):
        return None
    return data if check == _check(data) else None


def write_json(volume: Volume, path: str, data: dict[str, Any]) -> None:
    """Write a file of ours so that it is there whole or not at all, also after a power failure.

    ``check`` is added, a hash over everything else: a flipped bit in a receipt must not vouch for wrong content.
    """
    text = json.dumps({**data, "check": _check(data)}, ensure_ascii=False, indent=1).encode()
    os.makedirs(volume.tmp, exist_ok=True)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = volume.temporary(path)
    with open(temporary, "xb") as file:
        file.write(text)
        file.flush()
        sync_file(file.fileno())
    replace_durably(temporary, path)


def _check(data: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:32]


NOT_KNOWN = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EAGAIN, errno.ENODATA)
"""What file systems answer to a call that they do not have, where the work can be done without it."""


def sync_file(descriptor: int) -> None:
    """Bring a file to disk, where the file system has a way to ask for that. Raises OSError when it fails."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in NOT_KNOWN:
            raise


def replace_durably(source: str, destination: str) -> None:
    """Rename over ``destination`` and make the rename itself survive a power failure."""
    os.replace(source, destination)
    sync_directory(os.path.dirname(destination))


def sync_directory(path: str) -> None:
    with contextlib.suppress(
        OSError
    ):  # some network file systems refuse fsync on a directory; nothing more can be done
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
