"""A small HTTP proxy on loopback that remembers what it was asked: for tests of the proxy variables.

It forwards plain requests (one for each connection) byte for byte and answers CONNECT with 502: that it was asked is
all that a test without TLS can see.
"""

from __future__ import annotations

import re
import socket
from typing import BinaryIO
from urllib.parse import urlsplit

from support.listener import Listener


class Proxy(Listener):
    """Runs until the block is left. ``requests`` holds the first line of each, ``heads`` all of it.

    ``server``: where all of them go, whatever they name: for names that only a proxy knows.
    """

    def __init__(self, server: tuple[str, int] | None = None) -> None:
        super().__init__(self._answer)
        self._server = server
        self.heads: list[str] = []

    @property
    def requests(self) -> list[str]:
        return [head.partition("\r\n")[0] for head in self.heads]

    def _answer(self, client: socket.socket, _number: int) -> None:
        with client.makefile("rb") as stream:
            head = read_head(stream)
            length = re.search(r"^content-length: *(\d+)", head, re.IGNORECASE | re.MULTILINE)
            body = stream.read(int(length[1])) if length else b""
        self.heads.append(head)
        method, target, _ = head.partition("\r\n")[0].split(" ")
        if method == "CONNECT":
            client.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        else:
            self._forward(client, target, head, body)

    def _forward(self, client: socket.socket, target: str, head: str, body: bytes) -> None:
        parts = urlsplit(target)
        first, _, fields = head.partition("\r\n")
        kept = [line for line in fields.splitlines() if not line.lower().startswith(("connection:", "proxy-"))]
        lines = [first.replace(f"{parts.scheme}://{parts.netloc}", "", 1), *kept, "Connection: close", "", ""]
        behind = socket.create_connection(self._server or (parts.hostname or "", parts.port or 80), timeout=10)
        with self.cut_at_the_end(behind) as server:
            server.sendall("\r\n".join(lines).encode("latin-1") + body)
            while block := server.recv(1 << 18):
                client.sendall(block)


def read_head(stream: BinaryIO) -> str:
    lines = []
    while (line := stream.readline()) not in (b"\r\n", b""):
        lines.append(line)
    return b"".join(lines).decode("latin-1")
