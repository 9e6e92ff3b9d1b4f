"""A volume: a directory that is opened once, and everything below it reached from there, one name at a time.

Others may write to a shared volume and put a link anywhere at any moment. So no path is looked at first and used
afterwards: it is walked to its last directory (``walk``), and its last name is used in that directory.

Paths are relative to the root, with '/' between names.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from init_sync.volume.walk import DIRECTORY, Walk

UNKNOWN_CALL = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EAGAIN, errno.ENODATA)
"""What file systems answer to a call that they do not have, where the work can be done without it."""


class NoFile(OSError):
    """A pipe, a device or the like in the place of a file."""


class Volume:
    """A directory that holds models: a mounted PersistentVolumeClaim, or any folder."""

    def __init__(self, root: str) -> None:
        self.root = os.path.abspath(root)
        self._descriptor = -1

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)

    @property
    def descriptor(self) -> int:
        """The root, opened when first used: whatever its name leads to later, this stays the volume."""
        if self._descriptor < 0:
            self._descriptor = os.open(self.root, DIRECTORY)
        return self._descriptor

    def at(self, path: str) -> str:
        """An absolute path, for messages and for programs that only read."""
        return f"{self.root}/{path}" if path else self.root

    def is_in_place(self) -> bool:
        """Whether the root's name still leads to the directory that was opened."""
        with suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(self.descriptor), os.stat(self.root))
        return False

    def space(self) -> os.statvfs_result:
        return os.statvfs(self.descriptor)

    def stat(self, path: str) -> os.stat_result:
        """Of what is at the path, at the end of a link too."""
        found = self.lstat(path)
        if not stat.S_ISLNK(found.st_mode):
            return found
        with self.reach(path, follow=True) as (directory, name):
            return os.stat(name, dir_fd=directory, follow_symlinks=False)

    def lstat(self, path: str) -> os.stat_result:
        with self.reach(path) as (directory, name):
            return os.stat(name, dir_fd=directory, follow_symlinks=False)

    def exists(self, path: str) -> bool:
        """Whether there is anything at the path, a broken link included."""
        try:
            self.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def is_directory(self, path: str) -> bool:
        """Whether a directory itself is there, not a link to one."""
        try:
            return stat.S_ISDIR(self.lstat(path).st_mode)
        except OSError:
            return False

    def open(self, path: str, flags: int, mode: int = 0o666) -> int:
        """A descriptor of the file at the path; a link there is refused with ELOOP."""
        with self.reach(path) as (directory, name):
            return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=directory)

    def open_file(self, path: str) -> BinaryIO:
        """For reading. Opening a pipe would wait for ever, and reading a device would never end.

        Raises:
            NoFile: at once.
        """
        with self.reach(path, follow=True) as (directory, name):
            flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(name, flags, dir_fd=directory)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return os.fdopen(descriptor, "rb")
        os.close(descriptor)
        raise NoFile(errno.EINVAL, "Not a regular file", self.at(path))

    def names(self, path: str) -> list[str]:
        """What a directory holds; nothing when it is not there."""
        try:
            with self._directory(path) as directory:
                readable = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
        except (FileNotFoundError, NotADirectoryError):
            return []
        try:
            return sorted(os.listdir(readable))
        finally:
            os.close(readable)

    def make_directory(self, path: str) -> None:
        """With all above it, where they are not there yet."""
        with self._directory(path, make=True):
            pass

    def rename(self, source: str, destination: str) -> None:
        """Over what is at ``destination``, in a way that survives a power failure."""
        with self.reach(source) as (here, old), self.reach(destination) as (there, new):
            os.replace(old, new, src_dir_fd=here, dst_dir_fd=there)
        self.sync_directory(destination.rpartition("/")[0])

    def unlink(self, path: str) -> None:
        with self.reach(path) as (directory, name):
            os.unlink(name, dir_fd=directory)

    def remove_directory(self, path: str) -> None:
        """A directory with the files in it, as far as they can be removed; one with directories in it stays."""
        with suppress(OSError):
            for name in self.names(path):
                with suppress(OSError):
                    self.unlink(f"{path}/{name}")
            with self.reach(path) as (directory, name):
                os.rmdir(name, dir_fd=directory)

    def remove_empty_directory(self, path: str) -> None:
        """Raises OSError for one that holds anything, and for a link to one."""
        with self.reach(path) as (directory, name):
            os.rmdir(name, dir_fd=directory)

    def symlink(self, text: str, path: str) -> None:
        with self.reach(path) as (directory, name):
            os.symlink(text, name, dir_fd=directory)

    def link(self, source: str, path: str) -> None:
        with self.reach(source, follow=True) as (here, old), self.reach(path) as (there, new):
            os.link(old, new, src_dir_fd=here, dst_dir_fd=there, follow_symlinks=False)

    def readlink(self, path: str) -> str:
        with self.reach(path) as (directory, name):
            return os.readlink(name, dir_fd=directory)

    def sync_directory(self, path: str) -> None:
        """Bring names to disk; network file systems that refuse it have no other way either."""
        with suppress(OSError), self._directory(path) as directory:
            readable = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
            try:
                os.fsync(readable)
            finally:
                os.close(readable)

    def real_path(self, path: str) -> str:
        """The same place, relative to the root, without links on the way."""
        with self._walk(f"{path}/.") as walk:
            return "/".join(walk.names)

    def final_path(self, path: str) -> str:
        """Where a name really lies, relative to the root, and what it leads to if it is a link."""
        with self._walk(path, follow=True) as walk:
            return "/".join([*walk.names, walk.last])

    @contextmanager
    def _directory(self, path: str, make: bool = False) -> Iterator[int]:
        with self._walk(f"{path}/." if path else ".", make=make) as walk:
            yield walk.descriptor

    @contextmanager
    def reach(self, path: str, *, follow: bool = False) -> Iterator[tuple[int, str]]:
        """The directory that the last name lies in, opened, and that name: of the link, or of what it leads to."""
        try:
            with self._walk(path, follow=follow) as walk:
                yield walk.descriptor, walk.last
        except OSError as error:
            if isinstance(error.filename, str) and not error.filename.startswith("/"):
                error.filename, error.filename2 = self.at(path), None
            raise

    @contextmanager
    def _walk(self, path: str, *, follow: bool = False, make: bool = False) -> Iterator[Walk]:
        walk = Walk(self.root, self.descriptor, path)
        try:
            walk.go(follow, make)
            yield walk
        finally:
            walk.close()


def sync_file(descriptor: int) -> None:
    """Bring a file to disk, where the file system has a way to ask for that. Raises OSError when it fails."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in UNKNOWN_CALL:
            raise


def volume_problem(volume: Volume) -> str | None:
    """Why the volume cannot be used at all, in words."""
    if not os.path.exists(volume.root):
        return f"{volume.root} does not exist; mount the volume there or create the directory"
    if not os.path.isdir(volume.root):
        return f"{volume.root} is not a directory"
    try:
        os.stat(".", dir_fd=volume.descriptor)
    except OSError as error:
        return f"{volume.root} cannot be entered ({error.strerror}); mount it readable for this user or its group"
    return None
