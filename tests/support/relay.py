"""Between a client and a server: bytes pass as they are, and in the middle of them something happens, once.

    with Relay("127.0.0.1:9465", after_bytes=300_000) as relay:
        relay.strike = process.kill          # once so many bytes came from the server

The relay takes little ahead of the client. So a server that sends more than what fits into the kernel is still sending
when the strike comes.
"""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable

from support.listener import Listener

RECEIVE_BYTES = 64 << 10


class Relay(Listener):
    """Listens on a free loopback port until the block is left."""

    def __init__(self, server: str, after_bytes: int) -> None:
        """``strike`` is called once ``after_bytes`` came from the server, on all connections together."""
        super().__init__(self._pass_on)
        host, _, port = server.partition(":")
        self._server = host, int(port)
        self._after = after_bytes
        self._passed = 0
        self._silent = False
        self._guard = threading.Lock()
        self.strike: Callable[[], object] = self.keep_silent
        self.has_struck = False

    @property
    def endpoint(self) -> str:
        return f"http://{self.address}"

    def keep_silent(self) -> None:
        """A strike: the client hears nothing from the server any more, and its connections stay open."""
        self._silent = True

    def _pass_on(self, client: socket.socket, _number: int) -> None:
        with self.cut_at_the_end(socket.socket()) as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
            server.connect(self._server)
            while True:
                for ready in select.select([client, server], [], [])[0]:
                    data = ready.recv(RECEIVE_BYTES)
                    if not data:
                        return
                    if ready is server:
                        self._count(len(data))
                    if ready is client or not self._silent:
                        (server if ready is client else client).sendall(data)

    def _count(self, received: int) -> None:
        with self._guard:
            self._passed += received
            if self.has_struck or self._passed < self._after:
                return
            self.has_struck = True
        self.strike()
