"""Whether this machine can carry the demo: found out at its beginning, said in a line with the cure."""

from __future__ import annotations

import errno
import socket
import tempfile
from collections.abc import Iterable

PORTS = (8000, 8080, 8081, 9464)
"""Of the chart's pods and services: server, operator, its probes, sync."""
NOBODYS = "127.128.0.1"
"""A loopback address that nothing has for its own: a port that is taken there is taken everywhere."""
FULL = (errno.ENOSPC, errno.EDQUOT)
UNUSABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG)


class Unfit(Exception):
    """Something is missing or in the way; the text says what, and what to do."""


def check_ports(ports: Iterable[int] = PORTS) -> None:
    """Pods have addresses of their own here, but no network: who listens everywhere takes a port from all of them.

    Raises:
        Unfit: somebody does.
    """
    taken = [str(port) for port in ports if _is_taken(port)]
    if taken:
        which = f"port {taken[0]}" if len(taken) == 1 else f"ports {', '.join(taken)}"
        raise Unfit(
            f"another program listens on {which} of every address of this machine, and the demo's pods need the same: "
            "end it for as long as the demo runs (ss -ltnp names it), or let it listen on 127.0.0.1 alone"
        )


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((NOBODYS, port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def in_words(error: OSError) -> str | None:
    """What a machine that is too small or too strict did to the demo; None for what must be a mistake in the demo."""
    if error.errno is None:
        return str(error)  # in words already: raised by code of this project
    if error.errno in FULL:
        return f"{tempfile.gettempdir()} is full. Free 300 MB there, or set TMPDIR"
    if error.errno in UNUSABLE:
        return f"{error.strerror}: {error.filename}. Set TMPDIR to a folder in which you may write, with a short path"
    return None
