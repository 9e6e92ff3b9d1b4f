"""Two names that are one file on this volume: found before a byte is downloaded.

Equal text is not the only way: letter case, Unicode forms, full stops at the end, and directories that are links to one
another. So each path is reduced to a key: the nearest directory on its way that exists, by device and inode, and the
rest of the path as the file system compares it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

from init_sync.core.errors import NeedsChange
from init_sync.core.reasons import Reason
from init_sync.volume.layout import Volume
from init_sync.volume.probe import Folding

Key = tuple[int | str, ...]


class Placed(NamedTuple):
    """A file or a link that belongs on the volume."""

    path: str
    model: str


def refuse_conflicts(volume: Volume, placed: Iterable[Placed], folding: Folding) -> None:
    """Raises NeedsChange, reason PathConflict, naming both paths."""
    directories = _Directories(volume, folding)
    files: dict[Key, Placed] = {}
    above: dict[Key, Placed] = {}
    for each in placed:
        parent, _, name = each.path.rpartition("/")
        key = (*directories.key(parent), folding.key(name))
        other = files.setdefault(key, each)
        if other.path != each.path:
            raise _conflict(other, each, "are one file on this volume")
        while parent:
            above.setdefault(directories.key(parent), each)
            parent = parent.rpartition("/")[0]
    for key in files.keys() & above.keys():
        raise _conflict(files[key], above[key], "need a file and a directory of one name")


class _Directories:
    """Keys of directories, each looked up once."""

    def __init__(self, volume: Volume, folding: Folding) -> None:
        self._volume = volume
        self._folding = folding
        self._keys: dict[str, Key] = {}

    def key(self, path: str) -> Key:
        if path not in self._keys:
            self._keys[path] = self._look_up(path)
        return self._keys[path]

    def _look_up(self, path: str) -> Key:
        try:
            state = os.stat(self._volume.at(path) if path else self._volume.root)
            return state.st_dev, state.st_ino
        except OSError:  # not there yet
            parent, _, name = path.rpartition("/")
            return (*self.key(parent), self._folding.key(name)) if path else ("",)


def _conflict(first: Placed, second: Placed, what: str) -> NeedsChange:
    models = f"models {first.model} and {second.model}" if first.model != second.model else f"model {first.model}"
    return NeedsChange(
        Reason.PATH_CONFLICT,
        f"placing {models}: {first.path} and {second.path} {what}. Change a path, exclude one of them, or remove the "
        "link on the volume that leads from one directory to the other",
        second.model,
    )
