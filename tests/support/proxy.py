"""A small HTTP proxy on loopback that remembers what it was asked: for tests of the proxy variables.

It forwards plain requests (one for each connection) byte for byte and answers CONNECT with 502: that it was asked is
all that a test without TLS can see.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


class Proxy:
    """Runs until the block is left. ``requests`` holds the first line of each, ``heads`` all of it."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self.heads: list[str] = []

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._socket.getsockname()[1]}"

    @property
    def requests(self) -> list[str]:
        return [head.partition("\r\n")[0] for head in self.heads]

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in (self._socket, *list(self._open)):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in self._threads:
            thread.join()

    def _start(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        self._open.add(client)
        with contextlib.suppress(OSError), client, client.makefile("rb") as stream:
            head = self._read_head(stream.readline)
            self.heads.append(head)
            method, target, _ = head.partition("\r\n")[0].split(" ")
            if method == "CONNECT":
                client.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            else:
                self._forward(client, target, head)
        self._open.discard(client)

    @staticmethod
    def _read_head(readline: object) -> str:
        lines = []
        while (line := readline()) not in (b"\r\n", b""):  # type: ignore[operator]
            lines.append(line)
        return b"".join(lines).decode("latin-1")

    def _forward(self, client: socket.socket, target: str, head: str) -> None:
        parts = urlsplit(target)
        first, _, fields = head.partition("\r\n")
        kept = [line for line in fields.splitlines() if not line.lower().startswith(("connection:", "proxy-"))]
        lines = [first.replace(f"{parts.scheme}://{parts.netloc}", "", 1), *kept, "Connection: close", "", ""]
        with socket.create_connection((parts.hostname or "", parts.port or 80), timeout=10) as server:
            self._open.add(server)
            server.sendall("\r\n".join(lines).encode("latin-1"))
            while block := server.recv(1 << 18):
                client.sendall(block)
            self._open.discard(server)
