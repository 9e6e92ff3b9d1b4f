"""Bodies onto the wire: sendfile, at a chosen rate, up to a chosen byte, and the chosen end of the connection."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct
import termios
import threading
import time
from collections.abc import Iterator

from .log import LogEntry
from .messages import FileSlice
from .spoiling import Delivery, Ending

# As much as one call may move: large enough to cost nothing, small enough for a live byte count.
_STEP = 1 << 20
_PACED_STEPS_PER_SECOND = 50
_DRAIN_S = 5.0


class Delivered:
    """Counts a body's bytes in the log while it is sent.

    Bytes are counted before the kernel gets them, and what it did not take is taken back: a client that has just read
    the last byte finds the full count.
    """

    def __init__(self, entry: LogEntry, body: bytes | FileSlice) -> None:
        self._entry = entry
        self._in_file = isinstance(body, FileSlice)

    def add(self, count: int) -> None:
        self._entry.body_bytes += count
        if self._in_file:
            self._entry.file_bytes += count


def send_body(
    sock: socket.socket, body: bytes | FileSlice, plan: Delivery, entry: LogEntry, stopping: threading.Event
) -> None:
    """Send the body, or as much of it as the plan allows; raise OSError when the client has left."""
    length = body.length if isinstance(body, FileSlice) else len(body)
    until = length if plan.cut_at is None else plan.cut_at
    count = Delivered(entry, body)
    pace = _Pace(plan.bytes_per_second, stopping)
    if isinstance(body, bytes):
        view = memoryview(body)
        for start, end in pace.steps(0, until):
            _send_bytes(sock, view[start:end], count)
        return
    with body.path.open("rb", buffering=0) as file:
        for start, end in pace.steps(body.offset, body.offset + until):
            _send_file(sock, file.fileno(), start, end, body.flipped, count)


def end_connection(sock: socket.socket, ending: Ending) -> None:
    """Leave the connection in the way the fault asks for; the caller closes the socket."""
    with contextlib.suppress(OSError):
        if ending == "stall":
            # The hub's stop shuts the socket down, which ends this wait as the client's leaving does.
            while sock.recv(_STEP):
                pass
        elif ending == "rst":
            _drain(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            sock.shutdown(socket.SHUT_WR)


class _Pace:
    """Cuts a range into steps and, with a rate, spreads them over time."""

    def __init__(self, bytes_per_second: int | None, stopping: threading.Event) -> None:
        self._rate = bytes_per_second
        self._stopping = stopping
        self._step = max(1, min(_STEP, (bytes_per_second or _STEP * 100) // _PACED_STEPS_PER_SECOND))

    def steps(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        begun = time.monotonic()
        for at in range(start, end, self._step):
            following = min(at + self._step, end)
            yield at, following
            if self._rate:
                ahead_s = (following - start) / self._rate - (time.monotonic() - begun)
                if ahead_s > 0 and self._stopping.wait(ahead_s):
                    raise ConnectionAbortedError("the hub stops")


def _send_file(sock: socket.socket, file: int, start: int, end: int, flipped: int | None, count: Delivered) -> None:
    if flipped is not None and start <= flipped < end:
        _send_file(sock, file, start, flipped, None, count)
        _send_bytes(sock, memoryview(bytes([os.pread(file, 1, flipped)[0] ^ 0xFF])), count)
        start = flipped + 1
    while start < end:
        wanted = end - start
        count.add(wanted)
        taken = 0
        try:
            taken = os.sendfile(sock.fileno(), file, start, wanted)
        finally:
            count.add(taken - wanted)
        if taken == 0:
            raise ConnectionAbortedError("the served file became shorter")
        start += taken


def _send_bytes(sock: socket.socket, view: memoryview, count: Delivered) -> None:
    while view:
        count.add(len(view))
        taken = 0
        try:
            taken = sock.send(view)
        finally:
            count.add(taken - len(view))
        view = view[taken:]


def _drain(sock: socket.socket) -> None:
    """Wait until the peer has all that was sent: a reset throws away what is still on its way."""
    deadline = time.monotonic() + _DRAIN_S
    pause = threading.Event()
    while time.monotonic() < deadline:
        unsent = struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"))[0]
        if unsent == 0:
            return
        pause.wait(0.001)
