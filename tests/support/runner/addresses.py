"""Addresses for pods: a /24 of the loopback network for each runner, so that several never meet.

The first address is the node's; holding one of its ports reserves the whole network, also against other processes.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections import deque

RESERVED_PORT = 29_250
"""Not a kubelet's own: a real one listens on that of every address."""
SECOND = range(64, 128)
"""Of 127.N.x.y: away from addresses that people use by hand."""


class Addresses:
    """One that was given back is the last to be given out again."""

    def __init__(self) -> None:
        self._reservation, network = _reserve()
        self._free = deque(f"{network}.{number}" for number in range(2, 255))

    def take(self) -> str:
        if not self._free:
            raise OSError("giving out an address: all are taken; delete some pods")
        return self._free.popleft()

    def give_back(self, address: str) -> None:
        self._free.append(address)

    def close(self) -> None:
        self._reservation.close()


def _reserve() -> tuple[socket.socket, str]:
    first = os.getpid()
    for number in range(first, first + len(SECOND) * 256):
        network = f"127.{SECOND[number // 256 % len(SECOND)]}.{number % 256}"
        candidate = socket.socket()
        with contextlib.suppress(OSError):
            candidate.bind((f"{network}.1", RESERVED_PORT))
            return candidate, network
        candidate.close()
    raise OSError(
        "reserving loopback addresses for pods: no network in 127.64.0.0/10 is free. "
        "Linux answers to all of 127.0.0.0/8; on other systems add the addresses to the loopback interface first"
    )
