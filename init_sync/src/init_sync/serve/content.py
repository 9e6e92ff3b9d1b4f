"""A file of the volume that is what its receipt says, opened once: looked at and sent by the same descriptor.

``sendfile`` hands pages of the file to the network without copying them, and a page that somebody overwrites on its way
arrives changed. So the last part of a response, larger than what is usually on its way, is copied, and the file is
looked at after the last byte was read and before it is sent. A response from a file that changed is never complete.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import BinaryIO

from init_sync.core.receipt import ReceiptFile
from init_sync.serve.connection import Connection, ShortFile
from init_sync.volume.receipts import differs
from init_sync.volume.volume import NoFile, Volume
from init_sync.volume.walk import OutsideVolume

COPIED_BYTES = 4 << 20
PIECE_BYTES = 128 << 10
NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO)


class Changed(Exception):
    """The file is not what its receipt says any more."""


@dataclass(frozen=True, slots=True)
class Content:
    """An open file, and what it has to be."""

    file: BinaryIO
    recorded: ReceiptFile

    def is_unchanged(self) -> bool:
        return not differs(self.recorded, os.fstat(self.file.fileno()))

    def send(self, connection: Connection, start: int, end: int, on_sent: Callable[[int], None]) -> None:
        """Bytes [start, end). Raises Changed, TooSlow, or OSError of the file or the connection."""
        descriptor = self.file.fileno()
        position = max(start, end - COPIED_BYTES)
        try:
            connection.send_file(descriptor, start, position, on_sent)
        except ShortFile as error:
            raise Changed from error
        while position < end:
            data = os.pread(descriptor, min(PIECE_BYTES, end - position), position)
            position += len(data)
            if not data or (position == end and not self.is_unchanged()):
                raise Changed
            connection.send(data, more=position < end)
            on_sent(len(data))


def open_content(volume: Volume, copies: Iterable[ReceiptFile], on_changed: Callable[[str], None]) -> Content | None:
    """The first copy that is what its receipt says; None when there is none.

    The path is a receipt's, and is walked within the volume as a sync walks it: a link is followed where the recorded
    path leads over it, never out of the volume and never into ``.modelcache``.

    Raises:
        OSError: the volume cannot be read now.
    """
    for recorded in copies:
        try:
            content = Content(volume.open_file(recorded.path), recorded)
        except OSError as error:
            if not isinstance(error, (NoFile, OutsideVolume)) and error.errno not in NOT_THERE:
                raise
        else:
            if content.is_unchanged():
                return content
            content.file.close()
        on_changed(recorded.path)
    return None
