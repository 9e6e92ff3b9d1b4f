"""Plain sockets for servers that a test scripts byte by byte: accepts on a free loopback port, a thread for each."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self


class Listener:
    """Runs until the block is left; ``serve`` gets each connection and its number: 0, 1, ... as they came."""

    def __init__(self, serve: Callable[[socket.socket, int], None]) -> None:
        self._serve = serve
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []

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

    @contextlib.contextmanager
    def cut_at_the_end(self, connection: socket.socket) -> Iterator[socket.socket]:
        """Another connection that must not outlive the block, such as one to the server behind a proxy."""
        self._open.add(connection)
        try:
            with connection:
                yield connection
        finally:
            self._open.discard(connection)

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        for number in itertools.count():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self._start(self._handle, connection, number)

    def _handle(self, connection: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError), self.cut_at_the_end(connection):
            self._serve(connection, number)
