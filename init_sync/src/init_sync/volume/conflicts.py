"""Two names that are one file on this volume: found before a byte is downloaded.

Equal text is not the only way: letter case, Unicode forms, full stops at the end, and directories that are links to one
another. So each path is reduced to a key: the nearest directory on its way that exists, by device and inode, and the
rest of the path as the file system compares it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
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
    keys = _Keys(volume, folding)
    files: dict[Key, Placed] = {}
    above: dict[Key, Placed] = {}
    for each in placed:
        place = volume.at(each.path)
        other = files.setdefault(keys.entry(place), each)
        if other != each:
            raise _conflict(other, each, "are one file on this volume")
        for key in keys.above(os.path.dirname(place)):
            above.setdefault(key, each)
    for key in files.keys() & above.keys():
        raise _conflict(files[key], above[key], "need a file and a directory of one name")


class _Keys:
    """Keys of places, each directory looked up once."""

    def __init__(self, volume: Volume, folding: Folding) -> None:
        self._roots = (volume.root, os.path.realpath(volume.root), "/")
        self._folding = folding
        self._directories: dict[str, Key] = {}
        self._above: dict[str, list[Key]] = {}

    def entry(self, place: str) -> Key:
        """Of a name in its directory, whatever is there."""
        directory, _, name = place.rpartition("/")
        return (*self._directory(directory), self._folding.key(name))

    def above(self, directory: str) -> list[Key]:
        """Entries that must be directories, or links to some, for a file to be in this directory."""
        if directory not in self._above:
            self._above[directory] = [
                self.entry(each) for way in {directory, os.path.realpath(directory)} for each in self._up(way)
            ]
        return self._above[directory]

    def _up(self, directory: str) -> Iterator[str]:
        while directory not in self._roots:
            yield directory
            directory = os.path.dirname(directory)

    def _directory(self, place: str) -> Key:
        if place not in self._directories:
            self._directories[place] = self._look_up(place)
        return self._directories[place]

    def _look_up(self, place: str) -> Key:
        try:
            state = os.stat(place or "/")
            return state.st_dev, state.st_ino
        except OSError:  # not there yet, or a link to what is not there yet
            real = os.path.realpath(place)
            return self._directory(real) if real != place else self.entry(place)


def _conflict(first: Placed, second: Placed, what: str) -> NeedsChange:
    alone = first.model == second.model
    models = f"model {first.model}" if alone else f"models {first.model} and {second.model}"
    paths = f"{first.path} and {second.path}" if first.path != second.path else f"{first.path} of both"
    return NeedsChange(
        Reason.PATH_CONFLICT,
        f"placing {models}: {paths} {what}. Change a path, exclude one of them, or remove the "
        "link on the volume that leads from one directory to the other",
        first.model if alone else None,  # of two, one may be complete already: it is the other that must say so
    )
