"""A server that says exactly what a test wrote down: for answers that no real server gives.

Each connection plays the next entry of the script: raw bytes to send once the head of a request was read, a pause in
between where the entry is a list of pieces. After the last entry the last one is played again.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

Script = Sequence[bytes | Sequence[bytes]]


def answer(status: str, body: bytes = b"", **headers: str) -> bytes:
    """The bytes of an answer; an underscore in a header's name stands for a hyphen."""
    fields = {"Content_Length": str(len(body)), "Connection": "close", **headers}
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


class ScriptedServer:
    """Listens on a free loopback port until the block is left; ``heads`` are the requests as they came."""

    def __init__(self, script: Script, pause_s: float = 0.1) -> None:
        self._script = script
        self._pause_s = pause_s
        self._stopping = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self.heads: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in self._threads:
            thread.join()

    def _start(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        played = 0
        while not self._stopping.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            entry = self._script[min(played, len(self._script) - 1)]
            played += 1
            self._start(self._play, connection, [entry] if isinstance(entry, bytes) else entry)

    def _play(self, connection: socket.socket, pieces: Sequence[bytes]) -> None:
        with contextlib.suppress(OSError), connection:
            head = b""
            while b"\r\n\r\n" not in head:
                received = connection.recv(65536)
                if not received:
                    return
                head += received
            self.heads.append(head.decode("latin-1"))
            for number, piece in enumerate(pieces):
                if number and self._stopping.wait(self._pause_s):
                    return
                connection.sendall(piece)
