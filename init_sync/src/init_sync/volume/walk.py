"""A walk from the root of a volume along a path, one name at a time, without following links unseen.

Each step opens one name in the directory opened before. A link is followed by reading it and walking on from where it
is, so it can lead to another place of the volume and nowhere else. Below ``.modelcache`` no link is followed at all,
and none leads into it.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress

from init_sync.core.volumepath import STATE_DIRECTORY, same_or_inside

DIRECTORY = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
MAX_LINKS = 40


class OutsideVolume(OSError):
    """A link on the volume leads out of it, or to the cache's own files."""


class Walk:
    """From the root along a path; ``descriptor`` is the directory reached, ``last`` the name to be used in it."""

    def __init__(self, root: str, descriptor: int, path: str) -> None:
        self.names: list[str] = []
        self.last = "."
        self._root = root
        self._path = path
        self._own = same_or_inside(path, STATE_DIRECTORY)
        self._opened = [descriptor]
        self._steps = path.split("/")
        self._links = 0

    @property
    def descriptor(self) -> int:
        return self._opened[-1]

    def go(self, follow: bool, make: bool) -> None:
        while self._steps:
            name = self._steps.pop(0)
            if name == "..":
                self._leave()
            elif name in ("", "."):
                continue
            elif self._steps:
                self._enter(name, make)
            elif not (follow and self._follow(name)):
                self.last = name

    def close(self) -> None:
        for descriptor in self._opened[1:]:
            os.close(descriptor)

    def _enter(self, name: str, make: bool) -> None:
        try:
            descriptor = self._open(name, make)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOTDIR) or not self._follow(name):
                error.filename = "/".join([self._root, *self.names, name])
                raise
            return
        if not self.names and name == STATE_DIRECTORY and not self._own:
            os.close(descriptor)
            raise self._outside(f"leads into {STATE_DIRECTORY}/")
        self._opened.append(descriptor)
        self.names.append(name)

    def _open(self, name: str, make: bool) -> int:
        flags = DIRECTORY | os.O_NOFOLLOW
        try:
            return os.open(name, flags, dir_fd=self.descriptor)
        except FileNotFoundError:
            if not make:
                raise
        with suppress(FileExistsError):
            os.mkdir(name, dir_fd=self.descriptor)
        return os.open(name, flags, dir_fd=self.descriptor)

    def _leave(self) -> None:
        if not self.names:
            raise self._outside("leads out of the volume")
        self.names.pop()
        os.close(self._opened.pop())

    def _follow(self, name: str) -> bool:
        """Go on where a link leads; False when there is none."""
        try:
            text = os.readlink(name, dir_fd=self.descriptor)
        except OSError:
            return False
        self._links += 1
        if self._own:
            raise self._outside(f"leads through a link, {name!r}, and the cache's own files never do")
        if self._links > MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), f"{self._root}/{self._path}")
        if text.startswith("/"):
            roots = (self._root, os.path.realpath(self._root))
            root = next((root for root in roots if same_or_inside(text, root)), None)
            if root is None:
                raise self._outside("leads out of the volume")
            text = text[len(root) :]
            while self.names:
                self._leave()
        self._steps = [*text.split("/"), *self._steps]
        return True

    def _outside(self, what: str) -> OutsideVolume:
        path = self._path.removesuffix("/.")
        return OutsideVolume(f"{f'{self._root}/{path}'} {what}: remove that link from the volume")
