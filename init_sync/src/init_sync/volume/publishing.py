"""Putting a file that was fetched and verified at its places on the volume, and seeing that it stayed there."""

from __future__ import annotations

import errno
import os
from typing import NoReturn

from init_sync.core.errors import TryAgain
from init_sync.core.reasons import Reason
from init_sync.core.receipt import ReceiptFile
from init_sync.core.requirement import Requirement
from init_sync.volume.inspection import as_receipt_file
from init_sync.volume.layout import Volume
from init_sync.volume.partial import Partial


def publish(volume: Volume, partial: Partial, content_id: str, paths: tuple[str, ...]) -> tuple[ReceiptFile, ...]:
    """Copies first: until the file itself is renamed, an interrupted run has all it needs to go on."""
    places = [volume.make_parent(path) for path in paths]
    for place in places:
        if os.path.isdir(place) and not os.path.islink(place):
            raise IsADirectoryError(errno.EISDIR, "a directory is where this file belongs", place)
    for place in places[1:]:
        os.makedirs(volume.tmp, exist_ok=True)
        partial.copy_to(place, volume.temporary(place))
    partial.publish(places[0])
    return tuple(_receipted(path, place, content_id, partial.size) for path, place in zip(paths, places, strict=True))


def _receipted(path: str, place: str, content_id: str, size: int) -> ReceiptFile:
    state = os.stat(place)
    if state.st_size != size:
        raise TryAgain(Reason.SIZE_MISMATCH, f"publishing {path}: it changed right after it was put in place")
    return as_receipt_file(path, content_id, state)


def check_still_there(volume: Volume, requirement: Requirement) -> None:
    """What was put in place, or adopted, may be gone by the time the last file is: hours later.

    Sizes alone are compared: some network volumes round times, or settle the blocks, a while after.

    Raises:
        TryAgain: a file is missing, or has another size.
        OSError: when it cannot be told.
    """
    for file in requirement.files:
        try:
            found = os.stat(volume.at(file.path)).st_size
        except (FileNotFoundError, NotADirectoryError):
            _gone(requirement, Reason.FILE_MISSING, f"{file.path} was in place, and was removed")
        else:
            if found != file.size:
                _gone(
                    requirement, Reason.SIZE_MISMATCH, f"{file.path} was in place, and was changed to {found:,} bytes"
                )


def _gone(requirement: Requirement, reason: Reason, what: str) -> NoReturn:
    name = requirement.model.name
    cure = "Another run fetches it again; look for whoever else writes to the volume"
    raise TryAgain(reason, f"completing {name}: {what} while others were fetched. {cure}", name)
