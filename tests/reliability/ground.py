"""What the volume of a trial is made of: file systems with quirks, and model directories that are links."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from reliability.plan import Ground
from support.kill_lab import Files
from support.quirks import Quirks, quirky_volume, why_not

ADDON = "addon"
"""The model whose directory becomes a link."""
LEADS_TO = {Ground.LINKED: "disk/addon", Ground.MERGED: "base/diffusion"}
QUIRKS = {Ground.NO_CASE: Quirks(nocase=True), Ground.COPIES: Quirks(fresh_inode=True, fresh_time=True)}


def at_home(ground: Ground, files: Files) -> Files:
    """The files by the paths under which they lie once links between directories are followed."""
    if ground is not Ground.LINKED:
        return files
    home = LEADS_TO[ground]
    return {home + path.removeprefix(ADDON) if path.startswith(f"{ADDON}/") else path: files[path] for path in files}


@contextmanager
def prepared(ground: Ground, volume: Path, fill: Callable[[], None]) -> Iterator[None]:
    """The volume, filled; it is gone afterwards. A local disk where there can be no file system with quirks."""
    volume.mkdir()
    try:
        with ExitStack() as stack:
            if ground in QUIRKS and not why_not():
                stack.enter_context(quirky_volume(volume, QUIRKS[ground]))
            fill()
            if ground in LEADS_TO:
                _link(ground, volume)
            yield
    finally:
        shutil.rmtree(volume)
        shutil.rmtree(volume.with_name(f"{volume.name}.stored"), ignore_errors=True)


def _link(ground: Ground, volume: Path) -> None:
    place, home = volume / ADDON, volume / LEADS_TO[ground]
    if ground is Ground.LINKED:
        home.mkdir(parents=True)
        if place.is_dir():
            home.rmdir()
            place.rename(home)
    elif place.is_dir():
        shutil.rmtree(place)
    place.symlink_to(LEADS_TO[ground])
