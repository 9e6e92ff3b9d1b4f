"""One client's connection. Its socket never blocks: every wait has an end, however slow the client is."""

from __future__ import annotations

import os
import select
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from time import monotonic

from init_sync.serve.request import MAX_HEAD_BYTES, BadRequest

IDLE_S = 60.0
"""Between two requests."""
HEAD_S = 10.0
"""For a whole head or body, from its first byte on."""
PROGRESS_S = 30.0
PROGRESS_BYTES = 256 << 10
"""A client must take so many bytes in each ``PROGRESS_S``; less than 9 kB/s would keep a place for days."""
SEND_BYTES = 4 << 20
RECEIVE_BYTES = 16 << 10
LINGER_S = 1.0
NO_LINGER = struct.pack("ii", 1, 0)


class TooSlow(Exception):
    """The client did not read enough in time."""


class ShortFile(Exception):
    """A file ended before what was asked of it."""


class Connection:
    """Reads heads and bodies, sends bytes and files; used by one thread, ended by any."""

    def __init__(self, client: socket.socket) -> None:
        client.setblocking(False)
        with suppress(OSError):  # not TCP, or gone already
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = client
        self._buffer = b""
        self._deadline = 0.0
        self._taken = 0

    def head(self) -> bytes | None:
        """The next head without its empty line; None when the client has left, or sends none in time.

        Raises:
            BadRequest: it is too large.
        """
        deadline = monotonic() + (HEAD_S if self._buffer else IDLE_S)
        while (end := self._buffer.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES)) < 0:
            if len(self._buffer) >= MAX_HEAD_BYTES:
                raise BadRequest(431, f"a head of more than {MAX_HEAD_BYTES} bytes")
            data = self._receive(deadline)
            if not data:
                return None
            if not self._buffer:
                deadline = monotonic() + HEAD_S
            self._buffer += data
        head, self._buffer = self._buffer[:end], self._buffer[end + 4 :]
        return head

    def body(self, count: int) -> bytes:
        """Raises ConnectionError when it does not come in time."""
        deadline = monotonic() + HEAD_S
        while len(self._buffer) < count:
            data = self._receive(deadline)
            if not data:
                raise ConnectionAbortedError("the body ended early")
            self._buffer += data
        body, self._buffer = self._buffer[:count], self._buffer[count:]
        return body

    def start_response(self) -> None:
        """The time that the client has for its first bytes begins now."""
        self._deadline, self._taken = monotonic() + PROGRESS_S, 0

    def send(self, data: bytes, *, more: bool = False) -> None:
        """``more`` says that other bytes follow at once. Raises OSError or TooSlow."""
        view = memoryview(data)
        while view:
            view = view[self._step(self._socket.send, view, socket.MSG_MORE if more else 0) :]

    def send_file(self, descriptor: int, start: int, end: int, on_sent: Callable[[int], None]) -> None:
        """Bytes [start, end), without copying them. Raises OSError, TooSlow or ShortFile."""
        while start < end:
            count = min(end - start, SEND_BYTES)
            sent = self._step(os.sendfile, self._socket.fileno(), descriptor, start, count)
            if not sent:
                raise ShortFile
            on_sent(sent)
            start += sent

    def linger(self) -> None:
        """Let a client that is still sending read why it was refused: closing now would reset what it has not read."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
            deadline = monotonic() + LINGER_S
            while self._receive(deadline):
                pass

    def end(self) -> None:
        """From any thread: whatever is being sent or awaited fails at once."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """Reset: what the client has not got yet is thrown away."""
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)

    def close(self) -> None:
        self._socket.close()

    def _receive(self, deadline: float) -> bytes:
        """Some bytes; none at the end of the stream, or when none came in time."""
        while True:
            try:
                return self._socket.recv(RECEIVE_BYTES)
            except BlockingIOError:
                if not self._wait(select.POLLIN, deadline):
                    return b""

    def _step(self, send: Callable[..., int], *arguments: object) -> int:
        while True:
            try:
                sent = send(*arguments)
            except BlockingIOError:
                if not self._wait(select.POLLOUT, self._deadline):
                    raise TooSlow from None
                continue
            self._taken += sent
            if self._taken >= PROGRESS_BYTES:
                self.start_response()
            return sent

    def _wait(self, event: int, deadline: float) -> bool:
        poll = select.poll()
        poll.register(self._socket, event)
        return bool(poll.poll(max(0.0, deadline - monotonic()) * 1000))
