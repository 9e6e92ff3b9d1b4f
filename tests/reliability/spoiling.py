"""Spoiling files of a volume while nobody works on it, in ways that a stat shows and in ways that it does not."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from support.kill_lab import LINKS
from support.linked_volume import empty_out, flip, grow, hollow, keeping_mtime, zero


class Target(StrEnum):
    """Which file."""

    MODEL = "a model file"
    PARTIAL = "a partial file"
    JOURNAL = "a journal"
    RECEIPT = "a receipt"
    PIN = "a pin"
    LOCK = "the lock"
    LINK = "a link"


def cut(path: Path, at: float) -> None:
    os.truncate(path, int(path.stat().st_size * at))


def remove(path: Path, at: float) -> None:
    path.unlink()


def scramble(path: Path, at: float) -> None:
    """Another file's content of the same length."""
    size = path.stat().st_size
    path.write_bytes((b"%d scrambled " % int(at * 1e6) * (size // 8 + 1))[:size])


CHANGES: dict[str, Callable[[Path, float], None]] = {
    "flipped": lambda path, at: flip(path, at) if path.stat().st_size else None,
    "zeroed": lambda path, at: zero(path),
    "cut short": cut,
    "emptied": lambda path, at: empty_out(path),
    "hollow": lambda path, at: hollow(path),
    "longer": lambda path, at: grow(path),
    "scrambled": scramble,
    "deleted": remove,
}


def dangle(path: Path, at: float) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to("nowhere")


def replace(path: Path, at: float) -> None:
    """As another tool's download does, which knows nothing of links."""
    path.unlink(missing_ok=True)
    path.write_bytes(b"another tool's %d" % int(at * 1e6))


LINK_CHANGES: dict[str, Callable[[Path, float], None]] = {
    "deleted": lambda path, at: path.unlink(missing_ok=True),
    "dangling": dangle,
    "a file in its place": replace,
}


@dataclass(frozen=True, slots=True)
class Spoil:
    """One change of one file."""

    target: Target
    choice: float
    """Which of those that are there, as a share of their number."""
    change: str
    at: float
    """Where in the file, as a share of its length."""
    keep_time: bool

    def apply(self, volume: Path, required: list[str]) -> Path | None:
        """Returns the file that was changed; None when there is none of this kind."""
        found = self._candidates(volume, required)
        if not found:
            return None
        path = found[int(self.choice * len(found))]
        changes = LINK_CHANGES if self.target is Target.LINK else CHANGES

        def change(path: Path) -> None:
            changes[self.change](path, self.at)

        keeps = self.keep_time and self.target is not Target.LINK and self.change != "deleted"
        (keeping_mtime(change) if keeps else change)(path)
        return path

    def _candidates(self, volume: Path, required: list[str]) -> list[Path]:
        state = volume / ".modelcache"
        if self.target is Target.MODEL:
            places = {str(link["at"]) for link in LINKS}
            return [volume / path for path in required if path not in places and (volume / path).is_file()]
        if self.target is Target.LINK:
            return [place for link in LINKS if (place := volume / str(link["at"])).parent.is_dir()]
        patterns = {
            Target.PARTIAL: "partial/*.part",
            Target.JOURNAL: "partial/*.journal",
            Target.RECEIPT: "receipts/*",
            Target.PIN: "pins/*",
            Target.LOCK: "lock/*",
        }
        return sorted(state.glob(patterns[self.target]))
