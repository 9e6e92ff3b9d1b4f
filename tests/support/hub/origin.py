"""One listening port and the threads behind it.

A stopped origin keeps its port bound without listening: connections to it are refused, nobody else can take the port
meanwhile, and no client can be given it as its own source port and so connect to itself.
"""

from __future__ import annotations

import contextlib
import socket
import threading

from .connection import Connection, Service

_BACKLOG = 256
_JOIN_S = 10.0


class Origin:
    """Accepts connections on ``host`` and serves each in a thread of its own; clients call it ``name``."""

    def __init__(
        self,
        port: int,
        service: Service,
        send_buffer: int | None = None,
        *,
        host: str = "127.0.0.1",
        name: str | None = None,
    ) -> None:
        self._service = service
        self._send_buffer = send_buffer
        self._host = host
        self._name = name or host
        self._socket = _bind(host, port)
        self.port: int = self._socket.getsockname()[1]
        self._lock = threading.Lock()
        self._live: dict[threading.Thread, socket.socket] = {}
        self._acceptor: threading.Thread | None = None

    @property
    def endpoint(self) -> str:
        return f"http://{self._name}:{self.port}"

    def start(self) -> None:
        if self._acceptor is None:
            self._socket.listen(_BACKLOG)
            self._acceptor = threading.Thread(target=self._accept, name=f"hub-{self._service.origin}", daemon=True)
            self._acceptor.start()

    def stop(self) -> None:
        """Refuse new connections, end the open ones and wait for their threads."""
        if self._acceptor is None:
            return
        self._socket.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._acceptor.join(_JOIN_S)
        self._acceptor = None
        self._socket.close()
        self._socket = _bind(self._host, self.port)
        with self._lock:
            live = dict(self._live)
            for sock in live.values():
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
        for thread in live:
            thread.join(_JOIN_S)

    def close(self) -> None:
        self.stop()
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._socket.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._send_buffer is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._send_buffer)
            thread = threading.Thread(target=self._serve, args=(sock,), name="hub-connection", daemon=True)
            with self._lock:
                self._live[thread] = sock
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        try:
            Connection(sock, self._service).serve()
        finally:
            with self._lock:
                del self._live[threading.current_thread()]
                sock.close()


def _bind(host: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock
