"""A server that says exactly what a test wrote down: for answers that no real server gives.

Each connection plays the next entry of the script: raw bytes to send once the head of a request was read, a pause in
between where the entry is a list of pieces. After the last entry the last one is played again.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from types import TracebackType

from support.listener import Listener

Script = Sequence[bytes | Sequence[bytes]]


def answer(status: str, body: bytes = b"", **headers: str) -> bytes:
    """The bytes of an answer; an underscore in a header's name stands for a hyphen."""
    fields = {"Content_Length": str(len(body)), "Connection": "close", **headers}
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


class ScriptedServer(Listener):
    """Listens on a free loopback port until the block is left; ``heads`` are the requests as they came."""

    def __init__(self, script: Script, pause_s: float = 0.1) -> None:
        super().__init__(self._play)
        self._script = script
        self._pause_s = pause_s
        self._stopping = threading.Event()
        self.heads: list[str] = []

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        super().__exit__(kind, value, trace)

    def _play(self, connection: socket.socket, number: int) -> None:
        entry = self._script[min(number, len(self._script) - 1)]
        head = b""
        while b"\r\n\r\n" not in head:
            received = connection.recv(65536)
            if not received:
                return
            head += received
        self.heads.append(head.decode("latin-1"))
        for index, piece in enumerate([entry] if isinstance(entry, bytes) else entry):
            if index and self._stopping.wait(self._pause_s):
                return
            connection.sendall(piece)
