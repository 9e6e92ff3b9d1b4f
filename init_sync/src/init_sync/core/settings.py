"""How a sync goes about its work; filled once, by the command line."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Settings:
    """Defaults suit a pod with one or two cores and a hub across the internet."""

    connections: int = 8
    """Connections to the hub at most, over all files together. Each costs 256 KiB of memory."""
    stall_timeout_s: float = 10.0
    """A connection that delivers less than ``MIN_BYTES_PER_SECOND`` for this long is given up and made anew."""
    give_up_s: float = 30.0
    """A hub from which nothing has come for this long is given up."""
    verify_threads: int = 2
    """Threads that re-hash files; one already hashes faster than most volumes read."""


MIN_BYTES_PER_SECOND = 1024
BUFFER_BYTES = 256 * 1024
"""Unit of reading and writing. 1 MiB writes were measured at a quarter of the speed of 256 KiB ones on ext4."""
RECORD_BYTES = 4 * MIB
"""A killed process loses at most this much for each connection."""
MIN_PIECE_BYTES = 8 * MIB
MAX_PIECE_BYTES = 64 * MIB
WRONG_CONTENT_ATTEMPTS = 3
