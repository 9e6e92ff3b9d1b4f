"""How a sync goes about its work; filled once, by the command line."""

from typing import NamedTuple  # as in `spec`, no `annotations` from `__future__`

MIB = 1 << 20
SYNC_PORT = 9464
"""Where sync containers serve their progress; a sync by hand serves it where it is told."""
PEER_PORT = 9465
"""Where a volume is served to other copies."""


class Settings(NamedTuple):
    """Defaults suit a pod with one or two cores and a hub across the internet."""

    connections: int = 16
    """Connections to the hub at most, over all files together; fewer are used where more bring nothing. Each costs
    256 KiB of memory."""
    stall_timeout_s: float = 10.0
    """A connection that delivers less than ``MIN_BYTES_PER_SECOND`` for this long is closed and opened again."""
    give_up_s: float = 30.0
    """A hub from which nothing has come for this long is given up."""
    verify_threads: int = 2
    """Threads that re-hash files; one already hashes faster than most volumes read."""


class SyncOptions(NamedTuple):
    """What a person asks of one run."""

    deep: bool = False
    """Re-hash every file that is there."""
    refresh: bool = False
    """Look up branches and tags again instead of staying on the commits pinned on the volume."""
    settings: Settings = Settings()
    lock_expiry_s: float = 20.0
    """Take the lock over from a process on another node that has been silent for this long."""


MIN_BYTES_PER_SECOND = 1024
BUFFER_BYTES = 256 * 1024
"""Unit of reading and writing. 1 MiB writes were measured at a quarter of the speed of 256 KiB ones on ext4."""
RECORD_BYTES = 1 * MIB
"""A killed process loses at most this much for each connection, and what the kernel still held in socket buffers."""
MIN_PIECE_BYTES = 8 * MIB
MAX_PIECE_BYTES = 64 * MIB
WRONG_CONTENT_ATTEMPTS = 3
