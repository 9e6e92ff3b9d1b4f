"""What stands in the way of files on a volume, known before a byte is downloaded.

Two names can be one file although their text differs: by letter case, Unicode form, full stops at the end, or because
one directory is a link to another. So each path is reduced to a key: the nearest directory on its way that exists, by
device and inode, and the rest of the path as the file system compares it.
"""

from __future__ import annotations

import errno
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from posixpath import dirname, join, relpath
from typing import NamedTuple

from init_sync.core.reasons import Reason
from init_sync.volume.probe import FileSystem
from init_sync.volume.volume import Volume
from init_sync.volume.walk import OutsideVolume

Key = tuple[int | str, ...]


class Placed(NamedTuple):
    """A file or a link that belongs on the volume."""

    path: str
    model: str


class Conflict(NamedTuple):
    """Why a file cannot be where it belongs."""

    model: str | None
    """The model concerned; None when two are, of which one may be complete already."""
    reason: Reason
    message: str


def find_conflicts(volume: Volume, placed: Iterable[Placed], file_system: FileSystem) -> list[Conflict]:
    """Names that are one file on this volume, each with both paths; directories where files belong, and the reverse."""
    keys = _Keys(volume, file_system)
    found: list[Conflict] = []
    files: dict[Key, Placed] = {}
    above: dict[Key, Placed] = {}
    for each in placed:
        try:
            other = files.setdefault(keys.entry(each.path), each)
            for key in keys.above(dirname(each.path)):
                above.setdefault(key, each)
        except (OutsideVolume, NotADirectoryError) as error:
            found.append(Conflict(each.model, Reason.INVALID_SPEC, _blocked(error, each.path)))
            continue
        if other != each:
            found.append(_same(other, each, "are one file on this volume"))
    both = files.keys() & above.keys()
    found += [_same(files[key], above[key], "need a file and a directory of one name") for key in both]
    return [*found, *_directories_in_the_way(volume, files.values())]


class _Keys:
    """Keys of paths, each directory looked up once."""

    def __init__(self, volume: Volume, file_system: FileSystem) -> None:
        self._volume = volume
        self._file_system = file_system
        self._directories: dict[str, Key] = {}
        self._above: dict[str, list[Key]] = {}

    def entry(self, path: str) -> Key:
        """Of a name in its directory. Raises OutsideVolume or NotADirectoryError when the path leads elsewhere."""
        directory, _, name = path.rpartition("/")
        return (*self._directory(directory), self._file_system.key(name))

    def above(self, directory: str) -> list[Key]:
        """Entries that must be directories, or links to some, for a file to be in this directory."""
        if directory not in self._above:
            ways = {directory, self._real(directory)}
            self._above[directory] = [self.entry(each) for way in ways for each in _upwards(way)]
        return self._above[directory]

    def _directory(self, path: str) -> Key:
        if path not in self._directories:
            self._directories[path] = self._look_up(path)
        return self._directories[path]

    def _look_up(self, path: str) -> Key:
        try:
            state = self._volume.stat(path)
        except FileNotFoundError:  # not there yet, or a link to what is not there yet
            real = self._real(path)
            return self._directory(real) if real != path else self.entry(path)
        except OSError as error:
            if error.errno == errno.ELOOP:
                return self.entry(path)
            raise
        if not stat.S_ISDIR(state.st_mode):
            raise NotADirectoryError(self._volume.at(path))
        return state.st_dev, state.st_ino

    def _real(self, path: str) -> str:
        with suppress(OSError):
            return self._volume.real_path(path)
        with suppress(OSError):
            directory = self._volume.at(dirname(path))
            real = relpath(join(directory, self._volume.readlink(path)), self._volume.root)
            return path if f"{real}/".startswith("../") else real
        return path


def _upwards(directory: str) -> Iterator[str]:
    while directory:
        yield directory
        directory = dirname(directory)


def _directories_in_the_way(volume: Volume, placed: Iterable[Placed]) -> Iterator[Conflict]:
    for each in placed:
        if volume.is_directory(each.path):
            message = f"a directory is at {volume.at(each.path)}, where a file belongs. Move it away"
            yield Conflict(each.model, Reason.INVALID_SPEC, message)


def _blocked(error: OSError, path: str) -> str:
    if isinstance(error, OutsideVolume):
        return str(error)
    return f"a file is at {error.filename or error}, where {path} needs a directory. Move it away"


def _same(first: Placed, second: Placed, what: str) -> Conflict:
    alone = first.model == second.model
    models = f"model {first.model}" if alone else f"models {first.model} and {second.model}"
    paths = f"{first.path} and {second.path}" if first.path != second.path else f"{first.path} of both"
    cure = "Change a path, exclude one of them, or remove the link on the volume that leads from one to the other"
    return Conflict(first.model if alone else None, Reason.PATH_CONFLICT, f"{models}: {paths} {what}. {cure}")
