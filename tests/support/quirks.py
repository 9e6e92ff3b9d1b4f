"""Volumes with the quirks of network file systems and object stores, mounted for a test.

    with quirky_volume(tmp_path / "volume", Quirks(nocase=True)) as volume: ...

Needs root and /dev/fuse (``why_not``). Each is served by a process of its own (quirkfs.py).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Quirks:
    """What is different from a local disk. An ``_errno`` is what the operation fails with; 0 means that it works."""

    nocase: bool = False
    nounicode: bool = False
    """Composed and decomposed letters are the same, as on APFS."""
    notrailing: bool = False
    """Full stops and spaces at the end of a name do not count, as on SMB."""
    by_directory: bool = False
    """All this not in .modelcache: letter case on ext4 is a matter of each directory."""
    fresh_inode: bool = False
    """A renamed file has another inode number: where a rename is a copy and a delete."""
    fresh_time: bool = False
    """... and the time of the rename."""
    rename_errno: int = 0
    rename_open_errno: int = 0
    """For a file that somebody has open for writing."""
    link_errno: int = 0
    fsync_errno: int = 0
    exclusive_errno: int = 0
    """For O_EXCL."""
    sequential: bool = False
    """Only the end of a file can be written."""
    refused: str = ""
    """Characters that no name may have."""
    name_max: int = 255
    """Bytes."""
    file_max: int = 0
    round_s: int = 0
    """Times of files are told in steps of so many seconds."""

    def fold(self, name: str) -> str:
        name = unicodedata.normalize("NFC", name) if self.nounicode else name
        name = name.lower() if self.nocase else name
        return name.rstrip(". ") or name if self.notrailing else name


def why_not() -> str | None:
    """Why there can be no such volume here; None when there can."""
    if os.geteuid() or not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "needs root and /dev/fuse"
    return None


@contextmanager
def quirky_volume(place: Path, quirks: Quirks) -> Iterator[Path]:
    """Mount it at ``place``; what is written there lies in ``place.stored``."""
    backing = place.with_name(f"{place.name}.stored")
    for folder in (backing, place):
        folder.mkdir(exist_ok=True)
    arguments = [sys.executable, "-m", "support.quirkfs", str(backing), str(place), json.dumps(asdict(quirks))]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
    try:
        assert process.stdout is not None
        told = process.stdout.readline().strip()
        if told != "mounted":
            raise OSError(f"mounting: {told or 'it ended'}")
        yield place
    finally:
        process.communicate()  # the end of its input is the end of the volume
