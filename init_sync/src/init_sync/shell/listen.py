"""Listening, on every address of both families unless one is named."""

from __future__ import annotations

import os
import socket

from init_sync.shell.flags import ANY_HOST


class CannotListen(Exception):
    """The message says why, and what to do."""

    def __init__(self, host: str, port: int, error: OSError) -> None:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)  # a name's are below 0
        place = f"{in_url(host)}:{port}" if host else f"port {port}"
        super().__init__(f"listening on {place}: {reason}. Choose another, or port 0 for a free one")


def any_address() -> str:
    """The one that stands for all. A machine without IPv6, or with IPv6 alone, has only those of one family."""
    return "::" if socket.has_dualstack_ipv6() else "0.0.0.0"  # noqa: S104  # pods are reached from elsewhere


def listen(port: int, host: str = ANY_HOST, backlog: int = 512) -> socket.socket:
    """A listening socket; one port for both families, though it was picked (0). Raises CannotListen."""
    address = host or any_address()
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    both = address == "::" and socket.has_dualstack_ipv6()
    try:
        return socket.create_server((address, port), family=family, dualstack_ipv6=both, backlog=backlog)
    except OSError as error:
        raise CannotListen(host, port, error) from error


def in_url(host: str) -> str:
    """IPv6 addresses are written in brackets there."""
    return f"[{host}]" if ":" in host else host


def url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{in_url(host)}:{port}"
