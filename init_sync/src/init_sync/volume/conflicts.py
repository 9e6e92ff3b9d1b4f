"""What stands in the way of files on a volume, known before a byte is downloaded.

Two names can be one file although their text differs: by letter case, Unicode form, full stops at the end, or because
one directory is a link to another. So each path is reduced to a key: the nearest directory on its way that exists, by
device and inode, and the rest of the path as the file system compares it.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from init_sync.core.reasons import Reason
from init_sync.volume.probe import FileSystem
from init_sync.volume.volume import OutsideVolume, Volume

Key = tuple[int | str, ...]


class Placed(NamedTuple):
    """A file or a link that belongs on the volume."""

    path: str
    model: str


class Conflict(NamedTuple):
    """Why a file cannot be where it belongs."""

    model: str
    reason: Reason
    message: str


def find_conflicts(volume: Volume, placed: Iterable[Placed], file_system: FileSystem) -> list[Conflict]:
    """Names that are one file on this volume, each with both paths; directories where files belong, and the reverse."""
    directories = _Directories(volume, file_system)
    found: list[Conflict] = []
    files: dict[Key, Placed] = {}
    above: dict[Key, Placed] = {}
    for each in placed:
        parent, _, name = each.path.rpartition("/")
        try:
            key = (*directories.key(parent), file_system.key(name))
        except (OutsideVolume, NotADirectoryError) as error:
            found.append(Conflict(each.model, Reason.INVALID_SPEC, _blocked(error, each.path)))
            continue
        other = files.setdefault(key, each)
        if other.path != each.path:
            found.append(_same(other, each, "are one file on this volume"))
        while parent:
            above.setdefault(directories.key(parent), each)
            parent = parent.rpartition("/")[0]
    both = files.keys() & above.keys()
    found += [_same(files[key], above[key], "need a file and a directory of one name") for key in both]
    return [*found, *_directories_in_the_way(volume, files.values())]


class _Directories:
    """Keys of directories, each looked up once."""

    def __init__(self, volume: Volume, file_system: FileSystem) -> None:
        self._volume = volume
        self._file_system = file_system
        self._keys: dict[str, Key] = {}

    def key(self, path: str) -> Key:
        """Raises OutsideVolume or NotADirectoryError when the path leads somewhere else."""
        if path not in self._keys:
            self._keys[path] = self._look_up(path)
        return self._keys[path]

    def _look_up(self, path: str) -> Key:
        try:
            state = self._volume.stat(path)
        except FileNotFoundError:
            parent, _, name = path.rpartition("/")
            return (*self.key(parent), self._file_system.key(name)) if path else ("",)
        if not stat.S_ISDIR(state.st_mode):
            raise NotADirectoryError(self._volume.at(path))
        return state.st_dev, state.st_ino


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
    models = f"models {first.model} and {second.model}" if first.model != second.model else f"model {first.model}"
    cure = (
        "Change a path, exclude one of them, or remove a link on the volume that leads from one directory to the other"
    )
    return Conflict(second.model, Reason.PATH_CONFLICT, f"{models}: {first.path} and {second.path} {what}. {cure}")
