"""What is right on a volume, judged without any of init-sync's own code: every byte is read and compared.

The hub's content is the truth. A change that keeps size, time and blocks of a file cannot be seen without reading it;
that is by design, so the oracle remembers which files were changed in that way (``unseen``), and lets a run that did
not read them call the volume complete. A deep run gets no such allowance.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from support.kill_lab import LINKS, Files
from support.sync import tree

FOREIGN: Files = {
    "notes.txt": b"mine",
    "base/extra.bin": b"mine too",
    "base/diffusion/shard-1.safetensors.part": b"of another tool",
    "other/model.bin": bytes(range(256)),
}
"""Files that no manifest names."""
LINKED = frozenset(str(link["at"]) for link in LINKS)

Mark = tuple[int, int, int]
"""Inode, time and size: what writing to a file or replacing it changes."""


class Wrong(StrEnum):
    """What must never be."""

    FALSE_COMPLETE = "false complete"
    LOST = "bytes lost"
    STRANGE = "half-written or strange bytes under a final name"
    FOREIGN = "a foreign file touched"
    INCOMPLETE = "not whole at the end"
    TRAFFIC = "fetched more than promised"
    EXIT = "an exit code or output that should not be"
    HANG = "a run without an end"
    OUTSIDE = "something outside of the volume touched"


class Violation(Exception):
    """A promise was broken."""

    def __init__(self, wrong: Wrong, what: str) -> None:
        super().__init__(f"{wrong}: {what}")
        self.wrong = wrong


@dataclass(slots=True)
class Oracle:
    """For one volume on its way to ``truth``."""

    volume: Path
    truth: Files
    unseen: dict[str, bytes] = field(default_factory=dict)
    """By real path: content that differs from the truth although size, time and blocks do not say so."""
    _before: Files = field(default_factory=dict)
    _marks: dict[str, Mark] = field(default_factory=dict)

    def plant(self) -> None:
        """Put the foreign files there."""
        for path, content in FOREIGN.items():
            (self.volume / path).parent.mkdir(parents=True, exist_ok=True)
            (self.volume / path).write_bytes(content)

    def look(self) -> None:
        """Take in the volume as it is, before anybody works on it."""
        self._before = tree(self.volume)
        self._marks = {path: self._mark(path) for path in self._before if path in FOREIGN or self._is_right(path)}
        self.unseen = {path: content for path, content in self.unseen.items() if self._before.get(path) == content}

    def missing(self) -> dict[bytes, int]:
        """Contents that are not at all of their places, with their sizes."""
        return {self.truth[path]: len(self.truth[path]) for path in self.truth if not self._is_right(path)}

    def judge(self, raced: bool = False) -> Files:
        """After a round: nothing half-written, nothing lost, nothing foreign touched. Returns what is there.

        With a racer beside it, a run may have missed a file that is right, and written it again.
        """
        found = tree(self.volume)
        for path, content in found.items():
            # A link that was made again may lead to a file whose change nobody could see.
            known = (self.truth.get(path), self._before.get(path), self.unseen.get(self._real(path)))
            if content not in (*known, self._moved_aside(path)):
                raise Violation(Wrong.STRANGE, f"{path} holds {len(content):,} bytes of nobody")
        for path, mark in self._marks.items():
            wrong = Wrong.FOREIGN if path in FOREIGN else Wrong.LOST
            if path not in found:
                raise Violation(wrong, f"{path} was right and is gone")
            if raced and path not in FOREIGN:
                continue
            if path not in LINKED and self._mark(path) != mark:
                raise Violation(wrong, f"{path} was right and was written again")
        if raced:  # a link was published over a damaged file, noticed, and removed
            return found
        for path in self._before.keys() - found.keys() - LINKED:
            raise Violation(Wrong.LOST, f"{path} is gone; a damaged file stays until the right one is whole")
        return found

    def must_be_complete(self, found: Files, who: str, deep: bool) -> None:
        """Somebody says that the volume is complete."""
        for path, right in self.truth.items():
            if found.get(path) == right:
                continue
            if not deep and path in found and self.unseen.get(self._real(path)) == found[path]:
                continue
            there = f"{len(found[path]):,} wrong bytes" if path in found else "nothing"
            raise Violation(Wrong.FALSE_COMPLETE, f"{who} says complete, but {path} holds {there}")

    def spoiled(self, path: Path, before: os.stat_result | None) -> int:
        """A file was changed; returns how many bytes it may cost to fetch again."""
        real = self._real(str(path.relative_to(self.volume)))
        right = self.truth.get(real)
        if right is None or not (self.volume / real).is_file():
            self.unseen.pop(real, None)
            return len(right or b"")
        content, after = (self.volume / real).read_bytes(), (self.volume / real).stat()
        was_trusted = real in self.unseen or self._before.get(real) == right
        if content != right and was_trusted and before is not None and _looks_unchanged(before, after):
            self.unseen[real] = content
        else:
            self.unseen.pop(real, None)
        return len(right)

    def _moved_aside(self, path: str) -> bytes | None:
        """What lay where a link belongs is kept beside it."""
        place = path.removesuffix("_old")
        return self._before.get(place) if place in LINKED else None

    def _is_right(self, path: str) -> bool:
        return path in self.truth and self._before.get(path) == self.truth[path]

    def _mark(self, path: str) -> Mark:
        state = (self.volume / path).stat()
        return state.st_ino, state.st_mtime_ns, state.st_size

    def _real(self, path: str) -> str:
        return os.path.relpath(os.path.realpath(self.volume / path), os.path.realpath(self.volume))


class Outside:
    """A directory that no sync has any business in."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._before = self._look()

    def judge(self) -> None:
        """Directories tell of files that came and went by their times."""
        now = self._look()
        for path in sorted(self._before.keys() | now.keys()):
            if now.get(path) != self._before.get(path):
                raise Violation(Wrong.OUTSIDE, f"{path} was {self._before.get(path)} and is {now.get(path)}")

    def _look(self) -> dict[str, tuple[int, ...]]:
        states = {str(path): path.lstat() for path in (self._folder, *self._folder.rglob("*"))}
        return {
            path: (state.st_ino, state.st_mode, state.st_nlink, state.st_size, state.st_mtime_ns)
            for path, state in states.items()
        }


def _looks_unchanged(before: os.stat_result, after: os.stat_result) -> bool:
    """As far as a receipt can tell: half of the blocks gone would be seen."""
    same = (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
    return same and after.st_blocks >= before.st_blocks // 2
